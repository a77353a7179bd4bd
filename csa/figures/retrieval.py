"""Figures of a fit and of retrieval: what both views share, and how often the right answer is
found.
"""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from csa.core.diagnostics import null_edge
from csa.figures.style import (
    BAD,
    COLOURS,
    FIRST,
    GOOD,
    INK,
    MUTED,
    Chart,
    drawn,
    legend,
    logarithmic,
    named_rows,
)
from csa.results.estimate import Estimate
from csa.results.words import arrow

_PLACES = 90  # of a recall curve, evenly apart on its logarithmic axis


def spectrum_chart(
    training: NDArray[Any], weights: NDArray[Any], groups: int, dimensions: tuple[int, int]
) -> Chart:
    """Correlations in the training pairs against the weights that held-out folds confirm, with what
    chance gives of either.

    Args:
        training: correlation of each component over the training pairs, shape (r,).
        weights: of the components in the score, shape (at most r,).
        groups: independent items behind the training pairs.
        dimensions: (p, q) of the prepared features.

    Returns:
        The chart.
    """
    edge, noise = null_edge(groups, *dimensions), 3 / np.sqrt(groups)
    n, r = np.arange(1, len(training) + 1), np.arange(1, len(weights) + 1)
    with drawn() as (figure, axes):
        gap = {"color": MUTED, "alpha": 0.13, "linewidth": 0, "label": "overfit gap"}
        axes.fill_between(r, weights, training[: len(weights)], **gap)
        axes.plot(n, training, color=MUTED, label="in the training pairs")
        axes.plot(r, weights, color=FIRST, linewidth=2.2, label="held-out weights")
        if edge < 1:
            label = f"null edge, unshrunk ({edge:.2f})"
            axes.axhline(edge, color=BAD, linewidth=1, linestyle="--", label=label)
        label = f"noise of held-out weights ({noise:.2f})"
        axes.axhline(noise, color=GOOD, linewidth=1, linestyle=":", label=label)
        axes.set(xlim=(1, max(len(training), 2)), ylim=(0, 1.02))
        axes.set(xlabel="canonical component", ylabel="correlation")
        legend(figure)
    description = (
        f"Training correlations fall from {training[0]:.2f} to {training[-1]:.2f} over "
        f"{len(training)} components; "
        f"held-out weights from {weights[0]:.2f} to {weights[-1]:.2f} over {len(weights)}."
    )
    return Chart(figure, "spectrum", "Canonical correlations", description)


def recall_chart(queries: pl.DataFrame) -> Chart:
    """Share of queries whose right answer is among the first k, for every k and both directions,
    beside chance.
    """
    said = []
    with drawn() as (figure, axes):
        for number, ((name,), part) in enumerate(
            queries.group_by("direction", maintain_order=True)
        ):
            gallery, label = int(part["gallery"][0]), arrow(str(name))
            k, recall = _recall(part)
            axes.plot(k, recall, color=COLOURS[number], label=label)
            axes.plot(k, k / gallery, color=COLOURS[number], linestyle=":", linewidth=1)
            said.append(
                f"{label}: half of the queries have their answer among the first "
                f"{int(np.median(part['rank']))} of {gallery:,}."
            )
        axes.plot([], [], color=MUTED, linestyle=":", linewidth=1, label="chance, one right answer")
        _recall_axes(axes)
        legend(figure)
    return Chart(figure, "recall", "Recall at k", " ".join(said))


def recalls_chart(tables: list[pl.DataFrame], names: tuple[str, str], direction: str) -> Chart:
    """Recall at k of two versions in one direction.

    Args:
        tables: their queries in that direction.
        names: what the versions are called.
        direction: such as image_to_text.

    Returns:
        The chart: shares of the queries in [0, 1], k on a logarithmic axis.
    """
    medians = []
    with drawn() as (figure, axes):
        for queries, name, colour in zip(tables, names, (MUTED, FIRST), strict=True):
            axes.plot(*_recall(queries), color=colour, label=name)
            medians.append(f"{np.median(queries['rank']):g} with {name}")
        _recall_axes(axes)
        legend(figure)
    said = f"The median rank is {' and '.join(medians)}."
    return Chart(figure, f"recall-{direction}", arrow(direction), said)


def _recall(queries: pl.DataFrame) -> tuple[NDArray[Any], NDArray[Any]]:
    """(k, recall at k) of the queries of one direction."""
    rank, gallery = np.sort(queries["rank"].to_numpy()), int(queries["gallery"][0])
    k = np.unique(np.geomspace(1, gallery, _PLACES).round().astype(int))
    return k, np.searchsorted(rank, k, side="right") / len(rank)


def _recall_axes(axes: Any) -> None:
    axes.set(ylim=(0, 1.02), xlabel="k, log scale", ylabel="recall at k")
    logarithmic(axes)


def forest_chart(differences: dict[str, Estimate], unit: str) -> Chart:
    """Paired differences with their intervals, a row each; right of the line the second version is
    better.

    Args:
        differences: label -> second version less first.
        unit: of the differences.

    Returns:
        The chart.
    """
    with drawn(430, 50 + 24 * len(differences)) as (figure, axes):
        axes.axvline(0, color=INK, linewidth=1)
        for place, by in enumerate(differences.values()):
            colour = GOOD if by.low > 0 else BAD if by.high < 0 else MUTED
            axes.plot([by.low, by.high], [place, place], color=colour, linewidth=2)
            axes.plot([by.value], [place], "o", color=colour, markersize=5.5)
        named_rows(axes, list(differences))
        axes.set(xlabel=unit)
        axes.locator_params(axis="x", nbins=6)
        axes.spines["left"].set_visible(False)
    said = (
        f"{label}: {by.value:+.4f}, from {by.low:+.4f} to {by.high:+.4f}"
        for label, by in differences.items()
    )
    return Chart(figure, "forest", "Paired differences", "; ".join(said) + ".")
