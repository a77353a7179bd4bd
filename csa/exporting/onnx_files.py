"""A fit as ONNX: its projections, and the encoders with them where torch can export them."""

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from csa.encoders.base import Encoder
from csa.encoders.minilm import MiniLM
from csa.encoders.registry import load_encoder
from csa.encoders.several import ViewEncoder
from csa.encoders.text import TextEncoder
from csa.errors import CSAError, InputError
from csa.extras import needed_for
from csa.questions.opened import Fitted
from csa.scoring.frozen import FrozenView
from csa.storage.files import write_json

OPSET = 20

_TEXTS = ["a", "two words or more of them"]


class _Network(Exception):  # noqa: N818 (no error: how a forward pass is left)
    """What a forward pass was about to run."""

    def __init__(self, network: Callable[..., Any], tensors: dict[str, Any]):
        self.network, self.tensors = network, tensors


def write_onnx(fitted: Fitted, folder: Path) -> dict[str, Any]:
    """Write VIEW_projection.onnx for each view, from its encoder's features to index vectors; and
    VIEW.onnx, from what the encoder's network takes to index vectors, where torch can export it.

    Args:
        fitted: a workspace that was run.
        folder: where to.

    Returns:
        Of each view what VIEW.json says: dimensions, the encoder's inputs and preprocessing, or why
        it was left out.

    Raises:
        ArtifactError: the workspace was not run yet.
        EncoderError: an encoder is not on this machine.
        InputError: the extra `onnx` is not installed, or a score that is not known here.
    """
    with needed_for("--format onnx", InputError):
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    import torch

    from csa.exporting.projection import Projection

    parts = {
        name: Projection(fitted.alignment, first=name == fitted.scorer.names[0]).eval()
        for name in fitted.scorer.names
    }
    folder.mkdir(parents=True, exist_ok=True)
    told = {}
    for name, projection in parts.items():
        features = {"features": torch.ones(2, projection.width)}
        _export(projection, features, folder / f"{name}_projection.onnx")
        told[name] = {
            "features": projection.width,
            "dimension": int(projection(features["features"]).shape[1]),
            **_with_encoder(fitted.scorer.views[name], projection, folder / f"{name}.onnx"),
        }
        write_json(folder / f"{name}.json", told[name])
    return {"views": told}


def _with_encoder(view: FrozenView, projection: Any, path: Path) -> dict[str, Any]:
    """Write an encoder's network with the projection, and say what it takes, or why not."""
    import torch

    if view.modality == "array" or len(view.encoder.parts) != 1:
        return {"left_out": "features from files, or several encoders side by side"}
    encoder = exportable(view)
    caught = _network_of(encoder, view.modality)
    if caught is None:
        return {"left_out": "the encoder is no torch network of pictures or texts"}
    network = caught.network
    try:
        _export(lambda **given: projection(network(**given).float()), caught.tensors, path)
    except (torch.onnx.OnnxExporterError, RuntimeError, TypeError, ValueError) as error:
        logging.getLogger(__name__).debug("torch refused", exc_info=True)
        path.unlink(missing_ok=True)
        return {"left_out": f"torch cannot export it ({' '.join(str(error).split())[:120]})"}
    if isinstance(encoder, TextEncoder):
        encoder._tokenizer.save_pretrained(path.with_name(f"{view.name}_tokenizer"))
    described = json.loads(json.dumps(encoder.description))
    return {
        "inputs": {
            key: {"type": str(value.dtype).removeprefix("torch."), "shape": list(value.shape)[1:]}
            for key, value in caught.tensors.items()
        },
        "encoder": described,
    }


def exportable(view: FrozenView) -> Encoder:
    """The view's encoder, not shared with anybody, or one with the same features that torch can
    trace.

    Args:
        view: with one encoder.

    Returns:
        The encoder.

    Raises:
        EncoderError: it is not on this machine, or another one than that of the fit.
    """
    part = view.params.parts[0]
    encoder = load_encoder(part)
    if isinstance(encoder, MiniLM):
        pooled = part.model_copy(update={"pooling": part.pooling or "mean"})
        encoder = TextEncoder(encoder._files, pooled)
    view.compare(ViewEncoder([encoder]))
    return encoder


def _network_of(encoder: Encoder, modality: str) -> _Network | None:
    """The network that an encoder runs and what it gives to it; None if it runs none."""
    from PIL import Image

    def leave(network: Callable[..., Any], _: str, **tensors: Any) -> Any:
        raise _Network(network, tensors)

    items: dict[str, list[Any]] = {"text": _TEXTS, "image": [Image.new("RGB", (64, 48))] * 2}
    if modality not in items:
        return None
    encoder.load()
    encoder.run = leave  # type: ignore[method-assign, assignment]
    try:
        encoder.forward([encoder.prepare(item) for item in items[modality]], 8)
    except _Network as caught:
        return caught
    except CSAError:
        return None
    return None


def _export(step: Callable[..., Any], tensors: dict[str, Any], path: Path) -> None:
    """Write a step; the number of items is free, and of texts the number of tokens."""
    import torch

    class Taking(torch.nn.Module):
        def forward(self, *given: Any) -> Any:
            return step(**dict(zip(tensors, given, strict=True)))

    items, tokens = torch.export.Dim("items"), torch.export.Dim("tokens")
    free = tuple(
        {0: items, 1: tokens} if value.ndim == 2 and value.dtype == torch.int64 else {0: items}
        for value in tensors.values()
    )
    with _quietly():
        torch.onnx.export(
            Taking().eval(),
            tuple(tensors.values()),
            path,
            input_names=list(tensors),
            output_names=["vectors"],
            opset_version=OPSET,
            dynamic_shapes={"given": free},
            external_data=False,
            dynamo=True,
            verbose=False,
        )


@contextmanager
def _quietly() -> Iterator[None]:
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
