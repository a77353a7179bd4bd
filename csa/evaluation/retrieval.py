"""Cross-modal retrieval, by two protocols that are named apart wherever a number appears.

*Standard*, the field's: the gallery holds the unique items of the other view. Every item paired
with the query is relevant, so an image has five right captions, and a caption that two images share
has two right images. The rank of a query is that of its best relevant item; average precision looks
at all relevant items. *Paper*, that of Li et al. 2024: precision at 1 and at 5, and average
precision over the first R results, R the number of relevant items, (1/R) sum_{k <= R} P@k [result k
is relevant].

In both a tie counts against the query.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from csa.core.moments import Float64
from csa.evaluation.bootstrap import estimate, group_draws, mean_estimate, number_groups
from csa.evaluation.held_out import HeldOut
from csa.evaluation.vectors import HeldOutVectors, each_block
from csa.params.measure import EvaluateParams
from csa.results.estimate import Estimate
from csa.results.evaluation import PaperRetrievalMetrics, RetrievalMetrics

CUTOFFS = (1, 5, 10)
_COUNTED = 32  # of so few right answers to count what reaches each is faster than to sort all
QUERY_METRICS = (*(f"recall_at_{k}" for k in CUTOFFS), "mrr")


def rank_queries(vectors: HeldOutVectors, held_out: HeldOut) -> pl.DataFrame:
    """Rank every query of both directions: each item that is asked, against all of the other view.

    Args:
        vectors: index vectors of the held-out items.
        held_out: which of them belong together.

    Returns:
        One row a query: direction, query (its item hash), group, rank, gallery (its size),
        recall_at_1, recall_at_5, recall_at_10, mrr, and for the rest of the two protocols
        average_precision, precision_at_5 and average_precision_at_r.
    """
    return ranked_with_gaps(vectors, held_out)[0]


def ranked_with_gaps(
    vectors: HeldOutVectors, held_out: HeldOut
) -> tuple[pl.DataFrame, tuple[Float64, Float64]]:
    """Rank every query of both directions, and say how far its best right answer is behind the best
    of all: both are seen in the same scores.

    Args:
        vectors: index vectors of the held-out items.
        held_out: which of them belong together.

    Returns:
        The table of `rank_queries`, and of either direction the gaps as
        `csa.evaluation.conformal.right_gaps` has them, shape (queries,).
    """
    left, right = vectors.left, vectors.right
    there, gaps = _rank(held_out, 0, left, right)
    back, gaps_back = _rank(held_out, 1, right, left)
    return pl.concat([there, back]), (gaps, gaps_back)


def relevant_positions(
    left: Any, right: Any, relevant: tuple[NDArray[np.intp], NDArray[np.intp]]
) -> tuple[list[NDArray[np.int64]], Float64]:
    """Where each query's relevant gallery rows stand, from 1, ascending, and how far the best of
    them is behind the best of all; a tie with an irrelevant row counts against it.

    Args:
        left: index vectors of queries, shape (n, d), dense or sparse.
        right: index vectors of the gallery, shape (m, d).
        relevant: (query rows, gallery rows) of all relevant pairs, each pair once; every query has
            at least one.

    Returns:
        For each query the positions of its relevant rows, one a row; and its gap, in units of the
        score, shape (n,).
    """
    order = np.argsort(relevant[0], kind="stable")
    gallery = np.split(
        relevant[1][order], np.cumsum(np.bincount(relevant[0], minlength=left.shape[0]))[:-1]
    )

    def of_block(block: slice, scores: Float64) -> list[tuple[NDArray[np.int64], float]]:
        rows = zip(scores, gallery[block], strict=True)
        return [(_places(row, mine), row.max() - row[mine].max()) for row, mine in rows]

    found = [query for block in each_block(left, right, of_block) for query in block]
    return [places for places, _ in found], np.array([gap for _, gap in found])


def _places(scores: Float64, relevant: NDArray[np.intp]) -> NDArray[np.int64]:
    """Where the relevant ones of a query's scores stand, from 1, ascending."""
    own = np.sort(scores[relevant])
    if len(own) <= _COUNTED:
        at_least = np.array([np.count_nonzero(scores >= score) for score in own])
    else:
        at_least = len(scores) - np.searchsorted(np.sort(scores), own, side="left")
    own_at_least = len(own) - np.searchsorted(own, own, side="left")
    places: NDArray[np.int64] = at_least - own_at_least + np.arange(len(own), 0, -1)
    return places[::-1].astype(np.int64)


