"""Reading a data set: from the folder that the parameters name to the pairs table.

A reader finds rows and accounts for them (`reading.Reading`), `building.build_pairs` checks every
item, sets groups and splits, and `items.item_loader` loads an item again for its encoder.
"""

import random
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from csa.datasets.accounting import Fates
from csa.datasets.building import Building
from csa.datasets.exclude import EXCLUDE_FILE, leave_out, read_excluded
from csa.datasets.pairs import Ingested, build_pairs, quarantine_table
from csa.datasets.reading import Reading
from csa.datasets.registry import reader_of
from csa.datasets.roots import dataset_path
from csa.datasets.rows import RawPair
from csa.datasets.written import unfold
from csa.errors import DataError
from csa.params.data import DatasetParams
from csa.params.schema import Params
from csa.params.views import ViewParams
from csa.storage.files import guarded, what_is

__all__ = [
    "Ingested",
    "ReadOptions",
    "ingest",
    "read_dataset",
]

SAMPLE = 3
"""Pairs that the account shows."""


@dataclass(frozen=True)
class ReadOptions:
    """How a data set is read.

    Attributes:
        progress: show a progress bar, and print the notes, on standard error.
        to_fit: whether there must be enough to train on and something held out, less the pairs that
            `exclude.csv` names; else it is only measured on. Items that `exclude.csv` names are
            left out of either.
        sample: look at no more than this many rows, drawn at random; None looks at all.
    """

    progress: bool = True
    to_fit: bool = True
    sample: int | None = None


TO_FIT = ReadOptions()


def ingest(
    params: Params, workspace_root: Path, progress: bool = True, sample: int | None = None
) -> Ingested:
    """Read and check the data set that the parameters name.

    Args:
        params: of the run.
        workspace_root: what a relative `dataset.path` is relative to.
        progress: show a progress bar, and print the notes, on standard error.
        sample: look at no more than this many rows, drawn at random; None looks at all.

    Returns:
        The pairs, what was set aside, notes and the account.

    Raises:
        DataError: the data set is missing or unusable; see the reader and `build_pairs`.
    """
    options = ReadOptions(progress=progress, sample=sample)
    return read_dataset(params.dataset, params.views, workspace_root, options)


def read_dataset(
    dataset: DatasetParams,
    views: dict[str, ViewParams],
    workspace_root: Path,
    options: ReadOptions = TO_FIT,
) -> Ingested:
    """Read and check a data set, whatever views its items have.

    Args:
        dataset: what to read.
        views: in order; a data set that is fitted on has two.
        workspace_root: what a relative `dataset.path` is relative to.
        options: how, and what for.

    Returns:
        The pairs, what was set aside, notes and the account.

    Raises:
        DataError: the data set is missing or unusable; see the reader and `build_pairs`.
    """
    reading = read_rows(dataset, views, dataset_path(dataset, workspace_root))
    listed = read_excluded(workspace_root / EXCLUDE_FILE)
    excluded = listed.pairs if options.to_fit else {}
    rows, out, left_out = leave_out(reading.rows, excluded)
    drawn, undrawn = _drawn(rows, options.sample)
    forgotten = frozenset(listed.items)
    building = Building(views, dataset, reading.root, options.progress, options.to_fit, forgotten)
    built = build_pairs(drawn, building, tuple(reading.aside))
    aside = [*built.aside, *((row, _reason(excluded, row)) for row in out)]
    notes = (*reading.notes, *left_out, *built.notes)
    if options.progress:
        print("".join(f"note: {note}\n" for note in notes), end="", file=sys.stderr)
    quarantine = quarantine_table(aside, views)
    passed = {**built.passed, "that were not drawn for the sample": undrawn}
    fates = Fates(built.used, [row for row, _ in aside], passed)
    result = Ingested(built.pairs, quarantine, notes)
    return replace(result, account=_account(reading, result, fates))


def _reason(excluded: dict[str, str], row: RawPair) -> str:
    return f"excluded: {excluded[(row.pair_id or '').strip()]}".rstrip(": ")


def _drawn(rows: list[RawPair], count: int | None) -> tuple[list[RawPair], list[RawPair]]:
    """So many rows drawn at random, in their order, and the others."""
    if count is None or len(rows) <= count:
        return rows, []
    chosen = set(random.Random(0).sample(range(len(rows)), count))
    drawn = [row for i, row in enumerate(rows) if i in chosen]
    return drawn, [row for i, row in enumerate(rows) if i not in chosen]


def read_rows(dataset: DatasetParams, views: dict[str, ViewParams], path: Path) -> Reading:
    """Find the rows of a data set; no item is opened yet.

    Args:
        dataset: what to read.
        views: in order.
        path: the data set's folder or file.

    Returns:
        The rows, and the account of everything that is there.

    Raises:
        DataError: the data set is missing or unusable.
    """
    kind = what_is(path)
    if kind == "nothing":
        raise DataError(
            f"{path}: no such data set; correct dataset.path, or give a recipe --data PATH "
            f"(`dvc repro demo` makes the built-in one)"
        )
    if kind not in ("a file", "a folder"):
        raise DataError(f"{path}: it is {kind}; a data set is a folder or a file")
    if dataset.kind != "table" and kind != "a folder":
        raise DataError(f"{path}: not a folder; dataset.kind {dataset.kind} reads a folder")
    _check_arrays(dataset, views)
    reading = Reading(dataset, views, path)
    with guarded(str(path), f"a data set of kind {dataset.kind}"):
        reader_of(dataset.kind)(reading)
        reading.notes += unfold(reading.rows, views)
    return reading


def _account(reading: Reading, result: Ingested, fates: Fates) -> dict[str, Any]:
    """What became of everything that is there, as `csa plan --json` and data/account.json have it.

    Raises:
        DataError: the sums do not agree, which is a fault of the reader.
    """
    found = len(reading.rows) + len(reading.aside)
    known = len(fates.used) + len(fates.aside) + sum(map(len, fates.passed.values()))
    if found != known:
        raise DataError(
            f"the account of the pairs does not add up: {found} were read, but {known} are used, "
            f"set aside or left out; this is a fault of the reader, please report it"
        )
    pairs = result.pairs
    splits = pairs["split"].value_counts(sort=True)
    return {
        "pairs": len(pairs),
        "groups": pairs["group"].n_unique(),
        "splits": dict(splits.sort("split", descending=True).rows()),
        "set_aside": result.quarantine.select("row", "reason").to_dicts(),
        **reading.account(fates),
        "notes": list(result.notes),
        "sample": pairs.select("pair_id", *reading.views).head(SAMPLE).to_dicts(),
    }


def _check_arrays(dataset: DatasetParams, views: dict[str, ViewParams]) -> None:
    """Views of modality array and entries of dataset.arrays must be the same, and kinds that
    ignore columns get none.
    """
    for view in dataset.arrays:
        if view not in views or views[view].modality != "array":
            raise DataError(
                f"dataset.arrays has {view!r}, which is not a view of modality array; remove it, "
                f"or set the view's modality"
            )
    for view, settings in views.items():
        if settings.modality == "array" and view not in dataset.arrays:
            raise DataError(
                f"view {view!r} is of modality array, but dataset.arrays names no file for it; "
                f"add {view}: FILE.npy"
            )
    if dataset.kind not in ("table", "arrays", "webdataset", "huggingface") and dataset.columns:
        raise DataError(
            f"dataset.columns is not for dataset.kind {dataset.kind}, whose layout is fixed; "
            f"remove it"
        )
