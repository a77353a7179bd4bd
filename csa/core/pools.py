"""Pools of unpaired items and the space of few dimensions in which they meet the pairs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg

from csa.core.clusters import distinct_rows
from csa.core.matrices import Array, Float64, check_features
from csa.core.transport import in_order
from csa.errors import FeatureError

# Principal dimensions of either view in which pools and pairs meet.
DIMENSIONS = 256


@dataclass(frozen=True, eq=False)
class Pool:
    """Unpaired items of one view, in an order of their own.

    Attributes:
        items: features as the encoder gave them, shape (n, d); none where n is 0.
        paired: items that were left out, since they are among the pairs.
    """

    items: Array
    paired: int = 0

    @classmethod
    def of(cls, items: ArrayLike | None, paired: Array, name: str, seed: int) -> "Pool":
        """A pool, checked and put in order.

        An item that is also among the pairs is left out: it has its partner, and a held-out fold
        must not be met in the pool. What remains is sorted by content and then mixed, so that
        results do not depend on the order in which items came.

        Args:
            items: features, shape (n, d), or None for no pool.
            paired: the same view's features of the pairs, shape (m, d).
            name: of the argument, for the message.
            seed: of the mixing.

        Returns:
            The pool.

        Raises:
            FeatureError: NaN, infinity, or other dimensions than the pairs'.
        """
        if items is None:
            return cls(paired[:0])
        pool = check_features(items, name, paired.shape[1])
        pool = pool.astype(np.result_type(pool, paired), copy=False)
        known = {row.tobytes() for row in np.ascontiguousarray(paired.astype(pool.dtype))}
        kept = np.array([row.tobytes() not in known for row in np.ascontiguousarray(pool)], bool)
        pool = pool[kept]
        order = in_order(pool)[np.random.default_rng(seed).permutation(len(pool))]
        return cls(pool[order], int((~kept).sum()))

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, eq=False)
class Axes:
    """Principal axes of a view's items, pairs and pool together.

    Attributes:
        centre: mean of the items, shape (d,).
        vectors: leading axes, shape (d, d').
        ratio: mean eigenvalue along them over that of the whole space.
    """

    centre: Float64
    vectors: Float64
    ratio: float

    @classmethod
    def of(cls, paired: Array, pool: Array, most: int = DIMENSIONS) -> "Axes":
        """The axes of distinct pairs and pool items.

        Args:
            paired: prepared features of the pairs, shape (n, d).
            pool: prepared features of the pool, shape (m, d).
            most: number of axes.

        Returns:
            At most this many axes.

        Raises:
            FeatureError: the items do not vary.
        """
        items = np.vstack([paired[distinct_rows(paired)], pool]).astype(np.float64)
        centre = items.mean(axis=0)
        items -= centre
        values, vectors = linalg.eigh(items.T @ items, check_finite=False, driver="evd")
        values, vectors = values[::-1], vectors[:, ::-1]
        rank = min(int((values > 1e-12 * values[0]).sum()), most, len(items) - 1)
        if rank < 1:
            raise FeatureError("a view is constant over pairs and pool, so nothing can be aligned")
        total = max(float(values.sum()), np.finfo(np.float64).tiny)
        ratio = float(values[:rank].mean() / (total / len(values)))
        return cls(centre, np.ascontiguousarray(vectors[:, :rank]), ratio)

    def __call__(self, features: Array) -> Float64:
        """Coordinates along the axes, shape (n, d')."""
        coordinates: Float64 = (features - self.centre) @ self.vectors
        return coordinates
