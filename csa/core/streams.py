"""Blocks of paired features from files larger than memory, for `Moments.from_blocks`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from csa.core.matrices import Array
from csa.errors import FeatureError
from csa.extras import needed_for

_BLOCK_ROWS = 1024
# Read ahead of each column, so that a row group is never held whole.
_READ_BYTES = 1_000_000


@dataclass(frozen=True)
class ParquetPairs:
    """Pairs of features in Parquet shards, row i of the first view's files belonging to row i of
    the second's.

    Iterating gives blocks (X, Y) and can be done again. Needs pyarrow.

    Args:
        x, y: the files of each view, in order; the same files where both views are columns of one
            table.
        x_column, y_column: columns of (fixed-size) lists of numbers, one list an item.
    """

    x: Sequence[str | Path]
    y: Sequence[str | Path]
    x_column: str = "features"
    y_column: str = "features"

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        """Blocks of pairs.

        Raises:
            FeatureError: a missing file or column, lists of different lengths, or views of
                different numbers of rows.
        """
        return _aligned(_parquet_rows(self.x, self.x_column), _parquet_rows(self.y, self.y_column))


def _aligned(first: Iterator[Array], second: Iterator[Array]) -> Iterator[tuple[Array, Array]]:
    """Cut two streams of rows into blocks of the same rows."""
    x, y = next(first, None), next(second, None)
    while x is not None and y is not None:
        rows = min(len(x), len(y))
        yield x[:rows], y[:rows]
        x, y = _rest_or_next(x[rows:], first), _rest_or_next(y[rows:], second)
    if x is not None or y is not None:
        raise FeatureError(
            f"the {'second' if x is not None else 'first'} view has fewer rows: row i of both "
            f"must be one pair"
        )


def _rest_or_next(rest: Array, stream: Iterator[Array]) -> Array | None:
    return rest if len(rest) else next(stream, None)


def _parquet_rows(files: Sequence[str | Path], column: str) -> Iterator[Array]:
    with needed_for("reading Parquet shards", FeatureError):
        from pyarrow import ArrowInvalid, parquet

    for path in files:
        try:
            with parquet.ParquetFile(path, buffer_size=_READ_BYTES, pre_buffer=False) as file:
                if column not in file.schema_arrow.names:
                    raise FeatureError(
                        f"{path}: has no column {column!r}, only {file.schema_arrow.names}"
                    )
                for batch in file.iter_batches(_BLOCK_ROWS, columns=[column], use_threads=False):
                    if len(batch):
                        yield _matrix(batch.column(0), path)
        except FileNotFoundError:
            raise FeatureError(f"{path}: no such file; check the list of shards") from None
        except ArrowInvalid as error:
            raise FeatureError(
                f"{path}: not a Parquet file, or damaged ({error}); restore it"
            ) from None


def _matrix(lists: Any, path: str | Path) -> Array:
    values = lists.flatten().to_numpy(zero_copy_only=False)
    if len(values) % len(lists) or lists.null_count or (np.diff(lists.value_lengths()) != 0).any():
        raise FeatureError(
            f"{path}: lists of different lengths or missing ones; every item needs the same "
            f"number of features"
        )
    matrix: Array = values.reshape(len(lists), -1)
    return matrix
