"""An ONNX file as an encoder: the features are those of the model that was exported."""

import json
import shutil

import numpy as np
import onnx
import pytest
import tiny_models
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from transformers import AutoModel, AutoTokenizer, WhisperModel

from csa.encoders.registry import load_encoder, load_view_encoder
from csa.errors import EncoderError
from csa.modalities.audio import Recording
from csa.operations.registry.logged_model import _copy_encoder
from csa.operations.registry.requirements import requirements
from csa.params.views import ViewParams
from csa.scoring.frozen import FrozenView

TEXTS = ["a dog runs", "the red fox sits in the snow under a house", "cat"]
SQUARE = {
    "image_processor_type": "ViTImageProcessor",
    "do_resize": True,
    "size": {"height": 16, "width": 16},
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


def view(modality, path, **settings):
    return ViewParams(modality=modality, encoder=str(path), **{"batch_size": 4} | settings)


def export(module, tensors, path, names, outputs):
    items, tokens = torch.export.Dim("items"), torch.export.Dim("tokens")
    free = [{0: items, 1: tokens} if one.ndim == 2 else {0: items} for one in tensors]
    torch.onnx.export(
        module.eval(),
        tuple(tensors),
        path,
        input_names=names,
        output_names=outputs,
        dynamic_shapes=free,
        dynamo=True,
        external_data=False,
        verbose=False,
    )


class Bert(torch.nn.Module):
    """As models are commonly exported: states of all tokens, and a pooled one."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        found = self.model(input_ids=input_ids, attention_mask=attention_mask)
        return found.last_hidden_state, found.pooler_output


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A folder of transformers with onnx/model.onnx in it, as on the hub."""
    folder = tiny_models.bert(tmp_path_factory.mktemp("bert"))
    (folder / "onnx").mkdir()
    model = AutoModel.from_pretrained(folder)
    ids = torch.ones((2, 8), dtype=torch.int64)
    mask = torch.tensor([[1] * 8, [1] * 5 + [0] * 3])  # without a 0 it would not be in the graph
    names = ["input_ids", "attention_mask"]
    path = folder / "onnx" / "model.onnx"
    export(Bert(model), [ids, mask], path, names, ["last_hidden_state", "pooler_output"])
    return folder


@pytest.fixture
def pixels(tmp_path):
    """A classifier of pictures as a file of the model zoos: nothing but its classes is an output.

    The features before its last layer are twice the mean of each channel.
    """
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(SQUARE))
    return classifier(tmp_path / "zoo.onnx", ["items", 3, 16, 16])


