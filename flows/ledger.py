"""The promotion ledger: append-only JSON lines, each with its number and a hash over the line before.

A removed, reordered or edited line breaks the chain and is noticed. Only an unfinished last line, which a killed process left, is
cut.
"""

import getpass
import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from csa.errors import ArtifactError

_START = "0" * 64


def append(path: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Add one line, flushed to disk before this returns.

    Args:
        path: the ledger; made when it is missing.
        facts: JSON-able; `seq`, `when`, `who`, `previous` and `hash` are added.

    Returns:
        The line as written.

    Raises:
        ArtifactError: the ledger's chain is broken.
    """
    known = entries(path)
    entry = {
        "seq": len(known) + 1,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "who": getpass.getuser(),
        **facts,
        "previous": known[-1]["hash"] if known else _START,
    }
    entry["hash"] = _hash(entry)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.truncate(_whole_bytes(path))
        file.write((json.dumps(entry, ensure_ascii=False) + "\n").encode())
        file.flush()
        os.fsync(file.fileno())
    return entry


def entries(path: Path) -> list[dict[str, Any]]:
    """All lines, oldest first, with their chain checked.

    Raises:
        ArtifactError: a line was edited, removed or is no JSON.
    """
    if not path.is_file():
        return []
    found: list[dict[str, Any]] = []
    for number, line in enumerate(path.read_bytes()[: _whole_bytes(path)].splitlines(), start=1):
        try:
            entry = json.loads(line)
            whole = entry["seq"] == number and entry["previous"] == (found[-1]["hash"] if found else _START)
            whole = whole and entry["hash"] == _hash({key: value for key, value in entry.items() if key != "hash"})
        except (ValueError, KeyError, TypeError):
            whole = False
        if not whole:
            raise ArtifactError(f"{path}: line {number} was edited or does not follow the one before; restore it from a backup")
        found.append(entry)
    return found


def _whole_bytes(path: Path) -> int:
    """Length up to the last line end; what follows is a line that was never finished."""
    return path.read_bytes().rfind(b"\n") + 1 if path.is_file() else 0


def _hash(entry: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(entry, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
