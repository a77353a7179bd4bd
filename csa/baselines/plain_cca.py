"""Regularised CCA compared by the plain cosine: canonical coordinates without weights."""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from csa.core.base import PairModel, one_or_both
from csa.core.held import Held
from csa.core.matrices import check_features, check_pairs
from csa.core.routes import decompose
from csa.core.scores import CanonicalScore
from csa.core.select import best_shrinkage, raise_shrinkage
from csa.core.shrinkage import Shrinkage
from csa.core.training import Training


class PlainCCA(PairModel):
    """Cosine of all canonical coordinates, each counting the same.

    Args:
        shrinkage: "auto" (by retrieval in held-out folds), or a pair (gx, gy).
        folds, seed: of the choice of shrinkage.
    """

    def __init__(
        self,
        shrinkage: Literal["auto"] | tuple[float, float] = "auto",
        folds: int = 5,
        seed: int = 0,
    ):
        self.shrinkage = shrinkage
        self.folds = folds
        self.seed = seed

    def fit(self, X: ArrayLike, Y: ArrayLike, groups: ArrayLike | None = None) -> "PlainCCA":
        """Fit on paired features.

        Args:
            X: first view, shape (n, p).
            Y: second view, shape (n, q); row i belongs to row i of X.
            groups: label of the item each pair belongs to, shape (n,); a group is never split
                between folds.

        Returns:
            The estimator itself, fitted.

        Raises:
            FeatureError: unusable arrays: shapes, NaN or infinity.
        """
        x, y = check_pairs(X, Y)
        if self.shrinkage == "auto":
            training = Training.of(
                x, y, np.arange(len(x)) if groups is None else groups, self.folds, self.seed
            )
            shrinkage, _ = raise_shrinkage(training, best_shrinkage(training), _equal_weights)
        else:
            shrinkage = Shrinkage(*self.shrinkage)
        self.shrinkage_ = shrinkage
        self.moments_, self.decomposition_ = decompose(x, y, shrinkage)
        return self

    def index_vectors(self, X: ArrayLike | None = None, Y: ArrayLike | None = None) -> Any:
        """Unit vectors of canonical coordinates.

        Args:
            X: first-view features, shape (n, p).
            Y: second-view features, shape (m, q).

        Returns:
            Unit vectors (n, r) or (m, r); a tuple of both when both views are given.

        Raises:
            FeatureError: a shape that does not fit, NaN or infinity.
            InputError: neither view was given.
        """
        m, d = self.moments_, self.decomposition_
        score = CanonicalScore(np.ones(len(d.rho)))
        left = (
            None
            if X is None
            else score.left((check_features(X, "X", len(m.mean_x)) - m.mean_x) @ d.A)
        )
        return one_or_both(
            left,
            None
            if Y is None
            else score.right((check_features(Y, "Y", len(m.mean_y)) - m.mean_y) @ d.B),
        )


def _equal_weights(held: Held) -> CanonicalScore:
    return CanonicalScore(np.ones(len(held.weights)))
