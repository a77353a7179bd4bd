"""Reader `table`: a CSV, TSV, JSONL or Parquet table, every cell read as text."""

import difflib
from pathlib import Path

from csa.datasets.array_files import array_rows
from csa.datasets.reading import Reading
from csa.datasets.rows import ItemError, RawPair, known, truth
from csa.datasets.tables import TABLE_ENDINGS, Table, read_cells, table_ending
from csa.errors import DataError
from csa.storage.files import what_is

_OWN_COLUMNS = ("id", "group", "split", "label", "mislabelled")
_DEFAULT_TABLE = "pairs.csv"


def read_table(reading: Reading) -> None:
    """Read a table with one row a pair.

    `dataset.path` is the table itself, or a folder that holds it: `dataset.table`, else pairs.csv,
    else the only table there. Columns are found by `dataset.columns` (our name -> the table's, or
    COLUMN.FIELD for a field of a structure), else by our name. Cells stay as they are written: "NA"
    is a text and "007" is no number. Without a column for id, the id is the row's number, counted
    from 1. Views of modality array have no column: row i of their file in `dataset.arrays` belongs
    to row i of the table. The column mislabelled says true or false of a pair that is known to be
    wrong or right.

    Raises:
        DataError: no such table or column, a damaged table, an unknown encoding, an array of
            another length, or a truth value that is none.
    """
    table = read_cells(_find_table(reading))
    columns = _map_columns(reading, table)
    reading.notes += table.notes
    reading.use_columns(table.name, columns.values(), table.columns)
    bad = {row: ItemError(fault) for row, fault in table.faults.items()}
    cells = {ours: table.texts(theirs, bad) for ours, theirs in columns.items()}
    for view in reading.views:
        if view in cells and reading.views[view].modality != "text":
            cells[view] = _files(reading, cells[view], bad)
    height = table.height
    nothing: list[str | None] = [None] * height
    cells |= array_rows(reading, height, f"table {table.name}")
    ids = cells.get("id", [str(row + 1) for row in range(height)])
    group, split, label, mislabelled = (cells.get(name, nothing) for name in _OWN_COLUMNS[1:])
    of_views = [(view, cells[view]) for view in reading.views]

    def pair(place: str, row: int) -> list[RawPair]:
        values = {view: column[row] for view, column in of_views}
        if row in bad:
            raise ItemError(str(bad[row]), values)
        wrong = None
        if mislabelled[row]:
            with known(values):
                wrong = truth(mislabelled[row], f"{table.name}: {place}")
        return [RawPair(place, ids[row], values, group[row], split[row], label[row], wrong)]

    reading.take("rows", ((f"row {row + 1}", row) for row in range(height)), pair)


def _files(
    reading: Reading, cells: list[str | None], bad: dict[int, ItemError]
) -> list[str | None]:
    """The paths of a column as the files lie; addresses on the web are faults of their rows."""
    for row, cell in enumerate(cells):
        if cell is not None and cell.startswith(("http://", "https://")):
            bad.setdefault(
                row,
                ItemError(
                    f"{cell[:80]!r} is an address on the web; a data set's files lie on disk, so "
                    f"fetch them and name the files"
                ),
            )
    return [None if cell is None else reading.find(cell) for cell in cells]


def _find_table(reading: Reading) -> Path:
    path, table = reading.path, reading.params.table
    if path.is_file():
        return reading.open(path.name)
    if table is not None:
        file = reading.open(table)
        if what_is(file) != "a file":
            raise DataError(
                f"{file}: no such table; correct dataset.table ({_tables_text(reading)})"
            )
        return file
    tables = _tables(reading)
    if _DEFAULT_TABLE in tables:
        return reading.open(_DEFAULT_TABLE)
    if len(tables) != 1:
        raise DataError(
            f"{path}: cannot tell which table to read ({_tables_text(reading)}); set dataset.table"
        )
    return reading.open(tables[0])


def _tables(reading: Reading) -> list[str]:
    """The tables at the top; a .json only where there is no other."""
    found = [name for name in reading.files if "/" not in name and table_ending(name)]
    return [name for name in found if not name.lower().endswith(".json")] or found


def _tables_text(reading: Reading) -> str:
    names = _tables(reading)
    return f"there are {', '.join(names)}" if names else f"there is no {', '.join(TABLE_ENDINGS)}"


def _map_columns(reading: Reading, table: Table) -> dict[str, str]:
    """Our name -> the table's column, for every column that is used."""
    given = reading.params.columns
    wanted = [view for view, settings in reading.views.items() if settings.modality != "array"]
    known = [*_OWN_COLUMNS, *wanted]
    for ours in given:
        if ours not in known and ours not in reading.params.arrays:
            raise DataError(
                f"dataset.columns names {ours!r}, which is none of "
                f"{', '.join(known)}{_nearest(ours, known)}"
            )
    columns = {}
    for ours in known:
        theirs = given.get(ours, ours)
        if theirs in table.columns or (ours in given and table.has(theirs)):
            columns[ours] = theirs
        elif ours in given or ours in wanted:
            raise DataError(
                f"{reading.opened}: no column {theirs!r} for {ours!r}; the columns are "
                f"{', '.join(table.columns) or '(none)'}"
                f"{_nearest(theirs, table.columns)} Map it in dataset.columns"
                f"{''.join(f'; {fault}' for fault in list(table.faults.values())[:1])}"
            )
    return columns


def _nearest(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else "."
