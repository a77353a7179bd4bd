"""The pairs table: one row a pair, split so that no group straddles train and test.

Columns: pair_id, group, split ("train" or "test"), label (null where there is none), and per view
V: V (the text itself, an image's path inside the data set's folder, or FILE#ROW of an array) and
V_hash (sha256 of the item's content). Where the data set says of any pair whether it is wrong,
mislabelled (true, false, or null).
"""

from dataclasses import dataclass, field
from typing import Any

import polars as pl

from csa.datasets.building import Building
from csa.datasets.checking import hash_items
from csa.datasets.groups import SHOWN, given_splits, merge_groups, one_spelling, splits_of
from csa.datasets.rows import RawPair
from csa.datasets.tidy import escaped, tidy
from csa.datasets.written import spelt_notes, written_notes
from csa.errors import DataError
from csa.params.views import ViewParams

MIN_TRAINING_PAIRS = 10


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


@dataclass(frozen=True, eq=False)
class Built:
    """The outcome of building pairs.

    Attributes:
        pairs: the pairs table.
        used: its rows, in its order.
        aside: rows that are unusable, each with the reason; those that the reader found come first.
        passed: rule -> rows that it leaves out.
        notes: what the user should know, a sentence each.
    """

    pairs: pl.DataFrame
    used: list[RawPair]
    aside: list[tuple[RawPair, str]]
    passed: dict[str, list[RawPair]]
    notes: tuple[str, ...]


def build_pairs(
    rows: list[RawPair], building: Building, aside: tuple[tuple[RawPair, str], ...] = ()
) -> Built:
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

    Returns:
        The table, and what became of every row.

    Raises:
        DataError: see above; the message names the first rows at fault and the remedy.
    """
    views = building.views
    texts = {view: settings.modality == "text" for view, settings in views.items()}
    faults = [tidy(row, texts) for row in rows]
    parts = given_splits(rows, building.params)
    of_none = [row for row, part in zip(rows, parts, strict=True) if part == "none"]
    if of_none:
        kept = [i for i, part in enumerate(parts) if part != "none"]
        rows, given = [rows[i] for i in kept], [parts[i] for i in kept]
        faults = [faults[i] for i in kept]
    else:
        given = parts
    unwritten = {i: [fault] for i, fault in enumerate(faults) if fault}
    _check_ids([row for i, row in enumerate(rows) if i not in unwritten])
    found = hash_items(rows, unwritten, building)
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
    spelt, twice = one_spelling([rows[i].group for i in good])
    named = [group or item for group, item in zip(spelt, items, strict=True)]
    groups = merge_groups(named, items)
    used = [rows[i] for i in good]
    splits = splits_of(used, groups, [given[i] for i in good], building.params)
    pairs = _table(used, groups, splits, good, found.hashes)
    if building.to_fit:
        _check_sizes(pairs, building, len(unusable), given)
    counts = (len(unusable), len(rows) + len(aside))
    notes = list(found.notes)
    if twice:
        notes.append(
            f"{twice} groups are written in two ways, such as 3 and 3.0; each is read as one"
        )
    notes += _notes(named, groups, counts, anchor, len(gone))
    if of_none:
        notes.append(f"{len(of_none)} pairs are of a split that dataset.splits sets to none")
    notes += _notes_of_cells(pairs, used, [view for view, is_text in texts.items() if is_text])
    passed = {
        "of a split that dataset.splits sets to none": of_none,
        "with an item that is to be forgotten": [rows[i] for i in sorted(gone)],
    }
    return Built(pairs, used, unusable, passed, tuple(notes))


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


def quarantine_table(
    set_aside: list[tuple[RawPair, str]], views: dict[str, ViewParams]
) -> pl.DataFrame:
    """Rows that do not take part.

    Args:
        set_aside: rows, each with the reason.
        views: in order.

    Returns:
        Columns row, pair_id, reason, and each view's value.
    """
    found = [
        {
            "row": escaped(row.place),
            "pair_id": escaped(row.pair_id),
            "reason": escaped(reason),
            **{view: escaped(row.values.get(view)) for view in views},
        }
        for row, reason in set_aside
    ]
    return pl.DataFrame(
        found, schema=dict.fromkeys(("row", "pair_id", "reason", *views), pl.String)
    )


def _notes_of_cells(pairs: pl.DataFrame, used: list[RawPair], texts: list[str]) -> list[str]:
    """What is said of texts, groups and splits that are perhaps not what they seem."""
    notes = [note for view in texts for note in written_notes(view, pairs[view].to_list())]
    groups = [row.group for row in used if row.group]
    notes += spelt_notes("groups", groups, "all of them are one group")
    placed = sum(row.split is None for row in used)
    if 0 < placed < len(used):
        notes.append(
            f"{placed} of {len(used)} pairs have no split; they are divided by dataset.split.test"
        )
    return notes


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
