"""The pairs table on disk, and the other tables that stages write."""

from io import BytesIO
from pathlib import Path

import polars as pl

from csa.errors import ArtifactError
from csa.storage.files import write_atomic


def write_pairs(frame: pl.DataFrame, path: Path) -> None:
    """Write a table as Parquet: atomically, and the same bytes for the same rows.

    Args:
        frame: the table.
        path: the file.
    """
    buffer = BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=False)
    write_atomic(path, buffer.getvalue())


def read_pairs(path: Path) -> pl.DataFrame:
    """Read the pairs table.

    Raises:
        ArtifactError: missing, damaged, or another table.
    """
    pairs = read_written(path)
    missing = [
        column for column in ("pair_id", "group", "split", "label") if column not in pairs.columns
    ]
    if missing:
        raise ArtifactError(
            f"{path}: not a pairs table, it has no column {missing[0]}; delete it and run `csa "
            f"run` again"
        )
    return pairs


def read_written(path: Path) -> pl.DataFrame:
    """Read a table that a stage wrote.

    Raises:
        ArtifactError: missing or damaged.
    """
    try:
        return pl.read_parquet(path, glob=False)
    except FileNotFoundError:
        raise ArtifactError(f"{path}: no such file; run `csa run` first") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ArtifactError(
            f"{path}: damaged ({type(error).__name__}); delete it and run `csa run` again"
        ) from None
