"""Ridge regression of one view on the other, compared by cosine."""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg

from csa.core.base import PairModel, one_or_both
from csa.core.matrices import Array, Float64, check_features, check_pairs
from csa.core.moments import Moments
from csa.core.preparation import unit
from csa.core.search import best_ranks
from csa.core.training import assign_folds
from csa.errors import InputError

_GRID = tuple(float(10.0**k) for k in range(-4, 3))


class RidgeMap(PairModel):
    """Predict y from x by ridge regression, y ≈ mean_y + (x - mean_x) W, and compare prediction and
    truth by cosine.

    W = (Sxx + penalty (trace Sxx / p) I)^-1 Sxy.

    Args:
        penalty: relative to the mean eigenvalue of Sxx, or "auto": the power of ten with the best
            mean reciprocal rank, both
        ways,
            in held-out folds.
        folds, seed: of the choice of the penalty.
    """

    def __init__(self, penalty: Literal["auto"] | float = "auto", folds: int = 5, seed: int = 0):
        self.penalty = penalty
        self.folds = folds
        self.seed = seed

    def fit(self, X: ArrayLike, Y: ArrayLike, groups: ArrayLike | None = None) -> "RidgeMap":
        """Fit on paired features.

        Args:
            X: first view, shape (n, p).
            Y: second view, shape (n, q); row i belongs to row i of X.
            groups: label of the item each pair belongs to, shape (n,); a group is never split
                between folds.

        Returns:
            The estimator itself, fitted.

        Raises:
            InputError: a negative penalty.
            FeatureError: unusable arrays: shapes, NaN or infinity.
        """
        x, y = check_pairs(X, Y)
        if self.penalty != "auto" and self.penalty < 0:
            raise InputError(f"penalty must be 'auto' or a number from 0 up, got {self.penalty!r}")
        group = np.unique(
            np.arange(len(x)) if groups is None else np.asarray(groups), return_inverse=True
        )[1]
        self.penalty_ = self._choose(x, y, group) if self.penalty == "auto" else float(self.penalty)
        moments = Moments.from_arrays(x, y)
        self.mean_x_, self.mean_y_ = moments.mean_x, moments.mean_y
        self.map_ = _maps(moments, (self.penalty_,))[0]
        return self

    def _choose(self, x: Array, y: Array, group: Array) -> float:
        fold, total = assign_folds(group, self.folds, self.seed), np.zeros(len(_GRID))
        parts = Moments.of_folds(x, y, fold)
        for k, part in enumerate(parts):
            rest = sum(
                (other for other in parts if other is not part), start=Moments.empty(*part.shape)
            )
            a, b = x[fold == k] - rest.mean_x, unit(y[fold == k] - rest.mean_y)
            query, gallery = np.nonzero(group[fold == k][:, None] == group[fold == k])
            for i, W in enumerate(_maps(rest, _GRID)):
                predicted = unit(a @ W)
                forward, backward = (
                    best_ranks(predicted, b, (query, gallery)),
                    best_ranks(b, predicted, (query, gallery)),
                )
                total[i] += (1 / forward).mean() + (1 / backward).mean()
        return _GRID[int(total.argmax())]

    def index_vectors(self, X: ArrayLike | None = None, Y: ArrayLike | None = None) -> Any:
        """Unit vectors of predictions, and of centred second-view features.

        Args:
            X: first-view features, shape (n, p).
            Y: second-view features, shape (m, q).

        Returns:
            Unit vectors (n, q) or (m, q); a tuple of both when both views are given.

        Raises:
            FeatureError: a shape that does not fit, NaN or infinity.
            InputError: neither view was given.
        """
        left = (
            None
            if X is None
            else unit((check_features(X, "X", len(self.mean_x_)) - self.mean_x_) @ self.map_)
        )
        right = (
            None if Y is None else unit(check_features(Y, "Y", len(self.mean_y_)) - self.mean_y_)
        )
        return one_or_both(left, right)


def _maps(moments: Moments, penalties: tuple[float, ...]) -> list[Float64]:
    """W (p, q) for each penalty, from one eigendecomposition."""
    values, vectors = linalg.eigh(moments.cxx / moments.n, driver="evd")
    cross = vectors.T @ (moments.cxy / moments.n)
    # what a penalty of 0 leaves of the null space
    tiny = np.finfo(np.float64).eps * len(values) * values[-1]
    ridges = [np.maximum(values, 0) + max(penalty * values.mean(), tiny) for penalty in penalties]
    return [vectors @ (cross / ridge[:, None]) for ridge in ridges]
