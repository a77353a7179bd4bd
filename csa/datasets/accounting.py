"""What became of everything that is there: the sums of a data set's account."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from csa.datasets.containers import file_of
from csa.datasets.rows import RawPair
from csa.errors import DataError

_USED, _ASIDE, _PASSED = 3, 2, 1


@dataclass
class Tally:
    """How many of one kind of thing there are, and what became of them."""

    total: int = 0
    used: int = 0
    set_aside: int = 0
    left_out: int = 0

    def check(self, what: str) -> None:
        """Stop where the sums do not agree.

        Raises:
            DataError: they do not: the reader has a fault.
        """
        if self.total != self.used + self.set_aside + self.left_out:
            raise DataError(
                f"the account of the {what} does not add up: {self.total} are there, but "
                f"{self.used} are used, {self.set_aside} set aside and {self.left_out} left out; "
                f"this is a fault of the reader, please report it"
            )


@dataclass(frozen=True)
class Fates:
    """What became of the rows that a reader found.

    Args:
        used: rows that are pairs.
        aside: rows that are unusable, or that somebody decided to leave out.
        passed: rule -> rows that it leaves out; what is counted by it is called "rows " + rule.
    """

    used: list[RawPair]
    aside: list[RawPair]
    passed: dict[str, list[RawPair]]


class Records:
    """What was read as one: a line of a table, an image with its captions, a sample of a shard.

    A record is used where one of its rows is, else set aside where one is, else left out.
    """

    def __init__(self) -> None:
        self.tallies: dict[str, Tally] = {}
        self.left_out: Counter[str] = Counter()
        self._units: list[str] = []
        self._parts: list[tuple[str, RawPair, int]] = []

    def tally(self, unit: str) -> Tally:
        """The tally of what is called so, in the plural."""
        return self.tallies.setdefault(unit, Tally())

    def new(self, unit: str) -> int:
        """The number of a record that gave rows, whose fate is known later."""
        self._units.append(unit)
        return len(self._units) - 1

    def leave_out(self, unit: str, rule: str, count: int = 1) -> None:
        """Leave records out.

        Args:
            unit: what they are called, in the plural.
            rule: as it is counted.
            count: how many; they were counted in the total before.
        """
        self.left_out[rule] += count
        self.tally(unit).left_out += count

    def belong(self, unit: str, row: RawPair, count: int) -> None:
        """Count parts of a record, such as the members of a sample; they have its fate.

        Args:
            unit: what the parts are called, in the plural.
            row: one of the record's.
            count: how many parts.
        """
        self.tally(unit).total += count
        self._parts.append((unit, row, count))

    def settle(self, fates: Fates) -> None:
        """Count each record by what became of its rows.

        Args:
            fates: of all rows.
        """
        best, rules = bytearray(len(self._units)), dict[int, str]()
        for code, rows in ((_ASIDE, fates.aside), (_USED, fates.used)):
            for row in rows:
                if row.record >= 0:
                    best[row.record] = code
        for rule, rows in fates.passed.items():
            for row in rows:
                if best[row.record] <= _PASSED:
                    best[row.record] = _PASSED
                    rules.setdefault(row.record, rule)
                else:
                    self.left_out[f"pairs {rule}"] += 1
        for record, unit in enumerate(self._units):
            self._settle_one(unit, 1, best[record], rules.get(record, ""))
        for unit, row, count in self._parts:
            self._settle_one(unit, count, best[row.record], rules.get(row.record, ""))

    def _settle_one(self, unit: str, count: int, code: int, rule: str) -> None:
        tally = self.tally(unit)
        if code == _USED:
            tally.used += count
        elif code == _ASIDE:
            tally.set_aside += count
        elif code == _PASSED:
            self.leave_out(unit, f"{unit} {rule}", count)


def tally_files(
    files: list[str], claimed: dict[str, str], fates: Fates, media: list[str], root: Path
) -> tuple[Tally, Counter[str]]:
    """What became of the files.

    Args:
        files: all of them, relative to the folder.
        claimed: file -> the rule that leaves it out, "" for one that the reader itself read.
        fates: of the rows.
        media: the views whose items are files.
        root: the folder.

    Returns:
        The tally, and rule -> how many files it left out.
    """
    used = {name for name, rule in claimed.items() if not rule} | _named(fates.used, media)
    faulty = _named(fates.aside, media) - used
    rules = {
        name: f"files of rows {rule}"
        for rule, rows in fates.passed.items()
        for name in _named(rows, media)
    }
    rest = [name for name in files if name not in used and name not in faulty]
    counts = Counter(claimed.get(one) or rules.get(one) or _rule_of(root, one) for one in rest)
    there = set(files)
    return Tally(len(files), len(there & used), len(there & faulty), counts.total()), counts


def _named(rows: Iterable[RawPair], media: list[str]) -> set[str]:
    """The files that the values of rows lie in."""
    values = {row.values.get(view) for row in rows for view in media}
    return {file_of(value) for value in values if value}


def _rule_of(root: Path, name: str) -> str:
    suffix = PurePath(name).suffix.lower()
    if suffix:
        return f"files ending {suffix}, which nothing names"
    is_folder = (root / name).is_dir()
    return "links to folders, which are not followed" if is_folder else "files without an ending"


def as_dict(tallies: dict[str, Tally]) -> dict[str, Any]:
    """Tallies for JSON.

    Raises:
        DataError: one does not add up.
    """
    for unit, tally in tallies.items():
        tally.check(unit)
    return {unit: dict(vars(tally)) for unit, tally in tallies.items()}
