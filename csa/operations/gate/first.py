"""The first version of a model: there is nothing to compare it with, so it becomes champion, and
the gate says whether it is better than chance.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import special

from csa.core.moments import Float64
from csa.evaluation.bootstrap import number_groups
from csa.evaluation.held_out import unique_test_pairs
from csa.evaluation.sign_flip import fewest_groups, p_value
from csa.operations.gate.decision import Decision
from csa.operations.gate.paired import Gains
from csa.operations.gate.series import FIRST
from csa.params.gate import GateParams

_SMALLEST = 1e-4  # smaller p-values are said to be below it


def decide_first(
    queries: pl.DataFrame, items: pl.DataFrame, views: tuple[str, str], gate: GateParams
) -> Decision:
    """Promote a model's first version, and say whether it is shown to be better than chance.

    A query's gain is its reciprocal rank less that of a random ranking of the same gallery
    (`chance_mrr`). The mean gain, directions alike, is tested one-sided by flipping the signs of
    groups (`csa.evaluation.sign_flip`), at the level that a first challenger would have.

    Args:
        queries: the per-query table (direction, query, group, gallery and mrr).
        items: the items of its run, see `csa.operations.runs.items`.
        views: the two views, in order.
        gate: the confidence, how many subsets are drawn, and their seed.

    Returns:
        A promotion, with both means and the p-value as evidence.
    """
    table = queries.join(_right_answers(items, views), on=["direction", "query"], how="left")
    chance = chance_mrr(table["right"].to_numpy(), table["gallery"].to_numpy())
    found = table["mrr"].to_numpy()
    group, way = number_groups(table["group"]), number_groups(table["direction"])
    mean, by_chance = (
        float(Gains(values, group, way).of_groups()[0].sum()) for values in (found, chance)
    )
    gains = Gains(found - chance, group, way)
    p = p_value(*gains.of_groups(), gate.bootstrap, gate.seed)
    alpha = FIRST.level(gate.confidence).alpha
    numbers = f"its MRR is {mean:.2g} where a random ranking gives {by_chance:.2g} ({_said(p)})"
    return Decision(
        "promote",
        f"there is no champion yet; {numbers}"
        if p <= alpha
        else f"there is no champion yet, so this version is promoted although it is not shown to "
        f"be better than a random ranking: {numbers}; {_remedy(gains.groups, alpha)}",
        evidence={
            "mrr": round(mean, 6),
            "chance_mrr": round(by_chance, 6),
            "chance_p_value": float(f"{p:.2g}"),
        },
    )


def chance_mrr(right: NDArray[np.integer], gallery: NDArray[np.integer]) -> Float64:
    """Expected reciprocal rank of the best of m right items in a random ranking of n:
    m / (n - m + 1) * (1/m + 1/(m + 1) + ... + 1/n).

    The best stands at place r with probability C(n - r, m - 1) / C(n, m), and the sum of
    C(n - r, m - 1) / r over r is C(n, m - 1) times the sum in brackets.

    Args:
        right: m of each query, shape (queries,).
        gallery: n of each query, shape (queries,).

    Returns:
        The expectation of each query, shape (queries,).

    >>> chance_mrr(np.array([1, 2, 2]), np.array([2, 2, 4])).round(4).tolist()
    [0.75, 1.0, 0.7222]
    """
    m, n = right.astype(np.float64), gallery.astype(np.float64)
    expected: Float64 = m / (n - m + 1) * (special.digamma(n + 1) - special.digamma(m))
    return expected


def _right_answers(items: pl.DataFrame, views: tuple[str, str]) -> pl.DataFrame:
    """How many items of a query's gallery are right: (direction, query, right)."""
    test = unique_test_pairs(items, views)
    return pl.concat(
        test.group_by(pl.col(f"{query}_hash").alias("query"))
        .agg(right=pl.len())
        .select(pl.lit(f"{query}_to_{gallery}").alias("direction"), "query", "right")
        for query, gallery in (views, views[::-1])
    )


def _said(p: float) -> str:
    """A p-value as people read it."""
    return f"p < {_SMALLEST:.4f}" if p < _SMALLEST else f"p = {p:.2g}"


def _remedy(groups: int, alpha: float) -> str:
    """What a person can do about a version that may be no better than chance."""
    needed = fewest_groups(alpha)
    if groups < needed:
        return f"{groups} held-out groups cannot show it, so hold out at least {needed}"
    return (
        "`csa suspects` names pairs that may not belong together, and `csa advise` compares "
        "encoders"
    )