def classifier(path, shape, seed=0):
    weights = np.random.default_rng(seed).normal(size=(3, 5)).astype(np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["pixels"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Mul", ["flat", "two"], ["features"]),
        helper.make_node("MatMul", ["features", "weights"], ["classes"]),
    ]
    constants = {"two": np.float32([2]), "weights": weights}
    graph = helper.make_graph(
        nodes,
        "zoo",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("classes", TensorProto.FLOAT, [shape[0], 5])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, path)
    return path


def pictures():
    rng = np.random.default_rng(3)
    sizes = [(20, 30), (16, 16), (40, 18)]
    return [Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]


def test_a_text_model_gives_what_transformers_gives_of_it(bert):
    plain = load_encoder(view("text", bert)).encode(TEXTS)
    states = view("text", bert / "onnx" / "model.onnx", output="last_hidden_state")
    np.testing.assert_allclose(load_encoder(states).encode(TEXTS), plain, atol=2e-6)
    pooled = view("text", bert / "onnx" / "model.onnx", output="pooler_output")
    model = AutoModel.from_pretrained(bert)
    tokens = AutoTokenizer.from_pretrained(bert)(TEXTS, padding=True, return_tensors="pt")
    wanted = model(**tokens).pooler_output.detach().numpy()
    np.testing.assert_allclose(load_encoder(pooled).encode(TEXTS), wanted, atol=2e-6)


def test_a_text_has_the_same_bits_in_any_company(bert):
    encoder = load_encoder(view("text", bert / "onnx" / "model.onnx", output="last_hidden_state"))
    together = encoder.encode(TEXTS)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    np.testing.assert_array_equal(together, alone)


def test_a_value_inside_the_graph_serves_as_features(pixels):
    features = load_encoder(view("image", pixels, output="features")).encode(pictures())
    resized = [np.asarray(one.resize((16, 16), Image.Resampling.BILINEAR)) for one in pictures()]
    wanted = [2 * ((one / 255 - 0.5) / 0.5).mean((0, 1)) for one in resized]
    np.testing.assert_allclose(features, wanted, atol=1e-5)
    classes = load_encoder(view("image", pixels)).encode(pictures())
    assert classes.shape == (3, 5), "without a name the only output is taken"


def test_a_lidar_scan_goes_through_an_image_file(pixels):
    scans = [np.random.default_rng(0).uniform(-20, 20, (200, 4)).astype(np.float32)]
    settings = {"rows": 16, "columns": 16}
    encoder = load_encoder(view("lidar", pixels, output="features", lidar=settings))
    assert encoder.encode(scans).shape == (1, 3)


def test_a_fixed_batch_and_channels_at_the_end_are_kept(tmp_path):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(SQUARE))
    nodes = [
        helper.make_node("Transpose", ["raw"], ["pixels"], perm=[0, 3, 1, 2]),
        helper.make_node("GlobalAveragePool", ["pixels"], ["pooled"]),
    ]
    ends = [
        helper.make_tensor_value_info("raw", TensorProto.FLOAT, [2, 16, 16, 3]),
        helper.make_tensor_value_info("pooled", TensorProto.FLOAT, [2, 3, 1, 1]),
    ]
    graph = helper.make_graph(nodes, "fixed", ends[:1], ends[1:])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10),
        tmp_path / "fixed.onnx",
    )
    encoder = load_encoder(view("image", tmp_path / "fixed.onnx", batch_size=32))
    assert encoder.batch_size == 2
    grey = [Image.new("RGB", (16, 16), (255, 0, 51))]
    np.testing.assert_allclose(encoder.encode(grey), [[1, -1, -0.6]], atol=1e-6)


def test_a_sound_model_takes_what_its_extractor_gives(tmp_path, capsys):
    folder = tiny_models.whisper(tmp_path / "whisper")
    model = WhisperModel.from_pretrained(folder).get_encoder()

    class Encoder(torch.nn.Module):
        def forward(self, input_features):
            return model(input_features).last_hidden_state

    wave = np.sin(np.arange(16_000, dtype=np.float32) / 20)
    recording = Recording(wave, 16_000)
    plain = load_encoder(ViewParams(modality="audio", encoder=str(folder)))
    frames = plain.prepare(recording)[1]
    module = Encoder().eval()
    torch.onnx.export(
        module, (torch.from_numpy(frames[None]),), folder / "m.onnx", dynamo=True,
        external_data=True, verbose=False, input_names=["input_features"],
    )  # fmt: skip
    assert list(folder.glob("m.onnx.data")), "its weights lie in a file of their own"
    encoder = load_encoder(view("audio", folder / "m.onnx"))
    wanted = module(torch.from_numpy(frames[None])).mean(1).detach().numpy()
    np.testing.assert_allclose(encoder.encode([recording]), wanted, atol=2e-6)
    assert "are cut there" not in capsys.readouterr().err
    long = Recording(np.tile(wave, 40), 16_000)  # longer than any window
    assert encoder.prepare(long).shape == frames.shape
    assert "are cut there" in capsys.readouterr().err


def test_the_fingerprint_follows_content_output_and_preprocessing(pixels, tmp_path):
    def print_of(**settings):
        return load_encoder(view("image", pixels, **settings)).fingerprint

    first = print_of()
    assert print_of() == first != print_of(output="features")
    aside = tmp_path / "aside"
    aside.mkdir()
    shutil.copy(tmp_path / "preprocessor_config.json", aside)
    assert print_of(preprocessing=str(aside)) == first, "where it lies makes no difference"
    (aside / "preprocessor_config.json").write_text(json.dumps(SQUARE | {"do_normalize": False}))
    assert print_of(preprocessing=str(aside)) != first
    classifier(pixels, ["items", 3, 16, 16], seed=1)
    assert print_of() != first


