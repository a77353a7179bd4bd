"""Reader `table`: a CSV, TSV, JSONL or Parquet table, every cell read as text."""

import difflib

from csa.datasets.array_files import array_rows
from csa.datasets.containers import inside, refuse_address
from csa.datasets.reading import Reading
from csa.datasets.rows import ItemError, LeftOut, RawPair, known, truth
from csa.datasets.splits import Part
from csa.datasets.table_parts import METADATA, Parts, tables_of_folder, tables_of_metadata
from csa.datasets.tables import TABLE_ENDINGS, Table, read_cells, table_ending
from csa.errors import DataError
from csa.storage.files import what_is

_OWN_COLUMNS = ("id", "group", "split", "label", "mislabelled")
_DEFAULT_TABLE = "pairs.csv"


def read_table(reading: Reading) -> None:
    """Read a table with one row a pair.

    `dataset.path` is the table itself, or a folder that holds it: `dataset.table`, else pairs.csv,
    else the only table there, else the metadata.csv (.jsonl, .parquet) of each folder. Where
    `dataset.table` is a folder, the tables in it are parts of one. Parts called after splits, or in
    folders called so, are in them. Columns are found by `dataset.columns` (our name -> the table's,
    or COLUMN.FIELD for a field of a structure), else by our name. Cells stay as they are written:
    "NA" is a text and "007" is no number. Without a column for id, the id is the row's number,
    counted from 1, of parts PART/NUMBER. Paths are relative to the data set's folder, or to the
    table's own. Views of modality array have no column: row i of their file in `dataset.arrays`
    belongs to row i of the table. The column mislabelled says true or false of a pair that is known
    to be wrong or right.

    Raises:
        DataError: no such table or column, a damaged table, an unknown encoding, an array of
            another length, or something that is not a truth value.
    """
    files = _find_tables(reading)
    parts = Parts(files, [read_cells(reading.open(file)) for file in files])
    several = len(files) > 1
    table = parts.joined(reading.params.table or "the tables") if several else parts.tables[0]
    columns = _map_columns(reading, table)
    reading.notes += table.notes
    if several:
        reading.notes.append(f"{len(files)} tables are read as one: {files[0]} to {files[-1]}")
    reading.use_columns(table.name, columns.values(), table.columns)
    bad = {row: ItemError(fault) for row, fault in table.faults.items()}
    cells = {ours: table.texts(theirs, bad) for ours, theirs in columns.items()}
    for view in reading.views:
        if view in cells and reading.views[view].modality != "text":
            cells[view] = _files(reading, cells[view], bad, parts)
    height = table.height
    nothing: list[str | None] = [None] * height
    sizes = [(file, part.height) for file, part in zip(files, parts.tables, strict=True)]
    cells |= array_rows(reading, height, f"table {table.name}", sizes)
    names = _names(parts)
    ids = cells.get("id", names)
    group, split, label, mislabelled = (cells.get(name, nothing) for name in _OWN_COLUMNS[1:])
    of_views = [(view, cells[view]) for view in reading.views]
    roles, of_rows = _splits(reading, parts)

    def pair(place: str, row: int) -> list[RawPair] | LeftOut:
        values = {view: column[row] for view, column in of_views}
        part = of_rows[row] if of_rows else None
        role = roles[part] if part else None
        if part and not role:
            return reading.untouched(part, _media(reading, values))
        if row in bad:
            raise ItemError(str(bad[row]), values)
        wrong = None
        if mislabelled[row]:
            with known(values):
                wrong = truth(mislabelled[row], f"{table.name}: {place}")
        return [RawPair(place, ids[row], values, group[row], split[row] or role, label[row], wrong)]

    where = table.where if several else lambda row: f"row {row + 1}"
    reading.take("rows", ((where(row), row) for row in range(height)), pair)
    if several:
        reading.say_untouched("rows")


def _names(parts: Parts) -> list[str]:
    """The number of each row, of several tables with the table's name before it."""
    if len(parts.files) == 1:
        return [str(row + 1) for row in range(parts.tables[0].height)]
    return [
        f"{file.removesuffix(table_ending(file) or '')}/{row + 1}"
        for file, table in zip(parts.files, parts.tables, strict=True)
        for row in range(table.height)
    ]


def _splits(reading: Reading, parts: Parts) -> tuple[dict[Part, str | None], list[Part | None]]:
    """What each part is here, and the part of each row; nothing where the names say no splits."""
    known = reading.parts_of_files(parts.files, "table") if len(parts.files) > 1 else {}
    if not known:
        return {}, []
    of_rows = [
        known.get(file)
        for file, table in zip(parts.files, parts.tables, strict=True)
        for _ in range(table.height)
    ]
    return reading.roles(known.values()), of_rows


def _media(reading: Reading, values: dict[str, str | None]) -> list[str]:
    """The files that a row names."""
    kinds = {view: settings.modality for view, settings in reading.views.items()}
    return [v for view, v in values.items() if v and kinds[view] not in ("text", "array")]


def _files(
    reading: Reading, cells: list[str | None], bad: dict[int, ItemError], parts: Parts
) -> list[str | None]:
    """The paths of a column as the files lie; what is no path here is a fault of its row."""
    found: list[str | None] = []
    for file, table in zip(parts.files, parts.tables, strict=True):
        folder = file.rpartition("/")[0]
        for cell in cells[len(found) : len(found) + table.height]:
            if cell is None or (not folder and cell in reading.names):
                found.append(cell)
                continue
            try:
                found.append(_file(reading, cell, folder))
            except ItemError as fault:
                bad.setdefault(len(found), fault)
                found.append(cell)
    return found


def _file(reading: Reading, cell: str, folder: str) -> str:
    """One path as the file lies: below the data set's folder, or below the table's own."""
    refuse_address(cell)
    found = reading.find(cell)
    near = reading.find(f"{folder}/{cell}") if folder else found
    if near == found or near not in reading.names:
        return found
    if found in reading.names:
        raise ItemError(
            f"{cell!r} is {found} and {near} too: paths may begin at the data set's folder or at "
            f"the table's; write the whole path, or set dataset.path to {folder}/"
        )
    return near


def _find_tables(reading: Reading) -> list[str]:
    path, table = reading.path, reading.params.table
    if path.is_file():
        return [path.name]
    if table is not None:
        return _given_tables(reading, table)
    tables = _tables(reading)
    if _DEFAULT_TABLE in tables:
        return [_DEFAULT_TABLE]
    found = tables or tables_of_metadata(reading.files)
    if not found or len(tables) > 1:
        raise DataError(
            f"{path}: cannot tell which table to read ({_tables_text(reading)}); set dataset.table"
        )
    return found


def _given_tables(reading: Reading, table: str) -> list[str]:
    """The table that `dataset.table` names, or its parts."""
    file = inside(reading.root, table)
    kind = what_is(file)
    if kind == "a file":
        return [table]
    found: list[str] = []
    if kind == "a folder":
        found = tables_of_folder(reading.files, table)
    elif kind == "nothing" and table in METADATA:
        found = tables_of_metadata(reading.files, table)
    if not found:
        instead = "no such table" if kind == "nothing" else f"it is {kind} without a table"
        raise DataError(f"{file}: {instead}; correct dataset.table ({_tables_text(reading)})")
    return found


def _tables(reading: Reading) -> list[str]:
    """The tables at the top; a .json only where there is no other."""
    return [name for name in tables_of_folder(reading.files, ".") if "/" not in name]


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
                f"dataset.columns names {ours!r}, but the keys it can have are "
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
