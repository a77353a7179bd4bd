"""Scheduled retraining: `csa schedule` serves this flow with Prefect; `prefect.yaml` deploys the
same flow to a work pool.

Each run checks the repository out into a private worktree and calls `csa run` there, so it runs the
code and the parameters of that commit. What was computed before is shared, so a run costs what has
changed.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from prefect import flow

from csa.errors import InputError, StageError
from csa.flows import server
from csa.flows.environment import PARENT
from csa.flows.worktrees import private_worktree
from csa.operations import stopping
from csa.operations.scheduler import SCHEDULED
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
        StageError: the run failed, was refused by a data check, or was ended after its time-out;
            the message is its own.
    """
    wanted = Plan(**{**(plan or {}), "overrides": tuple((plan or {}).get("overrides", ()))})
    main = Workspace.find(Path(repository))
    say(f"run of {wanted.recipe or 'params.yaml'} at {wanted.ref} begins")
    with private_worktree(main, wanted.ref) as ws:
        outcome = _run(wanted, ws)
    ran = [stage["stage"] for stage in outcome["stages"] if stage["status"] == "ran"]
    say(
        f"run {outcome['run_id']} is done: {', '.join(ran) or 'no stage'} computed; version "
        f"{outcome['model']['version']}"
    )
    say(f"gate: {outcome['gate']['verdict']}: {outcome['gate']['reason']}")
    return outcome


def serve(repository: Workspace, plan: Plan, cron: str | None, minutes: float | None) -> None:
    """Serve the flow until interrupted, on PREFECT_API_URL or on a server of our own.

    Args:
        repository: the main workspace.
        plan: what to run.
        cron: when, five fields; or
        minutes: between two runs.

    Raises:
        InputError: no valid cron expression, or both or none of the two are given.
        WorkspaceError: the server does not start.
    """
    check_times(cron, minutes)
    os.chdir(repository.root)  # Prefect finds the flow again by its path from here
    with server.local_server(repository) as address:
        when = f"cron {cron}" if cron else f"every {minutes:g} minutes"
        say(f"{when}; page: {address.removesuffix('/api')}; Ctrl-C ends it")
        parameters = {
            "repository": str(repository.root),
            "plan": {**plan.__dict__, "overrides": list(plan.overrides)},
        }
        stopping.leave()  # Prefect ends what it serves by itself
        interval = None if minutes is None else 60 * minutes
        scheduled_retrain.serve(
            name=(plan.recipe and Path(plan.recipe).stem) or "main",
            cron=cron,
            interval=interval,
            parameters=parameters,
            limit=1,
            print_starting_message=False,
        )
    say("ended; nothing is scheduled any more")


def check_times(cron: str | None, minutes: float | None) -> None:
    """Refuse what is no schedule.

    Args:
        cron: an expression of five fields, or None.
        minutes: between two runs, or None.

    Raises:
        InputError: see above.
    """
    if (cron is None) == (minutes is None):
        raise InputError(
            'give either --cron, such as --cron "0 3 * * *" for every night at three, or --every '
            "MINUTES"
        )
    if minutes is not None and minutes <= 0:
        raise InputError(f"--every {minutes:g}: expected a number of minutes above 0")
    if cron is not None:
        from prefect.server.schemas.schedules import CronSchedule
        from pydantic import ValidationError

        if len(cron.split()) != 5:
            raise InputError(f"--cron {cron!r}: expected five fields, such as '0 3 * * *'")
        try:
            asyncio.run(CronSchedule(cron=cron).get_dates(1))
        except ValidationError:
            raise InputError(
                f"--cron {cron!r}: not a cron expression; expected five fields, such as '0 3 * * *'"
            ) from None
        except ValueError:
            raise InputError(
                f"--cron {cron!r}: it never fires; is there such a day in that month?"
            ) from None


def say(text: str) -> None:
    """One line of the log, with the time."""
    print(f"{datetime.now():%Y-%m-%d %H:%M:%S}  csa schedule: {text}", file=sys.stderr, flush=True)


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
        say(f"{'refused' if code == _REFUSED else 'failed'}: {message}")
        raise StageError(message)
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
