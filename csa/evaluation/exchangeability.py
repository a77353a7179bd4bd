"""When a conformal promise is in doubt: what calibrates and what is judged differ, or the groups
are too few or too unequal.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from csa.core.matrices import Array, Float64
from csa.core.preparation import unit
from csa.evaluation.conformal import fewest_groups
from csa.results.estimate import Value
from csa.results.evaluation import ExchangeabilityMetrics

_SURELY = 0.01
_TOO_LARGE = 0.2
_BLOCK_ROWS = 1024


@dataclass(frozen=True)
class Doubts:
    """Reasons to doubt that calibration and queries are exchangeable; none found does not prove
    that they are.

    Attributes:
        reasons: a sentence each; empty if nothing speaks against it.
        ks: largest distance between the two distributions of group means (Kolmogorov-Smirnov).
        ks_p_value: of that distance between samples of one distribution.
    """

    reasons: tuple[str, ...]
    ks: float
    ks_p_value: float

    def because(self, reason: str) -> "Doubts":
        """With one more reason."""
        return replace(self, reasons=(*self.reasons, reason))

    @property
    def metrics(self) -> ExchangeabilityMetrics:
        """As metrics.json holds it."""
        return ExchangeabilityMetrics(
            doubtful=bool(self.reasons),
            reasons=list(self.reasons),
            ks=Value(self.ks),
            ks_p_value=Value(self.ks_p_value),
        )


def doubts(
    calibration: Float64,
    calibration_group: NDArray[np.intp],
    queries: Float64,
    query_group: NDArray[np.intp],
    alpha: float,
) -> Doubts:
    """Compare the scores that calibrate with those of queries, group by group.

    Args:
        calibration: scores of known true pairs, shape (n,).
        calibration_group: group number of each.
        queries: scores of the pairs that are judged, shape (m,).
        query_group: group number of each.
        alpha: of the decisions.

    Returns:
        The reasons found, with the Kolmogorov-Smirnov test of the group means.
    """
    from scipy.stats import ks_2samp

    means, sizes = _group_means(calibration, calibration_group)
    test = ks_2samp(means, _group_means(queries, query_group)[0])
    reasons = []
    if len(means) < fewest_groups(alpha):
        reasons.append(
            f"there are only {len(means)} groups to calibrate on, so no p-value can be below "
            f"{1 / (len(means) + 1):.2g} and nothing can be rejected"
        )
    if sizes.max() / sizes.sum() > _TOO_LARGE:
        reasons.append(
            f"one group holds {sizes.max() / sizes.sum():.0%} of the calibration scores, but it "
            f"counts no more than any other group"
        )
    if test.pvalue < _SURELY:
        reasons.append(
            f"the scores of the queries and the calibration scores have different distributions "
            f"(Kolmogorov-Smirnov {test.statistic:.2f}, p = {test.pvalue:.1g})"
        )
    return Doubts(tuple(reasons), float(test.statistic), float(test.pvalue))


def familiarity(items: Array, training: Array) -> Float64:
    """The cosine of each item with the training item nearest to it: low where the encoder sees
    something unlike all it was fitted on.

    Args:
        items: features, shape (n, d).
        training: features, shape (m, d).

    Returns:
        Shape (n,).
    """
    known, nearest = unit(training).T, np.empty(len(items))
    for start in range(0, len(items), _BLOCK_ROWS):
        nearest[start : start + _BLOCK_ROWS] = (
            unit(items[start : start + _BLOCK_ROWS]) @ known
        ).max(axis=1)
    return nearest


def _group_means(scores: Float64, group: NDArray[np.intp]) -> tuple[Float64, NDArray[np.intp]]:
    number = np.unique(group, return_inverse=True)[1]
    sizes = np.bincount(number)
    return np.bincount(number, scores) / sizes, sizes
