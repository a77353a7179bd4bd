"""Run records: what a run was and what came of it, in plain files under `.csa/runs/<run_id>/`.

DuckDB is rebuilt from them. A run is named by what went in and what came out, so the same result is
the same run whenever, wherever and from whichever commit it was made.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import csa
from csa.errors import ArtifactError
from csa.masking import masked_all
from csa.operations.cache.dvc import output_hashes, output_sizes
from csa.operations.opened import Project
from csa.params.schema import Params
from csa.pipeline.workspace import Workspace
from csa.results.evaluation import EvaluationMetrics
from csa.storage.files import read_json, write_json

TASKS_FILE = "tasks.json"
"""Task -> its metrics, in the record of a run that had tasks."""

_PACKAGES = ("numpy", "scipy", "polars", "torch", "transformers")


@dataclass(frozen=True)
class RunRecord:
    """One run, as `run.json` holds it.

    Attributes:
        run_id: 16 hex digits, from the parameters and the hashes of the outputs.
        created: when it was first recorded, UTC, ISO 8601.
        workspace: `main` or the recipe's name.
        model: the registered model's name.
        git_commit: of the code, or "none" outside git.
        git_dirty: whether tracked files differed from that commit.
        params: every parameter, resolved.
        params_hash: sha256 of the parameters that can change the result.
        outputs: path -> MD5 of every DVC output upstream of the evaluation.
        alignment_sha256, queries_sha256: of the files themselves.
        evaluation_id: names the held-out pairs; only runs that share it compare directly.
        encoders: view -> fingerprint of its encoder.
        stages: stage -> what it did and cost when it last ran on this machine, and the bytes of its
            outputs.
        versions: of python, csa and the packages that results depend on.
        items_sha256: of the items file that says what the run saw, see `csa.operations.runs.items`;
            empty in records of older versions.
    """

    run_id: str
    created: str
    workspace: str
    model: str
    git_commit: str
    git_dirty: bool
    params: dict[str, Any]
    params_hash: str
    outputs: dict[str, str]
    alignment_sha256: str
    queries_sha256: str
    evaluation_id: str
    encoders: dict[str, str]
    stages: dict[str, dict[str, Any]]
    versions: dict[str, str]
    items_sha256: str = ""

    @cached_property
    def views(self) -> tuple[str, str]:
        """The names of the two views, in order."""
        first, second = self.params["views"]
        return first, second

    @cached_property
    def data_rule(self) -> str:
        """Which data was read and how it was split: where two runs agree, their held-out sets
        follow the same rule.
        """
        dataset = self.params["dataset"]
        return _canonical({key: dataset[key] for key in ("kind", "path", "split")})


def record_run(project: Project, stages: list[str]) -> tuple[RunRecord, bool]:
    """Record what the workspace holds now, unless this very run is recorded already.

    Args:
        project: one whose stages are all up to date.
        stages: their names.

    Returns:
        The record, and whether it is new.

    Raises:
        ArtifactError: an artifact is missing or damaged.
    """
    from csa.features.shards import fingerprint_of_features
    from csa.operations.runs.items import keep_items

    ws, params = project.ws, project.params
    outputs = output_hashes(ws, stages)
    params_hash = _sha256(_canonical(_what_counts(params)))
    run_id = _sha256(
        _canonical({"params": params_hash, "outputs": _what_is_compared(ws, params, outputs)})
    )[:16]
    folder = ws.runs / run_id
    if folder.is_dir():
        return read_record(ws, run_id), False
    commit, dirty = _git_state(ws.root)
    record = RunRecord(
        run_id=run_id,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        workspace=ws.name,
        model=params.model.name,
        git_commit=commit,
        git_dirty=dirty,
        params=masked_all(params.dump()),
        params_hash=params_hash,
        outputs=outputs,
        alignment_sha256=file_sha256(ws.alignment),
        queries_sha256=file_sha256(ws.evaluation / "queries.parquet"),
        evaluation_id=EvaluationMetrics.read(ws.metrics).evaluation_id,
        encoders={view: fingerprint_of_features(ws.features(view)) for view in params.views},
        stages=_costs(ws, stages),
        versions=_versions(),
        items_sha256=keep_items(project),
    )
    partial = ws.runs / f".{run_id}.{os.getpid()}.tmp"
    for left in ws.runs.glob(".*.tmp"):  # by runs that were killed; only one is at work here
        shutil.rmtree(left, ignore_errors=True)
    write_json(partial / "run.json", asdict(record))
    for source in (ws.metrics, ws.fit_report, ws.evaluation / "queries.parquet"):
        shutil.copyfile(source, partial / source.name)
    if params.tasks:
        write_json(
            partial / TASKS_FILE,
            {name: read_json(ws.task(name) / "metrics.json") for name in params.tasks},
        )
    partial.rename(folder)  # the whole record appears at once, or not at all
    return record, True


def read_record(ws: Workspace, run_id: str) -> RunRecord:
    """The record of one run.

    Args:
        ws: any workspace of the state folder.
        run_id: its name.

    Returns:
        The record.

    Raises:
        ArtifactError: there is none, or it is damaged.
    """
    path = ws.runs / run_id / "run.json"
    try:
        return RunRecord(**read_json(path))
    except TypeError as error:
        raise ArtifactError(
            f"{path}: not a run record of this version of csa ({error}); delete {path.parent}"
        ) from None


def record_of(project: Project) -> RunRecord | None:
    """The record of what the workspace holds now, found by its files; None if that is not
    recorded.
    """
    ws = project.ws
    wanted = {
        "workspace": ws.name,
        "params_hash": _sha256(_canonical(_what_counts(project.params))),
        "alignment_sha256": file_sha256(ws.alignment),
        "queries_sha256": file_sha256(ws.evaluation / "queries.parquet"),
    }
    for run_id in recorded_runs(ws):
        record = read_json(ws.runs / run_id / "run.json")
        if all(record.get(key) == value for key, value in wanted.items()):
            return read_record(ws, run_id)
    return None


def recorded_runs(ws: Workspace) -> list[str]:
    """The ids of all runs on record, whatever their workspace."""
    return sorted(path.name for path in ws.runs.glob("*") if not path.name.startswith("."))


def file_sha256(path: Path) -> str:
    """The hash of a file's bytes.

    Raises:
        ArtifactError: no such file.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise ArtifactError(f"{path}: no such file; run `csa run` first") from None


