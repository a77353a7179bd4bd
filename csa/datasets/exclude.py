"""The pairs that somebody decided to leave out: `exclude.csv` beside params.yaml, a reviewed and versioned list.

A recipe's list is RECIPE.exclude.csv beside RECIPE.yaml. Columns: pair_id, and reason where somebody wrote one; others are
ignored.
"""

import csv
import io
from pathlib import Path

from csa.datasets.rows import RawPair, decode_text
from csa.errors import DataError
from csa.files import write_atomic

EXCLUDE_FILE = "exclude.csv"
EMPTY = b"pair_id,reason\n"


def read_excluded(path: Path) -> dict[str, str]:
    """Pair id -> reason ("" where none is given); nothing where there is no such file.

    Raises:
        DataError: no column pair_id, or a line without an id.
    """
    if not path.is_file():
        return {}
    reader = csv.DictReader(io.StringIO(decode_text(path), newline=""))
    if "pair_id" not in (reader.fieldnames or ()):
        raise DataError(
            f"{path}: no column pair_id, only {reader.fieldnames}; its first line must name the columns: pair_id,reason"
        )
    excluded: dict[str, str] = {}
    for row in reader:
        pair_id = (row["pair_id"] or "").strip()
        if not pair_id:
            raise DataError(f"{path}: line {reader.line_num} has no pair_id; remove the line, or give it one")
        excluded[pair_id] = (row.get("reason") or "").strip()
    return excluded


def write_excluded(path: Path, excluded: dict[str, str]) -> None:
    """Write such a list: pair id -> reason."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["pair_id", "reason"])
    writer.writerows(excluded.items())
    write_atomic(path, text.getvalue().encode())


def leave_out(rows: list[RawPair], excluded: dict[str, str]) -> tuple[list[RawPair], list[RawPair], tuple[str, ...]]:
    """(rows that stay, rows left out, notes); ids that the data set does not have are noted, not refused: data sets change."""
    ids = {(row.pair_id or "").strip() for row in rows}
    out = [row for row in rows if (row.pair_id or "").strip() in excluded]
    stay = [row for row in rows if (row.pair_id or "").strip() not in excluded]
    unknown = [pair_id for pair_id in excluded if pair_id not in ids]
    notes = []
    if out:
        notes.append(f"pairs left out by {EXCLUDE_FILE}: {len(out)}, listed in data/quarantine.parquet")
    if unknown:
        notes.append(f"ids in {EXCLUDE_FILE} that the data set does not have: {len(unknown)}, such as {unknown[0]!r}")
    return stay, out, tuple(notes)
