"""Parquet files that strangers made.

pyarrow decodes them and proves every offset before anything else sees a cell: other decoders end
the process where a page is damaged. pyarrow's own accessors do so where the footer is damaged, so
the footer is proved first, by a reader that gets no page. What a file promises to hold is compared
with its size before a page of it is read.
"""

import contextlib
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from csa.errors import DataError
from csa.extras import needed_for
from csa.storage.files import guarded, refuse_bomb, refuse_pointer_at, what_is

_CELL_BYTES = 8


class ParquetFile:
    """One Parquet file, of which columns are read as they are asked for.

    Args:
        path: of the file.
        name: what errors call it.

    Raises:
        DataError: no such file, damaged, or two columns of one name.
    """

    def __init__(self, path: Path, name: str):
        with needed_for(f"{name}: a Parquet file", DataError):
            from pyarrow import parquet
        if what_is(path) != "a file":
            raise DataError(f"{name}: no such Parquet file; correct the path")
        self._path, self._name = path, name
        with guarded(name, "Parquet"):
            refuse_pointer_at(path, name, "table")
            _prove_footer(path)
            self._file = parquet.ParquetFile(path)
            self.schema = self._file.schema_arrow
            _prove_notes(self.schema)
            self.height = int(self._file.metadata.num_rows)
        self.names: list[str] = list(self.schema.names)
        repeated = [one for one in self.names if self.names.count(one) > 1]
        if repeated:
            raise DataError(f"{name}: two columns are called {repeated[0]!r}; rename one")

    @property
    def groups(self) -> list[int]:
        """The number of rows of each row group."""
        metadata = self._file.metadata
        return [int(metadata.row_group(i).num_rows) for i in range(metadata.num_row_groups)]

    def nulls(self, leaf: str, group: int) -> int | None:
        """How many cells of a row group hold nothing, as the footer says.

        Args:
            leaf: path of a leaf column, such as image.bytes.
            group: the row group.

        Returns:
            The count; None if the footer does not say, or there is no such column.
        """
        with guarded(self._name, "Parquet"):
            for chunk in self._chunks([leaf], [group]):
                if chunk.path_in_schema == leaf and chunk.is_stats_set:
                    statistics = chunk.statistics
                    return int(statistics.null_count) if statistics.has_null_count else None
        return None

    def read(self, names: Sequence[str], group: int | None = None) -> Any:
        """Columns of the file, whole.

        Args:
            names: of the columns.
            group: the one row group that is read; None: all.

        Returns:
            A pyarrow Table of these columns, in this order.

        Raises:
            DataError: damaged, or it unpacks to far more than it can hold.
        """
        groups = range(self._file.metadata.num_row_groups) if group is None else [group]
        size = self._path.stat().st_size
        refuse_bomb(self._name, self._promised(names, groups), size)
        with guarded(self._name, "Parquet"):
            return self._decoded(names, groups, size)

    def head(self, names: Sequence[str], count: int) -> Any:
        """The first rows of columns.

        Args:
            names: of the columns.
            count: how many rows are wanted.

        Returns:
            A pyarrow Table of the row groups that hold them, cut to `count` rows.

        Raises:
            DataError: as of `read`.
        """
        needed, rows = 0, 0
        while needed < len(self.groups) and rows < count:
            rows += self.groups[needed]
            needed += 1
        size = self._path.stat().st_size
        refuse_bomb(self._name, self._promised(names, range(needed)), size)
        with guarded(self._name, "Parquet"):
            return self._decoded(names, range(needed), size).slice(0, count)

    def _chunks(self, names: Sequence[str], groups: Iterable[int]) -> Iterator[Any]:
        """What the footer says of each piece of columns."""
        for i in groups:
            group = self._file.metadata.row_group(i)
            for chunk in map(group.column, range(group.num_columns)):
                if _top(chunk.path_in_schema, names):
                    yield chunk

    def _promised(self, names: Sequence[str], groups: Iterable[int]) -> int:
        """Bytes that columns say they unpack to."""
        with guarded(self._name, "Parquet"):
            chunks = list(self._chunks(names, groups))
            cells = sum(int(chunk.num_values) for chunk in chunks) * _CELL_BYTES
            return max(cells, sum(int(chunk.total_uncompressed_size) for chunk in chunks))

    def _decoded(self, names: Sequence[str], groups: Sequence[int], size: int) -> Any:
        from pyarrow import compute, types
        from pyarrow.parquet import ParquetFile as Opened

        # A dictionary may give one long text to each of a billion rows: its lengths are added up
        # before it is written out.
        coded = {c.path_in_schema for c in self._chunks(names, groups) if c.has_dictionary_page}
        texts = [name for name in names if name in coded and _is_text(self.schema.field(name).type)]
        opened = Opened(self._path, read_dictionary=texts) if texts else self._file
        table = opened.read_row_groups(list(groups), columns=list(names)).select(list(names))
        table = table.replace_schema_metadata()  # notes on the whole file need not be UTF-8
        table.validate(full=True)
        for i, column in enumerate(table.columns):
            if not (types.is_dictionary(column.type) and _is_text(column.type.value_type)):
                continue
            written = sum(
                compute.sum(compute.binary_length(chunk.dictionary).take(chunk.indices)).as_py()
                or 0
                for chunk in column.chunks
            )
            refuse_bomb(self._name, written, size)
            plain = column.cast(column.type.value_type)
            table = table.set_column(i, names[i], plain)
        return table


class _PageAskedError(Exception):
    """The footer is sound: what is asked for lies beyond it."""


class _NoPages(io.FileIO):
    """A file of which nothing more can be read once `shut` is set."""

    shut = False

    def read(self, size: int | None = -1) -> Any:
        """Bytes of the file.

        Raises:
            _PageAskedError: after it was shut.
        """
        if self.shut:
            raise _PageAskedError
        return super().read(-1 if size is None else size)


def _prove_footer(path: Path) -> None:
    """Let the reader see every entry of the footer: what it raises can be caught."""
    from pyarrow.parquet import ParquetFile as Opened

    with _NoPages(path) as file:
        opened = Opened(file, pre_buffer=True)
        file.shut = True
        with contextlib.suppress(_PageAskedError):
            opened.read_row_groups(list(range(opened.metadata.num_row_groups)), use_threads=False)
        _prove_types(opened.metadata)


def _prove_types(metadata: Any) -> None:
    """A column has one type: where a row group names another, its statistics end the process."""
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for i in range(group.num_columns):
            chunk, wanted = group.column(i), metadata.schema.column(i).physical_type
            if chunk.physical_type != wanted:
                raise ValueError(
                    f"column {chunk.path_in_schema} is {wanted}, and {chunk.physical_type} in a "
                    f"row group"
                )


def _prove_notes(fields: Iterable[Any]) -> None:
    """What is noted beside a field within a column has to be UTF-8: polars ends in a panic that
    writes to the terminal where it is not.
    """
    for field in fields:
        kind = field.type
        inner = [kind.field(i) for i in range(kind.num_fields)]
        for one in inner:
            for note in (one.metadata or {}).items():
                b" ".join(note).decode()
        _prove_notes(inner)


def _top(path: str, names: Sequence[str]) -> bool:
    """Whether a leaf column belongs to one of the columns; a name may hold dots."""
    return any(path == name or path.startswith(f"{name}.") for name in names)


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
    )
