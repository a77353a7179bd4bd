"""The question that a promotion waits for, as the state folder keeps it.

A run that asks a person may end before the answer comes: the machine is restarted, somebody presses
Ctrl-C. The question stays, an answer is kept with it, and the next run that would ask the same
takes it.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from csa.errors import ArtifactError, InputError
from csa.pipeline.workspace import Workspace
from csa.storage.files import read_json, write_json


@dataclass(frozen=True)
class Answer:
    """A person's.

    Attributes:
        approve: whether the challenger becomes champion.
        by: who decides.
        reason: why; may be empty.
    """

    approve: bool
    by: str
    reason: str


@dataclass(frozen=True)
class Asked:
    """A question to a person.

    Attributes:
        workspace: folder of the workspace whose run asked.
        question: model, versions, run and gate, as the ledger keeps them.
        flow_run: id in Prefect of the run that asked.
        until: when its patience ends, UTC, ISO 8601.
        answer: given after that run had ended; None so far.
    """

    workspace: str
    question: dict[str, Any]
    flow_run: str
    until: str
    answer: Answer | None = None


@contextmanager
def waiting(ws: Workspace, asked: Asked) -> Iterator[None]:
    """Keep a question while a run waits, and after it if the run is ended; where the block ends by
    itself the question is settled.

    Args:
        ws: whose run waits.
        asked: the question.

    Yields:
        Nothing; others see for the block that the run waits.
    """
    path = _path(ws)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _lock(ws).acquire(timeout=10):
        write_json(path, asdict(asked))
        yield
        path.unlink(missing_ok=True)


def workspaces(ws: Workspace) -> list[str]:
    """Names of the workspaces of a state folder for which a question is kept.

    Args:
        ws: any of them.
    """
    return sorted(path.stem for path in _path(ws).parent.glob("*.json"))


def anything(ws: Workspace) -> bool:
    """Whether a run may wait, here or at the Prefect server that is named. Where not, Prefect need
    not be asked.

    Args:
        ws: any workspace of the state folder.
    """
    return "PREFECT_API_URL" in os.environ or bool(workspaces(ws))


def nothing_waits(ws: Workspace, elsewhere: Iterable[str] = ()) -> InputError:
    """The error of who answers where nothing waits.

    Args:
        ws: the workspace.
        elsewhere: folders of workspaces where something does.

    Returns:
        What is to be raised.
    """
    others = ", ".join(elsewhere) or "none"
    return InputError(f"{ws.root}: no run waits for an answer here; waiting: {others}")


def kept(ws: Workspace, name: str | None = None) -> Asked | None:
    """The question that is kept for a workspace.

    Args:
        ws: the workspace; its private worktrees count as it.
        name: of another workspace of the state folder.

    Returns:
        The question; None where there is none.
    """
    try:
        found = read_json(_path(ws, name))
        answer = found.pop("answer")
        return Asked(**found, answer=None if answer is None else Answer(**answer))
    except (ArtifactError, AttributeError, KeyError, TypeError):  # damaged: it is asked anew
        return None


def run_waits(ws: Workspace, name: str | None = None) -> bool:
    """Whether the run that asked is still there.

    Args:
        ws: the workspace.
        name: of another workspace of the state folder.

    Returns:
        Whether it waits. It holds a lock, which dies with its process.
    """
    try:
        with _lock(ws, name).acquire(timeout=0):
            return False
    except Timeout:
        return True


def give(ws: Workspace, asked: Asked, answer: Answer) -> None:
    """Keep an answer for the next run.

    Args:
        ws: whose run asked.
        asked: the question.
        answer: the answer.
    """
    write_json(_path(ws), asdict(asked) | {"answer": asdict(answer)})


def take(ws: Workspace, question: dict[str, Any]) -> Answer | None:
    """The answer that was kept to this very question, which is settled by it.

    Args:
        ws: whose run asks.
        question: model, versions, run and gate.

    Returns:
        The answer; None if there is none.
    """
    asked = kept(ws)
    if asked is None or asked.answer is None or asked.question != question:
        return None
    _path(ws).unlink()
    return asked.answer


def _path(ws: Workspace, name: str | None = None) -> Path:
    return ws.state / "approvals" / f"{name or ws.name}.json"


def _lock(ws: Workspace, name: str | None = None) -> FileLock:
    return FileLock(_path(ws, name).with_suffix(".lock"), thread_local=False)
