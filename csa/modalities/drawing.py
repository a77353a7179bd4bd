"""Small pictures of items that are no pictures: a waveform, the lines of a series.

They are shown to people. No stage's result depends on them.
"""

import textwrap
from itertools import pairwise
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

SIZE = 224
_PLOT = 150  # height of the drawing; the name is written below it
_INK, _PAPER, _LINE = (40, 40, 40), (255, 255, 255), (31, 90, 150)
_LINES = [(31, 90, 150), (200, 90, 20), (40, 130, 60), (140, 60, 140)]


def waveform(samples: NDArray[np.float32], seconds: float, name: str) -> "Image":
    """Sound over time: the peak of each column, and below it the duration and the file's name.

    Args:
        samples: shape (n,).
        seconds: how long they last.
        name: the item's value in the pairs table.

    Returns:
        A picture of SIZE x SIZE.
    """
    edges = np.linspace(0, len(samples), SIZE + 1).astype(int)
    peaks = np.array([np.abs(samples[a : max(b, a + 1)]).max() for a, b in pairwise(edges)])
    image, draw = _canvas(f"{seconds:.1f} s\n{_wrapped(name)}")
    heights = peaks / max(peaks.max(), 1e-9) * (_PLOT / 2 - 4)
    for x, height in enumerate(heights):
        draw.line([(x, _PLOT / 2 - height), (x, _PLOT / 2 + height)], fill=_LINE)
    return image


def line_plot(series: NDArray[np.float32], name: str) -> "Image":
    """Channels over time, each at its own scale, and below them the steps and the file's name.

    Args:
        series: shape (time, channels).
        name: the item's value in the pairs table.

    Returns:
        A picture of SIZE x SIZE.
    """
    image, draw = _canvas(f"{len(series)} steps\n{_wrapped(name)}")
    x = np.linspace(2, SIZE - 3, len(series))
    for channel, colour in zip(
        np.asarray(series, np.float64).T, _LINES * len(series[0]), strict=False
    ):
        low, spread = channel.min(), max(float(np.ptp(channel)), 1e-9)
        y = _PLOT - 6 - (channel - low) / spread * (_PLOT - 12)
        draw.line(list(zip(x.tolist(), y.tolist(), strict=True)), fill=colour, width=2)
    return image


def _canvas(text: str) -> "tuple[Image, Any]":
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (SIZE, SIZE), _PAPER)
    draw = ImageDraw.Draw(image)
    draw.multiline_text((4, _PLOT), text, fill=_INK, font=ImageFont.load_default(size=17))
    return image, draw


def _wrapped(name: str) -> str:
    return "\n".join(textwrap.wrap(PurePath(name).name, 20)[:2])
