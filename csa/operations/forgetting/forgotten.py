"""Items that are to be forgotten: what `exclude.csv` asks for, and this clone's append-only record
of what was done about it.

`exclude.csv` travels with git, so every clone learns of it; the record, `.csa/forgotten.jsonl`,
says which items this clone has removed from its caches, when, and who asked. Both hold hashes only,
no content.
"""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from csa.datasets.exclude import EXCLUDE_FILE, read_excluded
from csa.datasets.rows import decode_text
from csa.operations.ledger import ledger
from csa.operations.ledger.ledger import Line
from csa.pipeline.workspace import Workspace
from csa.storage.files import write_atomic

if TYPE_CHECKING:
    import polars as pl

_CHAIN = "items"  # the ledger's lines are chained by model; all of these are one chain


def record_file(ws: Workspace) -> Path:
    """Where this clone's record lies."""
    return ws.state / "forgotten.jsonl"


def lines(ws: Workspace) -> list[Line]:
    """The record, oldest first.

    Raises:
        ArtifactError: a line was edited or removed.
    """
    return ledger.history(record_file(ws), _CHAIN)


def note(ws: Workspace, facts: dict[str, object]) -> Line:
    """Add a line: `items` (item -> reason), what was `removed`, the `versions` that saw them,
    and the places not `unreached`.

    Args:
        ws: whose record.
        facts: JSON-able.

    Returns:
        The line as it was written.
    """
    return ledger.append(record_file(ws), {"model": _CHAIN, **facts})


def wanted(ws: Workspace) -> dict[str, str]:
    """Item -> reason: all that the repository's exclude.csv or the record names."""
    listed = read_excluded(ws.home / EXCLUDE_FILE).items
    return {item: reason for line in lines(ws) for item, reason in line["items"].items()} | listed


def not_yet_carried_out(ws: Workspace) -> dict[str, str]:
    """Item -> reason: those that were not removed here yet, or not from every place."""
    done = {item for line in lines(ws) if not line["unreached"] for item in line["items"]}
    return {item: reason for item, reason in wanted(ws).items() if item not in done}


def trained_on(ws: Workspace, items: "pl.DataFrame") -> int:
    """How many of the items to forget are in the training pairs, or the unpaired items, of a table
    of items (`csa.operations.runs.items.items_of`).

    Args:
        ws: whose exclude.csv and record.
        items: of a run.

    Returns:
        Their number; 0 where none is.
    """
    import polars as pl
    import polars.selectors as cs

    training = items.filter(pl.col("split") != "test").select(cs.ends_with("_hash"))
    return len(wanted(ws).keys() & {item for column in training.iter_columns() for item in column})


def list_items(path: Path, items: dict[str, str]) -> bool:
    """Add items to an exclude.csv, made when it is missing; its other lines and columns stay.
    Returns whether any was new.

    Args:
        path: of the exclude.csv.
        items: item -> reason.

    Returns:
        Whether any was new.
    """
    known = read_excluded(path)
    new = {item: reason for item, reason in items.items() if item not in known.items}
    if not new:
        return False
    reader = csv.DictReader(
        io.StringIO(decode_text(path) if path.is_file() else "pair_id,reason\n", newline="")
    )
    columns = list(dict.fromkeys([*(reader.fieldnames or ()), "item", "reason"]))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(reader)
    writer.writerows({"item": item, "reason": reason} for item, reason in new.items())
    write_atomic(path, text.getvalue().encode())
    return True
