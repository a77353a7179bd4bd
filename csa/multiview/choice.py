"""The shrinkage of each view, chosen by retrieval inside held-out folds."""

from collections.abc import Iterator
from functools import cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from csa.core.matrices import Array
from csa.core.search import best_ranks
from csa.core.shrinkage import climb, scale_odds, share_of
from csa.core.training import assign_folds, within_few_dimensions
from csa.multiview.block_moments import BlockMoments
from csa.multiview.comparison import HeldOutCovariances, Shrinkages, score_of

_COMMON_LOG_ODDS = (-4.0, -2.0, 0.0, 2.0)
_STEP = 1.5
_TRIAL_DIMENSIONS = 256
_TRIAL_ITEMS = 6000
_MAX_FOLD_ITEMS = 1500


def choose_shrinkage(
    views: list[Array], group: NDArray[np.intp], names: tuple[str, ...], folds: int, seed: int
) -> Shrinkages:
    """By mean reciprocal rank between all pairs of views in held-out folds: a common one first,
    then each view's.

    Args:
        views: prepared features of the same items, shapes (n, d_v).
        group: number of the group that each item belongs to, from 0 without gaps, shape (n,).
        names: of the views, in order.
        folds, seed: of the cross-fitting and of the sample of groups.

    Returns:
        A number in [0, 1] for each view.
    """
    count = int(group.max()) + 1
    some = np.random.default_rng(seed).permutation(count)[
        : max(2, round(count * min(1.0, _TRIAL_ITEMS / len(group))))
    ]
    rows = np.flatnonzero(np.isin(group, some))
    reduced = [within_few_dimensions(view[rows], _TRIAL_DIMENSIONS) for view in views]
    trial = _Trial([view for view, _ in reduced], group[rows], names, folds, seed)
    ratios = [ratio for _, ratio in reduced]

    @cache
    def value(log_odds: tuple[float, ...]) -> float:
        shares = zip(map(share_of, log_odds), ratios, strict=True)
        return trial.held_out_mrr(tuple(scale_odds(g, 1 / ratio) for g, ratio in shares))

    best = max(((odds,) * len(names) for odds in _COMMON_LOG_ODDS), key=value)
    return tuple(map(share_of, climb(best, value, _neighbours)[0]))


def _neighbours(point: tuple[float, ...]) -> Iterator[tuple[float, ...]]:
    """A step up and down in the log-odds of each view."""
    for v, odds in enumerate(point):
        for step in (_STEP, -_STEP):
            yield (*point[:v], odds + step, *point[v + 1 :])


class _Trial:
    """Retrieval inside held-out folds under any shrinkage."""

    def __init__(
        self,
        views: list[Array],
        group: NDArray[np.intp],
        names: tuple[str, ...],
        folds: int,
        seed: int,
    ):
        self._views, self._group, self._fold = views, group, assign_folds(group, folds, seed)
        self._folds = HeldOutCovariances(BlockMoments.of_folds(views, self._fold), names)

    def held_out_mrr(self, shrinkage: Shrinkages) -> float:
        """Mean reciprocal rank over folds and ordered pairs of views."""
        decompositions = self._folds.decompositions(shrinkage)
        covariances = self._folds.covariances(shrinkage, decompositions)
        r, values = len(covariances), []
        for k, (complement, decomposition) in enumerate(
            zip(self._folds.complements, decompositions, strict=True)
        ):
            rows = np.flatnonzero(self._fold == k)[:_MAX_FOLD_ITEMS]
            relevant = np.nonzero(self._group[rows][:, None] == self._group[rows])
            a = [
                (view[rows] - complement.mean(v)) @ decomposition.projections[v][:, :r]
                for v, view in enumerate(self._views)
            ]
            for v, w in combinations(range(len(a)), 2):
                score, first, second = score_of(covariances, [v], [w])
                left, right = score.left(a[v] * first[:, 0]), score.right(a[w] * second[:, 0])
                for x, y in ((left, right), (right, left)):
                    values.append(
                        (
                            1
                            / best_ranks(
                                x.astype(np.float32),
                                y.astype(np.float32),
                                (relevant[0], relevant[1]),
                            )
                        ).mean()
                    )
        return float(np.mean(values))
