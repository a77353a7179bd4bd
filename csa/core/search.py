"""Exact search over index vectors, in blocks: no matrix of all scores is ever kept.

Scores are products in the vectors' own type. float32 vectors are searched at more than twice the
speed of float64 ones and at half the memory; their ranks are the ranks of the float32 scores, of
which one product gives a query's all.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csa.core.matrices import Array
from csa.core.on_device import best_there, on_gpu

# Scores made at once: enough rows for the matrix product to run at full speed, 160 MB in float32.
_BLOCK_SCORES = 40_000_000
# A bound on the k-th best score comes from the maxima of groups of scores; one score in this many
# is looked at.
_GROUPS = 1024
_SAMPLE = 4
_WORD = 64


def top_k(left: Array, right: Array, k: int) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """The k best gallery rows of every query.

    The k-th largest of the maxima of disjoint groups of scores cannot exceed the k-th best score,
    so only scores that reach it are sorted: a few times k a query.

    Args:
        left: index vectors of queries, shape (n, d).
        right: index vectors of the gallery, shape (m, d). Where both are torch tensors on a GPU,
            scores are made there.
        k: how many; at most m are returned.

    Returns:
        (rows, scores), both (n, min(k, m)), best first; equal scores in gallery order.
    """
    k = min(k, len(right))
    if k and len(left) and on_gpu(left, right):
        return best_there(left, right, k)
    rows, values = (
        np.empty((len(left), k), dtype=np.intp),
        np.empty((len(left), k), np.result_type(left, right)),
    )
    if not k:
        return rows, values
    groups = _GROUPS * -(-8 * k // _GROUPS)
    for block, scores, reached in _score_blocks(left, right):
        few = scores  # the k-th best of which bounds that of all
        if len(right) >= 2 * _SAMPLE * groups:
            grouped = scores[:, : len(right) // groups * groups].reshape(len(scores), -1, groups)
            few = grouped[:, ::_SAMPLE].max(axis=1)
        place = few.shape[1] - k
        bound = np.partition(few, place, axis=1)[:, place]
        rows[block] = _best_of_those_reaching(bound, scores, reached, k)
        values[block] = np.take_along_axis(scores, rows[block], axis=1)
    return rows, values


def best_ranks(
    left: Array, right: Array, relevant: tuple[NDArray[np.intp], NDArray[np.intp]]
) -> NDArray[np.int64]:
    """The rank of each query's best relevant gallery row; 1 is first, and a tie with an irrelevant
    row counts against it.

    Scores of relevant and other rows come from the same product, so rounding cannot favour either.

    Args:
        left: index vectors of queries, shape (n, d).
        right: index vectors of the gallery, shape (m, d).
        relevant: (query rows, gallery rows) of all relevant pairs, each pair once; every query has
            at least one.

    Returns:
        Ranks, shape (n,).
    """
    order = np.argsort(relevant[0], kind="stable")
    queries, gallery = relevant[0][order], relevant[1][order]
    ranks = np.empty(len(left), dtype=np.int64)
    for block, scores, reached in _score_blocks(left, right):
        mine = slice(*np.searchsorted(queries, [block.start, block.stop]))
        row, column = queries[mine] - block.start, gallery[mine]
        own = scores[row, column]
        best = np.full(len(scores), -np.inf, scores.dtype)
        np.maximum.at(best, row, own)
        at_least = np.bitwise_count(_words_reaching(best, scores, reached)).sum(
            axis=1, dtype=np.int64
        )
        own_at_least = np.bincount(row, weights=own >= best[row], minlength=len(scores)).astype(
            np.int64
        )
        ranks[block] = 1 + at_least - own_at_least
    return ranks


def _score_blocks(left: Array, right: Array) -> Iterator[tuple[slice, Array, NDArray[np.bool_]]]:
    """Blocks of queries, their scores against the whole gallery, and room for a flag a score;
    all used again by the next.
    """
    count = min(max(1, _BLOCK_SCORES // max(len(right), 1)), max(len(left), 1))
    scores = np.empty((count, len(right)), np.result_type(left, right))
    reached = np.zeros((count, -(-len(right) // _WORD), _WORD), dtype=np.bool_)
    for start in range(0, len(left), count):
        block = slice(start, min(start + count, len(left)))
        size = block.stop - start
        yield block, np.matmul(left[block], right.T, out=scores[:size]), reached[:size]


def _words_reaching(bound: Array, scores: Array, reached: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Which scores reach their row's bound: one by one in `reached`, (n, words, 64), and as
    words of 64 bits, (n, words).
    """
    flat = reached.reshape(len(scores), -1)
    np.greater_equal(scores, bound[:, None], out=flat[:, : scores.shape[1]])
    return np.packbits(flat, axis=1).view(np.uint64)


def _best_of_those_reaching(
    bound: Array, scores: Array, reached: NDArray[np.bool_], k: int
) -> NDArray[np.intp]:
    """Columns of each row's k best scores, best first, given a bound that at least k scores
    reach.
    """
    row, word = np.divmod(np.flatnonzero(_words_reaching(bound, scores, reached)), reached.shape[1])
    hit, bit = np.nonzero(reached[row, word])
    row, column = row[hit], word[hit] * _WORD + bit
    # stable, so that equal scores stay in gallery order
    order = np.lexsort((-scores[row, column], row))
    first = np.searchsorted(row, np.arange(len(scores)))
    best: NDArray[np.intp] = column[order][first[:, None] + np.arange(k)]
    return best
