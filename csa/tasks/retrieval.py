"""Cross-modal retrieval, the field's standard protocol.

The gallery holds the unique items of the other view. Every item paired with the query is relevant, so an image has five right
captions, and a caption that two images share has two right images. The rank of a query is that of its best relevant item.
"""

from collections.abc import Callable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from csa.core.alignment import Alignment
from csa.core.moments import Float64
from csa.core.search import best_ranks
from csa.params import EvaluateParams
from csa.tasks.bootstrap import Estimate, estimate, group_draws, mean_estimate, number_groups
from csa.tasks.held_out import HeldOut, HeldOutView

CUTOFFS = (1, 5, 10)
QUERY_METRICS = (*(f"recall_at_{k}" for k in CUTOFFS), "mrr")


def rank_queries(alignment: Alignment, held_out: HeldOut) -> pl.DataFrame:
    """Rank every query of both directions.

    Returns:
        One row a query: direction, query (its item hash), group, rank, gallery (its size), recall_at_1, recall_at_5,
        recall_at_10, mrr.
    """
    first, second = held_out.views
    left, right = alignment.index_vectors(first.features, second.features)
    return pl.concat(
        [
            _rank(first, second, best_ranks(left, right, (first.of_pair, second.of_pair))),
            _rank(second, first, best_ranks(right, left, (second.of_pair, first.of_pair))),
        ]
    )


def _rank(queries: HeldOutView, gallery: HeldOutView, ranks: NDArray[np.int64]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "direction": [f"{queries.name}_to_{gallery.name}"] * len(ranks),
            "query": queries.items,
            "group": queries.groups,
            "rank": ranks,
            "gallery": [len(gallery.items)] * len(ranks),
            **{f"recall_at_{k}": (ranks <= k).astype(np.float64) for k in CUTOFFS},
            "mrr": 1 / ranks,
        }
    )


def summarise(queries: pl.DataFrame, params: EvaluateParams) -> dict[str, dict[str, Estimate]]:
    """Metrics of each direction with confidence intervals over groups.

    Args:
        queries: from `rank_queries`.
        params: bootstrap resamples, confidence level and seed.

    Returns:
        direction -> metric -> estimate; recalls and mean reciprocal rank in [0, 1], median rank from 1 up.
    """
    summary = {}
    for (direction,), part in queries.group_by("direction", maintain_order=True):
        group = number_groups(part["group"])
        draws = group_draws(int(group.max()) + 1, params.bootstrap, params.seed)
        metrics = {name: mean_estimate(part[name].to_numpy(), group, draws, params.confidence) for name in QUERY_METRICS}
        metrics["median_rank"] = estimate(_weighted_median(part["rank"].to_numpy()), group, draws, params.confidence)
        summary[str(direction)] = metrics
    return summary


def _weighted_median(values: NDArray[np.int64]) -> Callable[[Float64], float]:
    order = np.argsort(values, kind="stable")
    ascending = values[order].astype(np.float64)

    def median(weights: Float64) -> float:
        total = np.cumsum(weights[order])
        half = total[-1] / 2
        low, high = np.searchsorted(total, half, side="left"), np.searchsorted(total, half, side="right")
        return float(ascending[low] + ascending[high]) / 2

    return median
