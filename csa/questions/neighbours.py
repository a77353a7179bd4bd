"""Do two encoders see the same neighbours? Alignment of raw features, before anything is fitted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from csa.core.matrices import Array, check_pairs
from csa.core.preparation import unit
from csa.errors import FeatureError

_BLOCK_ROWS = 512


@dataclass(frozen=True)
class NeighbourAlignment:
    """Mutual nearest neighbours against chance.

    Attributes:
        value: mean share of an item's k nearest neighbours that both views agree on, in [0, 1].
        null_mean, null_deviation: of the same share when items of one view are permuted.
        z: (value - null_mean) / null_deviation.
        p_value: chance that a permutation reaches the value; at least 1 / (permutations + 1).
    """

    value: float
    null_mean: float
    null_deviation: float
    z: float
    p_value: float


def mutual_neighbours(
    X: ArrayLike, Y: ArrayLike, k: int = 10, permutations: int = 200, seed: int = 0
) -> NeighbourAlignment:
    """Mutual k-nearest-neighbour alignment (Huh et al. 2024, arXiv 2405.07987) with a permutation
    null.

    Neighbours by the cosine of centred features. What k, n and the shape of the features alone give
    is in the null; so alignments of different encoders compare by z.

    Args:
        X, Y: features of n items in two views, shapes (n, p) and (n, q). Items should be strangers
            to each other: captions of one image are neighbours for a poor reason.
        k: neighbours, fewer than n - 1 of them.
        permutations: of the null.
        seed: of the permutations.

    Returns:
        The share of neighbours that both views agree on, and what chance gives of it.

    Raises:
        FeatureError: unusable arrays, or fewer than k + 2 items.

    >>> X = np.random.default_rng(0).normal(size=(60, 5))
    >>> mutual_neighbours(X, 3 * X + 1).value
    1.0
    """
    x, y = check_pairs(X, Y)
    n = len(x)
    if n < k + 2:
        raise FeatureError(
            f"{k} nearest neighbours need at least {k + 2} items, got {n}; take a larger sample"
        )
    first, second = _nearest(x, k), _nearest(y, k)
    member = np.zeros((n, n), dtype=np.bool_)
    member[np.arange(n)[:, None], first] = True
    rng = np.random.default_rng(seed)

    def share(order: NDArray[np.intp]) -> float:
        place = np.argsort(order)  # where each item went
        return float(member[np.arange(n)[:, None], place[second[order]]].mean())

    value = share(np.arange(n))
    null = np.array([share(rng.permutation(n)) for _ in range(permutations)])
    deviation = float(null.std())
    z = (value - float(null.mean())) / deviation if deviation > 0 else 0.0
    return NeighbourAlignment(
        value,
        float(null.mean()),
        deviation,
        z,
        float((1 + (null >= value).sum()) / (permutations + 1)),
    )


def _nearest(features: Array, k: int) -> NDArray[np.intp]:
    """Each row's k nearest other rows, (n, k), in no order."""
    vectors = unit(features.astype(np.float64) - features.mean(axis=0, dtype=np.float64))
    nearest = np.empty((len(vectors), k), dtype=np.intp)
    for start in range(0, len(vectors), _BLOCK_ROWS):
        scores = vectors[start : start + _BLOCK_ROWS] @ vectors.T
        scores[np.arange(len(scores)), start + np.arange(len(scores))] = -np.inf
        nearest[start : start + len(scores)] = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    return nearest
