"""The adapter to DVC, which alone knows what is computed from what.

What it knows is asked in this process. What it does, it does in a process group of its own: two
threads of one process that run the same stage would do it twice, and a group can be ended whole.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from graphlib import TopologicalSorter
from operator import attrgetter
from typing import IO, Any, Literal, TypeVar

from csa.errors import CSAError, RefusedError, StageError, WorkspaceError
from csa.operations.cache import settings
from csa.operations.cache.dvc_process import command_of_dvc
from csa.operations.cache.lock import read_lock, settle, settle_start, write_declared
from csa.operations.cache.objects import open_repo
from csa.operations.cache.restoring import PAUSES
from csa.operations.environment import is_verbose, path_of_this_python
from csa.pipeline.code import PACKAGE
from csa.pipeline.pools import drop_stale
from csa.pipeline.workspace import Workspace
from csa.storage.terminal import uncoloured

T = TypeVar("T")

StageStatus = Literal["ran", "restored", "unchanged"]

_CODE = "code"  # the stage that hashes the code; `csa` itself does its work
_BUSY = ("is busy, it is being blocked by", "Unable to acquire lock")
_STATE_SECONDS = 30.0
_STARTED = "Running stage '"
_STAGE_ERROR = "csa: error: "
_REFUSAL = "csa: refused: "
# What DVC and the stage say on standard error and only `--verbose` shows: we say it in our own
# words, or it is a detail of the fit.
_OURS = (_STAGE_ERROR, _REFUSAL)
_CHATTER = (
    "fit: ",
    "WARNING: Failed to pull run cache",
    "    dvc remote add -d",
    "ERROR: ",
    "Having any troubles?",
    *_OURS,
)


@dataclass(frozen=True)
class StageOutcome:
    """What became of one stage: it ran, its outputs came from a cache, or nothing had changed.

    Attributes:
        stage, status, seconds: which, what, and how long it took.
    """

    stage: str
    status: StageStatus
    seconds: float


@dataclass(frozen=True)
class _Finished:
    """An ended DVC process: exit code, and the lines of standard output and of standard error."""

    code: int
    out: list[str]
    err: list[str]

    def says(self, *phrases: str) -> bool:
        return any(phrase in line for line in self.out + self.err for phrase in phrases)


class DvcError(WorkspaceError):
    """A DVC command failed; the message is DVC's."""


def ensure_repo(ws: Workspace) -> None:
    """Make a recipe's workspace, or a worktree, a DVC repository of its own with the cache and the
    remotes of the main one.

    A project has its committed `.dvc/config`; nothing is done there.
    """
    write_declared(ws)
    drop_stale(ws)
    settle(ws)
    settle_start(ws)
    if ws.home == ws.state.parent and not ws.is_recipe:
        return
    main = ws.state.parent / ".dvc"
    for name in ("config", "config.local"):
        config = settings.config_of(main / name)
        if name == "config":
            own = {"no_scm": "True", "analytics": "false", "check_update": "false"}
            cache = main / "cache" if main.is_dir() else ws.state / "dvc"  # outside any project
            config.setdefault("core", {}).update(own)
            config.setdefault("cache", {}).setdefault("dir", str(cache.resolve()))
        settings.write(config, ws.root / ".dvc" / name)


def targets(ws: Workspace) -> list[str]:
    """What a run brings up to date, with all upstream of it: the evaluation, and the tasks of
    the parameters.
    """
    return ["evaluate", *(f"task@{name}" for name in ws.params().tasks)]


def stages(ws: Workspace) -> list[str]:
    """The targets and all stages upstream of them, each after the ones it needs.

    Raises:
        WorkspaceError: DVC cannot read the pipeline.
    """
    rest = targets(ws)  # first of all: parameters that are not valid go no further
    return list(_ask_here(ws, "dag", lambda repo: _upstream(ws, repo, rest)))


def status(ws: Workspace) -> list[str]:
    """Stages up to the targets that are out of date by themselves; what lies downstream follows
    when their outputs change.

    Raises:
        WorkspaceError: DVC cannot read the pipeline.
    """
    write_declared(ws)
    rest = targets(ws)

    def stale(repo: Any) -> list[str]:
        return [name for name, stage in _upstream(ws, repo, rest).items() if stage.status()]

    return _ask_here(ws, "status", stale)