def test_what_says_nothing_is_not_written(tmp_path):
    plain = ViewParams(modality="text", encoder="minilm-l6-v2").model_dump()
    assert not {"output", "preprocessing"} & plain.keys(), "keys of DVC stay as they were"
    several = {
        "modality": "image",
        "encoders": [{"encoder": "a.onnx", "output": "o"}, {"encoder": "b"}],
    }
    first, second = ViewParams.model_validate(several).model_dump()["encoders"]
    assert first["output"] == "o" and "output" not in second


def test_a_registered_model_carries_it_with_its_weights_and_preprocessing(pixels, tmp_path):
    model = onnx.load(pixels)
    onnx.save(model, pixels, save_as_external_data=True, location="w.bin", size_threshold=0)
    part = view("image", pixels, output="features")
    encoder = load_view_encoder(part)
    wanted = encoder.encode(pictures())
    carried = FrozenView("image", part, encoder.description, encoder.fingerprint, 3)
    _copy_encoder(part, tmp_path / "carried")
    pixels.unlink()
    carried.weights_from(tmp_path / "carried")
    np.testing.assert_array_equal(carried.encoder.encode(pictures()), wanted)
    assert {"onnx", "onnxruntime"} <= {
        line.partition("==")[0] for line in requirements({"image": carried.params})
    }


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"output": "nothing"}, "has no value called 'nothing'; its outputs are classes"),
        ({"layer": 2}, "has no layers, got layer: 2"),
        ({"dtype": "float16"}, "got dtype: float16; remove"),
        ({"pooling": "pooler"}, "has no pooler that is known by name"),
        ({"augment": "flip"}, "augment: none alone"),
        ({"backend": "openvino"}, "backend: torch alone"),
        ({"pooling": "mean"}, "and nothing to pool"),
        ({"preprocessing": "elsewhere"}, "is not in elsewhere"),
    ],
)
def test_what_does_not_fit_is_one_clear_line(pixels, settings, words):
    with pytest.raises(EncoderError, match=words) as caught:
        load_encoder(view("image", pixels, **settings)).encode(pictures())
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_serve_is_one_clear_line(bert, pixels, tmp_path):
    with pytest.raises(EncoderError, match=r"has 2 outputs \(last_hidden_state, pooler_output\)"):
        load_encoder(view("text", bert / "onnx" / "model.onnx"))
    with pytest.raises(EncoderError, match="takes pixels, and the tokenizer gives no pixels"):
        shutil.copy(bert / "tokenizer.json", tmp_path)
        shutil.copy(bert / "tokenizer_config.json", tmp_path)
        load_encoder(view("text", pixels)).encode(TEXTS)
    with pytest.raises(EncoderError, match=r"no such file; correct the path"):
        load_encoder(view("image", tmp_path / "gone.onnx"))
    with pytest.raises(EncoderError, match="is read for image, audio, text, got modality: series"):
        load_encoder(view("series", pixels))
    with pytest.raises(EncoderError, match="output is for ONNX files"):
        load_encoder(view("text", bert, output="x"))
    with pytest.raises(EncoderError, match="preprocessing is for ONNX files, got 'x'; remove it"):
        load_encoder(view("text", "minilm-l6-v2", preprocessing="x"))
    for content in (b"", b"no protobuf at all", pixels.read_bytes()[:60]):
        pixels.write_bytes(content)
        with pytest.raises(EncoderError, match=r"encoder .*zoo\.onnx': .*[Ee]xport it again"):
            load_encoder(view("image", pixels)).encode(pictures())
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(EncoderError, match="neither beside it nor in the folder above"):
        load_encoder(view("image", pixels))


def test_weights_outside_of_the_folder_are_never_opened(pixels, tmp_path):
    model = onnx.load(pixels)
    onnx.save(model, pixels, save_as_external_data=True, location="w.bin", size_threshold=0)
    (tmp_path / "out").mkdir()
    for location in ("../w.bin", str(tmp_path / "w.bin")):
        moved = onnx.load(pixels, load_external_data=False)
        for tensor in moved.graph.initializer:
            for entry in tensor.external_data:
                entry.value = location if entry.key == "location" else entry.value
        path = tmp_path / "out" / "zoo.onnx"
        path.write_bytes(moved.SerializeToString())
        with pytest.raises(EncoderError, match="there is no such file in its folder"):
            load_encoder(view("image", path)).encode(pictures())
