"""The pairs table: one row a pair, checked item by item, split so that no group straddles train and
test.

Columns: pair_id, group, split ("train" or "test"), label (null where there is none), and per view
V: V (the text itself, an image's path inside the data set's folder, or FILE#ROW of an array) and
V_hash (sha256 of the item's content). Where the data set says of any pair whether it is wrong,
mislabelled (true, false, or null).
"""

import hashlib
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl

from csa.datasets.items import item_checker
from csa.datasets.rows import SPLIT_NAMES, RawPair
from csa.errors import DataError
from csa.params.data import DatasetParams
from csa.params.views import ViewParams

MIN_TRAINING_PAIRS = 10
SHOWN = 3
"""Faulty rows that an error names."""


@dataclass(frozen=True, eq=False)
class Ingested:
    """The outcome of reading a data set.

    Args:
        pairs: the pairs table, in the data set's order.
        quarantine: rows that were set aside: row, pair_id, reason, and each view's value.
        notes: what the user should know, a sentence each.
    """

    pairs: pl.DataFrame
    quarantine: pl.DataFrame
    notes: tuple[str, ...] = ()


def build_pairs(
    rows: list[RawPair],
    views: dict[str, ViewParams],
    params: DatasetParams,
    root: Path,
    progress: bool = True,
    to_fit: bool = True,
    forgotten: frozenset[str] = frozenset(),
) -> Ingested:
    """Check every item and assemble the table.

    An unusable item (empty text, unreadable image, path out of the folder, NaN in a row, ...) is a
    fault of its row, treated as `dataset.on_error` says. Duplicate ids, unknown splits, a group in
    two given splits and too few pairs are always errors. Pairs that are alike are not.

    Groups: a pair without one is grouped by the content of its item in the first view that is no
    text (of the first view if both are texts), so an image with five captions is never split.
    Groups that hold the same such item become one, named after the first of them, for the same
    reason. Equal captions of different images join nothing.

    Splits: a given split counts, for the whole group. Every other group is held out if
    `split_fraction` of its name is below `dataset.split.test`: adding pairs moves no other pair,
    unless a new pair shows that two groups are one.

    Args:
        rows: what a reader found.
        views: the two views, in order.
        params: of the data set.
        root: the data set's folder.
        progress: show a progress bar while files are decoded.
        to_fit: whether there must be enough pairs to train on and some held out.
        forgotten: sha256 of items; rows with one of them are left out as if they had never been
            there.

    Raises:
        DataError: see above; the message names the first rows at fault and the remedy.
    """
    rows = [_tidy(row, views) for row in rows]
    _check_ids(rows)
    given = _given_splits(rows)
    hashes, faults = _hash_items(rows, views, params, root, progress)
    gone = {i for i in range(len(rows)) if any(hashes[view][i] in forgotten for view in views)}
    faults = {i: found for i, found in faults.items() if i not in gone}
    if faults and params.on_error == "refuse":
        raise DataError(_refusal(rows, faults))
    good = [i for i in range(len(rows)) if i not in faults and i not in gone]
    anchor = next(
        (view for view, settings in views.items() if settings.modality != "text"), next(iter(views))
    )
    named = [rows[i].group or hashes[anchor][i] for i in good]
    groups = _merge_groups(named, [hashes[anchor][i] for i in good])
    of_group = _splits_of_groups([rows[i] for i in good], groups, [given[i] for i in good])
    test, seed = params.split.test, params.split.seed
    columns: dict[str, list[str | None]] = {
        "pair_id": [rows[i].pair_id for i in good],
        "group": list(groups),
        "split": [
            of_group.get(group) or ("test" if split_fraction(group, seed) < test else "train")
            for group in groups
        ],
        "label": [rows[i].label for i in good],
    }
    for view in views:
        columns[view] = [rows[i].values[view] for i in good]
        columns[f"{view}_hash"] = [hashes[view][i] for i in good]
    pairs = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    mislabelled = pl.Series("mislabelled", [rows[i].mislabelled for i in good], dtype=pl.Boolean)
    if mislabelled.null_count() < len(good):
        pairs = pairs.with_columns(mislabelled)
    if to_fit:
        _check_sizes(pairs, views, len(faults))
    return Ingested(
        pairs,
        quarantine_table([(rows[i], "; ".join(faults[i])) for i in sorted(faults)], views),
        _notes(named, groups, len(faults), len(rows), anchor, len(gone)),
    )


