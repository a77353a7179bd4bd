"""What every call of `csa run` did and cost, refused and failed ones too: one JSON line each in
`.csa/executions.jsonl`.

A run record is a result, known by its content; an execution is a piece of work on a day. DuckDB
reads the file as the table `executions`, `csa status` shows the last one, and a webhook is told
(`csa.flows.watching`).
"""

import json
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from csa.errors import CSAError, RefusedError
from csa.masking import masked
from csa.operations import stopping
from csa.operations.opened import Project
from csa.pipeline.workspace import Workspace
from csa.storage.files import read_json, unwritable

COLUMNS = {
    "started": "VARCHAR",
    "workspace": "VARCHAR",
    "model": "VARCHAR",
    "outcome": "VARCHAR",
    "seconds": "DOUBLE",
    "cpu_seconds": "DOUBLE",
    "run_id": "VARCHAR",
    "version": "BIGINT",
    "verdict": "VARCHAR",
    "message": "VARCHAR",
    "stages": "JSON",
}
"""Columns of the table `executions`, as DuckDB reads them from the file."""

_OF_A_STAGE = ("seconds", "cpu_seconds", "peak_megabytes", "computed", "reused")


@dataclass
class Execution:
    """One call of `csa run`.

    Attributes:
        started: UTC, ISO 8601.
        workspace, model: whose.
        outcome: done; refused, by a check of the data; failed; or interrupted.
        seconds, cpu_seconds: wall time, and processor time of this process and all it started,
            stages included.
        run_id, version, verdict: what it came to; None if it came to nothing.
        message: the gate's reason, or the error.
        stages: stage -> status; of those that ran here also seconds, cpu_seconds, peak_megabytes,
            and items computed and reused.
    """

    started: str
    workspace: str
    model: str
    outcome: Literal["done", "refused", "failed", "interrupted"] = "interrupted"
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    run_id: str | None = None
    version: int | None = None
    verdict: str | None = None
    message: str = ""
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        ran = [stage for stage, facts in self.stages.items() if facts["status"] == "ran"]
        what = (
            f"{self.verdict}: {self.message}"
            if self.outcome == "done"
            else f"{self.outcome}: {self.message}"
        )
        cost = f"{self.seconds:.0f} s, {self.cpu_seconds:.0f} s of processor time"
        model = self.model if self.version is None else f"{self.model} version {self.version}"
        return f"{model}: {what} ({cost}; {', '.join(ran) or 'no stage'} computed)"


@contextmanager
def noted(project: Project) -> Iterator[Execution]:
    """Note what the block does as an execution, also where it raises; the block fills in what it
    came to.
    """
    ws = project.ws
    execution = Execution(datetime.now(UTC).isoformat(timespec="seconds"), ws.name, project.model)
    started, began, cpu = time.perf_counter(), time.time(), _cpu_seconds()

    def note() -> None:
        execution.seconds = round(time.perf_counter() - started, 3)
        execution.cpu_seconds = round(_cpu_seconds() - cpu, 3)
        _add_costs(ws, execution, began)
        _append(executions_file(ws), execution)

    def stopped(by: str) -> None:
        execution.outcome, execution.message = "interrupted", f"stopped by {by}"
        note()

    try:
        with stopping.last_work(stopped):
            yield execution
        execution.outcome = "done"
    except RefusedError as error:
        execution.outcome, execution.message = "refused", str(error)
        raise
    except Exception as error:
        execution.outcome, execution.message = (
            "failed",
            str(error) if isinstance(error, CSAError) else masked(repr(error)),
        )
        raise
    finally:
        if not stopping.begun():
            note()


def executions_file(ws: Workspace) -> Path:
    """Where they are noted."""
    return ws.state / "executions.jsonl"


def last(ws: Workspace) -> dict[str, Any] | None:
    """The workspace's newest execution; None if nothing ran yet."""
    return next((found for found in _newest_first(ws) if found["workspace"] == ws.name), None)


def count_of_failures(ws: Workspace) -> int:
    """How many executions of the state folder came to nothing: refused, failed, interrupted."""
    return sum(found["outcome"] != "done" for found in _newest_first(ws))


def _newest_first(ws: Workspace) -> Iterator[dict[str, Any]]:
    """All that is noted. A line that a killed process left unfinished is no line."""
    path = executions_file(ws)
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for line in reversed(lines):
        with suppress(ValueError):
            yield json.loads(line)


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _add_costs(ws: Workspace, execution: Execution, began: float) -> None:
    """What the stages' own records say of those that ran since then."""
    for file in (ws.state / "stages" / ws.name).glob("*.json"):
        if file.stat().st_mtime < began:
            continue
        record = read_json(file)
        costs = {key: record[key] for key in _OF_A_STAGE if key in record}
        execution.stages[record["stage"]] = {
            "status": "ran",
            **execution.stages.get(record["stage"], {}),
            **costs,
        }


def _append(path: Path, execution: Execution) -> None:
    """One write of one line: lines of two processes do not mix, and a torn one is skipped by all
    who read.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torn = path.is_file() and path.stat().st_size and path.read_bytes()[-1:] != b"\n"
        line = "\n" * bool(torn) + json.dumps(execution.as_dict(), ensure_ascii=False) + "\n"
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, line.encode())
            os.fsync(file)
        finally:
            os.close(file)
    except OSError as error:
        raise unwritable(path, error) from None
