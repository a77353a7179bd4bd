"""Figures of decisions and of classes: what is promised and kept, which classes fare worst."""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from csa.figures.style import (
    COLOURS,
    FIRST,
    INK,
    MUTED,
    Chart,
    clipped,
    drawn,
    legend,
    named_rows,
)
from csa.results.evaluation import ClassificationMetrics
from csa.results.words import arrow, percent, spaced

_NAMED_CLASSES = 40
_SPREAD = 0.7  # of the kinds of decision around their place on the axis
_WORST = 12
_LABEL_CHARACTERS = 22


def coverage_chart(name: str, curve: pl.DataFrame) -> Chart:
    """Measured coverage of each kind of decision against what was promised.

    Args:
        name: of the chart, a word of its own on the page.
        curve: rows of kind, alpha, coverage, low, high; shares in [0, 1].

    Returns:
        The chart: points above the promise, in percentage points.
    """
    said = []
    with drawn() as (figure, axes):
        axes.axhline(0, color=MUTED, linestyle=":", linewidth=1)
        for kind, colour, part, place in _by_kind(curve):
            value, low, high = (
                100 * (part[name] - 1 + part["alpha"]).to_numpy()
                for name in ("coverage", "low", "high")
            )
            axes.vlines(place, low, high, color=colour, linewidth=1.3, alpha=0.55)
            axes.plot(place, value, "o", color=colour, markersize=3.4, label=arrow(kind))
            worst = max(-value.min(), 0.0)
            said.append(f"{arrow(kind)}: at worst {worst:.1f} points below what was promised.")
        _promise_axis(axes, curve)
        axes.set(ylabel="points above the promise")
        legend(figure)
    return Chart(figure, name, "Does the promise hold?", " ".join(said))


def cost_chart(name: str, curve: pl.DataFrame) -> Chart:
    """What a promise costs: pairs left undecided, or candidates in the set.

    Args:
        name: of the chart, a word of its own on the page.
        curve: rows of kind, alpha, size; size is a share in [0, 1].

    Returns:
        The chart: percent on a logarithmic axis.
    """
    said = []
    with drawn() as (figure, axes):
        for kind, colour, part, place in _by_kind(curve):
            size = 100 * part["size"].to_numpy()
            shown = np.where(size > 0, size, np.nan)  # none has no place on the axis
            label = f"{arrow(kind)}, {'undecided' if kind in ('true', 'strangers') else 'in set'}"
            axes.plot(place, shown, "o-", color=colour, markersize=3.4, linewidth=1, label=label)
            said.append(f"{label}: {size[0]:.3g} % to {size[-1]:.3g} %.")
        axes.set_yscale("log", subs=(2, 5))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g} %")
        axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g} %")
        _promise_axis(axes, curve)
        axes.set(ylabel="share, log scale")
        legend(figure)
    return Chart(figure, name, "What it costs", " ".join(said))


def _by_kind(curve: pl.DataFrame) -> list[tuple[str, str, pl.DataFrame, NDArray[Any]]]:
    """(kind, colour, its rows from the least promised coverage up, their places on the axis)."""
    kinds = [str(kind) for kind in curve["kind"].unique(maintain_order=True)]
    found = []
    for k, (kind, colour) in enumerate(zip(kinds, COLOURS, strict=False)):
        part = curve.filter(pl.col("kind") == kind).sort("alpha", descending=True)
        place = np.arange(len(part)) + _SPREAD * (k - (len(kinds) - 1) / 2) / len(kinds)
        found.append((kind, colour, part, place))
    return found


def _promise_axis(axes: Any, curve: pl.DataFrame) -> None:
    alphas = sorted(curve["alpha"].unique(), reverse=True)
    axes.set(xlabel="promised coverage, %")
    axes.set_xticks(range(len(alphas)), [f"{100 * (1 - alpha):.3g}" for alpha in alphas])
    axes.grid(axis="x", visible=False)


