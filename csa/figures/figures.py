"""Plots of one fit and its evaluation. Drawn off screen; the same input gives the same bytes."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from csa.core.alignment import Alignment
from csa.figures.fonts import readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY, GREEN = "#2f6db3", "#d9822b", "#8a8f98", "#2e8b57"


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of the given size in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: "Figure", path: Path) -> None:
    """Write a PNG that carries no date or version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with readable(figure):
        figure.savefig(path, dpi=110, metadata={"Software": None})


def plain_axes(axes: Any, title: str, x: str, y: str) -> None:
    """House style: a title to the left, labels, a light grid, no box."""
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def spectrum(alignment: Alignment, path: Path) -> None:
    """In-sample canonical correlations against the weights that held-out folds confirm."""
    rho, weights = alignment.training_correlations, alignment.score.weights
    figure = new_figure(7, 4)
    axes = figure.add_subplot()
    axes.plot(np.arange(1, len(rho) + 1), rho, color=GREY, label="in the training pairs")
    axes.plot(
        np.arange(1, len(weights) + 1), weights, color=BLUE, label="in held-out folds (the weights)"
    )
    axes.fill_between(
        np.arange(1, len(weights) + 1),
        weights,
        rho[: len(weights)],
        color=GREY,
        alpha=0.15,
        label="overfit gap",
    )
    axes.set_ylim(0, 1)
    axes.set_xlim(1, len(rho))
    plain_axes(axes, "Canonical correlations", "canonical component", "correlation")
    axes.legend(frameon=False)
    save(figure, path)


def recall_curve(queries: pl.DataFrame, path: Path) -> None:
    """Share of queries whose right answer is among the first k, for every k and both directions,
    beside chance.
    """
    figure = new_figure(7, 4)
    axes = figure.add_subplot()
    for (direction,), part in queries.group_by("direction", maintain_order=True):
        rank, gallery = np.sort(part["rank"].to_numpy()), int(part["gallery"][0])
        k = np.unique(np.geomspace(1, gallery, 200).round().astype(int))
        color = BLUE if axes.get_lines() == [] else ORANGE
        label = f"{str(direction).replace('_to_', ' → ')} (gallery of {gallery:,})"
        axes.plot(k, np.searchsorted(rank, k, side="right") / len(rank), color=color, label=label)
        axes.plot(k, k / gallery, color=color, linestyle=":", linewidth=1)
    axes.plot([], [], color=GREY, linestyle=":", label="chance, one right answer")
    axes.set_xscale("log")
    axes.set_ylim(0, 1)
    plain_axes(axes, "Retrieval of held-out pairs", "k (log scale)", "recall at k")
    axes.legend(frameon=False, loc="upper left")
    save(figure, path)


def mismatch_histogram(pairs: pl.DataFrame, auc: float, path: Path) -> None:
    """Scores of held-out pairs against scores of the same items with a stranger's partner."""
    scores = pairs.select("score", "stranger_score").to_numpy()
    low, high = np.quantile(scores, [0.005, 0.995])
    bins = np.linspace(low, high, 60)
    figure = new_figure(7, 4)
    axes = figure.add_subplot()
    clipped = np.clip(scores, low, high)
    axes.hist(clipped[:, 0], list(bins), color=BLUE, alpha=0.6, label="true pairs")
    axes.hist(clipped[:, 1], list(bins), color=ORANGE, alpha=0.6, label="mismatched pairs")
    plain_axes(axes, f"Mismatch detection: AUC {auc:.3f}", "score", "held-out pairs")
    axes.legend(frameon=False)
    save(figure, path)
