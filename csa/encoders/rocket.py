"""The built-in encoder of time series: random convolution kernels that never see data."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csa.core.matrices import Float32
from csa.encoders.base import Encoder
from csa.errors import EncoderError, FeatureError
from csa.params.views import ViewParams

NAME = "rocket"
KERNELS, STEPS, SEED = 1000, 256, 0
_LENGTHS = (7, 9, 11)


class Rocket(Encoder):
    """2,000 features and 3 a channel: of every kernel the share of positive values and the maximum;
    level, spread and duration.

    A series is resampled to 256 steps (linear) and each channel standardised. Kernels are those of
    ROCKET: length 7, 9 or 11, weights from N(0, 1) made to sum to 0, bias from U(-1, 1), dilation
    2^U(0, log2(255 / (length - 1))), padding or none, each on a random subset of channels; drawn
    once from a fixed seed, so they are the same for every data set of as many channels. What
    standardising takes away is appended: mean, log of the standard deviation, and log of the number
    of steps (once a channel).

    Source: Dempster, Petitjean and Webb, ROCKET (Data Mining and Knowledge Discovery, 2020).
    """

    def __init__(self, view: ViewParams):
        self.check(view)
        if view.layer != -1 or view.pooling is not None or view.dtype != "float32":
            raise EncoderError(
                f"encoder {NAME!r} has no pooling, layer or dtype; remove the setting"
            )
        description = {
            "encoder": NAME,
            "modality": "series",
            "kernels": KERNELS,
            "steps": STEPS,
            "seed": SEED,
            "version": 1,
        }
        super().__init__(description, view.batch_size)

    def prepare(self, item: Any) -> Any:
        """The features themselves, shape (d,): series have different lengths, so each is taken
        alone.
        """
        series: NDArray[np.float64] = np.asarray(item, dtype=np.float64)
        time, channels = series.shape
        old, new = np.linspace(0, 1, time), np.linspace(0, 1, STEPS)
        resampled = np.stack([np.interp(new, old, series[:, c]) for c in range(channels)])
        level, spread = resampled.mean(axis=1), resampled.std(axis=1)
        standard = (resampled - level[:, None]) / np.where(spread > 0, spread, 1)[:, None]
        outputs = [_apply(kernel, standard) for kernel in _kernels(channels)]
        kept = np.stack([level, np.log(spread + 1e-6), np.full(channels, np.log(time))])
        return np.concatenate([np.ravel(outputs), kept.ravel()]).astype(np.float32)

    def forward(self, prepared: list[Any], padded_length: int) -> Float32:
        """See `Encoder.forward`."""
        if len({len(row) for row in prepared}) > 1:
            raise FeatureError(
                f"encoder {NAME!r}: series of one view have different numbers of channels; give "
                f"all the same"
            )
        return np.stack(prepared)


Kernel = tuple[NDArray[np.int64], NDArray[np.float64], float, int, int]
"""Channels, weights (channels, length), bias, dilation, padding."""


@lru_cache(maxsize=4)
def _kernels(channels: int) -> list[Kernel]:
    rng = np.random.default_rng([SEED, channels])
    made: list[Kernel] = []
    for _ in range(KERNELS):
        length = int(rng.choice(_LENGTHS))
        count = int(2 ** rng.uniform(0, np.log2(min(channels, length) + 1)))
        chosen = np.sort(rng.choice(channels, size=min(count, channels), replace=False))
        weights = rng.standard_normal((len(chosen), length))
        weights -= weights.mean(axis=1, keepdims=True)
        bias = float(rng.uniform(-1, 1))
        dilation = int(2 ** rng.uniform(0, np.log2((STEPS - 1) / (length - 1))))
        padding = (length - 1) * dilation // 2 if rng.integers(2) else 0
        made.append((chosen, weights, bias, dilation, padding))
    return made


def _apply(kernel: Kernel, series: NDArray[np.float64]) -> tuple[float, float]:
    """Share of positive values and maximum of one kernel over a series (channels, steps)."""
    chosen, weights, bias, dilation, padding = kernel
    padded = np.pad(series[chosen], ((0, 0), (padding, padding)))
    length = weights.shape[1]
    steps = padded.shape[1] - (length - 1) * dilation
    response = np.full(steps, bias)
    for k in range(length):
        response += weights[:, k] @ padded[:, k * dilation : k * dilation + steps]
    return float((response > 0).mean()), float(response.max())