def _rank(held_out: HeldOut, source: int, left: Any, right: Any) -> tuple[pl.DataFrame, Float64]:
    queries, gallery = held_out.views[source], held_out.views[1 - source]
    asking = queries.asking
    positions, gaps = relevant_positions(left[:asking], right, held_out.relevant(source))
    ranks = np.array([places[0] for places in positions])
    table = pl.DataFrame(
        {
            "direction": [f"{queries.name}_to_{gallery.name}"] * len(ranks),
            "query": queries.items[:asking],
            "group": queries.groups[:asking],
            "rank": ranks,
            "gallery": [len(gallery.items)] * len(ranks),
            **{f"recall_at_{k}": (ranks <= k).astype(np.float64) for k in CUTOFFS},
            "mrr": 1 / ranks,
            "average_precision": [_average_precision(places) for places in positions],
            "precision_at_5": [float((places <= 5).sum()) / 5 for places in positions],
            "average_precision_at_r": [
                _average_precision(places, within=len(places)) for places in positions
            ],
        }
    )
    return table, gaps


def _average_precision(places: NDArray[np.int64], within: int | None = None) -> float:
    """Mean of the precisions at the relevant places; those behind the first `within` results
    count 0.
    """
    precision = np.arange(1, len(places) + 1) / places
    return (
        float(precision[places <= within].sum() / len(places))
        if within
        else float(precision.mean())
    )


def summarise(queries: pl.DataFrame, params: EvaluateParams) -> dict[str, RetrievalMetrics]:
    """The standard protocol's metrics of each direction with confidence intervals over groups.

    Args:
        queries: from `rank_queries`.
        params: bootstrap resamples, confidence level and seed.

    Returns:
        direction -> metrics, in the order of the table.
    """
    return {
        direction: RetrievalMetrics(
            **{name: of_queries.mean(name) for name in QUERY_METRICS},
            map=of_queries.mean("average_precision"),
            median_rank=of_queries.median("rank"),
        )
        for direction, of_queries in _by_direction(queries, params)
    }


def summarise_paper(
    queries: pl.DataFrame, params: EvaluateParams
) -> dict[str, PaperRetrievalMetrics]:
    """The paper's protocol: precision_at_1, precision_at_5 and map (over the first R results) of
    each direction.

    Where a query has one relevant item, precision at 5 is at most 0.2.

    Args:
        queries: from `rank_queries`.
        params: bootstrap resamples, confidence level and seed.

    Returns:
        direction -> metrics, in the order of the table.
    """
    return {
        direction: PaperRetrievalMetrics(
            precision_at_1=of_queries.mean("recall_at_1"),
            precision_at_5=of_queries.mean("precision_at_5"),
            map=of_queries.mean("average_precision_at_r"),
        )
        for direction, of_queries in _by_direction(queries, params)
    }


@dataclass(frozen=True, eq=False)
class _Resampled:
    """The queries of one direction, with how often each group is drawn."""

    queries: pl.DataFrame
    group: NDArray[np.intp]
    draws: Float64
    confidence: float

    def mean(self, column: str) -> Estimate:
        return mean_estimate(
            self.queries[column].to_numpy(), self.group, self.draws, self.confidence
        )

    def median(self, column: str) -> Estimate:
        statistic = _weighted_median(self.queries[column].to_numpy())
        return estimate(statistic, self.group, self.draws, self.confidence)


def _by_direction(
    queries: pl.DataFrame, params: EvaluateParams
) -> Iterator[tuple[str, _Resampled]]:
    for (direction,), part in queries.group_by("direction", maintain_order=True):
        group = number_groups(part["group"])
        draws = group_draws(int(group.max()) + 1, params.bootstrap, params.seed)
        yield str(direction), _Resampled(part, group, draws, params.confidence)


def _weighted_median(values: NDArray[np.int64]) -> Callable[[Float64], float]:
    order = np.argsort(values, kind="stable")
    ascending = values[order].astype(np.float64)

    def median(weights: Float64) -> float:
        total = np.cumsum(weights[order])
        half = total[-1] / 2
        low, high = (
            np.searchsorted(total, half, side="left"),
            np.searchsorted(total, half, side="right"),
        )
        return float(ascending[low] + ascending[high]) / 2

    return median
