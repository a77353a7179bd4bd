"""The best rotation of one view onto the other (Schönemann 1966)."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg

from csa.core.base import PairModel, one_or_both
from csa.core.matrices import check_features, check_pairs
from csa.core.preparation import unit


class Procrustes(PairModel):
    """Orthogonal Procrustes: x -> (x - mean_x) W with W'W = I (or WW' = I), compared by cosine.

    Both views are centred and brought to unit length; W = U V' of the singular value decomposition
    of their cross product, which maximises the mean inner product of pairs. Views of different
    dimensions meet in the smaller one.
    """

    def __init__(self) -> None:
        pass

    def fit(self, X: ArrayLike, Y: ArrayLike, groups: ArrayLike | None = None) -> "Procrustes":
        """Fit on paired features.

        Args:
            X: first view, shape (n, p).
            Y: second view, shape (n, q); row i belongs to row i of X.
            groups: not needed; a rotation has nothing to choose.

        Returns:
            The estimator itself, fitted.

        Raises:
            FeatureError: unusable arrays: shapes, NaN or infinity.
        """
        x, y = check_pairs(X, Y)
        self.mean_x_, self.mean_y_ = (
            x.mean(axis=0, dtype=np.float64),
            y.mean(axis=0, dtype=np.float64),
        )
        U, _, Vt = linalg.svd(
            unit(x - self.mean_x_).T @ unit(y - self.mean_y_), full_matrices=False
        )
        self.rotation_x_, self.rotation_y_ = U, Vt.T
        return self

    def index_vectors(self, X: ArrayLike | None = None, Y: ArrayLike | None = None) -> Any:
        """Unit vectors in the common space.

        Args:
            X: first-view features, shape (n, p).
            Y: second-view features, shape (m, q).

        Returns:
            Unit vectors (n, min(p, q)) or (m, min(p, q)); a tuple of both when both views are
            given.

        Raises:
            FeatureError: a shape that does not fit, NaN or infinity.
            InputError: neither view was given.
        """
        views = [
            None
            if features is None
            else unit((check_features(features, name, len(mean)) - mean) @ rotation)
            for features, name, mean, rotation in (
                (X, "X", self.mean_x_, self.rotation_x_),
                (Y, "Y", self.mean_y_, self.rotation_y_),
            )
        ]
        return one_or_both(*views)
