"""Items of one view that have no partner: from a folder of files, a table, a file of texts or a
file of features, checked and hashed as items of pairs are.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import polars as pl

from csa.datasets.accounting import Fates
from csa.datasets.building import Building
from csa.datasets.exclude import EXCLUDE_FILE, read_excluded
from csa.datasets.ingest import read_rows
from csa.datasets.pairs import build_pairs, quarantine_table
from csa.datasets.reading import Reading
from csa.datasets.rows import RawPair, read_lines
from csa.datasets.tables import TABLE_ENDINGS, table_ending
from csa.errors import DataError
from csa.modalities.registry import MODALITIES
from csa.params.data import DatasetParams
from csa.params.views import ViewParams
from csa.storage.files import guarded, what_is

_LINES = ".txt"


@dataclass(frozen=True, eq=False)
class UnpairedItems:
    """What was found in a pool of one view.

    Attributes:
        items: columns VIEW (the value, as in the pairs table) and VIEW_hash, each item once.
        quarantine: what was set aside, with its reason.
        root: the folder that the values are relative to.
        account: what became of everything that is there.
    """

    items: pl.DataFrame
    quarantine: pl.DataFrame
    root: Path
    account: dict[str, Any]


def read_unpaired(
    dataset: DatasetParams,
    view: tuple[str, ViewParams],
    workspace_root: Path,
    pairs: pl.DataFrame | None = None,
) -> UnpairedItems:
    """Read and check the items that `dataset.unpaired` names for a view.

    A folder gives every file of the view's modality at any depth; a table a row an item, in the
    column that the pairs table has or in one with the view's name; a file ending .txt a text a
    line; and for modality array a file of features a row an item. What `exclude.csv` names is left
    out, and an unusable item is treated as `dataset.on_error` says.

    Args:
        dataset: section of the parameters.
        view: its name and parameters.
        workspace_root: what a relative path is relative to.
        pairs: the pairs table; an item of it is left out, above all one that is held out.

    Returns:
        The items.

    Raises:
        DataError: nothing there, no such column, or an unusable item where that is refused.
    """
    name, settings = view
    reading = _read(dataset, view, workspace_root / Path(dataset.unpaired[name]).expanduser())
    rows = [  # of a table that is also somebody's table of pairs, only the items count
        replace(row, pair_id=str(i), group=None, split=None, label=None)
        for i, row in enumerate(reading.rows)
    ]
    forgotten = frozenset(read_excluded(workspace_root / EXCLUDE_FILE).items)
    building = Building(
        {name: settings}, reading.params, reading.root, to_fit=False, forgotten=forgotten
    )
    built = build_pairs(rows, building, tuple(reading.aside))
    found = built.pairs.select(name, f"{name}_hash")
    items = found.unique(f"{name}_hash", keep="first", maintain_order=True)
    left_out = {"items that another repeats": len(found) - len(items)}
    for split, what in (("test", "held-out items"), ("train", "items of training pairs")):
        known: list[str] = []
        if pairs is not None:
            known = pairs.filter(pl.col("split") == split)[f"{name}_hash"].to_list()
        kept = items.filter(~pl.col(f"{name}_hash").is_in(known))
        left_out[what] = len(items) - len(kept)
        items = kept
    fates = Fates(built.used, [row for row, _ in built.aside], built.passed)
    account = {
        "found": len(reading.rows) + len(reading.aside),
        "items": len(items),
        "set_aside": len(built.aside),
        "forgotten": sum(map(len, built.passed.values())),
        **left_out,
        "source": reading.account(fates),
        "notes": [*reading.notes, *built.notes],
    }
    quarantine = quarantine_table(built.aside, {name: settings})
    return UnpairedItems(items, quarantine, reading.root, account)


def tell(view: str, account: dict[str, Any]) -> None:
    """Print what was left out of a pool, on standard error.

    Args:
        view: its name.
        account: from `read_unpaired`.
    """
    held_out = account["held-out items"]
    if held_out:
        print(
            f"note: {held_out:,} unpaired items of view {view} are held-out items and were left "
            f"out, so that they are still met for the first time when they are measured on",
            file=sys.stderr,
        )
    print("".join(f"note: {note}\n" for note in account["notes"]), end="", file=sys.stderr)


def _read(dataset: DatasetParams, view: tuple[str, ViewParams], path: Path) -> Reading:
    name, settings = view
    what = what_is(path)
    if what not in ("a file", "a folder"):
        raise DataError(
            f"{path}: {'no such file or folder' if what == 'nothing' else f'it is {what}'}; "
            f"correct dataset.unpaired.{name}"
        )
    plain: dict[str, Any] = {
        "table": None,
        "splits": {},
        "unpaired": {},
        "columns": {},
        "arrays": {},
    }
    if settings.modality == "array" and what == "a file":
        source = dataset.model_copy(
            update=plain
            | {"kind": "arrays", "path": str(path.parent), "arrays": {name: path.name}}
            | {"columns": {k: v for k, v in dataset.columns.items() if k == name}}
        )
        return read_rows(source, {name: settings}, path.parent)
    source = dataset.model_copy(update=plain | {"kind": "table", "path": str(path)})
    reading = Reading(source, {name: settings}, path)
    with guarded(str(path), "unpaired items"):
        if what == "a folder" and MODALITIES[settings.modality].suffixes:
            _read_folder(reading, name, MODALITIES[settings.modality].suffixes)
            return reading
        if what == "a file" and path.suffix.lower() == _LINES and settings.modality == "text":
            _read_lines(reading, name)
            return reading
    if what == "a file" and table_ending(path.name):
        return _read_table(source, view, path, dataset.columns)
    usable = (
        f"a file ending {_LINES}, a text a line, or a table ({', '.join(TABLE_ENDINGS)})"
        if settings.modality == "text"
        else "a file of features"
        if settings.modality == "array"
        else f"a folder or a table ({', '.join(TABLE_ENDINGS)})"
    )
    raise DataError(
        f"{path}: unpaired items of modality {settings.modality} are {usable}; correct "
        f"dataset.unpaired.{name}"
    )


def _read_folder(reading: Reading, view: str, suffixes: frozenset[str]) -> None:
    files = [file for file in reading.files if PurePath(file).suffix.lower() in suffixes]
    if not files:
        raise DataError(
            f"{reading.path}: no file of this modality ({', '.join(sorted(suffixes))}); correct "
            f"dataset.unpaired.{view}"
        )
    reading.take("files", ((f, f) for f in files), lambda place, f: [RawPair(place, f, {view: f})])


def _read_lines(reading: Reading, view: str) -> None:
    lines = read_lines(reading.open(reading.path.name))
    written = [(i, line) for i, line in enumerate(lines, 1) if line.strip()]
    reading.take(
        "lines",
        ((f"line {i}", (i, line)) for i, line in written),
        lambda place, one: [RawPair(place, str(one[0]), {view: one[1]})],
    )


def _read_table(
    source: DatasetParams, view: tuple[str, ViewParams], path: Path, columns: dict[str, str]
) -> Reading:
    """The column that the pairs table has for the view, else the one with the view's name."""
    name, settings = view
    given = columns.get(name, name)
    try:
        return read_rows(
            source.model_copy(update={"columns": {name: given}}), {name: settings}, path
        )
    except DataError:
        if given == name:
            raise
        return read_rows(source, {name: settings}, path)
