"""What a run would cost where nothing can be timed yet: the data are not here, or the model is
not.
"""

import time
from dataclasses import dataclass

import numpy as np

from csa.core.threads import cores
from csa.encoders.device import device_name
from csa.params.views import Modality

# Recipe -> items a view of that modality has when the data set is whole, as its authors say.
_PUBLISHED: dict[str, dict[Modality, int]] = {
    "imagenet": {"image": 50_000, "text": 1_000},
    "cosmos": {"image": 202_758, "text": 450_785},
    "flickr30k": {"image": 30_000, "text": 150_000},
    "coco": {"image": 118_287, "text": 591_753},
    "musiccaps": {"audio": 5_521, "text": 5_521},
    "kitti": {"lidar": 7_481, "text": 7_481},
    "handwriting": {"series": 1_000, "text": 26},
}


@dataclass(frozen=True)
class _Size:
    """A transformer's parameters, and the tokens that one item takes."""

    parameters: float
    tokens: int


# A text is taken as 24 tokens, as captions have with padding. CLAP's audio tower narrows as it
# goes, so its tokens are an average over its stages.
_MODELS = {
    "facebook/dinov2-giant": _Size(1.14e9, 257),
    "google/vit-large-patch32-384": _Size(3.06e8, 145),
    "sentence-transformers/gtr-t5-large": _Size(3.35e8, 24),
    "laion/larger_clap_general": _Size(7.0e7, 164),
}
_EFFICIENCY = 0.6  # of the speed of one large product, which a whole forward pass reaches


def published_items(recipe: str, modality: Modality) -> int | None:
    """Items of a data set that is not here; None if it has no known size.

    Args:
        recipe: its name, which is that of the data set.
        modality: of the view.

    Returns:
        Their number; None if the data set has no known size.
    """
    return _PUBLISHED.get(recipe, {}).get(modality)


def seconds_per_item(encoder: str, device: str = "cpu") -> float | None:
    """A guess from the model's size and the speed of this machine's device.

    Args:
        encoder: its name.
        device: where it would run, as parameters say it.

    Returns:
        Seconds; None for a model of unknown size.

    Raises:
        EncoderError: torch sees no such device.
    """
    size = _MODELS.get(encoder)
    if size is None:
        return None
    name = device_name(device)
    speed = _operations_per_second() if name == "cpu" else _on_device(name)
    return 2 * size.parameters * size.tokens / (_EFFICIENCY * speed)


def basis(encoder: str) -> str:
    """What the guess rests on, in words."""
    return f"a guess from its {_MODELS[encoder].parameters / 1e6:,.0f} million parameters"


def _operations_per_second(side: int = 1024) -> float:
    """Of all cores together, from one product of single precision on one thread."""
    from threadpoolctl import threadpool_limits

    A = np.ones((side, side), dtype=np.float32)
    with threadpool_limits(1):
        best = min(_timed(A) for _ in range(3))
    return cores() * 2 * side**3 / best


def _on_device(device: str, side: int = 4096) -> float:
    """Of a GPU, from products of single precision."""
    import torch

    A = torch.ones(side, side, device=device)
    best = float("inf")
    for _ in range(4):  # the first chooses a kernel
        started = time.perf_counter()
        _ = (A @ A)[0, 0].item()
        best = min(best, time.perf_counter() - started)
    return 2 * side**3 / best


def _timed(A: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> float:
    started = time.perf_counter()
    _ = A @ A
    return time.perf_counter() - started