def class_chart(name: str, labels: list[str], top_1: NDArray[Any]) -> Chart:
    """Top-1 of every class, the best first: bars with names where they are few, else a curve.

    Args:
        name: of the chart, a word of its own on the page.
        labels: of the classes.
        top_1: share of each class's images that were put there, shape (classes,).

    Returns:
        The chart.
    """
    order = np.argsort(-top_1, kind="stable")
    values, few = top_1[order], len(labels) <= _NAMED_CLASSES
    none, whole = (f"{np.mean(top_1 == value):.0%}" for value in (0, 1))
    description = (
        f"{len(labels):,} classes; {none} of them have no image put right, {whole} all of them."
    )
    place = np.arange(len(values))
    with drawn(height=60 + 17 * len(labels) if few else 255) as (figure, axes):
        if few:
            axes.barh(place, values, color=FIRST, alpha=0.75, height=0.62)
            named_rows(axes, [clipped(labels[i]) for i in order])
            axes.set(xlim=(0, 1), xlabel="top-1")
        else:
            axes.fill_between(place, values, step="mid", color=FIRST, alpha=0.3, linewidth=0)
            axes.step(place, values, where="mid", color=FIRST, linewidth=1.4)
            axes.set(xlim=(0, len(values) - 1), ylim=(0, 1.02))
            axes.set(xlabel="class, the best first", ylabel="top-1")
    return Chart(figure, name, "Top-1 of every class", description)


def confusion_chart(
    name: str, results: pl.DataFrame, classes: pl.DataFrame, metrics: ClassificationMetrics
) -> Chart:
    """The classes that fare worst, and where their images go instead: the right class is the first
    column, the others follow in the order of the rows that go there.

    Args:
        name: of the chart.
        results: one row an image, from `csa.evaluation.classification.classify`.
        classes: from `csa.evaluation.classification.per_class`, the worst first.
        metrics: of the classification.

    Returns:
        The chart: shares of each row's images.
    """
    shown = classes.head(_WORST)["label"].to_list()
    columns, share = _confused(shown, results, classes)
    with drawn(150 + 36 * len(columns), 190 + 24 * len(shown)) as (figure, axes):
        for (i, k), value in np.ndenumerate(share):
            if value > 0:
                axes.barh(i, 0.94, 0.94, k - 0.47, color=FIRST, alpha=0.08 + 0.5 * value)
                style = {"fontsize": 8, "ha": "center", "va": "center", "color": INK}
                axes.text(k, i, f"{value:.0%}", **style)
        axes.axvline(0.5, color=MUTED, linewidth=1)
        sizes = dict(classes.select("label", "images").iter_rows())
        named_rows(axes, [f"{_short(label)} ({_images(sizes[label])})" for label in shown])
        places = ["right class", *map(_short, columns)]
        turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(range(len(places)), places, **turned)
        axes.set(xlim=(-0.6, len(columns) + 0.6))
        axes.tick_params(length=0, labelsize=9)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
    description = (
        f"{spaced(metrics.protocol)}, {metrics.classes:,} classes: top-1 {percent(metrics.top_1)}, "
        f"chance {metrics.chance.top_1.value:.2%}"
    )
    title = "Worst classes and where their images go"
    return Chart(figure, name, f"{title}\n{description}", f"{description}.")


def _confused(
    shown: list[str], results: pl.DataFrame, classes: pl.DataFrame
) -> tuple[list[str], NDArray[Any]]:
    """(the classes that images go to instead, the share of each row's images in the right class
    and in each of these).
    """
    gone = results.filter(pl.col("label").is_in(shown) & (pl.col("predicted") != pl.col("label")))
    targets = gone["predicted"].value_counts(sort=True)
    targets = targets.sort(["count", "predicted"], descending=[True, False])
    sizes = dict(classes.select("label", "images").iter_rows())
    counts = {
        (label, other): n
        for label, other, n in results.group_by("label", "predicted").len().iter_rows()
    }
    columns = sorted(
        targets.head(_WORST)["predicted"].to_list(),
        key=lambda other: next(i for i, label in enumerate(shown) if (label, other) in counts),
    )
    share = np.zeros((len(shown), len(columns) + 1))
    for i, label in enumerate(shown):
        share[i] = [counts.get((label, other), 0) / sizes[label] for other in (label, *columns)]
    return columns, share


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count:,} images"


def _short(label: str) -> str:
    return clipped(" ".join(label.split()), _LABEL_CHARACTERS)
