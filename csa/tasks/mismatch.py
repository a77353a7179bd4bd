"""Detection of mismatched pairs: does a held-out pair score above the same item with a stranger's partner?"""

import numpy as np
from numpy.typing import NDArray

from csa.core.moments import Float64
from csa.errors import DataError
from csa.params import EvaluateParams
from csa.tasks.bootstrap import Estimate, estimate, group_draws


def strangers(group: NDArray[np.intp], seed: int) -> NDArray[np.intp]:
    """For every pair a partner row from another group, each as a permutation of the pairs as far as groups allow.

    Args:
        group: group number of each pair, shape (n,).
        seed: of the shuffle.

    Returns:
        Row numbers, shape (n,): pair i gets the second view of row result[i].

    Raises:
        DataError: all pairs belong to one group.
    """
    if group.max(initial=0) == group.min(initial=0):
        raise DataError(f"all {len(group)} held-out pairs belong to one group, so none can be mismatched; hold out more groups")
    order = np.lexsort((np.random.default_rng(seed).permutation(len(group)), group))
    # Rolling the pairs, sorted by group, by the largest group's size moves every pair out of its group.
    shift = int(np.bincount(group).max())
    partner = np.empty_like(order)
    partner[order] = np.roll(order, -shift)
    clash = np.flatnonzero(group[partner] == group)
    if len(clash):  # one group has more than half of all pairs
        others = [np.flatnonzero(group != group[i]) for i in clash]
        partner[clash] = [rows[k % len(rows)] for k, rows in enumerate(others)]
    return partner


def roc_auc(matched: Float64, mismatched: Float64, weight: Float64 | None = None) -> float:
    """Exact area under the ROC curve: the chance that a matched pair scores above a mismatched one, ties counting half.

    Args:
        matched, mismatched: scores, shape (n,) each.
        weight: of the i-th matched and the i-th mismatched pair, shape (n,); default 1.
    """
    weight = np.ones(len(matched)) if weight is None else weight
    values, inverse = np.unique(np.concatenate([matched, mismatched]), return_inverse=True)
    positive = np.bincount(inverse[: len(matched)], weight, len(values))
    negative = np.bincount(inverse[len(matched) :], weight, len(values))
    below = np.cumsum(negative) - negative
    return float(positive @ (below + negative / 2) / (positive.sum() * negative.sum()))


def auc_estimate(matched: Float64, mismatched: Float64, group: NDArray[np.intp], params: EvaluateParams) -> Estimate:
    """`roc_auc` with a confidence interval over groups."""
    draws = group_draws(int(group.max()) + 1, params.bootstrap, params.seed)
    return estimate(lambda weight: roc_auc(matched, mismatched, weight), group, draws, params.confidence)