def split_fraction(group: str, seed: int) -> float:
    """Where a group falls in [0, 1): the first 64 bits of sha256("SEED:GROUP")."""
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _tidy(row: RawPair, views: dict[str, ViewParams]) -> RawPair:
    """Blank cells become None; space around a text goes, because it would make the same caption
    another item.
    """
    values = {
        view: value.strip() if value is not None and settings.modality == "text" else value
        for view, settings in views.items()
        for value in [row.values.get(view)]
    }
    tidy = RawPair(
        row.place,
        _some(row.pair_id),
        values,
        _some(row.group),
        _some(row.split),
        _some(row.label),
        row.mislabelled,
    )
    cells = [cell for cell in (tidy.pair_id, tidy.group, tidy.label, *values.values()) if cell]
    try:
        "\n".join(cells).encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair, from an escape in JSON or a file name in another encoding; no
        # table can hold it.
        raise DataError(
            f"{row.place!a}: {cells!a} is not valid Unicode; write the text, or name the file, in "
            f"UTF-8"
        ) from None
    return tidy


def _some(cell: str | None) -> str | None:
    return (cell or "").strip() or None


def _check_ids(rows: list[RawPair]) -> None:
    seen: dict[str, str] = {}
    repeated = []
    for row in rows:
        if row.pair_id in seen:
            repeated.append(f"{row.pair_id!r} at {seen[row.pair_id]} and {row.place}")
        elif row.pair_id is not None:
            seen[row.pair_id] = row.place
    if repeated:
        raise DataError(
            f"duplicate pair ids, {len(repeated)} in all: {'; '.join(repeated[:SHOWN])}; ids must "
            f"be unique: drop rows, "
            "or map another column to id in dataset.columns"
        )


def _given_splits(rows: list[RawPair]) -> list[str | None]:
    unknown = {
        row.split: row.place
        for row in reversed(rows)
        if row.split and row.split.lower() not in SPLIT_NAMES
    }
    if unknown:
        names = ", ".join(
            f"{split!r} at {place}" for split, place in sorted(unknown.items())[:SHOWN]
        )
        raise DataError(
            f"{len(unknown)} unknown split names: {names}; use {', '.join(SPLIT_NAMES)}, or leave "
            f"the cell empty"
        )
    return [SPLIT_NAMES[row.split.lower()] if row.split else None for row in rows]


def _hash_items(
    rows: list[RawPair],
    views: dict[str, ViewParams],
    params: DatasetParams,
    root: Path,
    progress: bool,
) -> tuple[dict[str, list[str]], dict[int, list[str]]]:
    """Content hash per view and row ("" where unusable), and what is wrong per row; each
    distinct item is checked once.
    """
    hashes: dict[str, list[str]] = {}
    faults = {i: ["no id"] for i, row in enumerate(rows) if row.pair_id is None}
    for view, settings in views.items():
        check = item_checker(settings, root, params.max_image_pixels)
        values = [row.values[view] for row in rows]
        distinct = list(dict.fromkeys(value for value in values if value is not None))
        if settings.modality in ("text", "array"):
            outcomes = {value: _checked(check, value) for value in distinct}
        else:
            outcomes = check_files(distinct, check, f"check {view}", progress)
        hashes[view] = []
        for i, value in enumerate(values):
            digest, fault = outcomes[value] if value is not None else ("", "nothing there (null)")
            hashes[view].append(digest)
            if fault:
                faults.setdefault(i, []).append(f"{view}: {fault}")
    return hashes, faults


def _checked(check: Callable[[str], str], value: str) -> tuple[str, str]:
    try:
        return check(value), ""
    except DataError as error:
        return "", str(error)


def check_files(
    values: list[str], check: Callable[[str], str], title: str, progress: bool = True
) -> dict[str, tuple[str, str]]:
    """Check items that are files, several at a time.

    Args:
        values: distinct values of the items.
        check: from `csa.datasets.items.item_checker`.
        title: of the progress bar.
        progress: whether to show it.

    Returns:
        Value -> content hash ("" where unusable), and what is wrong ("" where nothing is).
    """
    from tqdm import tqdm

    with warnings.catch_warnings(), ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        # its remarks on broken metadata; broken pixels are errors
        warnings.filterwarnings("ignore", module="PIL")
        outcomes = pool.map(partial(_checked, check), values)
        bar = tqdm(
            outcomes,
            title,
            len(values),
            unit=" items",
            disable=not progress,
            mininterval=0.5,
            ncols=100,
        )
        return dict(zip(values, bar, strict=True))


