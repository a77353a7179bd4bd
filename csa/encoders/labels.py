"""The labels that an encoder was trained to tell apart: the last layer of its classifier, and each
label in words.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from csa.core.matrices import Array, Float32
from csa.encoders.base import Encoder
from csa.encoders.models import load_pretrained
from csa.encoders.pretrained import PretrainedEncoder
from csa.encoders.registry import load_encoder
from csa.errors import EncoderError
from csa.params.views import ViewParams

_LISTED = Path(__file__).with_name("imagenet_labels.tsv")
# What the head is given and what the encoder gives are one thing if they agree so well.
_CLOSE = 1e-3
_SIDE, _SAMPLES = 96, 16_000


@dataclass(frozen=True, eq=False)
class Head:
    """The last layer of a classifier that an encoder is a part of.

    Attributes:
        names: of the labels, C of them.
        texts: the labels in words, with a definition where one is known.
        weights: shape (C, p), p the dimensions of the encoder's features.
        bias: shape (C,).
    """

    names: list[str]
    texts: list[str]
    weights: Array
    bias: Array

    def worded(self, texts: list[str], source: str) -> "Head":
        """The same head with other words.

        Args:
            texts: a label each, in the head's order.
            source: where they are from, for the error.

        Returns:
            The head.

        Raises:
            EncoderError: another number of labels than the head has.
        """
        if len(texts) != len(self.names):
            raise EncoderError(
                f"{source}: {len(texts)} labels, and the encoder's head has {len(self.names)}; "
                f"write one line a label, in the head's order"
            )
        return Head(texts, texts, self.weights, self.bias)


def head_of(view: ViewParams) -> Head | None:
    """The classifier's head that belongs to a view's features.

    Args:
        view: its encoder and how it is used.

    Returns:
        None if the encoder was trained without labels, where the features are not what its head
        reads (another pooling or layer), or where the view has several encoders.

    Raises:
        EncoderError: no such encoder.
    """
    if view.encoders or view.modality not in ("image", "audio"):
        return None
    if view.encoder.startswith("efficientnet-lite"):
        from csa.encoders.efficientnet import head

        weights, bias = head(view.encoder)
        names, definitions = zip(*imagenet_labels(), strict=True)
        return Head(list(names), _worded(list(names), list(definitions)), weights, bias)
    encoder = load_encoder(view)
    return _of_checkpoint(encoder, view) if isinstance(encoder, PretrainedEncoder) else None


@cache
def imagenet_labels() -> tuple[tuple[str, str], ...]:
    """(lemmas, definition) of the 1,000 classes of ImageNet, in their usual order."""
    lines = _LISTED.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if line.count("\t") == 2]
    return tuple((name, definition) for synset, name, definition in rows if synset != "synset")


def _worded(names: list[str], definitions: list[str]) -> list[str]:
    return [
        f"{name}: {definition}" if definition else name
        for name, definition in zip(names, definitions, strict=True)
    ]


def _of_checkpoint(encoder: PretrainedEncoder, view: ViewParams) -> Head | None:
    """The head of a transformers checkpoint, if it reads what the encoder gives."""
    import transformers

    config = load_pretrained(transformers.AutoConfig, encoder.files, "configuration")
    kind = {"image": "ForImageClassification", "audio": "ForAudioClassification"}[view.modality]
    if not any(name.endswith(kind) for name in config.architectures or ()):
        return None
    auto = getattr(transformers, f"AutoModel{kind}")
    model = load_pretrained(auto, encoder.files, "classifier").eval()
    layer = _last_linear(model, config.num_labels)
    if layer is None or not _reads(model, layer, encoder, view.modality):
        return None
    names = [str(config.id2label[i]) for i in range(config.num_labels)]
    known = dict(imagenet_labels())
    bias = layer.bias if layer.bias is not None else layer.weight.new_zeros(len(names))
    texts = _worded(names, [known.get(name, "") for name in names])
    return Head(names, texts, _plain(layer.weight), _plain(bias))


def _last_linear(model: Any, labels: int) -> Any:
    from torch.nn import Linear

    layers = [one for one in model.modules() if isinstance(one, Linear)]
    return next((one for one in reversed(layers) if one.out_features == labels), None)


def _reads(model: Any, layer: Any, encoder: Encoder, modality: str) -> bool:
    """Whether a layer of the model is given the features that the encoder gives, as one item
    shows.
    """
    import torch

    prepared = encoder.prepare(_some_item(modality))
    features = encoder.encode_batch([prepared], encoder.padded_lengths([""])[0])[0]
    given: list[Any] = []
    hook = layer.register_forward_hook(lambda _, inputs, __: given.append(inputs[0]))
    try:
        with torch.inference_mode():
            name = model.main_input_name
            model(**{name: torch.from_numpy(np.asarray(prepared)[None]).to(model.dtype)})
    finally:
        hook.remove()
    read = _plain(given[0]).ravel() if given else np.zeros(0)
    scale = float(np.abs(features).max())
    return read.shape == features.shape and bool(np.allclose(read, features, atol=_CLOSE * scale))


def _some_item(modality: str) -> Any:
    numbers = np.random.default_rng(0)
    if modality == "audio":
        return numbers.normal(size=_SAMPLES).astype(np.float32)
    from PIL import Image

    return Image.fromarray(numbers.integers(0, 256, (_SIDE, _SIDE, 3), dtype=np.uint8))


def _plain(tensor: Any) -> Float32:
    array: Float32 = tensor.detach().float().numpy()
    return array
