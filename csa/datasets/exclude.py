"""What somebody decided to leave out: `exclude.csv` beside params.yaml, a reviewed and versioned
list.

A recipe's list is RECIPE.exclude.csv beside RECIPE.yaml. Columns: pair_id, which leaves out that
pair; or item, the sha256 of an item's content, which leaves out every pair with it, and without a
trace of it (`csa forget` writes such lines); and reason where somebody wrote one. Other columns are
ignored.
"""

import csv
import io
import re
from dataclasses import dataclass, field
from pathlib import Path

from csa.datasets.rows import RawPair, decode_text
from csa.errors import DataError
from csa.storage.files import guarded, what_is, write_atomic

EXCLUDE_FILE = "exclude.csv"

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Excluded:
    """Pair id -> reason, and sha256 of an item -> reason; "" if none is given."""

    pairs: dict[str, str] = field(default_factory=dict)
    items: dict[str, str] = field(default_factory=dict)


def read_excluded(path: Path) -> Excluded:
    """What a list leaves out; nothing where there is no such file.

    Raises:
        DataError: neither a column pair_id nor item, a line without either, or an item that is no
            sha256.
    """
    kind = what_is(path)
    if kind == "nothing" and not path.is_symlink():
        return Excluded()
    if kind != "a file":
        raise DataError(
            f"{path}: it is {kind}, not a list of what to leave out; make it a file, or remove it"
        )
    reader = csv.DictReader(io.StringIO(decode_text(path), newline=""), skipinitialspace=True)
    with guarded(str(path), "a list of what to leave out"):
        names = reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
    if not {"pair_id", "item"} & set(names):
        raise DataError(
            f"{path}: no column pair_id or item, only {names}; its first line must "
            f"name the columns: pair_id,reason"
        )
    found = Excluded()
    with guarded(str(path), "a list of what to leave out"):
        rows = [(reader.line_num, row) for row in reader]
    for line, row in rows:
        pair_id, item, reason = (
            (row.get(name) or "").strip() for name in ("pair_id", "item", "reason")
        )
        if not pair_id and not item:
            raise DataError(f"{path}: line {line} has no pair_id; remove the line, or give it one")
        if item and not _SHA256.fullmatch(item):
            raise DataError(
                f"{path}: line {line}: item {item[:80]!r} is not a sha256; `csa forget` "
                f"writes such lines"
            )
        if pair_id:
            found.pairs[pair_id] = reason
        else:
            found.items[item] = reason
    return found


def write_excluded(path: Path, excluded: Excluded) -> None:
    """Write such a list.

    Args:
        path: the file; written whole or not at all.
        excluded: what it leaves out.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if excluded.items:
        writer.writerow(["pair_id", "item", "reason"])
        writer.writerows((pair_id, "", reason) for pair_id, reason in excluded.pairs.items())
        writer.writerows(("", item, reason) for item, reason in excluded.items.items())
    else:
        writer.writerow(["pair_id", "reason"])
        writer.writerows(excluded.pairs.items())
    write_atomic(path, text.getvalue().encode())


def leave_out(
    rows: list[RawPair], excluded: dict[str, str]
) -> tuple[list[RawPair], list[RawPair], tuple[str, ...]]:
    """Leave out the rows of some ids.

    Args:
        rows: of the data set.
        excluded: pair id -> reason; one that the data set does not have is noted, not refused:
            data sets change.

    Returns:
        Rows that stay, rows left out, and notes.
    """
    ids = {(row.pair_id or "").strip() for row in rows}
    out = [row for row in rows if (row.pair_id or "").strip() in excluded]
    stay = [row for row in rows if (row.pair_id or "").strip() not in excluded]
    unknown = [pair_id for pair_id in excluded if pair_id not in ids]
    notes = []
    if out:
        notes.append(
            f"pairs left out by {EXCLUDE_FILE}: {len(out)}, listed in data/quarantine.parquet"
        )
    if unknown:
        notes.append(
            f"ids in {EXCLUDE_FILE} that the data set does not have: {len(unknown)}, such as "
            f"{unknown[0]!r}"
        )
    return stay, out, tuple(notes)