def _refusal(rows: list[RawPair], faults: dict[int, list[str]]) -> str:
    shown = "; ".join(
        f"{rows[i].place} (id {rows[i].pair_id}): {', '.join(faults[i])}"
        for i in sorted(faults)[:SHOWN]
    )
    more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    return (
        f"{len(faults)} of {len(rows)} rows are unusable: {shown}{more}. "
        "Repair or drop them, or set dataset.on_error: quarantine to go on without them"
    )


def _merge_groups(named: list[str], items: list[str]) -> list[str]:
    """Join groups that share an item; each joined group takes the name of the member that came
    first.
    """
    parent: dict[str, str] = {}

    def find(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]  # keeps chains short
            name = parent[name]
        return name

    owner: dict[str, str] = {}
    position = {name: i for i, name in reversed(list(enumerate(named)))}
    for group, item in zip(named, items, strict=True):
        earlier, later = sorted(
            (find(owner.setdefault(item, group)), find(group)), key=position.__getitem__
        )
        parent[later] = earlier
    return [find(group) for group in named]


def _splits_of_groups(
    rows: list[RawPair], groups: list[str], given: list[str | None]
) -> dict[str, str]:
    """The given split of each group that has one."""
    splits: dict[str, tuple[str, str]] = {}
    for row, group, split in zip(rows, groups, given, strict=True):
        if split is None:
            continue
        other, place = splits.setdefault(group, (split, row.place))
        if other != split:
            raise DataError(
                f"leak between splits: {place} is given to {other} and {row.place} to {split}, "
                f"but they are one group "
                f"({group[:40]!r}) or hold the same item; put all pairs of a group in one split"
            )
    return {group: split for group, (split, _) in splits.items()}


def _check_sizes(pairs: pl.DataFrame, views: dict[str, ViewParams], set_aside: int) -> None:
    train = pairs.filter(pl.col("split") == "train")
    after = f" after {set_aside} rows were set aside" if set_aside else ""
    if train.height < MIN_TRAINING_PAIRS:
        raise DataError(
            f"only {train.height} pairs to train on{after}; at least {MIN_TRAINING_PAIRS} are "
            f"needed: add pairs"
        )
    if train.height == pairs.height:
        raise DataError(
            f"no pair is held out{after}, so nothing could be evaluated; raise dataset.split.test "
            f"or change its seed "
            f"({pairs['group'].n_unique()} groups)"
        )
    for view, settings in views.items():
        if train[f"{view}_hash"].n_unique() == 1:
            what = (
                "every column is constant"
                if settings.modality == "array"
                else f"every {settings.modality} is the same"
            )
            raise DataError(
                f"view {view!r}: {what} in all {train.height} training pairs, so nothing can be "
                f"aligned; is it the right data?"
            )


def quarantine_table(
    set_aside: list[tuple[RawPair, str]], views: dict[str, ViewParams]
) -> pl.DataFrame:
    """Rows that do not take part, each with the reason: row, pair_id, reason, and each view's
    value.
    """
    found = [
        {
            "row": row.place,
            "pair_id": row.pair_id,
            "reason": reason,
            **{view: row.values.get(view) for view in views},
        }
        for row, reason in set_aside
    ]
    return pl.DataFrame(
        found, schema=dict.fromkeys(("row", "pair_id", "reason", *views), pl.String)
    )


def _notes(
    named: list[str], groups: list[str], set_aside: int, total: int, anchor: str, gone: int
) -> tuple[str, ...]:
    notes = [f"rows left out because an item of theirs is to be forgotten: {gone}"] if gone else []
    joined = len(set(named)) - len(set(groups))
    if joined:
        notes.append(
            f"groups joined to another because both hold the same {anchor}: {joined}; so none "
            f"straddles train and test"
        )
    if set_aside:
        notes.append(
            f"{set_aside} of {total} rows were set aside in data/quarantine.parquet, each with "
            f"its reason"
        )
    return tuple(notes)
