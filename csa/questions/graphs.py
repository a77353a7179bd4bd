"""Nearest neighbours by a graph (HNSW; Malkov & Yashunin 2020), for galleries too large to be
searched exactly.

A graph finds near points. A score is an inner product, of which a long vector has more than a near
one, so vectors are brought to one length by one more coordinate (Bachrach et al. 2014): then the
largest inner product is the nearest point. What a graph finds is scored exactly afterwards.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from csa.core.matrices import Array
from csa.core.search import top_k

NEIGHBOURS = 10
"""Recall is measured at so many results."""

ENOUGH = 0.98
"""The recall that is asked for."""

LINKS, BUILT_AMONG = 32, 128
"""Links of a point in a graph's upper layers, and how many points are looked at to find them."""

_WIDTHS = (64, 128, 256, 512, 1024)
_SAMPLE = 500
_SEED = 0


def of_one_length(vectors: Array) -> tuple[Array, float]:
    """Vectors over the longest's length, with one coordinate more that brings each to length 1.

    The inner product with a query that has 0 there is the one before, over that length.

    Args:
        vectors: of a gallery, shape (n, k).

    Returns:
        Vectors (n, k + 1), and the longest's length.

    >>> of_one_length(np.array([[3.0, 4.0], [3.0, 0.0]]))[0].round(2).tolist()
    [[0.6, 0.8, 0.0], [0.6, 0.0, 0.8]]
    """
    lengths = np.linalg.norm(vectors, axis=1)
    longest = max(float(lengths.max(initial=0.0)), np.finfo(np.float64).tiny)
    more = np.sqrt(np.maximum(0.0, 1 - (lengths / longest) ** 2))
    return np.column_stack([vectors / longest, more]), longest


def as_query(vectors: Array) -> NDArray[np.float32]:
    """Queries for vectors of `of_one_length`, shape (n, k + 1)."""
    padded: NDArray[np.float32] = np.pad(vectors, ((0, 0), (0, 1))).astype(np.float32)
    return padded


def sample(rows: int) -> NDArray[np.intp]:
    """Rows of queries that recall is measured with: at most 500, drawn with a seed."""
    drawn = np.random.default_rng(_SEED).permutation(rows)[:_SAMPLE]
    return np.sort(drawn)


class Graph(Protocol):
    """A graph over index vectors, whichever library keeps it."""

    def found(self, queries: Array, k: int, width: int) -> NDArray[np.intp]:
        """Rows of the gallery, shape (n, k), best first; -1 if nothing was found.

        Args:
            queries: index vectors of the other view, shape (n, d).
            k: how many.
            width: points that are kept in view during a search (ef).

        Returns:
            The rows.
        """


@dataclass(frozen=True)
class Recall:
    """How well a graph answers.

    Attributes:
        width: points that are kept in view during a search (ef).
        recall: share of what it finds that is as good as the 10 best items, over sampled queries.
    """

    width: int
    recall: float


def tuned(graph: Graph, queries: Array, gallery: Array) -> Recall:
    """The narrowest search that finds enough.

    Args:
        graph: over the gallery.
        queries: index vectors of the other view, shape (n, d).
        gallery: index vectors, shape (m, d).

    Returns:
        Its width, and the recall; of the widest where none finds enough.
    """
    asked = queries[sample(len(queries))]
    _, best = top_k(asked, gallery, NEIGHBOURS)
    told = Recall(_WIDTHS[0], 1.0)
    for width in _WIDTHS if best.size else ():
        found = graph.found(asked, best.shape[1], width)
        scores = scored(asked, gallery, found)
        close = 1e-6 * np.abs(best[:, -1:])  # items with equal vectors are as good as each other
        told = Recall(width, float((scores >= best[:, -1:] - close).mean()))
        if told.recall >= ENOUGH:
            break
    return told


def scored(queries: Array, gallery: Array, rows: NDArray[np.intp]) -> Array:
    """Scores of queries with items that were found.

    Args:
        queries: index vectors, shape (n, d).
        gallery: index vectors of the other view, shape (m, d).
        rows: of the gallery, shape (n, k); -1 if nothing was found.

    Returns:
        Scores, shape (n, k); -infinity if nothing was found.
    """
    scores: Array = np.einsum("nd,nkd->nk", queries, gallery[rows])
    return np.where(rows < 0, -np.inf, scores)


class FaissGraph:
    """A graph that FAISS keeps.

    Args:
        index: `faiss.IndexHNSWFlat` over vectors of one length.
    """

    def __init__(self, index: Any):
        self.index = index

    @classmethod
    def of(cls, vectors: Array) -> "FaissGraph":
        """Build it; the extra `faiss` is there.

        Args:
            vectors: of one length, shape (n, d).
        """
        import faiss

        index = faiss.IndexHNSWFlat(vectors.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = BUILT_AMONG
        index.add(np.ascontiguousarray(vectors, np.float32))
        return cls(index)

    def found(
        self, queries: Array, k: int, width: int, keep: NDArray[np.bool_] | None = None
    ) -> NDArray[np.intp]:
        """See `Graph.found`.

        Args:
            queries: index vectors of the other view, shape (n, d).
            k: how many.
            width: points that are kept in view during a search.
            keep: which rows may be found, shape (m,); None: all.

        Returns:
            The rows.
        """
        import faiss

        asked = faiss.SearchParametersHNSW(efSearch=max(width, k))
        if keep is not None:
            asked.sel = faiss.IDSelectorBitmap(np.packbits(keep, bitorder="little"))
        _, rows = self.index.search(as_query(queries), k, params=asked)
        found: NDArray[np.intp] = rows.astype(np.intp)
        return found
