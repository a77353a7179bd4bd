"""Cluster centres of features: a view's shape in a few hundred points, each an average of items
and none of them an item.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from csa.core.matrices import Array, Float64

_ROUNDS = 4
_MAX_ROWS = 12_000


def row_digests(features: Array) -> list[bytes]:
    """A hash of 128 bits of each row: equal rows have equal ones."""
    rows = np.ascontiguousarray(features)
    return [hashlib.blake2b(row, digest_size=16).digest() for row in rows]


def distinct_rows(features: Array) -> NDArray[np.intp]:
    """The first row of each distinct item, ascending: an image that is repeated once per caption
    counts once.
    """
    first: dict[bytes, int] = {}
    for i, digest in enumerate(row_digests(features)):
        first.setdefault(digest, i)
    return np.array(list(first.values()), dtype=np.intp)


def cluster_centres(points: Array, count: int, seed: int) -> Float64:
    """Centres of k-means (Lloyd 1982) after a few rounds from random items.

    Args:
        points: shape (n, d); above 12,000 a random part is used.
        count: number of centres, at most n.
        seed: of the random choices.

    Returns:
        At most (count, d): every centre is the mean of two items or more, so clusters of one are
        left out.
    """
    rng = np.random.default_rng(seed)
    if len(points) > _MAX_ROWS:
        points = points[np.sort(rng.choice(len(points), _MAX_ROWS, replace=False))]
    centres = np.asarray(
        points[np.sort(rng.choice(len(points), count, replace=False))], dtype=np.float64
    )
    # which centre is nearest needs no more digits; the means have them all
    searched = points.astype(np.float32)
    for _ in range(_ROUNDS):
        # The nearest centre maximises p.c - |c|^2 / 2.
        nearest = (
            searched @ centres.astype(np.float32).T - (centres**2).sum(axis=1, dtype=np.float32) / 2
        ).argmax(axis=1)
        sizes = np.bincount(nearest, minlength=len(centres))
        order = np.argsort(nearest, kind="stable")
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])[sizes > 0]
        sizes = sizes[sizes > 0]
        centres = np.add.reduceat(points[order], starts, axis=0, dtype=np.float64) / sizes[:, None]
    return (
        centres[sizes > 1]
        if (sizes > 1).any()
        else points.mean(axis=0, keepdims=True, dtype=np.float64)
    )
