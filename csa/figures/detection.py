"""Figures of detection: true pairs against wrong ones, and captions out of context."""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from csa.evaluation.plots import roc_points, strangers
from csa.figures.style import COLOURS, FIRST, INK, MUTED, SECOND, Chart, drawn, legend
from csa.results.evaluation import EvaluationMetrics
from csa.results.task import OutOfContextMetrics
from csa.results.words import plain

_BINS = 40
_TAIL = 0.005  # of the scores at either end, drawn in the last bin


def mismatch_chart(pairs: pl.DataFrame) -> Chart:
    """Scores of held-out pairs against scores of the same items with a stranger's partner."""
    true, wrong = pairs["score"].to_numpy(), strangers(pairs)
    low, high = np.quantile(np.concatenate([true, wrong]), [_TAIL, 1 - _TAIL])
    if low == high:  # a model that tells nothing apart: every pair has this score
        low, high = low - 0.5, high + 0.5
    bins = np.linspace(low, high, _BINS + 1)
    with drawn() as (figure, axes):
        for scores, colour, label in (
            (wrong, SECOND, "mismatched pairs"),
            (true, FIRST, "true pairs"),
        ):
            counts, _ = np.histogram(np.clip(scores, low, high), bins)
            axes.stairs(counts, bins, fill=True, color=colour, alpha=0.3)
            axes.stairs(counts, bins, color=colour, linewidth=1.5, label=label)
        axes.set(xlim=(low, high), xlabel="score", ylabel="held-out pairs")
        legend(figure)
    description = (
        f"The median true pair scores {np.median(true):.2f}, the median mismatched "
        f"pair {np.median(wrong):.2f}."
    )
    return Chart(figure, "mismatch", "Scores of true and mismatched pairs", description)


def roc_chart(pairs: pl.DataFrame, metrics: EvaluationMetrics) -> Chart:
    """How many wrong pairs are found for how many right ones flagged.

    Args:
        pairs: the evaluation's table of pairs.
        metrics: metrics.json; a kind of wrong pair that it does not have is not drawn.

    Returns:
        The chart: shares in [0, 1].
    """
    said = []
    with drawn(380, 380) as (figure, axes):
        for (label, wrong, right), colour in zip(_kinds(pairs), COLOURS, strict=False):
            if label not in metrics.detections:
                continue
            flagged, found = roc_points(wrong, right)
            text = f"{label}: AUC {plain(metrics.detections[label].auc)}"
            axes.plot(flagged, found, color=colour, label=text)
            said.append(f"{text}.")
        axes.plot([0, 1], [0, 1], color=MUTED, linestyle=":", linewidth=1, label="chance")
        axes.set(xlim=(0, 1), ylim=(0, 1.005))
        axes.set(xlabel="right pairs flagged", ylabel="wrong pairs found")
        axes.legend(loc="lower right", fontsize=9)
    return Chart(figure, "roc", "Detection of wrong pairs", " ".join(said))


def _kinds(pairs: pl.DataFrame) -> list[tuple[str, NDArray[Any], NDArray[Any]]]:
    """(kind as in `detections`, scores of wrong pairs, scores of right ones)."""
    score = pairs["score"].to_numpy()
    kinds = [
        ("random strangers", strangers(pairs), score),
        ("hard strangers", strangers(pairs, "hard_stranger_score"), score),
    ]
    if "mislabelled" in pairs.columns:
        known = pairs["mislabelled"]
        wrong, right = known.fill_null(False).to_numpy(), (~known).fill_null(False).to_numpy()
        kinds.append(("known errors", score[wrong], score[right]))
    return kinds


def out_of_context_chart(name: str, rows: pl.DataFrame, metrics: OutOfContextMetrics) -> Chart:
    """The test half: both similarities of every row, what it is, and where the rule that
    validation chose cuts.

    Args:
        name: of the chart.
        rows: the task's rows.parquet: part, out, caption_similarity, image_similarity.
        metrics: of out_of_context in the task's metrics.json.

    Returns:
        The chart: a similarity on each axis.
    """
    test, paper = rows.filter(pl.col("part") == "test"), metrics.paper
    with drawn(440, 360) as (figure, axes):
        for out, colour, label in ((False, FIRST, "in context"), (True, SECOND, "out of context")):
            part = test.filter(pl.col("out") == out)
            places = part["caption_similarity"], part["image_similarity"]
            axes.scatter(*places, s=8, color=colour, alpha=0.5, linewidth=0, label=label)
        low_x, low_y = axes.get_xlim()[0], axes.get_ylim()[0]
        cut_x, cut_y = paper.thresholds.captions, paper.thresholds.image
        if cut_x is not None and cut_y is not None:
            corner, label = ([low_x, cut_x, cut_x], [cut_y, cut_y, low_y]), "called so: below, left"
            axes.plot(*corner, color=INK, linewidth=1, label=label)
            axes.set(xlim=(low_x, None), ylim=(low_y, None))
        axes.set(xlabel="caption 1 ~ caption 2", ylabel="image ~ caption 2")
        legend(figure)
    title = (
        f"Second captions: AUC {paper.auc.value:.3f}, accuracy {paper.accuracy.value:.1%} "
        f"(chance {metrics.chance.accuracy.value:.0%})"
    )
    return Chart(figure, name, title, f"{test.height:,} rows of the test half. {title}.")
