"""A table that lies in several files: parts of one folder, or a file of metadata in each folder."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import PurePath
from typing import Any

from csa.datasets.tables import Table, table_ending
from csa.errors import DataError

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""What the hub calls the table of a folder of pictures; paths in it begin where it lies."""


def tables_of_folder(files: Sequence[str], folder: str) -> list[str]:
    """The tables of a folder, in the order of the numbers in their names.

    Args:
        files: of the data set.
        folder: relative to it; "." for itself.

    Returns:
        Those directly in the folder, else those at any depth below it. JSON files are tables only
        where there is no other.
    """
    start = "" if folder.strip("/") == "." else f"{folder.strip('/')}/"
    below = [name for name in files if name.startswith(start) and table_ending(name)]
    plain = [name for name in below if table_ending(name) not in (".json", ".json.gz")] or below
    here = [name for name in plain if "/" not in name.removeprefix(start)] or plain
    return sorted(here, key=by_numbers)


def tables_of_metadata(files: Sequence[str], name: str | None = None) -> list[str]:
    """The files of metadata that lie in folders.

    Args:
        files: of the data set.
        name: which of `METADATA`; None: the one that is there.

    Returns:
        All of one name, in order.
    """
    for one in METADATA if name is None else (name,):
        found = [file for file in files if PurePath(file).name == one]
        if found:
            return found
    return []


def by_numbers(name: str) -> tuple[list[int], str]:
    """Where a part comes among its like: part-2 before part-10."""
    return [int(part) for part in re.findall(r"\d+", PurePath(name).name)], name


@dataclass(frozen=True)
class Parts:
    """Tables that are read as one.

    Args:
        files: relative to the data set's folder.
        tables: one of each.

    Raises:
        DataError: their columns differ, where a table has a header.
    """

    files: list[str]
    tables: list[Table]

    def __post_init__(self) -> None:
        first = self.tables[0]
        for file, table in zip(self.files, self.tables, strict=True):
            same = sorted(table.columns) == sorted(first.columns)
            if not same and "json" not in (table_ending(file) or ""):
                raise DataError(
                    f"{file}: its columns ({', '.join(table.columns)}) are not those of "
                    f"{self.files[0]} ({', '.join(first.columns)}); name one table in "
                    f"dataset.table, or move tables of another kind out of the folder"
                )

    @property
    def starts(self) -> list[int]:
        """The first row of each table, and the number of all rows."""
        return list(accumulate((table.height for table in self.tables), initial=0))

    def joined(self, name: str) -> Table:
        """One table.

        Args:
            name: of it.

        Returns:
            The rows of all, in order.
        """
        starts = self.starts
        columns = list(dict.fromkeys(one for table in self.tables for one in table.columns))

        def column(wanted: str) -> list[Any]:
            return [cell for table in self.tables for cell in table.column(wanted)]

        def where(row: int) -> str:
            part = bisect_right(starts, row) - 1
            return f"{self.tables[part].where(row - starts[part])} of {self.files[part]}"

        faults = {
            start + row: fault
            for start, table in zip(starts, self.tables, strict=False)
            for row, fault in table.faults.items()
        }
        notes = tuple(note for table in self.tables for note in table.notes)
        return Table(name, columns, starts[-1], column, where, faults, notes)
