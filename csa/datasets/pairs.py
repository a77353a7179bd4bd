"""The pairs table: one row a pair, split so that no group straddles train and test.

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
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from csa.datasets.items import item_checker
from csa.datasets.rows import RawPair
from csa.datasets.splits import KNOWN, part_of
from csa.errors import DataError
from csa.params.data import DatasetParams
from csa.params.views import ViewParams
from csa.storage.files import plain_words

MIN_TRAINING_PAIRS = 10
SHOWN = 3
"""Faulty rows that an error names."""
_SPELT = frozenset({"nan", "none", "null", "<na>", "n/a"})


@dataclass(frozen=True, eq=False)
class Ingested:
    """The outcome of reading a data set.

    Args:
        pairs: the pairs table, in the data set's order.
        quarantine: rows that were set aside: row, pair_id, reason, and each view's value.
        notes: what the user should know, a sentence each.
        account: what became of everything that is there, as data/account.json holds it.
    """

    pairs: pl.DataFrame
    quarantine: pl.DataFrame
    notes: tuple[str, ...] = ()
    account: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Building:
    """How rows become pairs.

    Args:
        views: the two views, in order.
        params: of the data set.
        root: the data set's folder.
        progress: show a progress bar while files are decoded.
        to_fit: whether there must be enough pairs to train on and some held out.
        forgotten: sha256 of items; rows with one of them are left out as if they had never been
            there.
    """

    views: dict[str, ViewParams]
    params: DatasetParams
    root: Path
    progress: bool = True
    to_fit: bool = True
    forgotten: frozenset[str] = frozenset()


@dataclass
class _Found:
    """What the checks of all items gave: content hashes by view and row ("" where unusable), and
    what is wrong by row.
    """

    hashes: dict[str, list[str]]
    faults: dict[int, list[str]]


def build_pairs(
    rows: list[RawPair], building: Building, aside: tuple[tuple[RawPair, str], ...] = ()
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
        building: how.
        aside: rows that the reader found unusable, with the reason.

    Raises:
        DataError: see above; the message names the first rows at fault and the remedy.
    """
    views = building.views
    texts = {view: settings.modality == "text" for view, settings in views.items()}
    tidied = [_tidy(row, texts) for row in rows]
    parts = _given_splits([row for row, _ in tidied], building.params)
    kept = [i for i, part in enumerate(parts) if part != "none"]
    rows, given = [tidied[i][0] for i in kept], [parts[i] for i in kept]
    unwritten = {k: [tidied[i][1]] for k, i in enumerate(kept) if tidied[i][1]}
    _check_ids([row for i, row in enumerate(rows) if i not in unwritten])
    found = _hash_items(rows, unwritten, building)
    gone = {
        i
        for i in range(len(rows))
        if any(found.hashes[view][i] in building.forgotten for view in views)
    }
    faulty = [i for i in sorted(found.faults) if i not in gone]
    unusable = [*aside, *((rows[i], "; ".join(found.faults[i])) for i in faulty)]
    if unusable and building.params.on_error == "refuse":
        raise DataError(_refusal(unusable, len(rows) + len(aside)))
    good = [i for i in range(len(rows)) if i not in found.faults and i not in gone]
    anchor = next(
        (view for view, settings in views.items() if settings.modality != "text"), next(iter(views))
    )
    items = [found.hashes[anchor][i] for i in good]
    named = [rows[i].group or item for i, item in zip(good, items, strict=True)]
    groups = _merge_groups(named, items)
    splits = _splits(rows, good, groups, given, building.params)
    pairs = _table([rows[i] for i in good], groups, splits, good, found.hashes)
    if building.to_fit:
        _check_sizes(pairs, building, len(unusable), given)
    notes = _notes(named, groups, (len(unusable), len(rows) + len(aside)), anchor, len(gone))
    passed = len(tidied) - len(kept)
    if passed:
        notes.append(f"{passed} pairs are of a split that dataset.splits says none of")
    account = {"forgotten": len(gone), "of no split": passed}
    return Ingested(
        pairs,
        quarantine_table(unusable, views),
        (*notes, *_spelt_notes(pairs, [view for view, is_text in texts.items() if is_text])),
        account,
    )


