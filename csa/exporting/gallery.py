"""The gallery as a table that databases and vector stores read."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from csa.core.matrices import Array
from csa.errors import InputError
from csa.extras import needed_for
from csa.questions.graphs import of_one_length
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
    tables, told = _tables(fitted, unit)
    for name, table in tables.items():
        write_table(table, folder / f"{name}.parquet")
    return told


def write_lance(fitted: Fitted, folder: Path, unit: bool) -> dict[str, Any]:
    """Write the tables of `write_parquet` as Lance data sets, VIEW.lance.

    Args:
        fitted: a workspace that was run.
        folder: where to; LanceDB opens it as a database.
        unit: see `write_parquet`.

    Returns:
        As `write_parquet`.

    Raises:
        ArtifactError: the workspace was not run yet.
        InputError: the extra `lance` is not installed.
    """
    with needed_for("--format lance", InputError):
        import lance
    tables, told = _tables(fitted, unit)
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        plain = table.to_arrow(compat_level=pl.CompatLevel.oldest())
        lance.write_dataset(plain, folder / f"{name}.lance")
    return told


def write_table(table: pl.DataFrame, path: Path) -> None:
    """Write a table as compressed Parquet, whole or not at all.

    Args:
        table: any.
        path: of the file.
    """
    buffer = BytesIO()
    table.write_parquet(buffer, compression="zstd")
    write_atomic(path, buffer.getvalue())


def about_items(fitted: Fitted, view: str) -> pl.DataFrame:
    """What is said of each item of a view's gallery, in order.

    Args:
        fitted: a workspace that was run.
        view: its name.

    Returns:
        pair_id, the item of each view, label and split.
    """
    return fitted.gallery(view).pairs.select("pair_id", *fitted.scorer.names, "label", "split")


def _tables(fitted: Fitted, unit: bool) -> tuple[dict[str, pl.DataFrame], dict[str, Any]]:
    """The table of each view, and what is told of them."""
    tables: dict[str, pl.DataFrame] = {}
    written: dict[str, Any] = {}
    scale = 1.0
    for place, name in enumerate(fitted.scorer.names):
        vectors = fitted.gallery(name).vectors
        if unit:
            vectors, longest = _beside(vectors, place)
            scale *= longest
        column = pl.Series(
            "vector",
            np.ascontiguousarray(vectors, np.float32),
            dtype=pl.Array(pl.Float32, vectors.shape[1]),
        )
        tables[name] = about_items(fitted, name).with_columns(column)
        written[name] = {"items": len(vectors), "dimension": vectors.shape[1]}
    return tables, {"views": written, "score_of_cosine": scale if unit else None}


def _beside(vectors: Array, place: int) -> tuple[Array, float]:
    """Vectors of one length in which the other view has a dimension of its own, which is 0 here."""
    filled, longest = of_one_length(vectors)
    return np.insert(filled, filled.shape[1] - place, 0.0, axis=1), longest
