"""The promotion ledger of this clone: append-only JSON lines, each hashed together with the hashes
of the lines it follows.

A line that was removed, reordered or edited is noticed. Only an unfinished last line, which a
killed process left, is cut. Every model has a history of its own. Two clones that share a registry
may each add a line at the same time; then both lines follow the same one, and the next line follows
both. `csa.operations.ledger.team_ledger` carries the lines between clones.
"""

import errno
import getpass
import hashlib
import json
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from csa.errors import ArtifactError
from csa.operations.trust.keys import own_key
from csa.storage.files import unwritable

Line = dict[str, Any]


def append(path: Path, facts: dict[str, Any]) -> Line:
    """Add one line after the newest ones of its model, flushed to disk before this returns.

    Args:
        path: the ledger; made when it is missing.
        facts: JSON-able, with `model`; `seq`, `when`, `who`, `host`, `previous` and `hash` are
            added, and `signature` where this person has a key.

    Returns:
        The line as written.

    Raises:
        ArtifactError: the ledger's chain is broken.
        WorkspaceError: it cannot be written, or this person's key cannot be read.
    """
    key = own_key()
    with _lock(path):
        known = entries(path)
        tips = heads(known, facts["model"])
        line = {
            "seq": 1 + max((tip["seq"] for tip in tips), default=0),
            "when": now(),
            "who": getpass.getuser(),
            "host": socket.gethostname(),
            **facts,
            "previous": [tip["hash"] for tip in tips],
        }
        line["hash"] = line_hash(line)
        if key is not None:
            line["signature"] = asdict(key.sign(signed_bytes(line)))
        with _own(path).open("a", encoding="utf-8") as own:
            own.write(f"{line['hash']}\n")
        _write(path, [line])
    return line


def is_own(path: Path, line: Line) -> bool:
    """Whether this clone itself wrote a line, whatever the line says.

    Args:
        path: the ledger.
        line: one of its lines.

    Returns:
        Whether it did.
    """
    return line["hash"] in own_hashes(path)


def own_hashes(path: Path) -> set[str]:
    """The hashes of the lines that this clone itself wrote.

    Args:
        path: the ledger.
    """
    own = _own(path)
    return set(own.read_text(encoding="utf-8").splitlines()) if own.is_file() else set()


def now() -> str:
    """The time as a line says it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def signed_bytes(line: Line) -> bytes:
    """What the signature of a line is of: its hash, and so all that the hash is over.

    Args:
        line: with its hash.
    """
    return f"csa ledger line 1 {line['hash']}".encode()


def merge(path: Path, lines: list[Line]) -> list[Line]:
    """Add lines that another clone wrote; those that are known stay as they are.

    Args:
        path: of this clone's ledger.
        lines: of the other clone.

    Returns:
        The lines that were new here.

    Raises:
        ArtifactError: a line is not what its hash says, or follows one that is nowhere.
        WorkspaceError: there are new lines, and the ledger cannot be written.
    """
    if not _unknown(lines, entries(path)):  # whoever only reads needs no lock
        return []
    with _lock(path):
        known = {line["hash"]: line for line in entries(path)}
        new = _unknown(lines, known.values())
        for line in new:
            if not _follows(line, known):
                raise ArtifactError(
                    f"ledger of {line.get('model')}: line {str(line.get('hash'))[:12]} was "
                    f"edited, or the line before it is "
                    "gone; restore it from another clone's promotions.jsonl"
                )
            known[line["hash"]] = line
        if new:
            _write(path, new)
    return new


def _unknown(lines: list[Line], known: Iterable[Line]) -> list[Line]:
    hashes = {line["hash"] for line in known}
    return [line for line in in_order(lines) if line["hash"] not in hashes]


def entries(path: Path) -> list[Line]:
    """All lines as they stand in the file, with their chain checked.

    Raises:
        ArtifactError: a line was edited, removed or is no JSON.
    """
    if not path.is_file():
        return []
    found: dict[str, Line] = {}
    for number, text in enumerate(path.read_bytes()[: _whole_bytes(path)].splitlines(), start=1):
        earlier = False
        try:
            line = json.loads(text)
            earlier = isinstance(line["previous"], str)
            whole = not earlier and _follows(line, found)
        except (ValueError, KeyError, TypeError):
            whole = False
        if earlier:
            raise ArtifactError(
                f"{path}: written by an earlier version of csa; move it aside, then the next run "
                f"notes the present champion"
            )
        if not whole:
            raise ArtifactError(
                f"{path}: line {number} was edited or does not follow the one before; restore it "
                f"from a backup"
            )
        found[line["hash"]] = line
    return list(found.values())


def history(path: Path, model: str) -> list[Line]:
    """The lines of one model, oldest first, in the same order in every clone whatever the clocks
    said.

    Args:
        path: of the ledger.
        model: whose lines.

    Returns:
        The lines; empty if there is no ledger.
    """
    return in_order([line for line in entries(path) if line["model"] == model])


def in_order(lines: list[Line]) -> list[Line]:
    """Lines after the lines they follow; those that stand side by side by time, then by hash."""
    return sorted(lines, key=lambda line: (line["seq"], line["when"], line["hash"]))


def heads(lines: list[Line], model: str) -> list[Line]:
    """The lines of a model that no other follows: one, or several where clones wrote at the same
    time.

    Args:
        lines: of any models.
        model: whose lines.

    Returns:
        The lines that no other names as the one before it.
    """
    own = [line for line in lines if line["model"] == model]
    followed = {parent for line in own for parent in line["previous"]}
    return in_order([line for line in own if line["hash"] not in followed])


def line_hash(line: Line) -> str:
    """sha256 of a line's content, the hashes of the lines before it among it; not of its
    signature, which is of this hash.
    """
    content = {key: value for key, value in line.items() if key not in ("hash", "signature")}
    return hashlib.sha256(
        json.dumps(content, sort_keys=True, ensure_ascii=False).encode()
    ).hexdigest()


def line_text(line: Line) -> str:
    """A line as it is stored."""
    return json.dumps(line, ensure_ascii=False)


def _follows(line: Line, known: dict[str, Line]) -> bool:
    """Whether a line is what its hash says and stands right after lines that are known."""
    parents = [known.get(parent) for parent in line["previous"]]
    own = [parent for parent in parents if parent is not None and parent["model"] == line["model"]]
    follows = len(own) == len(parents) and line["seq"] == 1 + max(
        (parent["seq"] for parent in own), default=0
    )
    return follows and line["hash"] == line_hash(line)


def _write(path: Path, lines: list[Line]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        content = "".join(line_text(line) + "\n" for line in lines).encode()
        with path.open("ab", buffering=0) as file:  # a buffer would be written again on closing
            whole = _whole_bytes(path)
            file.truncate(whole)
            try:
                if file.write(content) != len(content):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError:
                file.truncate(whole)
                raise
    except OSError as error:
        raise unwritable(path, error) from None


def _own(path: Path) -> Path:
    """The hashes of the lines that this clone wrote itself."""
    return path.with_suffix(".own")


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    lock = FileLock(path.with_suffix(".lock"), timeout=60)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise unwritable(path, error) from None
    try:
        yield
    finally:
        lock.release()


def _whole_bytes(path: Path) -> int:
    """Length up to the last line end; what follows is a line that was never finished."""
    return path.read_bytes().rfind(b"\n") + 1 if path.is_file() else 0
