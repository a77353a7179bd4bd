"""The account of a data set: what becomes of every file, row, member, split and column.

Every reader gets a `Reading` and gives each of its records to `Reading.take`, which counts what
became of it: pairs, set aside with a reason, or left out by a named rule. Files that nothing used
are counted by `Reading.account` itself, so a reader cannot forget one.
"""

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any, TypeVar

from csa.datasets.accounting import Fates, Records, as_dict, tally_files
from csa.datasets.containers import inside
from csa.datasets.rows import ItemError, LeftOut, RawPair
from csa.datasets.splits import KNOWN, Part, part_in, part_of, telling, words_of
from csa.errors import DataError
from csa.params.data import DatasetParams
from csa.params.views import ViewParams
from csa.storage.files import walk

Record = TypeVar("Record")
_UNTOUCHED = "left untouched (dataset.held_out)"


@dataclass
class Reading:
    """One data set while it is read.

    Args:
        params: of the data set.
        views: in order.
        path: the folder or the file that `dataset.path` names.
    """

    params: DatasetParams
    views: dict[str, ViewParams]
    path: Path
    rows: list[RawPair] = field(default_factory=list)
    aside: list[tuple[RawPair, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    records: Records = field(default_factory=Records)
    columns: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    opened: str = ""
    _claimed: dict[str, str] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        """The folder that paths of items are relative to."""
        return self.path if self.path.is_dir() else self.path.parent

    @cached_property
    def files(self) -> list[str]:
        """Every file below the folder; the one file where `dataset.path` is a file."""
        return walk(self.path) if self.path.is_dir() else [self.path.name]

    @cached_property
    def names(self) -> frozenset[str]:
        """The files, to look names up in."""
        return frozenset(self.files)

    def only(self, name: str) -> str | None:
        """The one file of a name, in whichever folder it lies; None if there is none or several.

        Args:
            name: without folders.
        """
        found = self._by_name.get(name, [])
        return found[0] if len(found) == 1 else None

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for file in self.files:
            found.setdefault(PurePath(file).name, []).append(file)
        return found

    @cached_property
    def _normal(self) -> dict[str, str]:
        return {unicodedata.normalize("NFC", name): name for name in self.files}

    # Files

    def find(self, name: str) -> str:
        """The path of a file as it lies in the folder, for the path that a table has.

        Separators of Windows, a leading "./", blanks around it and the other Unicode normal form
        are seen through; a path that names nothing here comes back as it is.
        """
        if name in self.names:
            return name
        plain = name.strip().replace("\\", "/").removeprefix("./")
        if self.path.is_file():  # what lies beside a table is not listed
            return plain if name != name.strip() else name
        return self._normal.get(unicodedata.normalize("NFC", plain), name)

    def open(self, name: str) -> Path:
        """The path of a file that the reader itself reads; it counts as used.

        Raises:
            DataError: a path out of the folder.
        """
        self.opened = name
        self._claimed[self.find(name)] = ""
        return inside(self.root, self.find(name))

    def pass_over(self, rule: str, files: Iterable[str]) -> None:
        """Leave files out by a rule; files that no rule names are left out by their ending.

        Args:
            rule: as it is counted in the account.
            files: relative to the folder; those that a rule named before stay with it.
        """
        for name in files:
            self._claimed.setdefault(name, rule)

    def below(self, folder: str) -> list[str]:
        """The files below a folder ("" for all), at any depth."""
        start = f"{folder.strip('/')}/" if folder.strip("/.") else ""
        return [name for name in self.files if name.startswith(start)]

    # Records

    def take(
        self,
        unit: str,
        records: Iterable[tuple[str, Record]],
        read: Callable[[str, Record], Sequence[RawPair] | LeftOut],
    ) -> None:
        """Read records one by one, and count what becomes of each.

        Args:
            unit: what a record is called in the account, in the plural: rows, images, samples.
            records: each with its place, which errors and the account call it.
            read: of a place and a record: its pairs, or the rule that leaves it out. An `ItemError`
                sets the record aside with its words, as a record without a pair is.
        """
        tally = self.records.tally(unit)
        for place, record in records:
            tally.total += 1
            try:
                outcome = read(place, record)
            except ItemError as fault:
                self.set_aside(unit, RawPair(place, None, fault.values), str(fault))
                continue
            if isinstance(outcome, LeftOut):
                self.records.leave_out(unit, f"{unit} {outcome.what}")
                self.pass_over(f"files {outcome.what}", outcome.files)
            elif outcome:
                number = self.records.new(unit)
                for row in outcome:
                    row.record = number
                self.rows.extend(outcome)
            else:
                self.set_aside(unit, RawPair(place, None, {}), "it holds no pair")

    def set_aside(self, unit: str, row: RawPair, reason: str) -> None:
        """Set a record aside; it was counted in the total before.

        Args:
            unit: what it is called in the account.
            row: the record.
            reason: why it is unusable.
        """
        self.records.tally(unit).set_aside += 1
        self.aside.append((row, reason))

    def count(self, unit: str, left_out: Mapping[str, int], set_aside: int = 0) -> None:
        """Count things that make no record.

        Args:
            unit: what they are called, in the plural.
            left_out: rule -> how many it left out.
            set_aside: how many belong to records that were set aside.
        """
        tally = self.records.tally(unit)
        tally.total += set_aside + sum(left_out.values())
        tally.set_aside += set_aside
        for rule, count in left_out.items():
            self.records.leave_out(unit, rule, count)

    def use_columns(self, owner: str, used: Iterable[str], there: Iterable[str]) -> None:
        """Say which columns of a table are used; the others are passed over.

        Args:
            owner: the table.
            used: names of columns.
            there: names of all columns.
        """
        taken = list(dict.fromkeys(used))
        over = [name for name in there if name not in taken]
        self.columns[owner] = {"used": taken, "passed_over": over}

    # Splits

    def part(self, name: str, place: str) -> Part:
        """The part that a split's name means.

        Args:
            name: of the split.
            place: says where, in errors.

        Returns:
            train, val, test or none.

        Raises:
            DataError: a name that is unknown.
        """
        part = part_of(name, self.params.splits)
        if part is None:
            raise DataError(unknown_split(name, place))
        return part

    def parts_of_files(self, files: Iterable[str], what: str) -> dict[str, Part]:
        """The part of each file by its folders, else its own name.

        Args:
            files: relative to the folder.
            what: a file is called in errors, such as "shard".

        Returns:
            File -> part, for those that say something; see `telling`.

        Raises:
            DataError: some say theirs and others do not.
        """
        found = {name: self._part_of_file(name) for name in files}
        known = {name: part for name, part in found.items() if part is not None}
        if known and len(known) < len(found):
            unknown = next(name for name, part in found.items() if part is None)
            raise DataError(unknown_split(words_of(_stem(unknown)), f"{what} {unknown}"))
        return telling(known)

    def _part_of_file(self, name: str) -> Part | None:
        *folders, _ = name.split("/")
        words = [part_in(folder, self.params.splits) for folder in reversed(folders)]
        return next((part for part in words if part), part_in(_stem(name), self.params.splits))

    def roles(self, parts: Iterable[Part]) -> dict[Part, str | None]:
        """What each part is here: train, test, or None for one that is left untouched.

        `dataset.held_out` picks between val and test; where only the other is there, that one is
        held out, and a note says so.
        """
        there = set(parts)
        wanted: Part = self.params.held_out
        other: Part = "test" if wanted == "val" else "val"
        held = wanted if wanted in there or other not in there else other
        if held != wanted and "train" in there:
            self.notes.append(
                f"there is no part {wanted} (dataset.held_out), so {held} is held out"
            )
        return {
            "train": "train",
            held: "test",
            ("test" if held == "val" else "val"): None,
            "none": None,
        }

    def untouched(self, part: str, files: Iterable[str] = ()) -> LeftOut:
        """The rule that leaves a part untouched.

        Args:
            part: val, test or none.
            files: of the items.

        Returns:
            What becomes of a record of that part.
        """
        if part == "none":
            return LeftOut("of a part that dataset.splits sets to none", tuple(files))
        return LeftOut(f"of part {part}, {_UNTOUCHED}", tuple(files))

    def say_untouched(self, what: str) -> None:
        """Note how much was left untouched because `dataset.held_out` names the other part."""
        count = sum(n for rule, n in self.records.left_out.items() if rule.endswith(_UNTOUCHED))
        if count:
            self.notes.append(
                f"{count} {what} were left untouched: they are of neither train nor "
                f"{self.params.held_out} (dataset.held_out)"
            )

    # The account

    def account(self, fates: Fates) -> dict[str, Any]:
        """What became of all that is there; the sums agree.

        Args:
            fates: of the rows.

        Returns:
            kind, files, records, columns and left_out, as data/account.json has them.

        Raises:
            DataError: they do not.
        """
        media = [view for view, settings in self.views.items() if settings.modality != "text"]
        self.records.settle(fates)
        files, rules = tally_files(self.files, self._claimed, fates, media, self.root)
        rules = self.records.left_out + rules
        return {
            "kind": self.params.kind,
            "files": as_dict({"files": files})["files"],
            "records": as_dict(self.records.tallies),
            "columns": self.columns,
            "left_out": [{"what": what, "count": count} for what, count in rules.items()],
        }


def unknown_split(name: str, place: str) -> str:
    """What is said of a split that no table names.

    Args:
        name: of the split.
        place: says where it was met.

    Returns:
        A line with the remedy.
    """
    return (
        f"unknown split {name!r} at {place}; use {', '.join(KNOWN)}, or say what it is in "
        f"dataset.splits, such as {{{name}: none}} (train, val, test or none)"
    )


def _stem(name: str) -> str:
    return PurePath(name).name.partition(".")[0]