def folder_sha256(folder: Path) -> dict[str, str]:
    """The hash of every file in a folder, by its path there."""
    return {
        path.relative_to(folder).as_posix(): file_sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _costs(ws: Workspace, stages: list[str]) -> dict[str, dict[str, Any]]:
    sizes = output_sizes(ws)
    ran = [stage for stage in stages if ws.stage_record(stage).is_file()]
    return {
        stage: read_json(ws.stage_record(stage)) | {"bytes": sizes.get(stage, 0)} for stage in ran
    }


def _what_counts(params: Params) -> dict[str, Any]:
    """Parameters that can change the result: not the gate's, nor the card's words, nor who is told,
    nor where batches are computed, nor where the data lies (what is in it, the outputs' hashes
    say), nor what a registered version carries."""
    resolved = params.dump()
    del (
        resolved["gate"],
        resolved["card"],
        resolved["compute"],
        resolved["notify"],
        resolved["dataset"]["path"],
        resolved["model"]["with_weights"],
    )
    for task in resolved["tasks"].values():
        del task["dataset"]["path"]
    return resolved


def _what_is_compared(ws: Workspace, params: Params, outputs: dict[str, str]) -> dict[str, str]:
    """The outputs that make a run the same run; pictures may differ by a font, so the folder
    with them is not among these.
    """
    paths = [ws.pairs, *(ws.features(view) for view in params.views), ws.alignment, ws.metrics]
    paths += [ws.task(name) / "metrics.json" for name in params.tasks]
    names = [path.relative_to(ws.root).as_posix() for path in paths]
    missing = [name for name in names if name not in outputs]
    if missing:
        raise ArtifactError(
            f"{ws.root / 'dvc.lock'}: no hash of {', '.join(missing)}; is it an output in dvc.yaml?"
        )
    return {name: outputs[name] for name in names}


def _git_state(root: Path) -> tuple[str, bool]:
    """Commit and whether tracked files differ from it; dvc.lock aside, which every run writes
    and the hashes cover.
    """
    if shutil.which("git") is None:
        return "none", False

    def ask(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False
        )

    head = ask("rev-parse", "HEAD")
    if head.returncode:
        return "none", False
    names = ("dvc.lock", "data/code.json", "data/start.json")
    ours = (f":(exclude,glob,top)**/{name}" for name in names)
    changed = ask("status", "--porcelain", "--untracked-files=no", "--", ":/", *ours)
    return head.stdout.strip(), bool(changed.stdout.strip())


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "csa": csa.__version__}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
