"""What a workspace holds and what goes on around it: stages, the last run, the champion, checks,
the next scheduled run, disk.
"""

import os
from datetime import datetime
from pathlib import Path
from typing import Any

from csa.errors import ArtifactError
from csa.operations import finished, scheduler
from csa.operations.cache import dvc
from csa.operations.forgetting import forgotten
from csa.operations.gate import asked
from csa.operations.inspection.standing_seen import Seen, look
from csa.operations.opened import Project
from csa.operations.runs import executions
from csa.pipeline.workspace import Workspace
from csa.results.evaluation import EvaluationMetrics
from csa.results.words import arrow, recall_line
from csa.storage.files import read_json

_SHOWN_FACTS = ("computed", "reused", "pairs", "quarantined", "images", "checks", "warnings")


def status_json(project: Project) -> dict[str, Any]:
    """All of it, for machines; what cannot be told (nothing registered yet, no server) is null."""
    ws = project.ws
    dvc.ensure_repo(ws)
    stages = finished.stages_if_current(ws)
    stale: list[str] = [] if stages else dvc.status(ws)
    seen = look(project)
    return {
        "workspace": ws.name,
        "folder": str(ws.root),
        "up_to_date": not stale,
        "out_of_date": stale,
        "stages": {stage: _read(ws.stage_record(stage)) for stage in stages or dvc.stages(ws)},
        "metrics": _metrics(ws),
        "last_run": executions.last(ws),
        "champion": _champion(project, seen),
        "asked": _asked(ws),
        "note": seen.note,
        "checks": _checks(ws),
        "next_run": _next_run(),
        "to_forget": len(forgotten.not_yet_carried_out(ws)),
        "disk_bytes": _disk(ws),
    }


def status_text(state: dict[str, Any]) -> str:
    """`status_json` for people."""
    lines = [f"workspace {state['workspace']}  {state['folder']}"]
    for stage, record in state["stages"].items():
        what = "out of date" if stage in state["out_of_date"] else "up to date"
        lines.append(f"  {stage:<13} {what:<13}{_cost_text(record)}")
    if state["metrics"]:
        metrics = EvaluationMetrics.of(state["metrics"], "metrics")
        lines += [
            f"  {arrow(direction):<13} {recall_line(found, (1,))}"
            for direction, found in metrics.retrieval.items()
        ]
    lines += [f"  {name:<14}{text}" for name, text in _around(state) if text]
    lines.append(
        "next: " + ("csa search, csa score" if state["up_to_date"] else "csa plan, csa run")
    )
    return "\n".join(lines)


def _around(state: dict[str, Any]) -> list[tuple[str, str]]:
    ran, champion, checks = state["last_run"], state["champion"], state["checks"]
    last = ""
    if ran:
        what = (
            f"{ran['verdict']}: {ran['message']}"
            if ran["outcome"] == "done"
            else f"{ran['outcome']}: {ran['message']}"
        )
        cost = f"{ran['seconds']:.0f} s, {ran['cpu_seconds']:.0f} s of processor time"
        last = f"{_local(ran['started'])}, {cost}; {what}"
    stands = ""
    if champion:
        seen = (
            "what is here" if champion["is_this"] else f"run {champion['run_id']}, not what is here"
        )
        stands = f"{champion['model']} version {champion['version']} ({seen})"
    alarms = [
        f"{check['name']} {check['outcome']}: {check['said']}"
        for check in (checks or [])
        if check["outcome"] != "pass"
    ]
    said = "; ".join(alarms) or (f"{len(checks)} passed" if checks else "")
    disk = ", ".join(
        f"{name} {size / 1e6:,.0f} MB" for name, size in state["disk_bytes"].items() if size >= 1e6
    )
    return [
        ("last run", last),
        ("champion", stands),
        ("asked", _asked_text(state["asked"])),
        ("checks", said),
        ("next run", _local(state["next_run"]) if state["next_run"] else ""),
        (
            "to forget",
            f"{state['to_forget']} items of exclude.csv; `csa run` does it"
            if state["to_forget"]
            else "",
        ),
        ("disk", disk),
    ]


def _asked(ws: Workspace) -> dict[str, Any] | None:
    """The promotion that waits for a person; None where none does."""
    found = asked.kept(ws)
    if found is None:
        return None
    return {
        "version": found.question["challenger"],
        "until": found.until,
        "answered": found.answer is not None,
        "ended": not asked.run_waits(ws),
    }


def _asked_text(state: dict[str, Any] | None) -> str:
    if state is None:
        return ""
    if state["answered"]:
        return f"version {state['version']} was answered; the next `csa run` carries it out"
    return f"version {state['version']} waits for a person; `csa approve` or `csa approve --no`"


def _cost_text(record: dict[str, Any] | None) -> str:
    if not record:
        return "never ran on this machine"
    facts = "".join(f", {record[key]:,} {key}" for key in _SHOWN_FACTS if key in record)
    memory = f" and {record['peak_megabytes']:,.0f} MB" if "peak_megabytes" in record else ""
    return f"last ran in {record['seconds']:.1f} s{memory}{facts}"


def _champion(project: Project, seen: Seen) -> dict[str, Any] | None:
    """The champion, and whether it is the run that the workspace's last execution came to."""
    if seen.version is None:
        return None
    ran = executions.last(project.ws)
    return {
        "model": project.model,
        "version": seen.version,
        "run_id": seen.run_id,
        "is_this": bool(ran and ran["run_id"] == seen.run_id),
    }


def _checks(ws: Workspace) -> list[dict[str, Any]] | None:
    """Of the data, and against the champion where that was compared since."""
    found: list[dict[str, Any]] | None = _read(ws.checks)
    drift = _read(ws.drift)
    if found is None and drift is None:
        return None
    return (found or []) + ((drift or {}).get("checks") or [])


def _next_run() -> str | None:
    """When the schedule fires next, UTC; None without a Prefect server or a schedule."""
    return (
        scheduler.next_run(os.environ["PREFECT_API_URL"])
        if "PREFECT_API_URL" in os.environ
        else None
    )


def _disk(ws: Workspace) -> dict[str, int]:
    parts = {
        "features": ws.cache,
        "runs": ws.runs,
        "mlflow": ws.state / "mlflow",
        "prefect": ws.prefect_home,
        "dvc cache": ws.state.parent / ".dvc" / "cache",
        "data": ws.data,
    }
    return {name: _bytes(path) for name, path in parts.items()}


def _bytes(path: Path) -> int:
    """Of all files in a folder; a file that goes while we look is none."""
    total = 0
    for folder, _, files in os.walk(path):
        for file in files:
            try:
                total += (Path(folder) / file).lstat().st_size
            except FileNotFoundError:
                continue
    return total


def _metrics(ws: Workspace) -> dict[str, Any] | None:
    """The metrics as JSON; None if nothing was evaluated, or by another version of csa."""
    try:
        return EvaluationMetrics.read(ws.metrics).as_dict()
    except ArtifactError:
        return None


def _read(path: Path) -> Any:
    try:
        return read_json(path) if path.is_file() else None
    except ArtifactError:
        return None


def _local(when: str) -> str:
    return f"{datetime.fromisoformat(when).astimezone():%Y-%m-%d %H:%M}"
