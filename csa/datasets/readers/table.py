"""Reader `table`: a CSV, TSV, JSONL or Parquet table, every cell read as text."""

import csv
import difflib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from csa.datasets.array_files import open_array
from csa.datasets.containers import inside
from csa.datasets.rows import RawPair, Source, decode_text
from csa.errors import DataError
from csa.params.data import DatasetParams
from csa.params.views import ViewParams

Cells: TypeAlias = dict[str, list[str | None]]
"""Column name -> its cells."""

_OWN_COLUMNS = ("id", "group", "split", "label", "mislabelled")
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_DEFAULT_TABLE = "pairs.csv"


def read_table(params: DatasetParams, views: dict[str, ViewParams], path: Path) -> Source:
    """Read a table with one row a pair.

    `dataset.path` is the table itself, or a folder that holds it: `dataset.table`, else pairs.csv,
    else the only table there. Columns are found by `dataset.columns` (our name -> the table's),
    else by our name. Cells stay as they are written: "NA" is a text and "007" is no number. Without
    a column for id, the id is the row's number, counted from 1. Views of modality array have no
    column: row i of their file in `dataset.arrays` belongs to row i of the table. The column
    mislabelled says true or false of a pair that is known to be wrong or right.

    Raises:
        DataError: no such table or column, a damaged table, another encoding than UTF-8, an array
            of another length, or a truth value that is none.
    """
    file = _find_table(params, path)
    cells = _read_cells(file)
    columns = _map_columns(params, views, cells, file)
    height = len(next(iter(cells.values()), []))
    found = {ours: cells[theirs] for ours, theirs in columns.items()}
    found |= array_values(
        params, height, f"table {file.name}", path if path.is_dir() else path.parent
    )
    nothing: list[str | None] = [None] * height
    ids = found.get("id", [str(i + 1) for i in range(height)])
    group, split, label, mislabelled = (found.get(name, nothing) for name in _OWN_COLUMNS[1:])
    rows = []
    for i in range(height):
        place, values = f"row {i + 1}", {view: found[view][i] for view in views}
        rows.append(
            RawPair(
                place,
                ids[i],
                values,
                group[i],
                split[i],
                label[i],
                truth(mislabelled[i], f"{file}: {place}"),
            )
        )
    return Source(rows)


def truth(cell: str | None, place: str) -> bool | None:
    """A truth value as people write it; None for a blank cell.

    Raises:
        DataError: anything else; `place` says where.
    """
    word = (cell or "").strip().lower()
    if word and word not in _TRUTH:
        raise DataError(
            f"{place}: {cell!r} is no truth value; write true or false, or leave the cell empty"
        )
    return _TRUTH.get(word)


def array_values(params: DatasetParams, height: int | None, owner: str, root: Path) -> Cells:
    """The FILE#ROW values of every view in `dataset.arrays`.

    Args:
        params: of the data set.
        height: how many rows each file must have; None: as many as the first has.
        owner: what has that many rows, for errors.
        root: the data set's folder, which the files are relative to.

    Raises:
        DataError: a file is unusable, or its number of rows differs.
    """
    values: Cells = {}
    for view, name in params.arrays.items():
        count = len(open_array(inside(root, name), name))
        if height is None:
            height, owner = count, name
        if count != height:
            raise DataError(
                f"{name} has {count} rows but {owner} has {height}; row i of each belongs "
                f"together, so the counts must agree"
            )
        values[view] = [f"{name}#{row}" for row in range(count)]
    return values


def _find_table(params: DatasetParams, path: Path) -> Path:
    if path.is_file():
        return path
    if params.table is not None:
        file = inside(path, params.table)
        if not file.is_file():
            raise DataError(f"{file}: no such table; correct dataset.table ({_tables_text(path)})")
        return file
    tables = _tables(path)
    if path / _DEFAULT_TABLE in tables:
        return path / _DEFAULT_TABLE
    if len(tables) != 1:
        raise DataError(
            f"{path}: cannot tell which table to read ({_tables_text(path)}); set dataset.table"
        )
    return tables[0]


def _tables(folder: Path) -> list[Path]:
    return sorted(
        file for file in folder.iterdir() if file.suffix.lower() in _READERS and file.is_file()
    )


def _tables_text(folder: Path) -> str:
    names = [file.name for file in _tables(folder)]
    return f"there are {', '.join(names)}" if names else f"there is no {', '.join(_READERS)} file"


