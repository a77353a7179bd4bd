"""The head of a sentence-transformers model: pooling, dense layers and normalisation, as its
modules.json lists them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csa.encoders.models import ModelFiles
from csa.errors import ArtifactError, EncoderError
from csa.params.views import Pooling
from csa.storage.files import read_json

_ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU")


@dataclass(frozen=True)
class SentenceHead:
    """What follows the transformer.

    Attributes:
        pooling: mean or cls.
        steps: torch's modules, applied to pooled vectors in order.
        description: JSON-able, for the fingerprint.
    """

    pooling: Pooling
    steps: tuple[Any, ...]
    description: list[Any]

    def apply(self, pooled: Any) -> Any:
        """Pooled vectors (batch, d) to features (batch, k)."""
        for step in self.steps:
            pooled = step(pooled.float())
        return pooled

    def to(self, device: str) -> None:
        """Put the weights of the modules there."""
        for step in self.steps:
            step.to(device)


def read_sentence_head(files: ModelFiles) -> SentenceHead | None:
    """The head that the files describe; None if they are not of sentence-transformers.

    Raises:
        EncoderError: a module of a kind that is not known here.
    """
    listing = files.folder / "modules.json"
    if not listing.is_file():
        return None
    try:
        modules = [
            (str(module["type"]).rsplit(".", 1)[-1], files.folder / module["path"])
            for module in read_json(listing)
        ]
        pooling: Pooling | None = None
        steps, description = [], []
        for kind, folder in modules:
            if kind == "Pooling":
                pooling = _pooling(files, read_json(folder / "config.json"))
            elif kind == "Dense":
                step, facts = _dense(files, folder)
                steps.append(step)
                description.append(["Dense", facts])
            elif kind == "Normalize":
                steps.append(_normalize())
                description.append(["Normalize"])
            elif kind != "Transformer":
                raise EncoderError(
                    f"encoder {files.name!r}: modules.json lists {kind}, which is not known here; "
                    f"set pooling by hand"
                )
    except (ArtifactError, KeyError, TypeError) as error:
        raise EncoderError(
            f"encoder {files.name!r}: its sentence-transformers files are damaged ({error})"
        ) from None
    if pooling is None:
        raise EncoderError(
            f"encoder {files.name!r}: modules.json lists no Pooling; set pooling by hand"
        )
    return SentenceHead(pooling, tuple(steps), description)


def sentence_limit(files: ModelFiles) -> int:
    """The most tokens that sentence-transformers would give the model; where its files say
    nothing, more than any model takes.
    """
    settings = files.folder / "sentence_bert_config.json"
    limit = read_json(settings).get("max_seq_length") if settings.is_file() else None
    return limit if isinstance(limit, int) else 2**31


def _pooling(files: ModelFiles, config: dict[str, Any]) -> Pooling:
    modes = {
        key.removeprefix("pooling_mode_")
        for key, on in config.items()
        if key.startswith("pooling_mode_") and on
    }
    if "pooling_mode" in config:
        modes.add(str(config["pooling_mode"]))
    known: dict[str, Pooling] = {
        "mean_tokens": "mean",
        "mean": "mean",
        "cls_token": "cls",
        "cls": "cls",
    }
    if len(modes) != 1 or not modes <= known.keys():
        raise EncoderError(
            f"encoder {files.name!r}: pools by {', '.join(sorted(modes)) or 'nothing'}; set "
            f"pooling: mean or cls"
        )
    return known[modes.pop()]


def _dense(files: ModelFiles, folder: Path) -> tuple[Any, dict[str, Any]]:
    import torch

    config = read_json(folder / "config.json")
    activation = str(config.get("activation_function", "torch.nn.modules.activation.Tanh")).rsplit(
        ".", 1
    )[-1]
    if activation not in _ACTIVATIONS:
        raise EncoderError(
            f"encoder {files.name!r}: a dense layer with activation {activation}; known: "
            f"{', '.join(_ACTIVATIONS)}"
        )
    linear = torch.nn.Linear(
        config["in_features"], config["out_features"], bias=config.get("bias", True)
    )
    try:
        weights = _dense_weights(folder)
        linear.load_state_dict(
            {key.removeprefix("linear."): value for key, value in weights.items()}
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise EncoderError(
            f"encoder {files.name!r}: {folder.name} cannot be loaded ({error}); fetch it again"
        ) from None
    layer = (
        torch.nn.Sequential(linear, getattr(torch.nn, activation)()).eval().requires_grad_(False)
    )
    facts = {
        "out": config["out_features"],
        "bias": config.get("bias", True),
        "activation": activation,
    }
    return layer, facts


def _dense_weights(folder: Path) -> dict[str, Any]:
    import torch
    from safetensors.torch import load_file

    safe = folder / "model.safetensors"
    if safe.is_file():
        return load_file(safe)
    weights: dict[str, Any] = torch.load(
        folder / "pytorch_model.bin", map_location="cpu", weights_only=True
    )
    return weights


def _normalize() -> Any:
    import torch

    class Normalize(torch.nn.Module):
        def forward(self, pooled: Any) -> Any:
            return torch.nn.functional.normalize(pooled, dim=-1)

    return Normalize()
