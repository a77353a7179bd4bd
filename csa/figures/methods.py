"""Figures of several methods beside each other: measured once, or against the number of pairs."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from csa.figures.style import (
    COLOURS,
    FIRST,
    GOOD,
    MUTED,
    SECOND,
    THIRD,
    Chart,
    legend,
    logarithmic,
    named_rows,
    panels,
)
from csa.results.compared import headlines
from csa.results.estimate import Estimate
from csa.results.evaluation import EvaluationMetrics
from csa.results.sweep import SweepPart
from csa.results.words import spaced

LINES = (
    (FIRST, "-"),
    (SECOND, "--"),
    (GOOD, "--"),
    (THIRD, "--"),
    (MUTED, "--"),
    (COLOURS[4], ":"),
)
"""Colour and line of each method, in order; the first is CSA."""

METHOD_NAMES = {
    "asif": "ASIF",
    "procrustes": "Procrustes",
    "ridge_map": "ridge map",
    "plain_cca": "plain CCA",
    "canonical_published": "CSA as published",
    "raw_cosine": "raw cosine",
}
"""Baseline -> what people call it, where that is not its name with spaces."""


@dataclass(frozen=True)
class Curve:
    """One method: at every place on the x axis the estimates of each random subset.

    Attributes:
        label: what people call the method.
        points: place -> an estimate in [0, 1] for every subset.
        style: colour and line.
        banded: whether the mean interval is drawn too.
    """

    label: str
    points: dict[float, list[Estimate]]
    style: tuple[str, str]
    banded: bool = False


@dataclass(frozen=True)
class Axes:
    """What is drawn against what: labels, and whether the x axis is logarithmic."""

    x: str
    y: str
    logarithmic: bool = False


def curves_chart(name: str, title: str, curves: dict[str, list[Curve]], against: Axes) -> Chart:
    """Means over random subsets as lines, in percent, and the means of their interval bounds as
    bands.

    Args:
        name: of the chart, a word of its own on the page.
        title: one line.
        curves: title of a panel -> its curves; several panels share the y axis.
        against: the axes.

    Returns:
        The chart.
    """
    said, count = [], len(curves)
    places = sorted({place for part in curves.values() for one in part for place in one.points})
    with panels(count, 380 * count, 310, share_y=True) as (figure, columns):
        for axes, (heading, part) in zip(columns, curves.items(), strict=True):
            said += [_draw(axes, curve) for curve in part]
            axes.set(xlabel=against.x, ylabel=against.y if axes is columns[0] else "")
            axes.set_ylim(0, None)
            if count > 1:
                axes.set_title(heading)
            if against.logarithmic:
                logarithmic(axes, places)
        legend(figure)
    return Chart(figure, name, title, " ".join(said))


def _draw(axes: Any, curve: Curve) -> str:
    """Draw one method; what its line says."""
    place = sorted(curve.points)
    value, low, high = (
        [100 * np.mean([getattr(one, part) for one in curve.points[x]]) for x in place]
        for part in ("value", "low", "high")
    )
    colour, line = curve.style
    if curve.banded:
        axes.fill_between(place, low, high, color=colour, alpha=0.14, linewidth=0)
    points = {"marker": "o", "markersize": 3, "linewidth": 1.5}
    axes.plot(place, value, line, color=colour, label=curve.label, **points)
    return f"{curve.label}: {value[0]:.1f} % at {place[0]:g}, {value[-1]:.1f} % at {place[-1]:g}."


def sweep_curves(part: SweepPart, labels: dict[str, str]) -> dict[str, list[Curve]]:
    """Recall at 1 of every method of a sweep, a direction each; only the band of CSA is drawn,
    since five over each other would hide the lines.

    Args:
        part: of the sweep; what varies in it stands on the x axis.
        labels: method -> what people call it.

    Returns:
        Direction -> a curve of each method.
    """

    def curve(number: int, method: str, way: str) -> Curve:
        measured = {place: part.at(method, place) for place in part.places}
        points = {
            float(place): [row.retrieval[way].recall_at_1 for row in rows]
            for place, rows in measured.items()
            if rows
        }
        label, line = labels[method].partition(",")[0], LINES[number % len(LINES)]
        return Curve(label, points, line, banded=method == "csa")

    return {
        way: [curve(number, method, way) for number, method in enumerate(part.methods)]
        for way in part.directions
    }


def contenders_chart(metrics: EvaluationMetrics) -> Chart:
    """CSA and what it is measured beside on the same held-out pairs: recall at 1, AUC, and top-1
    where there are labels.

    Args:
        metrics: metrics.json with baselines.
    """
    models = {"CSA": headlines(metrics)} | {
        name: headlines(one) for name, one in metrics.contenders.items()
    }
    columns, said = list(models["CSA"]), []
    with panels(len(columns), 160 + 150 * len(columns), 90 + 25 * len(models)) as (figure, parts):
        for axes, title in zip(parts, columns, strict=True):
            for i, (name, values) in enumerate(models.items()):
                found, colour = values.get(title), FIRST if i == 0 else MUTED
                if found is not None:
                    axes.plot([found.low, found.high], [i, i], color=colour, linewidth=2)
                    axes.plot(found.value, i, "o", color=colour, markersize=5)
                    said.append(f"{title}, {name}: {found.value:.3f}.")
            labels = [METHOD_NAMES.get(name, spaced(name)) for name in models]
            named_rows(axes, labels if axes is parts[0] else [""] * len(models))
            axes.set_title(title, fontsize=10)
    return Chart(figure, "baselines", "Beside other methods", " ".join(said))