def split_fraction(group: str, seed: int) -> float:
    """Where a group falls in [0, 1): the first 64 bits of sha256("SEED:GROUP")."""
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _splits(
    rows: list[RawPair],
    good: list[int],
    groups: list[str],
    given: list[str | None],
    params: DatasetParams,
) -> list[str]:
    """train or test for each pair: its group's given split, or where its group's hash falls."""
    of_group = _splits_of_groups([rows[i] for i in good], groups, [given[i] for i in good])
    test, seed = params.split.test, params.split.seed
    return [
        of_group.get(group) or ("test" if split_fraction(group, seed) < test else "train")
        for group in groups
    ]


def _table(
    rows: list[RawPair],
    groups: list[str],
    splits: list[str],
    good: list[int],
    hashes: dict[str, list[str]],
) -> pl.DataFrame:
    columns: dict[str, list[str | None]] = {
        "pair_id": [row.pair_id for row in rows],
        "group": list(groups),
        "split": list(splits),
        "label": [row.label for row in rows],
    }
    for view, of_view in hashes.items():
        columns[view] = [row.values[view] for row in rows]
        columns[f"{view}_hash"] = [of_view[i] for i in good]
    pairs = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    mislabelled = pl.Series("mislabelled", [row.mislabelled for row in rows], dtype=pl.Boolean)
    return pairs.with_columns(mislabelled) if mislabelled.null_count() < len(rows) else pairs


def _tidy(row: RawPair, texts: dict[str, bool]) -> tuple[RawPair, str]:
    """A row as the table holds it, and why it cannot ("" where it can).

    Blank cells become None; space around a text goes, because it would make the same caption
    another item. `texts` says of each view whether it is of texts.
    """
    given = row.values
    values = {
        view: value.strip() if is_text and value is not None else value
        for view, is_text in texts.items()
        for value in (given.get(view),)
    }
    own = [_some(row.pair_id), _some(row.group), _some(row.split), _some(row.label)]
    written = "\n".join([cell for cell in (*own, *values.values()) if cell])
    fault = "" if written.isascii() else _unwritable(written)
    if fault:
        own = [_escaped(cell) for cell in own]
        values = {view: _escaped(value) for view, value in values.items()}
    place = row.place if row.place.isascii() else _escaped(row.place) or ""
    return RawPair(place, own[0], values, own[1], own[2], own[3], row.mislabelled), fault


def _unwritable(written: str) -> str:
    """Why no table can hold the cells of a row: half of a surrogate pair, from an escape in JSON or
    a file name in another encoding; "" where one can.
    """
    try:
        written.encode()
    except UnicodeEncodeError:
        cells = written.split("\n")
        return f"{cells!a} is not valid Unicode; write the text, or name the file, in UTF-8"
    return ""


def _escaped(cell: str | None) -> str | None:
    return cell and cell.encode("utf-8", "backslashreplace").decode()


def _some(cell: str | None) -> str | None:
    return (cell.strip() or None) if cell else None


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


def _given_splits(rows: list[RawPair], params: DatasetParams) -> list[str | None]:
    """train, test or none for each row; None where the data set says nothing."""
    places = {row.split: row.place for row in reversed(rows) if row.split}
    parts = {split: part_of(split, params.splits) for split in places}
    unknown = {split: places[split] for split, part in parts.items() if part is None}
    if unknown:
        names = ", ".join(
            f"{split!r} at {place}" for split, place in sorted(unknown.items())[:SHOWN]
        )
        raise DataError(
            f"{len(unknown)} unknown split names: {names}; use {', '.join(KNOWN)}, leave "
            f"the cell empty, or say what they are in dataset.splits, such as "
            f"{{{min(unknown)}: none}}"
        )
    meant = {split: "test" if part == "val" else part for split, part in parts.items()}
    return [meant[row.split] if row.split else None for row in rows]


