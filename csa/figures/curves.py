"""Curves with confidence bands: one panel a direction, one line a method."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from csa.figures.figures import BLUE, GREEN, GREY, ORANGE, new_figure, plain_axes, save
from csa.results.estimate import Estimate

STYLES = (
    (BLUE, "-"),
    (ORANGE, "-"),
    (GREEN, "--"),
    ("#7a5ba6", "--"),
    (GREY, ":"),
    ("#b03a5b", ":"),
)


@dataclass(frozen=True)
class Curve:
    """One method: at every x the estimates of each random subset."""

    label: str
    points: dict[float, list[Estimate]]
    style: tuple[str, str]


def draw_curves(
    panels: dict[str, list[Curve]], x: str, y: str, path: Path, logarithmic: bool = False
) -> None:
    """Draw means over subsets as lines, in percent, and the means of their interval bounds as
    bands.

    Args:
        panels: title -> curves.
        x, y: labels of the axes.
        path: a PNG.
        logarithmic: of the x axis.
    """
    figure = new_figure(5 * len(panels), 4)
    first = None
    for column, (title, curves) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), column + 1, sharey=first)
        first = first or axes
        for curve in curves:
            places = sorted(curve.points)
            value, low, high = (
                [
                    100 * np.mean([getattr(estimate, name) for estimate in curve.points[place]])
                    for place in places
                ]
                for name in ("value", "low", "high")
            )
            colour, line = curve.style
            axes.plot(
                places, value, line, color=colour, label=curve.label, marker="o", markersize=3
            )
            axes.fill_between(places, low, high, color=colour, alpha=0.12, linewidth=0)
        if logarithmic:
            axes.set_xscale("log")
        plain_axes(axes, title, x, y if not column else "")
        if not column:
            axes.legend(frameon=False, fontsize=8)
    save(figure, path)