def _map_columns(
    params: DatasetParams, views: dict[str, ViewParams], cells: Cells, file: Path
) -> dict[str, str]:
    """Our name -> the table's column, for every column that is used."""
    wanted = [view for view, settings in views.items() if settings.modality != "array"]
    known = [*_OWN_COLUMNS, *wanted]
    for ours in params.columns:
        if ours not in known:
            raise DataError(
                f"dataset.columns names {ours!r}, which is none of "
                f"{', '.join(known)}{_nearest(ours, known)}"
            )
    columns = {}
    for ours in known:
        theirs = params.columns.get(ours, ours)
        if theirs in cells:
            columns[ours] = theirs
        elif ours in params.columns or ours in wanted:
            raise DataError(
                f"{file}: no column {theirs!r} for {ours!r}; the columns are "
                f"{', '.join(cells) or '(none)'}"
                f"{_nearest(theirs, list(cells))} Map it in dataset.columns"
            )
    return columns


def _nearest(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else "."


def _read_cells(file: Path) -> Cells:
    read = _READERS.get(file.suffix.lower())
    if read is None:
        raise DataError(f"{file}: not a table; use {', '.join(_READERS)}")
    return read(file)


def _read_separated(file: Path, separator: str) -> Cells:
    # Not the csv module's limit of 131,072 characters a cell: a text may be a document.
    limit = csv.field_size_limit(2**31 - 1)
    try:
        reader = csv.reader(
            io.StringIO(decode_text(file), newline=""), delimiter=separator, strict=True
        )
        header = [name.strip() for name in next(reader, [])]
        _check_header(header, file)
        columns: Cells = {name: [] for name in header}
        for cells in reader:
            if not cells:
                continue  # a blank line
            if len(cells) != len(header):
                raise DataError(
                    f"{file}: line {reader.line_num} has {len(cells)} cells but the header has "
                    f"{len(header)}; "
                    "put quotes around a cell that holds the separator"
                )
            for name, cell in zip(header, cells, strict=True):
                columns[name].append(cell)
    except csv.Error as error:
        raise DataError(
            f"{file}: line {reader.line_num} cannot be read ({error}); look for an open or stray "
            f"quote"
        ) from None
    finally:
        csv.field_size_limit(limit)
    return columns


def first_cells(file: Path, count: int = 200) -> Cells:
    """The first rows of a table, as text.

    Raises:
        DataError: not a table, or damaged.
    """
    if file.suffix.lower() == ".parquet":
        return _read_parquet(file, count)
    return {name: column[:count] for name, column in _read_cells(file).items()}


def _check_header(header: list[str], file: Path) -> None:
    if not header:
        raise DataError(f"{file}: the table is empty; its first line must name the columns")
    repeated = [name for name in header if header.count(name) > 1]
    if repeated:
        raise DataError(f"{file}: two columns are called {repeated[0]!r}; rename one")


def _read_jsonl(file: Path) -> Cells:
    records = []
    for number, line in enumerate(decode_text(file).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{file}: line {number} is not JSON ({error.msg}); write one object a line"
            ) from None
        if not isinstance(record, dict):
            raise DataError(f"{file}: line {number} is no JSON object; write one object a line")
        records.append(
            {
                key: _json_text(value, f"{file}: line {number}, {key!r}")
                for key, value in record.items()
            }
        )
    names = dict.fromkeys(name for record in records for name in record)
    return {name: [record.get(name) for record in records] for name in names}


def _json_text(value: Any, place: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list | dict):
        raise DataError(
            f"{place} holds a {type(value).__name__}; a cell is a text or a number, so write one "
            f"row a caption"
        )
    return json.dumps(value)


def _read_parquet(file: Path, count: int | None = None) -> Cells:
    try:
        frame = pl.read_parquet(file, glob=False, n_rows=count)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"{file}: not readable as Parquet ({' '.join(str(error).split())}); write it again"
        ) from None
    # Lists and bytes are no text, so such a column is not offered.
    plain = [
        name
        for name, dtype in frame.schema.items()
        if not dtype.is_nested() and dtype not in (pl.Binary, pl.Object)
    ]
    return {name: frame[name].cast(pl.String).to_list() for name in plain}


_READERS: dict[str, Callable[[Path], Cells]] = {
    ".csv": lambda file: _read_separated(file, ","),
    ".tsv": lambda file: _read_separated(file, "\t"),
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
TABLE_ENDINGS = tuple(_READERS)
