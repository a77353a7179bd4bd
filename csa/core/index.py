"""Galleries too large for exact search: the vectors an inner-product index needs, and how well it
then answers.

Every score of this package is an inner product of two vectors (`csa.core.scores`), so FAISS or any
other maximum-inner-product index can hold a gallery. An index ranks items for one query, so what
depends on the query alone may be left out.
"""

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from csa.core.alignment import Alignment
from csa.core.matrices import Array, check_features
from csa.errors import InputError

_BLOCK_ROWS = 8192


def write_index_vectors(
    alignment: Alignment, path: str | Path, X: ArrayLike | None = None, Y: ArrayLike | None = None
) -> int:
    """Write the index vectors of a gallery or of queries as a float32 .npy file, in blocks.

    Give either view. The inner product of a row of X's file with a row of Y's file is the
    similarity of the two items. Add the gallery's to any inner-product index, such as
    `faiss.IndexFlatIP` or `faiss.IndexHNSWFlat(d, 32, faiss.METRIC_INNER_PRODUCT)`, and search it
    with the queries'.

    Args:
        alignment: whose similarity is searched for.
        path: of the .npy file.
        X: first-view features, shape (n, p); may be a mapped file larger than memory.
        Y: second-view features, shape (n, q).

    Returns:
        Dimension of the vectors.

    Raises:
        InputError: both views or neither.
    """
    if (X is None) == (Y is None):
        raise InputError("index vectors are written for one view at a time; give X or Y")
    name, features = ("X", X) if Y is None else ("Y", Y)
    rows = check_features(features if features is not None else (), name)
    blocks = (rows[i : i + _BLOCK_ROWS] for i in range(0, max(len(rows), 1), _BLOCK_ROWS))
    vectors = (alignment.index_vectors(**{name: block}) for block in blocks)
    first = next(vectors)
    out = np.lib.format.open_memmap(
        path, mode="w+", dtype=np.float32, shape=(len(rows), first.shape[1])
    )
    out[: len(first)] = first
    start = len(first)
    for block in vectors:
        out[start : start + len(block)] = block
        start += len(block)
    out.flush()
    return int(first.shape[1])


def recall_at_k(found: NDArray[np.intp], exact: NDArray[np.intp]) -> float:
    """Share of the exact k nearest rows that an index found.

    Args:
        found: rows that the index returned for each query, shape (n, k); -1 for none.
        exact: rows of `csa.core.search.top_k`, shape (n, k).

    Returns:
        A share in [0, 1].
    """
    hits: Array = (found[:, :, None] == exact[:, None, :]).any(axis=1)
    return float(hits.mean())
