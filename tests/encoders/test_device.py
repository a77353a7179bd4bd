"""A device: no tensor is left on the host, a batch that does not fit is halved, and what a network
multiplies in is part of the fingerprint where the device is not.
"""

import numpy as np
import pytest
import tiny_models
import torch
from PIL import Image
from transformers import masking_utils

from csa.encoders.device import Device, device_name
from csa.encoders.registry import load_encoder
from csa.errors import EncoderError
from csa.modalities.audio import Recording
from csa.params.views import ViewParams

TEXTS = ["a red dog runs", "the cat", "a child in the snow under the house", "fox"]
RNG = np.random.default_rng(0)
PICTURES = [
    Image.fromarray(RNG.integers(0, 256, size=(40 + 7 * i, 50, 3), dtype=np.uint8))
    for i in range(4)
]
SOUNDS = [Recording(RNG.normal(size=16_000).astype(np.float32) / 9, 16_000) for _ in range(2)]
ITEMS = {"text": TEXTS, "image": PICTURES, "audio": SOUNDS}
KINDS = [
    ("image", "vit"),
    ("image", "dinov2"),
    ("image", "resnet"),
    ("image", "clip"),
    ("image", "efficientnet-lite0"),
    ("text", "bert"),
    ("text", "gtr"),
    ("text", "clip"),
    ("text", "minilm-l6-v2"),
    ("audio", "clap"),
    ("audio", "whisper"),
    ("audio", "hubert"),
]
LEAST_COSINE = 1 - 1e-6
needs_gpu = pytest.mark.skipif(
    device_name("auto") == "cpu", reason="torch sees no GPU on this machine"
)


@pytest.fixture(scope="module")
def view(tmp_path_factory):
    """The view of a modality and a tiny model, or a built-in one; each model is made once."""
    made = {}

    def of(modality, name, **settings):
        if hasattr(tiny_models, name) and name not in made:
            torch.manual_seed(0)
            folder = tmp_path_factory.mktemp(name)
            made[name] = str(getattr(tiny_models, name)(folder))
        settings = {"batch_size": 4} | settings
        return ViewParams(modality=modality, encoder=made.get(name, name), **settings)

    return of


def cosines(a, b):
    a, b = (m.astype(np.float64) for m in (a, b))
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize(("modality", "name"), KINDS)
def test_no_tensor_is_left_on_the_host(view, monkeypatch, modality, name):
    """On torch's device without memory an operation with a tensor of the host is an error."""
    fetched = []

    def fetch(device, tensor):
        fetched.append(tensor.device.type)
        return np.zeros(tuple(tensor.shape), np.float32)

    monkeypatch.setattr(Device, "fetch", fetch)
    # transformers asks whether a mask is all ones, and there are no values to tell
    for name_of_question in ("_ignore_bidirectional_mask_sdpa", "_ignore_causal_mask_sdpa"):
        monkeypatch.setattr(masking_utils, name_of_question, lambda *_, **__: False)
    settings = {"augment": "flip"} if name in ("vit", "efficientnet-lite0") else {}
    encoder = load_encoder(view(modality, name, **settings), "meta")
    shape = encoder.encode(ITEMS[modality]).shape
    assert encoder.runs_on == "meta" and set(fetched) == {"meta"}
    monkeypatch.undo()
    assert load_encoder(view(modality, name, **settings)).encode(ITEMS[modality]).shape == shape


def test_a_lidar_scan_goes_where_its_image_encoder_does(view):
    asked = view("image", "vit").model_copy(update={"modality": "lidar"})
    encoder = load_encoder(asked, "meta")
    encoder.load()
    assert encoder.runs_on == "meta"
    assert {w.device.type for w in encoder._inner._call.parameters()} == {"meta"}


@pytest.mark.parametrize(("modality", "name"), [("image", "vit"), ("text", "bert")])
def test_a_batch_that_does_not_fit_is_halved(view, capsys, modality, name):
    items, encoder = ITEMS[modality], load_encoder(view(modality, name))
    expected, network, sizes = encoder.encode(items), encoder._network, []

    def small(**tensors):
        sizes.append(len(next(iter(tensors.values()))))
        if sizes[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB")
        return network(**tensors)

    encoder._network = small
    found = encoder.encode(items)
    assert cosines(found, expected).min() >= LEAST_COSINE
    said = capsys.readouterr().err
    note = "note: 4 items at once do not fit into the memory of cpu; going on with 2"
    assert said.count(note) == 1
    assert max(sizes[1:]) == 2, "it is tried once"


def test_one_item_that_does_not_fit_is_an_error_and_other_errors_are_themselves(view):
    encoder = load_encoder(view("image", "vit"))

    def none(**tensors):
        raise torch.OutOfMemoryError("out of memory")

    encoder._network = none
    with pytest.raises(EncoderError, match="one item does not fit into the memory of cpu; set"):
        encoder.encode(PICTURES)

    def wrong(**tensors):
        raise RuntimeError("shapes cannot be multiplied")

    encoder._network = wrong
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        encoder.encode(PICTURES)


@pytest.mark.parametrize(("modality", "name"), KINDS[:9])
def test_features_hardly_depend_on_the_size_of_a_pass(view, modality, name):
    """What a GPU that halves its batches may change: an item alone, and in passes of 2, 3, 16."""
    items = ITEMS[modality]
    together = load_encoder(view(modality, name, batch_size=16)).encode(items)
    for size in (1, 2, 3):
        found = load_encoder(view(modality, name, batch_size=size)).encode(items)
        assert cosines(found, together).min() >= LEAST_COSINE


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(("modality", "name"), [KINDS[0], KINDS[5], KINDS[6]])
def test_autocast_is_close_and_another_encoder(view, dtype, modality, name):
    exact, rough = (load_encoder(view(modality, name, dtype=d)) for d in ("float32", dtype))
    assert exact.fingerprint != rough.fingerprint
    assert "arithmetic" not in exact.description, "nobody's features of float32 are made again"
    assert rough.description["arithmetic"] == "autocast"
    a, b = exact.encode(ITEMS[modality]), rough.encode(ITEMS[modality])
    assert b.dtype == np.float32 and not np.array_equal(a, b) and cosines(a, b).min() > 0.999
    assert {w.dtype for w in rough._call.parameters()} == {torch.float32}


def test_the_fingerprint_says_nothing_of_the_device(view):
    asked = view("image", "vit")
    assert load_encoder(asked, "meta").fingerprint == load_encoder(asked).fingerprint


def test_a_device_that_is_not_there_is_one_line(view):
    with pytest.raises(EncoderError, match=r"compute.device is cuda:99, and torch .* sees") as told:
        load_encoder(view("image", "vit"), "cuda:99")
    assert "set it (or CSA_DEVICE) to auto or cpu" in str(told.value)
    assert "\n" not in str(told.value)


def test_an_encoder_without_a_network_is_on_the_processor():
    encoder = load_encoder(ViewParams(modality="series", encoder="rocket"), "meta")
    assert encoder.runs_on == "cpu"


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize(("modality", "name"), KINDS)
def test_a_gpu_gives_the_features_of_the_processor(view, modality, name):
    items, asked = ITEMS[modality], view(modality, name)
    there, here = load_encoder(asked, "auto"), load_encoder(asked)
    found = there.encode(items)
    assert there.runs_on != "cpu"
    assert cosines(found, here.encode(items)).min() >= LEAST_COSINE
    alone = np.concatenate([there.encode([item]) for item in items])
    assert cosines(found, alone).min() >= LEAST_COSINE
