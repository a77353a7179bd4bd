"""How well scores tell two kinds apart: exact ROC AUC, average precision, and the false alarms at a
given share found.

The kind that is looked for is called positive and scores high. Ties are never broken by chance or
by order: in the AUC a tie counts half, and everything that shares a score is found, or flagged,
together.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csa.core.moments import Float64
from csa.evaluation.bootstrap import estimate, group_draws
from csa.params.measure import EvaluateParams
from csa.results.estimate import Estimate
from csa.results.evaluation import DetectionMetrics

FOUND = 0.95


@dataclass(frozen=True, eq=False)
class Ranked:
    """Scores sorted once, so that every bootstrap resample costs a pass over them.

    Attributes:
        positive, negative: place of each score among all distinct scores, from the lowest; shapes
            (n,) and (m,).
        levels: how many distinct scores there are.
    """

    positive: NDArray[np.intp]
    negative: NDArray[np.intp]
    levels: int

    @classmethod
    def of(cls, positive: Float64, negative: Float64) -> "Ranked":
        """Rank the scores of two kinds.

        Args:
            positive: of the kind looked for, shape (n,).
            negative: of the other, shape (m,).

        Returns:
            The place of every score among all.
        """
        values, place = np.unique(np.concatenate([positive, negative]), return_inverse=True)
        return cls(place[: len(positive)], place[len(positive) :], len(values))

    def auc(self, positive: Float64 | None = None, negative: Float64 | None = None) -> float:
        """The chance that a positive scores above a negative, ties counting half; exact.

        Args:
            positive: weight of each positive, shape (n,); default 1.
            negative: weight of each negative, shape (m,); default 1.

        Returns:
            A number from 0 to 1.
        """
        hits, alarms = self._counts(positive, negative)
        below = np.cumsum(alarms) - alarms
        return float(hits @ (below + alarms / 2) / (hits.sum() * alarms.sum()))

    def average_precision(
        self, positive: Float64 | None = None, negative: Float64 | None = None
    ) -> float:
        """sum_t (R_t - R_{t-1}) P_t over all thresholds t from the highest score down: recall R,
        precision P.

        Args:
            positive: weight of each positive, shape (n,); default 1.
            negative: weight of each negative, shape (m,); default 1.

        Returns:
            A number from 0 to 1.
        """
        hits, alarms = (counts[::-1] for counts in self._counts(positive, negative))
        all_hits, all_alarms = np.cumsum(hits), np.cumsum(alarms)
        looked_at = all_hits + all_alarms
        precision = np.divide(all_hits, looked_at, out=np.zeros(self.levels), where=looked_at > 0)
        return float(hits @ precision / all_hits[-1])

    def false_positive_rate(
        self,
        positive: Float64 | None = None,
        negative: Float64 | None = None,
        found_share: float = FOUND,
    ) -> float:
        """The share of negatives flagged by the highest threshold that finds at least
        `found_share` of the positives.

        Args:
            positive: weight of each positive, shape (n,); default 1.
            negative: weight of each negative, shape (m,); default 1.
            found_share: of the positives, in (0, 1].

        Returns:
            A number from 0 to 1.
        """
        hits, alarms = (np.cumsum(counts[::-1]) for counts in self._counts(positive, negative))
        at = int(np.searchsorted(hits, found_share * hits[-1] * (1 - 1e-12)))
        return float(alarms[at] / alarms[-1])

    def _counts(
        self, positive: Float64 | None, negative: Float64 | None
    ) -> tuple[Float64, Float64]:
        """Weight of positives and of negatives at every distinct score."""
        a, b = (
            np.bincount(place, weight, self.levels)
            for place, weight in ((self.positive, positive), (self.negative, negative))
        )
        return a.astype(np.float64), b.astype(np.float64)


def detection_estimates(
    positive: Float64,
    negative: Float64,
    positive_group: NDArray[np.intp],
    negative_group: NDArray[np.intp],
    params: EvaluateParams,
) -> DetectionMetrics:
    """AUC, average precision and false positive rate at 95 % found, with confidence intervals over
    groups.

    Args:
        positive: scores of what is looked for, higher is more so, shape (n,).
        negative: scores of the others, shape (m,).
        positive_group, negative_group: group numbers of both, numbered alike: a group is drawn with
            all it has of either kind.
        params: bootstrap resamples, confidence level and seed.

    Returns:
        The three measures; resamples that lack one of the kinds do not count.
    """
    ranked, n = Ranked.of(positive, negative), len(positive)
    group = np.concatenate([positive_group, negative_group])
    draws = group_draws(int(group.max()) + 1, params.bootstrap, params.seed)
    # A resample without one of the kinds says nothing; it is possible only where a kind sits in
    # very few groups.
    draws = draws[[draw[positive_group].any() and draw[negative_group].any() for draw in draws]]

    def with_interval(statistic: Callable[[Float64, Float64], float]) -> Estimate:
        return estimate(
            lambda weight: statistic(weight[:n], weight[n:]), group, draws, params.confidence
        )

    return DetectionMetrics(
        auc=with_interval(ranked.auc),
        average_precision=with_interval(ranked.average_precision),
        fpr_at_95_tpr=with_interval(ranked.false_positive_rate),
    )
