"""The one style of all figures: colours, sizes, and the axes that a figure is drawn on.

A figure is drawn once, with the colours of the page's light theme. `csa.figures.rendering` saves it
as a PNG, or puts it into a page that has a dark theme too.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The light theme of csa/report/templates/style.css. No two are alike, and none is a colour that
# Matplotlib draws with by itself, so each can be told in an SVG.
INK, MUTED, RULE = "#1c1e22", "#5a606b", "#dfe0dc"
FIRST, SECOND, THIRD, GOOD, BAD = "#24619f", "#a9500d", "#7547a1", "#18704a", "#ad3529"
VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    RULE: "--rule",
    FIRST: "--first",
    SECOND: "--second",
    THIRD: "--third",
    GOOD: "--good",
    BAD: "--bad",
}
"""Colour -> the CSS variable that takes its place in a page."""

COLOURS = (FIRST, SECOND, THIRD, GOOD, BAD)
"""Of the series of a figure, in order."""

_PER_INCH = 72  # CSS pixels, of which a figure's size is given
_APART = 1.6  # ticks of a logarithmic axis that are closer would run into each other
_STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.labelsize": 11,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "legend.fontsize": 10.5,
    "legend.frameon": False,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "axes.edgecolor": RULE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "grid.alpha": 0.6,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "text.parse_math": False,  # a class may be called $5
    "svg.fonttype": "none",
    "svg.hashsalt": "csa",
}


@dataclass(frozen=True, eq=False)
class Chart:
    """A figure, what it shows in one line, and in words for those who cannot see it.

    Attributes:
        figure: drawn in the house style, without a title.
        name: a word unlike that of any other figure on the same page.
        title: one line.
        description: what the figure says, in words.
    """

    figure: "Figure"
    name: str
    title: str
    description: str


@contextmanager
def styled() -> Iterator[None]:
    """Within it Matplotlib draws in the house style. A figure needs it when it is drawn on, and
    again when it is rendered: Matplotlib makes the ticks only then.
    """
    import matplotlib as mpl

    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # a browser has the letters that this machine's fonts lack, and a PNG shows them as boxes
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        yield


def blank_figure(width: float, height: float) -> "Figure":
    """An empty figure, drawn off screen.

    Args:
        width: in inches.
        height: in inches.

    Returns:
        The figure; its layout is constrained.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


@contextmanager
def drawn(width: float = 380, height: float = 255) -> Iterator[tuple["Figure", Any]]:
    """A figure with one axes, to draw on in the house style.

    Args:
        width: in CSS pixels.
        height: in CSS pixels.

    Yields:
        The figure and its axes.
    """
    with panels(1, width, height) as (figure, axes):
        yield figure, axes[0]


@contextmanager
def panels(
    count: int, width: float, height: float, share_y: bool = False
) -> Iterator[tuple["Figure", list[Any]]]:
    """A figure with several axes side by side, to draw on in the house style.

    Args:
        count: of the axes.
        width: of all of them, in CSS pixels.
        height: in CSS pixels.
        share_y: whether all have the y axis of the first.

    Yields:
        The figure and its axes, from left to right.
    """
    with styled():
        figure = blank_figure(width / _PER_INCH, height / _PER_INCH)
        yield figure, list(figure.subplots(1, count, squeeze=False, sharey=share_y)[0])


def legend(figure: "Figure") -> None:
    """Above the axes, where it hides nothing; what several axes share is named once."""
    handles = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside upper left",
        ncols=2 * len(figure.axes),
        columnspacing=1.4,
        handlelength=1.6,
        alignment="left",
    )


def logarithmic(axes: Any, ticks: list[float] | None = None) -> None:
    """Make the x axis logarithmic, with plain numbers.

    Args:
        axes: whose x axis.
        ticks: where the numbers stand; None for the powers of ten.
    """
    axes.set_xscale("log")
    if ticks is not None:
        axes.set_xticks(
            [place for k, place in enumerate(ticks) if not k or place >= _APART * ticks[k - 1]]
        )
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.xaxis.set_minor_formatter(lambda value, _: "")


def named_rows(axes: Any, labels: list[str]) -> None:
    """Name rows on the y axis, the first at the top.

    Args:
        axes: whose y axis.
        labels: of the rows at y = 0, 1, ...
    """
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)


def clipped(label: str, most: int = 26) -> str:
    """A label that fits beside an axis.

    Args:
        label: any text.
        most: characters that fit.

    Returns:
        The label, or its beginning and an ellipsis.
    """
    return label if len(label) <= most else label[: most - 1].rstrip() + "…"
