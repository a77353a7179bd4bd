"""What CSA and its baselines have in common: scikit-learn's parameter conventions, and
similarities as inner products.
"""

import inspect
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from csa.core.matrices import Float64, check_pairs
from csa.errors import InputError


class Estimator:
    """Its parameters are the arguments of `__init__`, kept as given.

    `sklearn.base.clone`, `get_params` and `set_params` work; pipelines and grid searches do not, as
    they know of one X only.
    """

    @classmethod
    def _parameters(cls) -> dict[str, inspect.Parameter]:
        return {
            name: p
            for name, p in inspect.signature(cls.__init__).parameters.items()
            if name != "self"
        }

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters, by name."""
        return {name: getattr(self, name) for name in self._parameters()}

    def set_params(self, **params: Any) -> Self:
        """Change parameters; a fit made before stays as it is.

        Raises:
            InputError: no such parameter.
        """
        for name, value in params.items():
            if name not in self._parameters():
                raise InputError(
                    f"{type(self).__name__} has no parameter {name!r}; it has "
                    f"{', '.join(self._parameters())}"
                )
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        changed = [
            f"{name}={getattr(self, name)!r}"
            for name, p in self._parameters().items()
            if getattr(self, name) is not p.default and getattr(self, name) != p.default
        ]
        return f"{type(self).__name__}({', '.join(changed)})"


class InnerProducts:
    """Whatever gives each item of two views a vector, so that inner products are similarities."""

    def index_vectors(self, X: ArrayLike | None = None, Y: ArrayLike | None = None) -> Any:
        """Vectors whose inner products are the similarities.

        Args:
            X: first-view features, shape (n, p).
            Y: second-view features, shape (m, q).

        Returns:
            Vectors (n, k) or (m, k); a tuple of both when both views are given.

        Raises:
            FeatureError: a shape that does not fit, NaN or infinity.
            InputError: neither view was given.
        """
        raise NotImplementedError

    def similarity(self, X: ArrayLike, Y: ArrayLike) -> Float64:
        """Similarity of every item of the first view to every item of the second.

        Args:
            X: first-view features, shape (n, p).
            Y: second-view features, shape (m, q).

        Returns:
            Similarities, shape (n, m); higher is more alike.

        Raises:
            FeatureError: a shape that does not fit, NaN or infinity.
        """
        left, right = self.index_vectors(X, Y)
        scores: Float64 = np.asarray(left @ right.T)
        return scores

    def score_pairs(self, X: ArrayLike, Y: ArrayLike) -> Float64:
        """Similarity of each pair.

        Args:
            X: first-view features, shape (n, p).
            Y: second-view features, shape (n, q); row i belongs to row i of X.

        Returns:
            Similarities, shape (n,).

        Raises:
            FeatureError: a shape that does not fit, NaN or infinity.
        """
        left, right = self.index_vectors(*check_pairs(X, Y))
        scores: Float64 = np.einsum("ik,ik->i", left, right)
        return scores


class PairModel(InnerProducts, Estimator):
    """An estimator of two views whose similarities are inner products."""


def one_or_both(left: Any, right: Any) -> Any:
    """(left, right) when both views were given, else the one that was.

    Args:
        left: of the first view, or None.
        right: of the second view, or None.

    Returns:
        (left, right), left or right.

    Raises:
        InputError: neither was given.
    """
    if left is None and right is None:
        raise InputError("give X, Y or both; got neither")
    return (
        (left, right) if left is not None and right is not None else right if left is None else left
    )
