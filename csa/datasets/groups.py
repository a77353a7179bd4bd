"""Groups of pairs, and which part of the split each group is in."""

import hashlib

from csa.datasets.rows import RawPair
from csa.datasets.splits import KNOWN, part_of
from csa.errors import DataError
from csa.params.data import DatasetParams

SHOWN = 3
"""Faulty rows that an error names."""


def split_fraction(group: str, seed: int) -> float:
    """Where a group falls: the first 64 bits of sha256("SEED:GROUP").

    Args:
        group: its name.
        seed: of `dataset.split`.

    Returns:
        A number in [0, 1).
    """
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def splits_of(
    rows: list[RawPair], groups: list[str], given: list[str | None], params: DatasetParams
) -> list[str]:
    """The split of each pair: its group's given one, or where its group's hash falls.

    Args:
        rows: the pairs.
        groups: of each.
        given: train, test or None of each.
        params: of the data set.

    Returns:
        train or test of each.

    Raises:
        DataError: a group has two given splits.
    """
    of_group = _splits_of_groups(rows, groups, given)
    test, seed = params.split.test, params.split.seed
    return [
        of_group.get(group) or ("test" if split_fraction(group, seed) < test else "train")
        for group in groups
    ]


def one_spelling(named: list[str | None]) -> tuple[list[str | None], int]:
    """Groups whose number is written in two ways, 3 and 3.0, as one.

    Args:
        named: the group of each row, as the data set has it.

    Returns:
        The same in one spelling, and how many groups had two.
    """
    short = {name: name.removesuffix(".0") for name in named if name and name.endswith(".0")}
    there = set(named)
    twice = {name: plain for name, plain in short.items() if plain in there and plain.isdecimal()}
    return ([twice.get(name, name) if name else name for name in named], len(twice))


def merge_groups(named: list[str], items: list[str]) -> list[str]:
    """Join groups that share an item.

    Args:
        named: the group of each pair.
        items: the hash of the item of each pair.

    Returns:
        The group of each pair; joined ones take the name of the member that came first.
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


def given_splits(rows: list[RawPair], params: DatasetParams) -> list[str | None]:
    """The splits that the data set gives.

    Args:
        rows: as tidied.
        params: of the data set.

    Returns:
        train, test or none for each row; None if the data set says nothing.

    Raises:
        DataError: names of splits that are unknown.
    """
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
