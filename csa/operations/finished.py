"""Whether a run would find nothing to do, told without Prefect, MLflow and DVC, which take seconds
each to start.

At the end of a run that has settled everything, it is noted what DVC looked at: every input,
output and settings file of the stages with its size, times and inode, as DVC itself remembers
them. While all of these are the same, DVC would say that all is up to date. It is a shortcut only:
where anything differs, everybody is asked again.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from csa.errors import ArtifactError, CSAError
from csa.operations.cache import dvc
from csa.operations.cache.dvc import StageOutcome
from csa.operations.gate import settled
from csa.operations.opened import Project
from csa.operations.report.published import run_of
from csa.operations.runs.records import read_record
from csa.operations.runs.result import RetrainResult
from csa.pipeline.workspace import Workspace
from csa.storage.files import read_json, write_json
from csa.storage.written_yaml import read_yaml

# What says which stages there are, and where results are shared, beside what dvc.lock lists.
_SETTINGS = (
    "dvc.yaml",
    "dvc.lock",
    "params.yaml",
    ".dvcignore",
    "exclude.csv",
    ".dvc/config",
    ".dvc/config.local",
)
_PASSED_OVER = ("__pycache__", ".csa")  # as .dvcignore has it


def stamp(ws: Workspace) -> str | None:
    """One hash over the state of every file that DVC looks at; None if it cannot be told.

    Files are looked up, not read: of each, path, size, inode and the time of its last change.
    """
    try:
        locked = read_yaml((ws.root / "dvc.lock").read_bytes())["stages"]
        named = {
            entry["path"]
            for stage in locked.values()
            for entry in (*stage.get("deps", ()), *stage.get("outs", ()))
        }
        named |= {file for stage in locked.values() for file in stage.get("params", ())}
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return None
    found = hashlib.sha256(str(ws.root).encode())
    for name in sorted({*named, *_SETTINGS}):
        for line in _states(ws.root / name, name):
            found.update(line.encode())
    return found.hexdigest()


def stamp_if_current(ws: Workspace) -> str | None:
    """The stamp, if DVC says that all is up to date now; None if something is not, or DVC could
    not be asked.
    """
    found = stamp(ws)
    try:
        return None if dvc.status(ws) else found
    except CSAError:
        return None


def note(project: Project, result: RetrainResult, seen: str | None) -> None:
    """Note that a run came to its end with everything done, what was computed shared too.

    Args:
        project: what was run.
        result: what it came to.
        seen: the stamp of files for which DVC said that all is up to date; None if it did not.
    """
    ws = project.ws
    if seen is None or ws.home != ws.state.parent:  # a worktree lasts for one run
        return
    stages = [outcome.stage for outcome in result.outcomes]
    write_json(_file(ws), {"stamp": seen, "run_id": result.run_id, "stages": stages})


def stages_if_current(ws: Workspace) -> list[str] | None:
    """The stages in their order, if nothing that DVC looks at has changed since a run settled all
    of it; None where DVC has to be asked.

    Args:
        ws: the workspace; its code is hashed already (`csa.operations.cache.dvc.ensure_repo`).
    """
    try:
        noted: dict[str, Any] = read_json(_file(ws))
        return list(noted["stages"]) if noted["stamp"] == stamp(ws) else None
    except (ArtifactError, KeyError, TypeError):  # never noted, or damaged
        return None


def nothing_to_do(project: Project) -> RetrainResult | None:
    """What a run would come to, if it would change nothing; None if it has to be carried out.

    Everything is up to date, shared and in DuckDB, the run is recorded, registered and gated, and
    the workspace has its report.
    """
    ws = project.ws
    try:
        noted: dict[str, Any] = read_json(_file(ws))
        dvc.ensure_repo(ws)  # a recipe's workspace takes over remotes that were named since
        stages = stages_if_current(ws)
        if stages is None or not ws.duckdb.is_file():
            return None
        record = read_record(ws, noted["run_id"])
        known = settled.recall(project, record)
        outcomes = [StageOutcome(stage, "unchanged", 0.0) for stage in stages]
    except (ArtifactError, KeyError, TypeError):  # never noted, or damaged
        return None
    if known is None or run_of(ws.report) != record.run_id:
        return None
    return RetrainResult(outcomes, record.run_id, False, known.version, False, known.decision)


def _states(path: Path, name: str) -> Iterator[str]:
    """A line for a file; for a folder, one for each file in it."""
    try:
        found = path.stat()
    except OSError:
        yield f"{name} missing\n"
        return
    if not path.is_dir():
        yield f"{name} {found.st_size} {found.st_ino} {found.st_mtime_ns} {found.st_ctime_ns}\n"
        return
    with os.scandir(path) as entries:
        inside = sorted(entry.name for entry in entries)
    for one in inside:
        if one not in _PASSED_OVER and not one.endswith(".tmp"):
            yield from _states(path / one, f"{name}/{one}")


def _file(ws: Workspace) -> Path:
    return ws.state / "finished" / f"{ws.name}.json"
