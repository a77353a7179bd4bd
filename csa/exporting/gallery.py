"""The gallery as other tools take it: a table, or the index of a kept library with its ids."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from csa.core.index import recall_at_k
from csa.core.matrices import Float32
from csa.core.search import top_k
from csa.errors import InputError
from csa.extras import needed_for
from csa.questions.opened import Fitted
from csa.storage.files import write_json

EXACT = 200_000
"""Up to so many vectors an index is exact; above, it is a graph (HNSW)."""

_QUERIES = 500
_NEIGHBOURS = 10
_LINKS, _BUILD, _LOOK = 32, 200, 256  # of the graph: links a node, width of building and of looking


@dataclass(frozen=True, eq=False)
class Exported:
    """A gallery that is written somewhere.

    Attributes:
        view: whose items it holds.
        table: a row an item: id, item, partner, label, split.
        vectors: index vectors, float32, shape (n, k).
        queries: of some items of the other view, float32, shape (m, k).
    """

    view: str
    table: pl.DataFrame
    vectors: Float32
    queries: Float32

    @classmethod
    def of(cls, fitted: Fitted, view: str | None, unit: bool) -> "Exported":
        """The gallery of a workspace.

        Args:
            fitted: the workspace.
            view: whose items; None for the first that is no text.
            unit: whether vectors are brought to one length, with a dimension more, so that the
                cosine with a query (and a 0 behind it) orders as the inner product does.

        Raises:
            ArtifactError: the workspace was not run yet.
            InputError: no such view.
        """
        name = view or fitted.params.anchor_view
        other = fitted.scorer.other(fitted.scorer.view(name).name)
        gallery, asked = fitted.gallery(name), fitted.gallery(other)
        pairs = gallery.pairs
        table = pairs.select(
            pl.col("pair_id").alias("id"),
            pl.col(name).alias("item"),
            pl.col(other).alias("partner"),
            "label",
            "split",
        )
        rows = np.linspace(0, len(asked.vectors) - 1, min(_QUERIES, len(asked.vectors)), dtype=int)
        vectors, queries = gallery.vectors, asked.vectors[rows]
        if unit:
            vectors = _one_length(vectors)
            queries = np.column_stack([queries, np.zeros(len(queries))])
        return cls(
            name,
            table,
            np.ascontiguousarray(vectors, np.float32),
            np.ascontiguousarray(queries, np.float32),
        )

    def recall(self, found: Any) -> float:
        """Share of the exact 10 nearest that an index found.

        Args:
            found: rows for each of `queries`, shape (m, 10).
        """
        k = min(_NEIGHBOURS, len(self.vectors))
        exact, _ = top_k(self.queries, self.vectors, k)
        return recall_at_k(np.asarray(found, dtype=np.intp)[:, :k], exact)

    def facts(self) -> dict[str, Any]:
        """For people, and for whoever reads the folder later."""
        n, dimension = self.vectors.shape
        return {"view": self.view, "items": n, "dimension": dimension, "metric": "inner product"}


def write_parquet(exported: Exported, folder: Path) -> dict[str, Any]:
    """Write a table: id, item, partner, label, split, and vector, a list of fixed size.

    Args:
        exported: the gallery.
        folder: where to; gallery.parquet.

    Returns:
        What was written.
    """
    dimension = exported.vectors.shape[1]
    vector = pl.Series("vector", exported.vectors, dtype=pl.Array(pl.Float32, dimension))
    exported.table.with_columns(vector).write_parquet(folder / "gallery.parquet")
    return exported.facts()


def write_faiss(exported: Exported, folder: Path) -> dict[str, Any]:
    """Write a FAISS index of inner products, and its rows' ids.

    Args:
        exported: the gallery.
        folder: where to; gallery.faiss and ids.parquet.

    Returns:
        What was written, with its recall at 10.

    Raises:
        InputError: FAISS is not installed.
    """
    with needed_for("--format faiss", InputError):
        import faiss
    n, dimension = exported.vectors.shape
    if n <= EXACT:
        index = faiss.IndexFlatIP(dimension)
    else:
        index = faiss.IndexHNSWFlat(dimension, _LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction, index.hnsw.efSearch = _BUILD, _LOOK
    index.add(exported.vectors)
    faiss.write_index(index, str(folder / "gallery.faiss"))
    _, found = index.search(exported.queries, min(_NEIGHBOURS, n))
    return _with_ids(exported, folder, found)


def write_usearch(exported: Exported, folder: Path) -> dict[str, Any]:
    """Write a USearch index of inner products (HNSW), and its keys' ids.

    Args:
        exported: the gallery.
        folder: where to; gallery.usearch and ids.parquet.

    Returns:
        What was written, with its recall at 10.

    Raises:
        InputError: USearch is not installed.
    """
    with needed_for("--format usearch", InputError):
        from usearch.index import Index
    n, dimension = exported.vectors.shape
    index = Index(
        ndim=dimension,
        metric="ip",
        dtype="f32",
        connectivity=_LINKS,
        expansion_add=_BUILD,
        expansion_search=_LOOK,
    )
    index.add(np.arange(n), exported.vectors)
    index.save(str(folder / "gallery.usearch"))
    found = index.search(exported.queries, min(_NEIGHBOURS, n)).keys
    return _with_ids(exported, folder, np.atleast_2d(found))


def _with_ids(exported: Exported, folder: Path, found: Any) -> dict[str, Any]:
    exported.table.with_row_index("row").write_parquet(folder / "ids.parquet")
    facts = exported.facts() | {"recall_at_10": round(exported.recall(found), 4)}
    write_json(folder / "index.json", facts)
    return facts


def _one_length(vectors: Any) -> Any:
    """Vectors over the longest's length, with one dimension more that brings each to length 1."""
    lengths = np.linalg.norm(vectors, axis=1)
    longest = max(float(lengths.max(initial=0.0)), np.finfo(np.float64).tiny)
    rest = np.sqrt(np.maximum(0.0, 1 - (lengths / longest) ** 2))
    return np.column_stack([vectors / longest, rest])