def _upstream(ws: Workspace, repo: Any, names: list[str]) -> dict[str, Any]:
    """Name -> DVC's own stage, of these stages of a workspace and all that they need, each after
    the ones it needs.
    """
    graph, file = repo.index.graph, str(ws.root / "dvc.yaml")
    rest = [node for node in graph if node.path == file and node.name in names]
    needed: dict[Any, set[Any]] = {}
    while rest:
        node = rest.pop()
        if node not in needed:
            needed[node] = set(graph.successors(node))
            rest += needed[node]
    by_name = attrgetter("name")
    named = {node: sorted(needed[node], key=by_name) for node in sorted(needed, key=by_name)}
    order = TopologicalSorter(named).static_order()  # the same order every time
    return {node.name: node for node in order if node.name != _CODE}


def compute(ws: Workspace, stage: str) -> StageOutcome:
    """Run one stage, whatever any cache holds; its progress is shown.

    Args:
        ws: where it runs.
        stage: its name.

    Returns:
        What the stage did.

    Raises:
        StageError: the stage failed; the message is its own.
        RefusedError: a check said no.
        WorkspaceError: another DVC process stayed busy for two minutes.
    """
    started = time.perf_counter()
    finished = _when_free(stage, lambda: _run(ws, "repro", "-s", "--force", stage))
    if finished.code:
        raise _failure(stage, finished)
    return StageOutcome(stage, "ran", round(time.perf_counter() - started, 3))


def output_hashes(ws: Workspace, names: list[str]) -> dict[str, str]:
    """Path -> MD5 of every output of the named stages, as locked in dvc.lock.

    Args:
        ws: whose dvc.lock.
        names: of the stages.

    Returns:
        Path -> MD5.

    Raises:
        ArtifactError: dvc.lock is missing, damaged or without one of the stages.
    """
    return read_lock(
        ws, lambda all_: {out["path"]: out["md5"] for name in names for out in all_[name]["outs"]}
    )


def output_sizes(ws: Workspace) -> dict[str, int]:
    """Stage -> bytes of its outputs, as locked in dvc.lock.

    Raises:
        ArtifactError: dvc.lock is missing or damaged.
    """
    return read_lock(
        ws,
        lambda all_: {
            name: sum(out.get("size", 0) for out in stage["outs"]) for name, stage in all_.items()
        },
    )


def _when_free(what: str, call: Callable[[], _Finished]) -> _Finished:
    """Run DVC, waiting while another DVC process holds what it needs."""
    finished = call()
    for pause in PAUSES:
        if not finished.code or not finished.says(*_BUSY):
            break
        print(f"{what}: {_who(finished)} is at work here; waiting {pause} s", file=sys.stderr)
        time.sleep(pause)
        finished = call()
    return finished


def _who(finished: _Finished) -> str:
    """The process that DVC names as the one it is blocked by."""
    named = re.search(r"\(PID (\d+)\): (.{1,100})", "\n".join(finished.err))
    return f"process {named[1]} ({named[2].strip()})" if named else "another DVC process"


def _failure(stage: str, finished: _Finished) -> CSAError:
    refused = [x.removeprefix(_REFUSAL) for x in finished.err if x.startswith(_REFUSAL)]
    if refused:
        return RefusedError(refused[-1])
    own = [x.removeprefix(_STAGE_ERROR) for x in finished.err if x.startswith(_STAGE_ERROR)]
    if own:
        return StageError(own[-1])
    if finished.says(*_BUSY):
        return WorkspaceError(
            f"stage {stage}: {_who(finished)} has been at work here for two minutes; wait for "
            f"it to end"
        )
    of_dvc = [line for line in finished.err if line.startswith("ERROR: ")]
    of_stage = [line.strip() for line in finished.err if not line.startswith(_CHATTER)]
    return StageError(
        f"stage {stage} failed: {(of_stage or of_dvc or [f'exit code {finished.code}'])[-1]}"
    )


def ask(ws: Workspace, *arguments: str, timeout: float | None = None) -> str:
    """Standard output of a DVC command.

    Args:
        ws: where it runs.
        arguments: of `dvc`.
        timeout: seconds after which it is ended; None waits.

    Returns:
        What it printed.

    Raises:
        DvcError: DVC says it failed, or it took too long.
    """
    answer = _when_free(f"dvc {arguments[0]}", lambda: _answer(ws, *arguments, timeout=timeout))
    if answer.code:
        raise _refused(ws, arguments[0], answer)
    return "".join(f"{line}\n" for line in answer.out)


