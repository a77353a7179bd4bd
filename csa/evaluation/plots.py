"""What DVC draws of an evaluation, as plain columns, and the headline numbers that it lists.

The names of columns do not depend on the names of the views, since dvc.yaml names them.
"""

from itertools import count
from typing import Any

import numpy as np
import polars as pl

from csa.core.matrices import Float64
from csa.results.evaluation import EvaluationMetrics

MOST_RESULTS = 100
"""The largest k of the recall curves."""

_RATES = 101
_DIGITS = 4
_WAYS = ("first_to_second", "second_to_first")


def recall_table(queries: pl.DataFrame) -> pl.DataFrame:
    """Recall at k = 1 ... 100 in both directions: k, first_to_second, second_to_first."""
    k = np.arange(1, MOST_RESULTS + 1)
    columns: dict[str, Any] = {"k": k}
    for way, (_, part) in zip(
        _WAYS, queries.group_by("direction", maintain_order=True), strict=True
    ):
        rank = np.sort(part["rank"].to_numpy())
        columns[way] = (np.searchsorted(rank, k, side="right") / len(rank)).round(_DIGITS)
    return pl.DataFrame(columns)


def roc_table(pairs: pl.DataFrame) -> pl.DataFrame:
    """The share of wrong pairs found for each share of right pairs flagged: flagged,
    random_strangers, hard_strangers. A kind of wrong pair that does not occur is empty.

    Args:
        pairs: the evaluation's table of pairs: score, stranger_score, hard_stranger_score.
    """
    flagged = np.linspace(0, 1, _RATES).round(2)
    columns: dict[str, Any] = {"flagged": flagged}
    for name, column in (
        ("random_strangers", "stranger_score"),
        ("hard_strangers", "hard_stranger_score"),
    ):
        wrong = strangers(pairs, column)
        columns[name] = None
        if len(wrong):
            x, y = roc_points(wrong, pairs["score"].to_numpy())
            # the last point of each share of flagged pairs is the most that is found for it
            columns[name] = y[np.searchsorted(x, flagged + 1e-9, side="right") - 1].round(_DIGITS)
    return pl.DataFrame(columns)


def spectrum_table(training: Float64, weights: Float64) -> pl.DataFrame:
    """Correlation of each canonical component: component, in_sample, held_out.

    Args:
        training: over the training pairs, shape (r,).
        weights: what held-out folds confirm, shape (at most r,); a component beyond them has no
            weight.

    Returns:
        One row a component, r of them, rounded.
    """
    held_out = np.zeros(len(training))
    held_out[: len(weights)] = weights
    return pl.DataFrame(
        {
            "component": np.arange(1, len(training) + 1),
            "in_sample": training.round(_DIGITS),
            "held_out": held_out.round(_DIGITS),
        }
    )


def calibration_table(curve: pl.DataFrame) -> pl.DataFrame:
    """How far the measured share of wrong decisions is above the share alpha that was allowed:
    alpha, true, strangers, first_to_second, second_to_first.

    Args:
        curve: rows of kind, alpha, coverage; the kinds are true, strangers, and the directions.
    """
    kinds = [str(kind) for kind in curve["kind"].unique(maintain_order=True)]
    ways = iter(_WAYS)
    names = {
        kind: kind if kind in ("true", "strangers") else next(ways)
        for kind in kinds
        if kind != "classes"
    }
    table = curve.filter(pl.col("kind").is_in(list(names))).with_columns(
        kind=pl.col("kind").replace(names),
        error=(1 - pl.col("coverage") - pl.col("alpha")).round(_DIGITS),
    )
    return table.pivot("kind", index="alpha", values="error").sort("alpha")


def headline(metrics: EvaluationMetrics, views: tuple[str, str]) -> dict[str, float]:
    """The numbers of metrics.json that people look at first, rounded, under names short enough that
    `dvc metrics show` fits a terminal.

    Args:
        metrics: of the evaluation.
        views: names of both views.

    Returns:
        For each direction, such as i2t for image to text: recall at 1 and 10 (`i2t_r1`, `i2t_r10`)
        and mean reciprocal rank (`i2t_mrr`); the AUC of random strangers; the number
        of training pairs.
    """
    short = _initials(*views)
    found: dict[str, float] = {}
    ways = metrics.retrieval.values()
    for (source, target), way in zip((short, short[::-1]), ways, strict=True):
        shown = {"r1": way.recall_at_1, "r10": way.recall_at_10, "mrr": way.mrr}
        found |= {f"{source}2{target}_{key}": round(one.value, 3) for key, one in shown.items()}
    found["auc"] = round(metrics.mismatch.auc.value, 3)
    found["train"] = metrics.pairs.train
    return found


def _initials(first: str, second: str) -> tuple[str, str]:
    """The shortest beginnings of two names that tell them apart."""
    length = next(n for n in count(1) if first[:n] != second[:n])
    return first[:length], second[:length]


def roc_points(wrong: Float64, right: Float64) -> tuple[Float64, Float64]:
    """The ROC curve of a detector that flags low scores.

    Args:
        wrong: scores of wrong pairs, shape (n,).
        right: scores of right pairs, shape (m,).

    Returns:
        (share of right pairs flagged, share of wrong ones found) for every threshold, from the
        lowest score up, shape (thresholds + 1,) each.
    """
    cuts = np.unique(np.concatenate([wrong, right]))
    flagged, found = (
        np.concatenate([[0.0], np.searchsorted(np.sort(part), cuts, side="right") / len(part)])
        for part in (right, wrong)
    )
    return flagged, found


def strangers(pairs: pl.DataFrame, column: str = "stranger_score") -> Float64:
    """Scores of mismatched pairs; an item for which no stranger could be found has none.

    Args:
        pairs: the evaluation's table of pairs.
        column: which strangers.

    Returns:
        Scores, shape (at most the number of pairs,), in the order of the table.
    """
    scores: Float64 = pairs[column].drop_nulls().drop_nans().to_numpy()
    return scores
