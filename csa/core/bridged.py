"""Index vectors, and what a bridge adds to those of pairs and pools."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from csa.core.bridge import FittedBridge, LabelBridge
from csa.core.matrices import Array, Float64

Vectors = tuple[Array, Array]
"""Index vectors of items of the first view and of the second."""


def joined(vectors: Vectors, more: Vectors) -> Vectors:
    """Index vectors whose inner products are the sums of those of both.

    Args:
        vectors: of items of either view.
        more: of the same items.

    Returns:
        Longer vectors.
    """
    return np.hstack([vectors[0], more[0]]), np.hstack([vectors[1], more[1]])


def first_given(first: Vectors, second: Vectors) -> Vectors:
    """View by view the first, or the second where the first has no items.

    Args:
        first, second: index vectors of items of either view.

    Returns:
        Those that there are.
    """
    left, right = (a if len(a) else b for a, b in zip(first, second, strict=True))
    return left, right


@dataclass(frozen=True, eq=False)
class Bridged:
    """A bridge at one temperature, with its dimensions of some pairs and of the pools.

    Attributes:
        fitted: at weight 1 / standard deviation of the cosine among items.
        rows: of the pairs that it knows, ascending.
        left, right: of these pairs.
        pool_left, pool_right: of the pools.
    """

    fitted: FittedBridge
    rows: NDArray[np.intp]
    left: Float64
    right: Float64
    pool_left: Float64
    pool_right: Float64

    @classmethod
    def of(
        cls,
        head: LabelBridge,
        temperature: float,
        pairs: tuple[NDArray[np.intp], Float64, Array],
        pools: tuple[Float64, Array],
        crowd: Array,
    ) -> "Bridged":
        """A bridge at one temperature.

        Args:
            head: the bridge.
            temperature: T.
            pairs: some pairs' rows, logits and features of the other view.
            pools: logits of its own view's pool, and the other view's pool.
            crowd: items of the other view whose mean is taken off.

        Returns:
            The bridge, its cosine at unit standard deviation.
        """
        rows, logits, other = pairs
        place, pool_place = head.mixture(logits, temperature), head.mixture(pools[0], temperature)
        places = pool_place if len(pool_place) else place
        fitted = FittedBridge(
            head, temperature, 1.0, places.mean(axis=0), crowd.mean(axis=0, dtype=np.float64)
        )
        spread = _spread(fitted.placed(places), fitted.other(crowd))
        fitted = replace(fitted, weight=1 / spread)
        vectors = [
            (fitted.placed(place), fitted.other(other)),
            (fitted.placed(pool_place), fitted.other(pools[1])),
        ]
        if head.view == "y":
            vectors = [(o, e) for e, o in vectors]
        return cls(fitted, rows, *vectors[0], *vectors[1])

    def pairs(self, rows: NDArray[np.intp], kappa: float) -> Vectors:
        """Dimensions of either view of some of the pairs that it knows.

        Args:
            rows: of the pairs.
            kappa: weight.

        Returns:
            Index dimensions of both views.
        """
        at = np.searchsorted(self.rows, rows)
        return kappa * self.left[at], self.right[at]

    def pools(self, kappa: float, most: int | None = None) -> Vectors:
        """Dimensions of the pools' first items.

        Args:
            kappa: weight.
            most: number of items; None for all.

        Returns:
            Index dimensions of both views.
        """
        return kappa * self.pool_left[:most], self.pool_right[:most]

    def at(self, kappa: float) -> FittedBridge:
        """What stands beside a score at a weight."""
        return replace(self.fitted, weight=self.fitted.weight * kappa)


def _spread(e: Float64, o: Float64) -> float:
    """Standard deviation of the inner products of all rows of e with all rows of o."""
    square = np.einsum("ij,ij->", e.T @ e / len(e), o.T @ o / len(o))
    mean = e.mean(axis=0) @ o.mean(axis=0)
    return float(np.sqrt(max(square - mean**2, np.finfo(np.float64).tiny)))
