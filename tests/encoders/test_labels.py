"""Heads of classifiers: they read the encoder's own features, and their labels have words."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    ConvNextConfig,
    ConvNextForImageClassification,
    ConvNextImageProcessor,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
)

from csa.encoders.labels import head_of, imagenet_labels
from csa.encoders.registry import load_encoder
from csa.errors import EncoderError
from csa.params.views import ViewParams

NAMES = {0: "tench, Tinca tinca", 1: "a dog", 2: "snow"}


def picture(seed=3):
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vit")
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=16,
        id2label=NAMES,
        label2id={name: i for i, name in NAMES.items()},
    )
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def convnext(tmp_path_factory):
    folder = tmp_path_factory.mktemp("convnext")
    torch.manual_seed(0)
    config = ConvNextConfig(
        num_channels=3, hidden_sizes=[8, 12], depths=[1, 1], num_stages=2, id2label=NAMES
    )
    ConvNextForImageClassification(config).save_pretrained(folder)
    processor = ConvNextImageProcessor(size={"shortest_edge": 384}, crop_pct=1.0)
    processor.save_pretrained(folder)
    return folder


def view(folder, **more):
    return ViewParams(modality="image", encoder=str(folder), batch_size=2, **more)


@pytest.mark.parametrize(("name", "pooling"), [("vit", "cls"), ("convnext", "pooler")])
def test_the_head_of_a_checkpoint_gives_the_checkpoints_logits(name, pooling, request):
    from transformers import AutoModelForImageClassification

    folder = request.getfixturevalue(name)
    settings = view(folder, pooling=pooling)
    head, encoder = head_of(settings), load_encoder(settings)
    assert head.names == list(NAMES.values())
    assert head.texts[0].startswith("tench, Tinca tinca: freshwater") and head.texts[2] == "snow"
    model = AutoModelForImageClassification.from_pretrained(folder).eval()
    pixels = torch.from_numpy(encoder.prepare(picture())[None])
    with torch.inference_mode():
        logits = model(pixels).logits.numpy()
    features = encoder.encode([picture()])
    np.testing.assert_allclose(features @ head.weights.T + head.bias, logits, atol=1e-4)


def test_features_that_the_head_does_not_read_have_no_head(vit):
    assert head_of(view(vit, pooling="mean")) is None
    assert head_of(view(vit, pooling="cls", layer=0)) is None
    assert head_of(ViewParams(modality="text", encoder="minilm-l6-v2")) is None
    several = ViewParams(
        modality="image",
        encoders=({"encoder": "efficientnet-lite0"}, {"encoder": "efficientnet-lite1"}),
    )
    assert head_of(several) is None


def test_the_built_in_head_gives_the_networks_logits():
    settings = ViewParams(modality="image", encoder="efficientnet-lite0", batch_size=2)
    head, encoder = head_of(settings), load_encoder(settings)
    features = encoder.encode([picture()])
    pixels = torch.from_numpy(np.stack([encoder.prepare(picture())[0]] * 2))
    scaled = (pixels.permute(0, 3, 1, 2).float() - 127) / 128
    with torch.inference_mode():
        logits = encoder._net(scaled)[:1].numpy()
    np.testing.assert_allclose(features @ head.weights.T + head.bias, logits, atol=1e-3)


def test_labels_of_imagenet_are_a_thousand_each_with_a_definition():
    labels = imagenet_labels()
    assert len(set(labels)) == 1000 and all(name and text for name, text in labels)
    assert labels[0][0] == "tench, Tinca tinca" and labels[-1][0].startswith("toilet tissue")


def test_other_words_are_as_many_as_the_labels(vit):
    head = head_of(view(vit, pooling="cls"))
    german = head.worded(["Schleie", "ein Hund", "Schnee"], "labels.txt")
    assert german.texts == german.names == ["Schleie", "ein Hund", "Schnee"]
    with pytest.raises(EncoderError, match=r"labels.txt: 2 labels, and the encoder's head has 3"):
        head.worded(["a", "b"], "labels.txt")