def _ask_here(ws: Workspace, what: str, question: Callable[[Any], T]) -> T:
    """The answer to a question that changes nothing, by DVC in this process.

    Args:
        ws: whose repository.
        what: name of the command that is like it.
        question: is asked of DVC's repository while that is locked.

    Raises:
        DvcError: DVC cannot answer, or another DVC process stayed busy for two minutes.
    """
    from dvc.exceptions import DvcException  # type: ignore[import-untyped]

    answers: list[T] = []

    def call() -> _Finished:
        try:
            with open_repo(ws) as repo, repo.lock:
                answers.append(question(repo))
        except DvcException as error:
            return _Finished(1, [], str(error).splitlines())
        return _Finished(0, [], [])

    finished = _when_free(f"dvc {what}", call)
    if finished.code:
        raise _refused(ws, what, finished)
    return answers[0]


def _refused(ws: Workspace, command: str, answer: _Finished) -> DvcError:
    """What a person is told of a DVC command that failed."""
    if answer.says(*_BUSY):
        return DvcError(
            f"{_who(answer)} has been at work in {ws.root} for two minutes; wait for it to end"
        )
    if answer.says("is not a git repository"):
        return DvcError(
            f"{ws.home}: no git repository, but DVC works in one; type `git init` there, or "
            "`dvc config --local core.no_scm true` to work without git"
        )
    said = [line for line in answer.err if line and "Having any troubles?" not in line]
    return DvcError(f"dvc {command} failed in {ws.root}: {' '.join(said)}")


def _answer(ws: Workspace, *arguments: str, timeout: float | None) -> _Finished:
    """Run DVC to its end in silence."""
    try:
        done = subprocess.run(
            command_of_dvc(*arguments),
            cwd=ws.root,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        raise DvcError(f"dvc {arguments[0]} in {ws.root} timed out after {timeout:.0f} s") from None
    out, err = (uncoloured(said).splitlines() for said in (done.stdout, done.stderr))
    return _Finished(done.returncode, out, err)


def _environment() -> dict[str, str]:
    """Of a DVC process: its stages run the Python and the csa that run here."""
    variables = os.environ | {"PATH": path_of_this_python()}
    if PACKAGE.parent.name in ("site-packages", "dist-packages"):
        return variables  # found without help, and not to be put before the standard library
    path = [str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return variables | {"PYTHONPATH": os.pathsep.join(path)}


def _run(ws: Workspace, *arguments: str) -> _Finished:
    """Run DVC to its end with its output forwarded; whatever interrupts us ends its whole
    process group.
    """
    with (
        ThreadPoolExecutor(1) as pool,
        subprocess.Popen(
            command_of_dvc(*arguments),
            cwd=ws.root,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process,
    ):
        assert process.stdout and process.stderr
        try:
            said = pool.submit(_forward, process.stdout, lambda line: is_verbose())
            complained = _forward(
                process.stderr, lambda line: is_verbose() or not line.startswith(_CHATTER)
            )
            return _Finished(process.wait(), said.result(), complained)
        finally:
            _end_group(process)


def _forward(stream: IO[bytes], shown: Callable[[str], bool]) -> list[str]:
    """Copy a stream to our standard error as it comes, and return its lines.

    On a terminal a progress bar moves (its states follow a carriage return); elsewhere a state is
    written every half minute, and the last.
    """
    lines, rest = [], b""
    moving, next_state = sys.stderr.isatty(), time.monotonic() + _STATE_SECONDS
    while chunk := os.read(stream.fileno(), 65536):
        *pieces, rest = re.split(rb"(?<=[\r\n])", rest + chunk)
        for piece in pieces:
            text = uncoloured(piece.decode("utf-8", errors="replace"))
            whole = text.endswith("\n")
            if whole and text.strip():
                lines.append(text.rstrip())
            due = not whole and not moving and text.strip() and time.monotonic() > next_state
            if (whole or moving or due) and shown(text):
                sys.stderr.write(text.strip() + "\n" if due else text)
                sys.stderr.flush()
                next_state = time.monotonic() + _STATE_SECONDS
    if rest:
        lines.append(rest.decode("utf-8", errors="replace"))
    return lines


def _end_group(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
