"""The life of dvc.lock in a team: it is committed, merged, and made anew on other processors.

The lock only records what was computed from what. DVC compares it with the files, so a wrong or
outdated entry costs a look into the caches and never gives a wrong result.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import yaml

from csa.errors import ArtifactError
from csa.operations.cache import leftovers
from csa.pipeline.code import write_hashes
from csa.pipeline.start import Start, keep_start, write_start
from csa.pipeline.workspace import Workspace
from csa.storage.files import write_atomic
from csa.storage.written_yaml import read_yaml

_Taken = TypeVar("_Taken")

_CONFLICT = re.compile(
    r"^<{7} [^\n]*\n(.*?)(?:^\|{7} [^\n]*\n.*?)?^={7}\n.*?^>{7} [^\n]*\n",
    re.DOTALL | re.MULTILINE,
)
# What DVC holds each value of a file's entry to.
_TYPES = {"path": str, "md5": str, "hash": str, "size": int, "nfiles": int, "isexec": bool}
_PAST = 200  # so many commits of dvc.lock are looked at


def write_declared(ws: Workspace) -> None:
    """Write the two small files that dvc.yaml names as inputs and that csa alone knows: the hashes
    of the stages' code, and, where there are none, the choices that a fit begins with.

    Args:
        ws: whose.
    """
    write_hashes(ws.code, ws.code_memory)
    keep_start(ws)


def settle(ws: Workspace) -> bool:
    """Make a dvc.lock readable that git left with conflict marks, or a killed DVC cut short; and
    remove DVC's list of who is at work, if that was cut.

    Args:
        ws: the workspace whose lock it is.

    Returns:
        Whether it had to be done.
    """
    leftovers.remove(ws)
    return _settle_conflict(ws) or _settle_cut(ws)


def _settle_cut(ws: Workspace) -> bool:
    """Put the lock of before, the committed one, or none where DVC was killed while it wrote, or
    the disk was full. A whole lock is kept for that.
    """
    path = ws.root / "dvc.lock"
    if not path.is_file() or _kept(ws):
        return False
    leftovers.let_finish()
    if not path.is_file() or _kept(ws):
        return False
    said, known = "it was removed", ""
    for what, text in (
        ("that of before the last run", _text(ws.kept_lock)),
        ("the committed one", _committed(ws)),
    ):
        if _is_whole(text):
            said, known = f"{what} was taken", text
            break
    if known:
        write_atomic(path, known.encode())
    else:
        path.unlink()
    print(
        "note: dvc.lock was damaged, as a process that is killed while it writes leaves it; "
        f"{said}, and what was computed comes from the caches",
        file=sys.stderr,
    )
    return True


def _kept(ws: Workspace) -> bool:
    """Whether the lock is whole; if so it is kept."""
    text, before = _read(ws), _text(ws.kept_lock)
    if not _is_whole(text):
        return False
    if text != before:
        if _lacks_last_stages(text, before) and text != _committed(ws):
            return False
        write_atomic(ws.kept_lock, text.encode())
    return True


def _is_whole(text: str) -> bool:
    """Whether DVC can read a lock, and its last line has an end."""
    stages = _stages(text) if text.endswith("\n") else None
    return stages is not None and all(map(_is_entry, stages.values()))


def _lacks_last_stages(text: str, before: str) -> bool:
    """Whether a lock ends within the stages of an earlier one. DVC replaces an entry where it
    stands, so this is what a cut between two lines leaves; what the rest of the file said would be
    lost, such as the choices that a fit began with.
    """
    here, there = (list(_stages(lock) or ()) for lock in (text, before))
    return len(here) < len(there) and there[: len(here)] == here


def _is_entry(stage: Any) -> bool:
    if not isinstance(stage, dict) or not isinstance(stage.get("cmd"), str | list):
        return False
    files = [stage.get(key, []) for key in ("deps", "outs")]
    params = stage.get("params", {})
    return (
        all(isinstance(listed, list) and all(map(_is_file, listed)) for listed in files)
        and isinstance(params, dict)
        and all(isinstance(values, dict) for values in params.values())
    )


def _is_file(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and "path" in entry
        and all(isinstance(value, _TYPES.get(key, object)) for key, value in entry.items())
    )


def _settle_conflict(ws: Workspace) -> bool:
    """Take this branch's side of a dvc.lock that git left with conflict marks.

    Args:
        ws: the workspace whose lock it is.

    Returns:
        Whether there was a conflict.
    """
    path = ws.root / "dvc.lock"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    ours = _CONFLICT.sub(r"\1", text)
    if ours == text:
        return False
    committed = _committed(ws)
    if _is_whole(committed):  # git mends what is between the marks, of entries of both sides
        ours = committed
    if _stages(ours) is None:
        path.unlink()  # the caches still know what was computed
    else:
        write_atomic(path, ours.encode())
    print(
        "note: dvc.lock held a merge conflict; this branch's side was taken, and what the other "
        "side computed comes from the caches. Commit dvc.lock after the run",
        file=sys.stderr,
    )
    return True


def settle_start(ws: Workspace) -> None:
    """Write the choices that the last fit began with, as dvc.lock has them: whoever checks out
    another commit, or has a teammate's, finds its fit up to date.

    Args:
        ws: the workspace whose lock it is.
    """
    try:
        locked = read_lock(ws, lambda stages: stages["fit"]["params"]["data/start.json"]["start"])
        start = Start.checked(locked, "dvc.lock") if locked else None
    except ArtifactError:
        keep_start(ws)
    else:
        write_start(ws, start)


def computed_anew(ws: Workspace) -> list[str]:
    """Views whose features differ from those of the committed dvc.lock though they were computed
    from the same items, by the same encoder and code: another processor rounds otherwise.

    Args:
        ws: the workspace whose lock it is.
    """
    here = _stages(_read(ws))
    there = _stages(_committed(ws))
    if here is None or there is None:
        return []
    return [
        name.partition("@")[2]
        for name, stage in here.items()
        if name.startswith("embed@") and name in there and _only_outputs_differ(stage, there[name])
    ]


def read_lock(ws: Workspace, take: Callable[[Any], _Taken]) -> _Taken:
    """What somebody takes from the stages of dvc.lock.

    Args:
        ws: the workspace whose lock it is.
        take: of the mapping from a stage's name to its entry.

    Returns:
        What was taken.

    Raises:
        ArtifactError: dvc.lock is missing, damaged, or has not what is taken.
    """
    path = ws.root / "dvc.lock"
    try:
        return take(read_yaml(path.read_text(encoding="utf-8"))["stages"])
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(
            f"{path}: missing, damaged or incomplete ({error!r}); run `csa run`"
        ) from None


def locked_stages(ws: Workspace, name: str, inputs: Iterable[str]) -> Iterator[Any]:
    """What dvc.lock says of a stage: the one here, the project's own where this is the workspace of
    a recipe, and those in the newest commits of this clone's branches. What was fetched and is on
    none of them, such as a stranger's branch, does not count.

    Args:
        ws: the workspace.
        name: of the stage.
        inputs: hashes that an entry has to name; others are not read.

    Returns:
        Entries as DVC writes them, in that order.
    """
    inputs = list(inputs)
    for text in chain((_read(ws), _read(Workspace(ws.home, ws.state))), _past(ws)):
        found = _stages(text) if all(one in text for one in inputs) else None
        if found and name in found:
            yield found[name]


def _past(ws: Workspace) -> Iterator[str]:
    """dvc.lock as commits have it, the newest first, each text once."""
    which = ["--branches", "--ignore-missing", "HEAD", "MERGE_HEAD", "--", "dvc.lock"]
    commits = _git(ws, "rev-list", "--full-history", f"--max-count={_PAST}", *which).split()
    asked = "".join(f"{commit.decode()}:./dvc.lock\n" for commit in commits)
    rest, seen = _git(ws, "cat-file", "--batch", given=asked.encode()) if asked else b"", set()
    while rest:
        header, _, rest = rest.partition(b"\n")
        blob, _, size = header.rpartition(b" ")
        if not size.isdigit():  # a commit that removed it
            continue
        text, rest = rest[: int(size)], rest[int(size) + 1 :]
        if blob not in seen:
            seen.add(blob)
            yield text.decode("utf-8", errors="replace")


def _git(ws: Workspace, *arguments: str, given: bytes = b"") -> bytes:
    """What git says; nothing where it cannot."""
    command = ["git", "-C", str(ws.home), *arguments]
    return subprocess.run(command, input=given, capture_output=True, check=False).stdout


def _only_outputs_differ(one: dict[str, Any], other: dict[str, Any]) -> bool:
    same = all(one.get(key) == other.get(key) for key in ("cmd", "deps", "params"))
    return same and _hashes(one) != _hashes(other)


def _hashes(stage: dict[str, Any]) -> dict[str, str]:
    return {out["path"]: out.get("md5", "") for out in stage.get("outs", ())}


def _read(ws: Workspace) -> str:
    return _text(ws.root / "dvc.lock")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _committed(ws: Workspace) -> str:
    done = subprocess.run(
        ["git", "-C", str(ws.root), "show", "HEAD:./dvc.lock"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout if done.returncode == 0 else ""


def _stages(text: str) -> dict[str, Any] | None:
    try:
        stages = read_yaml(text)["stages"]
    except (yaml.YAMLError, TypeError, KeyError):
        return None
    return stages if isinstance(stages, dict) else None
