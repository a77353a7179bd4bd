"""What the tasks ask of a model: an `Alignment`, a fitted `CSA`, or any baseline."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from csa.core.matrices import Float64
from csa.core.threads import each
from csa.evaluation.held_out import HeldOut

R = TypeVar("R")

# Scores of a block; 64 MB in float64.
_BLOCK_SCORES = 8_000_000
_BLOCK_ROWS = 4096


class PairScorer(Protocol):
    """Anything that compares items of two views by inner products."""

    def index_vectors(self, X: ArrayLike | None = None, Y: ArrayLike | None = None) -> Any:
        """Vectors whose inner products are the similarities; dense or sparse rows.

        Args:
            X: first-view features, shape (n, p).
            Y: second-view features, shape (m, q).

        Returns:
            Vectors (n, k) or (m, k); a tuple of both when both views are given.
        """


@dataclass(frozen=True, eq=False)
class HeldOutVectors:
    """Index vectors of the unique held-out items of either view, made once for all tasks; shapes
    (n, k) and (m, k).
    """

    left: Any
    right: Any

    @classmethod
    def of(cls, model: PairScorer, held_out: HeldOut) -> "HeldOutVectors":
        """The vectors under a model.

        Args:
            model: what gives index vectors of both views.
            held_out: the items of both views with their features.

        Returns:
            The vectors of both views.
        """
        return cls(*model.index_vectors(*(view.features for view in held_out.views)))

    def score(self, first: NDArray[np.intp], second: NDArray[np.intp]) -> Float64:
        """Similarities of item first[i] to item second[i].

        Args:
            first: item numbers of the first view, shape (r,).
            second: item numbers of the second view, shape (r,).

        Returns:
            Similarities, shape (r,).
        """
        scores = np.empty(len(first))
        for start in range(0, len(first), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            a, b = self.left[first[block]], self.right[second[block]]
            scores[block] = (
                a.multiply(b).sum(axis=1) if hasattr(a, "multiply") else np.einsum("ik,ik->i", a, b)
            )
        return scores


def search_vectors(
    model: PairScorer, queries: ArrayLike, gallery: ArrayLike, queries_first: bool
) -> tuple[Any, Any]:
    """Index vectors of queries and of the gallery they search, whichever view the queries are of.

    Args:
        model: what gives index vectors of both views.
        queries, gallery: features of either view, shapes (n, p) and (m, q).
        queries_first: whether the queries are of the model's first view.

    Returns:
        Vectors of the queries, shape (n, k), and of the gallery, shape (m, k).
    """
    left, right = model.index_vectors(
        *((queries, gallery) if queries_first else (gallery, queries))
    )
    return (left, right) if queries_first else (right, left)


def each_block(left: Any, right: Any, work: Callable[[slice, Float64], R]) -> list[R]:
    """Work on rows of queries with their scores against the whole gallery, a block for each core
    at a time; the blocks are the same however many cores there are.

    Args:
        left, right: index vectors (n, k) and (m, k), dense or sparse.
        work: takes the rows, and their scores of shape (rows, m).

    Returns:
        What came of each block, in the order of the rows.
    """
    (n, _), (m, _) = left.shape, right.shape
    rows = max(1, _BLOCK_SCORES // max(m, 1))

    def on_block(start: int) -> R:
        block = slice(start, min(start + rows, n))
        scores = left[block] @ right.T
        return work(block, np.asarray(scores.toarray() if hasattr(scores, "toarray") else scores))

    return each(on_block, range(0, n, rows))
