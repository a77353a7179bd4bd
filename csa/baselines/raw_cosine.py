"""The cosine of features as they are: for encoders that share a space already, such as CLIP's
two towers.
"""

from typing import Any

from numpy.typing import ArrayLike

from csa.core.base import PairModel, one_or_both
from csa.core.matrices import check_features, check_pairs
from csa.core.preparation import unit
from csa.errors import FeatureError


class RawCosine(PairModel):
    """Cosine similarity, nothing fitted; both views need the same dimensions."""

    def __init__(self) -> None:
        pass

    def fit(self, X: ArrayLike, Y: ArrayLike, groups: ArrayLike | None = None) -> "RawCosine":
        """Check that the views can be compared.

        Args:
            X: first view, shape (n, p).
            Y: second view, shape (n, q); row i belongs to row i of X.
            groups: not needed; nothing is fitted.

        Returns:
            The estimator itself.

        Raises:
            FeatureError: views of different dimensions.
        """
        x, y = check_pairs(X, Y)
        if x.shape[1] != y.shape[1]:
            raise FeatureError(
                f"X has {x.shape[1]} dimensions and Y {y.shape[1]}; a cosine needs one space, so "
                f"fit CSA instead"
            )
        return self

    def index_vectors(self, X: ArrayLike | None = None, Y: ArrayLike | None = None) -> Any:
        """Unit vectors of either view, or of both.

        Args:
            X: first-view features, shape (n, p).
            Y: second-view features, shape (m, q).

        Returns:
            Unit vectors (n, d) or (m, d); a tuple of both when both views are given.

        Raises:
            FeatureError: a shape that does not fit, NaN or infinity.
            InputError: neither view was given.
        """
        left = None if X is None else unit(check_features(X, "X"))
        return one_or_both(left, None if Y is None else unit(check_features(Y, "Y")))
