"""Exact search over index vectors, in blocks: memory stays small whatever the gallery's size."""

import numpy as np
from numpy.typing import NDArray

from csa.moments import Float64

_BLOCK_SCORES = 8_000_000


def top_k(left: Float64, right: Float64, k: int) -> tuple[NDArray[np.intp], Float64]:
    """The k best gallery rows of every query.

    Args:
        left: index vectors of queries, shape (n, d).
        right: index vectors of the gallery, shape (m, d).
        k: how many; at most m are returned.

    Returns:
        (rows, scores), both (n, min(k, m)), best first; equal scores in gallery order.
    """
    k = min(k, len(right))
    rows, values = np.empty((len(left), k), dtype=np.intp), np.empty((len(left), k))
    for block in _blocks(len(left), len(right)):
        scores = left[block] @ right.T
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k] if k < len(right) else np.tile(np.arange(k), (len(scores), 1))
        best.sort(axis=1)
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        rows[block] = np.take_along_axis(best, order, axis=1)
        values[block] = np.take_along_axis(scores, rows[block], axis=1)
    return rows, values


def best_ranks(left: Float64, right: Float64, relevant: tuple[NDArray[np.intp], NDArray[np.intp]]) -> NDArray[np.int64]:
    """The rank of each query's best relevant gallery row; 1 is first, and a tie with an irrelevant row counts against it.

    Scores of relevant and other rows come from the same product, so rounding cannot favour either.

    Args:
        left: index vectors of queries, shape (n, d).
        right: index vectors of the gallery, shape (m, d).
        relevant: (query rows, gallery rows) of all relevant pairs, each pair once; every query has at least one.

    Returns:
        Ranks, shape (n,).
    """
    order = np.argsort(relevant[0], kind="stable")
    queries, gallery = relevant[0][order], relevant[1][order]
    ranks = np.empty(len(left), dtype=np.int64)
    for block in _blocks(len(left), len(right)):
        scores = left[block] @ right.T
        mine = slice(*np.searchsorted(queries, [block.start, block.stop]))
        row, column = queries[mine] - block.start, gallery[mine]
        own = scores[row, column]
        best = np.full(len(scores), -np.inf)
        np.maximum.at(best, row, own)
        at_least = (scores >= best[:, None]).sum(axis=1)
        own_at_least = np.bincount(row, weights=own >= best[row], minlength=len(scores)).astype(np.int64)
        ranks[block] = 1 + at_least - own_at_least
    return ranks


def _blocks(queries: int, gallery: int) -> list[slice]:
    rows = max(1, _BLOCK_SCORES // max(gallery, 1))
    return [slice(i, min(i + rows, queries)) for i in range(0, queries, rows)]
