"""Text whose cells are separated by commas, tabs, semicolons or bars."""

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, islice

from csa.datasets.rows import is_address
from csa.errors import DataError
from csa.modalities.registry import names_a_file

_SEPARATORS = (",", ";", "\t", "|")
_SNIFFED = 20
_SAID = re.compile(r"(?i)\"?sep=(?P<separator>[,;\t|])\"?(?P<end>\r?\n)")
"""The first line that Excel takes for the separator."""


@dataclass(frozen=True)
class Separated:
    """A table of texts.

    Args:
        header: names of the columns.
        columns: the cells of each; None in a faulty row.
        lines: the line that each row ends on.
        faults: row -> why the whole of it is unusable.
        notes: what the user should know.
    """

    header: list[str]
    columns: list[list[str | None]]
    lines: list[int] = field(default_factory=list)
    faults: dict[int, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_separated(name: str, text: str, usual: str, count: int | None = None) -> Separated:
    """Read a table whose separator is found, and which may have no header.

    The separator is the usual one, where the header has it and the first rows have as many cells;
    else another for which that is so. A line `sep=;` before the header says it, and blanks after it
    are no part of a cell where the header has some. A first line that names a file or an address
    where the second line does too is no header: the columns are column_1, column_2 and so on then.

    Args:
        name: of the file, for errors.
        text: its content.
        usual: the separator that its ending promises.
        count: no more than this many rows; None: all.

    Returns:
        The table.

    Raises:
        DataError: it is empty, two columns have one name, or a quote is astray.
    """
    with _long_cells():
        said = _SAID.match(text)
        text = text[said.start("end") :] if said else text  # the line stays, and so its number
        separator = said["separator"] if said else _separator(text, usual)
        rows = _rows(name, text, separator)
        first, second = next(rows, (0, [])), next(rows, None)
        rest = rows if second is None else chain([second], rows)
        header = [cell.strip() for cell in first[1]]
        notes = [f"the separator is {separator!r}"] if separator != usual else []
        if second and _names_items(header, second[1]):
            header = [f"column_{k}" for k in range(1, len(header) + 1)]
            rest = chain([first], rest)
            notes.append(f"it has no header, so its columns are called {', '.join(header)}")
        _check_header(header, name)
        table = Separated(header, [[] for _ in header], notes=notes)
        _fill(table, islice(rest, count), separator)
    return table


@contextmanager
def _long_cells() -> Iterator[None]:
    """Not the csv module's limit of 131,072 characters a cell: a text may be a document."""
    limit = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _fill(table: Separated, rows: Iterator[tuple[int, list[str]]], separator: str) -> None:
    for number, cells in rows:
        if len(cells) == len(table.header):
            for column, cell in zip(table.columns, cells, strict=True):
                column.append(cell.strip() if separator == "|" else cell)
        else:
            table.faults[len(table.lines)] = (
                f"line {number} has {len(cells)} cells but the header has {len(table.header)}; put "
                f"quotes around a cell that holds the separator"
            )
            for column in table.columns:
                column.append(None)
        table.lines.append(number)


def _separator(text: str, usual: str) -> str:
    """The separator for which the first rows have as many cells as the header, best where one of
    them is an item; else the usual one where the header has it, or the most frequent.
    """
    header = text.partition("\n")[0]
    there = list(dict.fromkeys(one for one in (usual, *_SEPARATORS) if one in header))
    if len(there) < 2:
        return there[0] if there else usual
    even: list[tuple[bool, str]] = []
    for separator in there:
        with suppress(csv.Error):
            head = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
            rows = [cells for cells in islice(head, _SNIFFED) if cells]
            if len({len(cells) for cells in rows}) == 1:
                even.append((any(map(_is_item, rows[-1])), separator))
    if even:
        return next((one for has_items, one in even if has_items), even[0][1])
    return usual if usual in there else max(there, key=header.count)


def _rows(name: str, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row that is not blank."""
    lines = text.split("\n")
    spaced = f"{separator} " in text.lstrip().partition("\n")[0]
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=spaced
    )
    before = 0
    try:
        for cells in reader:
            if cells:
                if reader.line_num > before + 1 and before:
                    _check_quote(name, cells, lines[before : reader.line_num], separator, before)
                yield reader.line_num, cells
            before = reader.line_num
    except csv.Error as error:
        raise DataError(
            f"{name}: line {reader.line_num} cannot be read ({error}); look for an open or stray "
            f"quote"
        ) from None


def _check_quote(
    name: str, cells: list[str], lines: list[str], separator: str, before: int
) -> None:
    """Refuse a cell over several lines which look like rows of their own."""
    if any(_is_like(line.split(separator), cells, separator) for line in lines[1:]):
        raise DataError(
            f"{name}: a quote opens in line {before + 1} and closes in line {before + len(lines)}, "
            f"over lines that look like rows; remove the stray quote, or double it"
        )


def _is_like(line: list[str], row: list[str], separator: str) -> bool:
    """Whether a line of a cell looks like a row: as many tabs, a file at the same place, or a first
    cell that differs in its numbers alone.
    """
    if separator == "\t":
        return len(line) == len(row)
    pairs = [(one.strip(), other.strip()) for one, other in zip(line, row, strict=False)]
    if any(names_a_file(one) and names_a_file(other) for one, other in pairs):
        return True
    first, of_row = (re.sub(r"\d+", "0", cell) for cell in pairs[0])
    return len(line) >= len(row) and "0" in first and first == of_row


def _names_items(first: list[str], second: list[str]) -> bool:
    """Whether two rows have a file or an address at the same place."""
    both = zip(first, second, strict=False)
    return any(_is_item(one) and _is_item(other) for one, other in both)


def _is_item(cell: str) -> bool:
    cell = cell.strip()
    return names_a_file(cell) or is_address(cell)


def _check_header(header: list[str], name: str) -> None:
    if not any(header):
        raise DataError(f"{name}: the table is empty; its first line must name the columns")
    repeated = [one for one in header if header.count(one) > 1]
    if repeated:
        raise DataError(f"{name}: two columns are called {repeated[0]!r}; rename one")
