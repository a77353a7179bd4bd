"""What some views say of others: held-out covariances of their coordinates, and the score that
follows from them.
"""

from itertools import combinations

import numpy as np
from scipy.optimize import isotonic_regression

from csa.core.held import Held
from csa.core.matrices import Float64
from csa.core.scores import NormalisedLikelihoodRatioScore, Score
from csa.core.threads import each
from csa.multiview.block_moments import BlockMoments
from csa.multiview.joint import JointDecomposition, JointFactors

Shrinkages = tuple[float, ...]

_VARIANCE_FLOOR = 0.05
_CORRELATION_CEILING = 0.999


class HeldOutCovariances:
    """Folds of items in all views: their complements, decomposed for any shrinkage."""

    def __init__(self, folds: list[BlockMoments], names: tuple[str, ...]):
        self._folds = folds
        self.total = sum(folds[1:], start=folds[0])
        self.complements = [self.total - fold for fold in folds]
        self._factors = each(
            lambda complement: JointFactors.of(complement, names), self.complements
        )

    def decompositions(self, shrinkage: Shrinkages) -> list[JointDecomposition]:
        """Of each fold's complement."""
        return each(lambda factors: factors.solve(shrinkage), self._factors)

    def covariances(
        self, shrinkage: Shrinkages, decompositions: list[JointDecomposition] | None = None
    ) -> Float64:
        """Held-out second moments of the views' coordinates, component by component, averaged over
        folds.

        Args:
            shrinkage: of each view, in [0, 1].
            decompositions: of each fold's complement under it, where they are at hand.

        Returns:
            Shape (r, m, m), of r components and m views; correlations between views do not rise
            with the component.
        """
        found = decompositions or self.decompositions(shrinkage)
        r = min(len(decomposition.rho) for decomposition in found)
        m = len(self.total.widths)
        mean = np.zeros((r, m, m))
        for fold, complement, decomposition in zip(
            self._folds, self.complements, found, strict=True
        ):
            A = [projection[:, :r] for projection in decomposition.projections]
            shift = [(fold.mean(v) - complement.mean(v)) @ A[v] for v in range(m)]
            for v in range(m):
                for w in range(v, m):
                    product = (
                        np.einsum("ir,ir->r", A[v], fold.scatter(v, w) @ A[w]) / fold.n
                        + shift[v] * shift[w]
                    )
                    mean[:, v, w] += product / len(self._folds)
                    mean[:, w, v] = mean[:, v, w]
        diagonal = np.arange(m)
        mean[:, diagonal, diagonal] = np.maximum(mean[:, diagonal, diagonal], _VARIANCE_FLOOR)
        return _smooth(mean)


def score_of(
    covariances: Float64, these: list[int], those: list[int]
) -> tuple[Score, Float64, Float64]:
    """The score of some views against others: the first canonical pair of their covariances.

    Args:
        covariances: held out, shape (r, m, m).
        these: numbers of the views of one side.
        those: numbers of the views of the other side.

    Returns:
        The score, and each side's combination, shapes (r, len(these)) and (r, len(those)):
        unit-variance predictors of each other.
    """
    left, right = _whitener(covariances, these), _whitener(covariances, those)
    U, s, Vt = np.linalg.svd(np.swapaxes(left, 1, 2) @ covariances[:, these][:, :, those] @ right)
    first, second = (
        (left @ U[:, :, :1])[:, :, 0],
        (right @ np.swapaxes(Vt, 1, 2)[:, :, :1])[:, :, 0],
    )
    # A pair of vectors may be turned round together; so turned that the views add up.
    sign = np.where(first.sum(axis=1, keepdims=True) < 0, -1.0, 1.0)
    held = Held.unscaled(np.clip(s[:, 0], 0.0, _CORRELATION_CEILING))
    return NormalisedLikelihoodRatioScore.of(held), first * sign, second * sign


def _smooth(covariances: Float64) -> Float64:
    """Correlations between views that do not rise with the component and are not negative, the
    variances as they are.

    What is measured of one component is noise to a good part. Combinations of views would be chosen
    by that noise: of two views that say nothing, the difference says something in every sample.
    """
    smooth = covariances.copy()
    for v, w in combinations(range(covariances.shape[1]), 2):
        scale = np.sqrt(covariances[:, v, v] * covariances[:, w, w])
        correlation = isotonic_regression(covariances[:, v, w] / scale, increasing=False).x
        smooth[:, v, w] = smooth[:, w, v] = np.clip(correlation, 0.0, _CORRELATION_CEILING) * scale
    return smooth


def _whitener(covariances: Float64, views: list[int]) -> Float64:
    """W (r, k, k) with W' C W = I for the block C of the views."""
    values, vectors = np.linalg.eigh(covariances[:, views][:, :, views])
    whitener: Float64 = (
        vectors
        / np.sqrt(np.maximum(values, _VARIANCE_FLOOR * values.max(axis=1, keepdims=True)))[
            :, None, :
        ]
    )
    return whitener