def _hash_items(rows: list[RawPair], unwritten: dict[int, list[str]], building: Building) -> _Found:
    """Check each distinct item once, but for rows that no table can hold."""
    hashes: dict[str, list[str]] = {}
    faults = {i: ["no id"] for i, row in enumerate(rows) if row.pair_id is None} | unwritten
    for view, settings in building.views.items():
        check = item_checker(settings, building.root, building.params.max_image_pixels)
        values = [None if i in unwritten else row.values[view] for i, row in enumerate(rows)]
        distinct = list(dict.fromkeys(value for value in values if value is not None))
        if settings.modality in ("text", "array"):
            outcomes = {value: _checked(check, value) for value in distinct}
        else:
            outcomes = check_files(distinct, check, f"check {view}", building.progress)
        hashes[view] = []
        for i, value in enumerate(values):
            digest, fault = outcomes[value] if value is not None else ("", "nothing there (null)")
            hashes[view].append(digest)
            if fault and i not in unwritten:
                faults.setdefault(i, []).append(f"{view}: {fault}")
    return _Found(hashes, faults)


def _checked(check: Callable[[str], str], value: str) -> tuple[str, str]:
    """Content hash, and what is wrong; whatever a decoder raises is its item's fault."""
    try:
        return check(value), ""
    except DataError as error:
        return "", str(error)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a library's panic is no Exception
        return "", f"{value[:80]}: cannot be decoded ({plain_words(error)}); drop its row"


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


def _refusal(unusable: list[tuple[RawPair, str]], total: int) -> str:
    shown = "; ".join(
        f"{row.place}{'' if row.pair_id is None else f' (id {row.pair_id})'}: {reason}"
        for row, reason in unusable[:SHOWN]
    )
    more = f"; and {len(unusable) - SHOWN} more" if len(unusable) > SHOWN else ""
    return (
        f"{len(unusable)} of {total} rows are unusable: {shown}{more}. "
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


def _check_sizes(
    pairs: pl.DataFrame, building: Building, set_aside: int, given: list[str | None]
) -> None:
    train = pairs.filter(pl.col("split") == "train")
    after = f" after {set_aside} rows were set aside" if set_aside else ""
    if train.height < MIN_TRAINING_PAIRS:
        raise DataError(
            f"only {train.height} pairs to train on{after}; at least {MIN_TRAINING_PAIRS} are "
            f"needed: add pairs"
        )
    if train.height == pairs.height:
        by_hash = None in given
        raise DataError(
            f"no pair is held out{after}, so nothing could be evaluated; "
            + (
                f"raise dataset.split.test or change its seed ({pairs['group'].n_unique()} groups)"
                if by_hash
                else "the data set gives every pair the split train: give some the split test, "
                "or no split at all"
            )
        )
    for view, settings in building.views.items():
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


def _spelt_notes(pairs: pl.DataFrame, texts: list[str]) -> list[str]:
    """Texts that are perhaps a missing value written out; they are kept as they are."""
    notes = []
    for view in texts:
        found = [text for text in pairs[view] if text.lower() in _SPELT]
        if found:
            notes.append(
                f"{len(found)} texts of view {view!r} are {found[0]!r}, perhaps a missing value "
                f"written out; they are kept as texts"
            )
    return notes


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
    named: list[str], groups: list[str], set_aside: tuple[int, int], anchor: str, gone: int
) -> list[str]:
    notes = [f"rows left out because an item of theirs is to be forgotten: {gone}"] if gone else []
    joined = len(set(named)) - len(set(groups))
    if joined:
        notes.append(
            f"groups joined to another because both hold the same {anchor}: {joined}; so none "
            f"straddles train and test"
        )
    aside, total = set_aside
    if aside:
        notes.append(
            f"{aside} of {total} rows were set aside in data/quarantine.parquet, each with "
            f"its reason"
        )
    return notes
