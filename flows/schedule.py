"""Scheduled retraining: `csa schedule` serves this flow with Prefect; `prefect.yaml` deploys the
same flow to a work pool.

Each run checks the repository out into a private worktree and calls `csa run` there, so it runs the
code and the parameters of that commit. What was computed before is shared, so a run costs what has
changed.
"""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from prefect import flow

from csa.errors import CSAError, RefusedError, StageError
from csa.flows import server
from csa.flows.environment import PARENT
from csa.flows.times import Times
from csa.flows.watching import watched
from csa.flows.worktrees import private_worktree
from csa.operations import stopping
from csa.operations.opened import Project
from csa.operations.runs import executions
from csa.operations.scheduler import SCHEDULED
from csa.pipeline.recipes import open_workspace
from csa.pipeline.workspace import Workspace

# Exit codes of `csa run` that are answers: a check said no, bad input. Trying again would give the
# same.
_REFUSED, _WRONG = 1, 2
_CRASHED = 70
_PAUSES = (30.0, 120.0)


@dataclass(frozen=True)
class Plan:
    """What to run and when.

    Attributes:
        recipe: a params file, absolute or relative to the repository; None runs the repository's
            own params.yaml.
        data, overrides: as `csa run` takes them.
        ref: the commit to run, resolved anew at each run.
        wait: seconds a run waits for another to end.
        timeout: seconds after which a run is ended.
    """

    recipe: str | None = None
    data: str | None = None
    overrides: tuple[str, ...] = ()
    ref: str = "HEAD"
    wait: float = 3600.0
    timeout: float = 12 * 3600.0

    def name(self, repository: Workspace) -> str:
        """Of the deployment in Prefect: a plan of one clone has the same name each time, and no
        other plan or clone has it, so that schedules on one server leave each other alone.
        """
        what = (self.recipe and Path(self.recipe).stem) or repository.name
        host = socket.gethostname()
        identity = json.dumps([host, str(repository.root), asdict(self)])
        return f"{what}-{host}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"

    def command(self) -> list[str]:
        """The `csa run` that does it."""
        arguments = [self.recipe] if self.recipe else []
        arguments += ["--data", self.data] if self.data else []
        for override in self.overrides:
            arguments += ["--set", override]
        return [
            sys.executable,
            "-m",
            "csa.cli",
            "run",
            *arguments,
            "--wait",
            f"{self.wait:g}",
            "--json",
        ]


@flow(name=SCHEDULED, validate_parameters=False)
def scheduled_retrain(repository: str, plan: dict[str, Any] | None = None) -> dict[str, Any]:
    """Retrain once, in a private worktree.

    Args:
        repository: the repository's folder.
        plan: fields of `Plan`; what is missing has its default.

    Returns:
        What `csa run --json` said: run id, stages, metrics, version, gate.

    Raises:
        RefusedError: a check of the data said no.
        StageError: the run failed, or was ended after its time-out; the message is its own.
        WorkspaceError: the commit cannot be checked out.
    """
    wanted = Plan(**{**(plan or {}), "overrides": tuple((plan or {}).get("overrides", ()))})
    main = Workspace.find(Path(repository))
    say(f"run of {wanted.recipe or 'params.yaml'} at {wanted.ref} begins")
    with _told(wanted, main), private_worktree(main, wanted.ref) as ws:
        outcome = _run(wanted, ws)
    ran = [stage["stage"] for stage in outcome["stages"] if stage["status"] == "ran"]
    say(
        f"run {outcome['run_id']} is done: {', '.join(ran) or 'no stage'} computed; version "
        f"{outcome['model']['version']}"
    )
    say(f"gate: {outcome['gate']['verdict']}: {outcome['gate']['reason']}")
    return outcome


def serve(repository: Workspace, plan: Plan, times: Times) -> None:
    """Serve the flow until interrupted, on PREFECT_API_URL or on a server of our own.

    Args:
        repository: the main workspace.
        plan: what to run.
        times: when.

    Raises:
        WorkspaceError: the server does not start.
    """
    os.chdir(repository.root)  # Prefect finds the flow again by its path from here
    with server.local_server(repository) as address:
        say(f"{times}; page: {address.removesuffix('/api')}; Ctrl-C ends it")
        parameters = {
            "repository": str(repository.root),
            "plan": {**plan.__dict__, "overrides": list(plan.overrides)},
        }
        stopping.leave()  # Prefect ends what it serves by itself
        server.take_over_from_another(repository, address, say)
        scheduled_retrain.serve(
            name=plan.name(repository),
            schedule=times.of_prefect(),
            parameters=parameters,
            limit=1,
            print_starting_message=False,
        )
    say("ended; nothing is scheduled any more")


def say(text: str) -> None:
    """One line of the log, with the time."""
    print(f"{datetime.now():%Y-%m-%d %H:%M:%S}  csa schedule: {text}", file=sys.stderr, flush=True)


@contextmanager
def _told(plan: Plan, main: Workspace) -> Iterator[None]:
    """Say why the block failed. `csa run` notes its own failures, and tells whoever wants to know;
    where it did not, as it was killed or never began, that is done here.
    """
    known = executions.count_of_failures(main)
    try:
        yield
    except CSAError as error:
        say(f"{'refused' if isinstance(error, RefusedError) else 'failed'}: {error}")
        if executions.count_of_failures(main) > known:
            raise
        ws = main
        if plan.recipe:
            ws = open_workspace(Path(plan.recipe), plan.overrides, plan.data)
        with watched(Project(ws)):
            raise


def _run(plan: Plan, ws: Workspace) -> dict[str, Any]:
    """`csa run` in a process of its own, once more where it was killed or crashed: what it had
    computed is not lost.
    """
    code, out, message = _call(plan, ws)
    for pause in _PAUSES:
        if code in (0, _REFUSED, _WRONG):
            break
        say(f"{message}; once more in {pause:.0f} s")
        time.sleep(pause)
        code, out, message = _call(plan, ws)
    if code:
        raise RefusedError(message) if code == _REFUSED else StageError(message)
    outcome: dict[str, Any] = json.loads(out)
    return outcome


def _call(plan: Plan, ws: Workspace) -> tuple[int, str, str]:
    """Exit code, standard output, and the last line of standard error."""
    process = subprocess.Popen(
        plan.command(),
        cwd=ws.root,
        env=os.environ | {PARENT: str(os.getpid())},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=plan.timeout)
    except subprocess.TimeoutExpired:
        raise StageError(
            f"the run was ended after {plan.timeout:g} s; give --timeout, or see why it takes so "
            f"long"
        ) from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode < 0:
        return (
            process.returncode,
            out,
            f"the run was killed by {signal.Signals(-process.returncode).name}",
        )
    lines = [line for line in err.splitlines() if line.strip()] or [
        f"exit code {process.returncode}"
    ]
    # else it is a traceback's 1
    answered = process.returncode != _REFUSED or lines[-1].startswith("csa: refused: ")
    return (
        process.returncode if answered else _CRASHED,
        out,
        lines[-1].removeprefix("csa: error: ").removeprefix("csa: refused: "),
    )
