"""The gallery as an index of nearest neighbours, with FAISS or usearch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from csa.core.matrices import Array
from csa.errors import InputError
from csa.exporting.gallery import about_items, write_table
from csa.extras import needed_for
from csa.questions.graphs import (
    BUILT_AMONG,
    LINKS,
    FaissGraph,
    Graph,
    as_query,
    of_one_length,
    tuned,
)
from csa.questions.opened import Fitted
from csa.storage.files import write_json

G = TypeVar("G", bound=Graph)


class UsearchGraph:
    """A graph that usearch keeps.

    Args:
        vectors: of one length, shape (n, d).
    """

    def __init__(self, vectors: Array):
        from usearch.index import Index

        self.index = Index(
            ndim=vectors.shape[1],
            metric="ip",
            dtype="f32",
            connectivity=LINKS,
            expansion_add=BUILT_AMONG,
        )
        self.index.add(np.arange(len(vectors)), np.ascontiguousarray(vectors, np.float32))

    def found(self, queries: Array, k: int, width: int) -> NDArray[np.intp]:
        """See `csa.questions.graphs.Graph.found`."""
        self.index.expansion_search = max(width, k)
        matches = self.index.search(as_query(queries), k)
        keys: NDArray[np.intp] = np.asarray(matches.keys).reshape(len(queries), -1).astype(np.intp)
        return keys


def write_faiss(fitted: Fitted, folder: Path) -> dict[str, Any]:
    """Write VIEW.faiss for each view: an index of HNSW, whose ids are rows of VIEW.parquet.

    Args:
        fitted: a workspace that was run.
        folder: where to.

    Returns:
        Of each view what VIEW.json says: items, dimension, the search's width, recall, and what an
        inner product is multiplied by to give the score.

    Raises:
        ArtifactError: the workspace was not run yet.
        InputError: the extra `faiss` is not installed.
    """
    with needed_for("--format faiss", InputError):
        import faiss

    def save(graph: FaissGraph, width: int, path: Path) -> None:
        graph.index.hnsw.efSearch = width
        faiss.write_index(graph.index, f"{path}.faiss")

    return _write(fitted, folder, FaissGraph.of, save)


def write_usearch(fitted: Fitted, folder: Path) -> dict[str, Any]:
    """Write VIEW.usearch for each view: an index of HNSW, whose keys are rows of VIEW.parquet.

    Args:
        fitted: a workspace that was run.
        folder: where to.

    Returns:
        As `write_faiss`.

    Raises:
        ArtifactError: the workspace was not run yet.
        InputError: the extra `usearch` is not installed.
    """
    with needed_for("--format usearch", InputError):
        import usearch.index  # noqa: F401

    def save(graph: UsearchGraph, width: int, path: Path) -> None:
        graph.index.expansion_search = width
        graph.index.save(f"{path}.usearch")

    return _write(fitted, folder, UsearchGraph, save)


def _write(
    fitted: Fitted,
    folder: Path,
    build: Callable[[Array], G],
    save: Callable[[G, int, Path], None],
) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    told = {}
    for name in fitted.scorer.names:
        gallery = fitted.gallery(name).vectors
        vectors, longest = of_one_length(gallery)
        graph = build(vectors)
        how = tuned(graph, fitted.gallery(fitted.scorer.other(name)).vectors, gallery)
        save(graph, how.width, folder / name)
        write_table(about_items(fitted, name), folder / f"{name}.parquet")
        told[name] = {
            "items": len(vectors),
            "dimension": vectors.shape[1],
            "width": how.width,
            "recall_at_10": round(how.recall, 4),
            "score_of_inner_product": longest,
        }
        write_json(folder / f"{name}.json", told[name])
    return {"views": told}
