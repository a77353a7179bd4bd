"""Figures of several methods beside each other: measured once, or against the number of pairs."""

from dataclasses import dataclass
from itertools import groupby
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
    arrow,
    legend,
    logarithmic,
    named_rows,
    panels,
)
from csa.results.estimate import Estimate

LINES = (
    (FIRST, "-"),
    (SECOND, "--"),
    (GOOD, "--"),
    (THIRD, "--"),
    (MUTED, "--"),
    (COLOURS[4], ":"),
)
"""Colour and line of each method, in order; the first is CSA."""


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


def sweep_curves(
    rows: list[dict[str, Any]], key: str, labels: dict[str, str]
) -> dict[str, list[Curve]]:
    """Recall at 1 of every method of a sweep, a direction each; only the band of CSA is drawn,
    since five over each other would hide the lines.

    Args:
        rows: of sweep.json: method, the key, and retrieval.
        key: what stands on the x axis, such as groups.
        labels: method -> what people call it.

    Returns:
        Direction -> a curve of each method.
    """
    methods = list(dict.fromkeys(row["method"] for row in rows))
    return {
        way: [
            Curve(
                labels[method].partition(",")[0],
                _points([row for row in rows if row["method"] == method], key, way),
                LINES[number % len(LINES)],
                banded=method == "csa",
            )
            for number, method in enumerate(methods)
        ]
        for way in rows[0]["retrieval"]
    }


def _points(rows: list[dict[str, Any]], key: str, way: str) -> dict[float, list[Estimate]]:
    rows = sorted(rows, key=lambda row: float(row[key]))
    return {
        place: [Estimate(**row["retrieval"][way]["recall_at_1"]) for row in part]
        for place, part in groupby(rows, key=lambda row: float(row[key]))
    }


def contenders_chart(metrics: dict[str, Any]) -> Chart:
    """CSA and what it is measured beside on the same held-out pairs: recall at 1, AUC, and top-1
    where there are labels.

    Args:
        metrics: metrics.json with baselines.
    """
    models = {"CSA": metrics, **metrics["baselines"]}
    columns = [(title, keys) for title, keys in _columns(metrics) if _at(metrics, keys) is not None]
    said = []
    with panels(len(columns), 160 + 150 * len(columns), 90 + 25 * len(models)) as (figure, parts):
        for axes, (title, keys) in zip(parts, columns, strict=True):
            for i, (name, values) in enumerate(models.items()):
                found, colour = _at(values, keys), FIRST if i == 0 else MUTED
                if found is not None:
                    axes.plot([found["low"], found["high"]], [i, i], color=colour, linewidth=2)
                    axes.plot(found["value"], i, "o", color=colour, markersize=5)
                    said.append(f"{title}, {name}: {found['value']:.3f}.")
            labels = [name.replace("_", " ") for name in models]
            named_rows(axes, labels if axes is parts[0] else [""] * len(models))
            axes.set_title(title, fontsize=10)
    return Chart(figure, "baselines", "Beside other methods", " ".join(said))


def _columns(metrics: dict[str, Any]) -> list[tuple[str, tuple[str, ...]]]:
    """(title, keys in metrics.json) of what is compared."""
    ways = [
        (f"R@1 {arrow(way)}", ("retrieval", way, "recall_at_1")) for way in metrics["retrieval"]
    ]
    protocol = str(metrics.get("classification", {}).get("protocol", "")).replace("_", " ")
    return [
        *ways,
        ("AUC, random strangers", ("mismatch", "auc")),
        ("AUC, hard strangers", ("mismatch_hard", "auc")),
        (f"top-1, {protocol}", ("classification", "top_1")),
    ]


def _at(metrics: dict[str, Any], keys: tuple[str, ...]) -> Any:
    for key in keys:
        metrics = metrics.get(key, {})
    return metrics or None
