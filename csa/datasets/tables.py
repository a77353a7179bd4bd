"""Tables that people have: CSV, TSV, JSON lines, JSON arrays and Parquet, cell by cell."""

import gzip
import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from csa.datasets.parquet import ParquetFile
from csa.datasets.rows import ItemError, as_text, decode_bytes
from csa.datasets.separated import read_separated
from csa.errors import DataError
from csa.storage.files import guarded, plain_words, read_whole, refuse_bomb

_CHUNK = 1 << 24


@dataclass(frozen=True)
class Table:
    """One table.

    Args:
        name: of its file, for errors.
        columns: names, in order.
        height: number of rows, faulty ones too.
        column: the cells of a column, one a row; None in a faulty row.
        where: what a row is called in its file, such as "line 3".
        faults: row -> why the whole of it is unusable.
        notes: what the user should know.
    """

    name: str
    columns: list[str]
    height: int
    column: Callable[[str], list[Any]]
    where: Callable[[int], str]
    faults: dict[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def text(self, name: str, row: int, cells: list[Any]) -> str | None:
        """A cell as a text, None if nothing is there.

        Args:
            name: of the column.
            row: counted from 0.
            cells: of the column.

        Returns:
            The text.

        Raises:
            ItemError: the row is unusable, or its cell is no text.
        """
        if row in self.faults:
            raise ItemError(self.faults[row])
        return as_text(cells[row], f"{self.where(row)}, {name!r}")

    def texts(self, name: str, bad: dict[int, ItemError]) -> list[str | None]:
        """A column as texts, None if nothing is there.

        Args:
            name: of the column.
            bad: row -> what is wrong with it; rows whose cell is no text are added.

        Returns:
            A text or None for each row.
        """
        cells = self.column(name)
        if all(type(cell) is str or cell is None for cell in cells):
            return cells
        for row, cell in enumerate(cells):
            try:
                cells[row] = as_text(cell, f"{self.where(row)}, {name!r}")
            except ItemError as error:
                bad.setdefault(row, error)
                cells[row] = None
        return cells

    def has(self, name: str) -> bool:
        """Whether there is such a column, or a field of one, as COLUMN.FIELD."""
        return name in self.columns or name.partition(".")[0] in self.columns


def read_cells(file: Path, count: int | None = None) -> Table:
    """Read a table by its ending.

    Args:
        file: of the table.
        count: no more than this many rows; None: all.

    Returns:
        The table; its columns are read when they are asked for.

    Raises:
        DataError: not a table, damaged, in an unknown encoding, or a header that names no columns.
    """
    ending = table_ending(file.name)
    if ending is None:
        raise DataError(f"{file}: not a table; use {', '.join(TABLE_ENDINGS)}")
    return _READERS[ending](file, count)


def table_ending(name: str) -> str | None:
    """The ending of a table's file name, such as ".csv" or ".csv.gz"; None for another file."""
    return next((end for end in _READERS if name.lower().endswith(end)), None)


def dig(cell: Any, fields: list[str]) -> Any:
    """A field of a structure.

    Args:
        cell: the structure, or a list of such.
        fields: names, from the outermost to the innermost.

    Returns:
        What the field holds, a list where the cell is one; None if there is no such field.
    """
    for name in fields:
        if isinstance(cell, list):
            cell = [one.get(name) if isinstance(one, dict) else None for one in cell]
        else:
            cell = cell.get(name) if isinstance(cell, dict) else None
    return cell


def _content(file: Path) -> str:
    content = read_whole(file, str(file), "table")
    if file.suffix.lower() == ".gz":
        size, unpacked = len(content), bytearray()
        with guarded(str(file), "gzip"), gzip.open(io.BytesIO(content)) as stream:
            while chunk := stream.read(_CHUNK):
                unpacked += chunk
                refuse_bomb(str(file), len(unpacked), size)
        content = bytes(unpacked)
    return decode_bytes(content, str(file))


def _read_csv(file: Path, count: int | None) -> Table:
    usual = "\t" if ".tsv" in file.name.lower() else ","
    found = read_separated(str(file), _content(file), usual, count)
    notes = tuple(f"{file.name}: {note}" for note in found.notes)
    cells = dict(zip(found.header, found.columns, strict=True))
    return Table(
        file.name,
        found.header,
        len(found.lines),
        cells.__getitem__,
        lambda i: f"line {found.lines[i]}",
        found.faults,
        notes,
    )


def _read_jsonl(file: Path, count: int | None) -> Table:
    records: list[Any] = []
    lines: list[int] = []
    faults: dict[int, str] = {}
    for number, line in enumerate(_content(file).split("\n"), start=1):
        if count is not None and len(lines) >= count:
            break
        if not line.strip():
            continue
        record: Any = {}
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            faults[len(lines)] = f"line {number} is not JSON ({error.msg}); write one object a line"
        except (RecursionError, ValueError, MemoryError) as error:
            faults[len(lines)] = (
                f"line {number} is not JSON that can be read ({plain_words(error)})"
            )
        if not isinstance(record, dict):
            faults[len(lines)] = f"line {number} is no JSON object; write one object a line"
            record = {}
        elif record and line.count('":') > len(record) and (name := _key_twice(line)):
            faults[len(lines)] = f"line {number} has the key {name!r} twice; write each once"
        records.append(record)
        lines.append(number)
    return _of_records(file, records, lambda i: f"line {lines[i]}", faults)


def _key_twice(text: str) -> str:
    """A key that an object in JSON has twice, of which json keeps the last; "" if there is none."""
    found: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        names = Counter(name for name, _ in pairs)
        found.extend(name for name, count in names.items() if count > 1)

    json.loads(text, object_pairs_hook=look)
    return found[0] if found else ""


def _read_json(file: Path, count: int | None) -> Table:
    """An array of objects."""
    text = _content(file)
    with guarded(str(file), "JSON"):
        records = json.loads(text)
        keys = sum(len(one) for one in records if isinstance(one, dict))
        twice = _key_twice(text) if isinstance(records, list) and text.count('":') > keys else ""
    if twice:
        raise DataError(f"{file}: an object has the key {twice!r} twice; write each once")
    if not isinstance(records, list):
        raise DataError(
            f"{file}: it does not hold an array; write an array of objects, or one object a "
            f"line (.jsonl)"
        )
    records = records[:count]
    faults = {
        i: f"entry {i} is no JSON object"
        for i, record in enumerate(records)
        if not isinstance(record, dict)
    }
    whole = [record if isinstance(record, dict) else {} for record in records]
    return _of_records(file, whole, lambda i: f"entry {i}", faults)


def _of_records(
    file: Path, records: list[dict[str, Any]], where: Callable[[int], str], faults: dict[int, str]
) -> Table:
    names = list(dict.fromkeys(name for record in records for name in record))

    def column(name: str) -> list[Any]:
        if name in names:
            return [record.get(name) for record in records]
        top, *fields = name.split(".")
        return [dig(record.get(top), fields) for record in records]

    return Table(file.name, names, len(records), column, where, faults)


def _read_parquet(file: Path, count: int | None) -> Table:
    opened = ParquetFile(file, str(file))
    height = opened.height if count is None else min(opened.height, count)

    def column(name: str) -> list[Any]:
        top, *fields = [name] if name in opened.names else name.split(".")
        table = opened.read([top]) if count is None else opened.head([top], count)
        with guarded(str(file), "Parquet"):
            series = pl.DataFrame(pl.from_arrow(table)).to_series()
            return _plain_cells(series) if not fields else [dig(cell, fields) for cell in series]

    return Table(file.name, opened.names, height, column, lambda i: f"row {i + 1}")


def _plain_cells(series: pl.Series) -> list[Any]:
    """Texts as they are, numbers and dates written out, and everything else as Python has it."""
    if series.dtype.is_float():
        series = series.fill_nan(None)
    kept = (pl.Binary, pl.Object, pl.Duration, pl.Null)
    if series.dtype.is_nested() or series.dtype.base_type() in kept:
        return series.to_list()
    return series.cast(pl.String).to_list()


_READERS: dict[str, Callable[[Path, int | None], Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
    ".ndjson": _read_jsonl,
    ".csv.gz": _read_csv,
    ".tsv.gz": _read_csv,
    ".jsonl.gz": _read_jsonl,
    ".ndjson.gz": _read_jsonl,
    ".json.gz": _read_json,
    ".json": _read_json,
}
TABLE_ENDINGS = tuple(_READERS)
"""Endings (lower case) of tables; a .json is taken for one only where it is named, or alone."""
