"""Graphs over index vectors, kept in the state folder by the content of the vectors: each is built
once, and anew where the vectors are others.
"""

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csa.core.matrices import Array
from csa.errors import ArtifactError, WorkspaceError
from csa.pipeline.workspace import Workspace
from csa.questions.graphs import (
    BUILT_AMONG,
    LINKS,
    FaissGraph,
    Recall,
    of_one_length,
    sample,
    scored,
    tuned,
)
from csa.storage.files import read_json, write_json

_KEPT = 2  # graphs of a view: those of two versions
_PER_RESULT = 4  # points that are kept in view for each result that is asked for, at least
_log = logging.getLogger("csa.serving")


def folder_of(ws: Workspace) -> Path:
    """The folder of all graphs of a repository; `csa forget` removes it.

    Args:
        ws: any of its workspaces.

    Returns:
        A folder that may not exist.
    """
    return ws.state / "indexes"


@dataclass(frozen=True, eq=False)
class Index:
    """A graph with its recall.

    Attributes:
        graph: over the gallery at one length.
        how: the width of its search, and what it finds with it.
    """

    graph: FaissGraph
    how: Recall

    def top_k(
        self, queries: Array, gallery: Array, k: int, keep: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.intp], Array]:
        """The best gallery rows that the graph finds for every query, scored exactly.

        Args:
            queries: index vectors of the other view, shape (n, d).
            gallery: the index vectors that the graph was built over, shape (m, d).
            k: how many; at most m are returned.
            keep: which rows may be found, shape (m,); None: all.

        Returns:
            (rows, scores), both (n, min(k, m)), best first; -1 and -infinity where too few were
            found.
        """
        k = min(k, len(gallery))
        width = max(self.how.width, _PER_RESULT * k)
        if keep is not None:  # most of what is in view may not be found
            width = int(width * len(keep) / max(1, int(keep.sum())))
        rows = self.graph.found(queries, k, width, keep)
        scores = scored(queries, gallery, rows)
        order = np.argsort(-scores, axis=1, kind="stable")
        return np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1)


def index_of(ws: Workspace, view: str, gallery: Array, queries: Array) -> Index:
    """The graph over a gallery: from the state folder, or built now and stored there.

    Args:
        ws: the workspace.
        view: whose gallery it is.
        gallery: its index vectors, shape (m, d).
        queries: index vectors of the other view, shape (n, d), with which recall is measured.

    Returns:
        The graph. One that was damaged is built anew; one that cannot be stored is used all the
        same.

    Raises:
        ImportError: the extra `faiss` is not installed.
    """
    import faiss

    asked = queries[sample(len(queries))]
    path = folder_of(ws) / ws.name / view / f"{_digest(gallery, asked)}.faiss"
    found = _read(path)
    if found is not None:
        return found
    _log.warning("%s: an index of %s items is being built, once", view, f"{len(gallery):,}")
    graph = FaissGraph.of(of_one_length(gallery)[0])
    index = Index(graph, tuned(graph, asked, gallery))
    try:
        _write(faiss, index, path)
    except (OSError, RuntimeError, WorkspaceError) as error:
        _log.warning("%s: cannot be written, so the index will be built again (%s)", path, error)
    return index


def _digest(*arrays: Array) -> str:
    """Of what a graph and its recall depend on."""
    digest = hashlib.sha256(f"{LINKS} {BUILT_AMONG}".encode())
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:32]


def _read(path: Path) -> Index | None:
    """What was stored; None where nothing was, or not these bytes."""
    import faiss

    about = path.with_suffix(".json")
    try:
        told = read_json(about)
        if told["sha256"] != _sha256(path):
            return None
        os.utime(about)  # used last
        return Index(FaissGraph(faiss.read_index(str(path))), Recall(told["width"], told["recall"]))
    except (ArtifactError, OSError, KeyError, TypeError, RuntimeError):
        return None


def _write(faiss: Any, index: Index, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        faiss.write_index(index.graph.index, str(temporary))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    told = {"sha256": _sha256(path), "width": index.how.width, "recall": index.how.recall}
    write_json(path.with_suffix(".json"), told)
    known = sorted(path.parent.glob("*.json"), key=lambda one: one.stat().st_mtime_ns)
    for old in known[:-_KEPT]:
        old.unlink(missing_ok=True)
        old.with_suffix(".faiss").unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
