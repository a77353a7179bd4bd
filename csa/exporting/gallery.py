"""The gallery as a table that databases and vector stores read."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from csa.core.matrices import Array
from csa.questions.opened import Fitted
from csa.storage.files import write_atomic


def write_parquet(fitted: Fitted, folder: Path, unit: bool) -> dict[str, Any]:
    """Write a table for each view, VIEW.parquet: pair_id, the item of each view, label, split, and
    vector, the item's index vector in float32. Inner products across tables are the scores.

    Args:
        fitted: a workspace that was run.
        folder: where to.
        unit: whether all vectors are brought to length 1, so that the cosine orders as the score
            does, in both directions. Two dimensions more do that: the first fills up the vectors of
            the first view, the second those of the second; a new query has 0 in both.

    Returns:
        What was written: items and dimension of each view, and what a cosine is multiplied by to
        give the score.

    Raises:
        ArtifactError: the workspace was not run yet.
    """
    written: dict[str, Any] = {}
    scale = 1.0
    for place, name in enumerate(fitted.scorer.names):
        gallery = fitted.gallery(name)
        vectors = gallery.vectors
        if unit:
            vectors, longest = _of_one_length(vectors, place)
            scale *= longest
        table = gallery.pairs.select(
            "pair_id", *fitted.scorer.names, "label", "split"
        ).with_columns(
            pl.Series(
                "vector",
                np.ascontiguousarray(vectors, np.float32),
                dtype=pl.Array(pl.Float32, vectors.shape[1]),
            )
        )
        buffer = BytesIO()
        table.write_parquet(buffer, compression="zstd")
        write_atomic(folder / f"{name}.parquet", buffer.getvalue())
        written[name] = {"items": len(vectors), "dimension": vectors.shape[1]}
    return {"views": written, "score_of_cosine": scale if unit else None}


def _of_one_length(vectors: Array, place: int) -> tuple[Array, float]:
    """Vectors over the longest's length with two dimensions more, of which one brings each to
    length 1; and the longest's length.
    """
    lengths = np.linalg.norm(vectors, axis=1)
    longest = max(float(lengths.max(initial=0.0)), np.finfo(np.float64).tiny)
    more = np.zeros((len(vectors), 2))
    more[:, place] = np.sqrt(np.maximum(0.0, 1 - (lengths / longest) ** 2))
    return np.column_stack([vectors / longest, more]), longest
