"""Files of a registered version, fetched once and checked against the hash they were registered
with.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from csa.errors import ArtifactError
from csa.operations.registry.versions import Version, client_of, model_files
from csa.operations.runs.items import items_file
from csa.operations.runs.records import file_sha256
from csa.pipeline.workspace import Workspace
from csa.storage.files import read_json


def alignment_file(ws: Workspace, version: Version) -> Path:
    """A registered alignment as a local file, checked against the hash it was registered with.

    Raises:
        ArtifactError: what the registry holds is not what was registered.
    """
    expected = version.tags["alignment_sha256"]
    target = ws.state / "downloads" / f"{expected}.safetensors"
    if not target.is_file() or file_sha256(target) != expected:
        source = (
            f"models:/{ws.params().model.name}/{version.version}/artifacts/alignment.safetensors"
        )
        _download(ws, source, target, expected)
    return target


def queries_of(ws: Workspace, version: Version) -> pl.DataFrame:
    """The per-query table a version was registered with, checked against its hash.

    Raises:
        ArtifactError: it is gone from the registry, or is another one.
    """
    expected = version.tags["queries_sha256"]
    target = ws.state / "downloads" / f"{expected}.parquet"
    if not target.is_file() or file_sha256(target) != expected:
        _download(ws, f"runs:/{version.mlflow_run}/evaluation/queries.parquet", target, expected)
    return pl.read_parquet(target)


def items_of(ws: Workspace, version: Version) -> Path:
    """The file of items a version's run saw, from this state folder or the registry.

    Raises:
        ArtifactError: it is gone from the registry, or is another one.
        KeyError: the version was registered without it.
    """
    expected = version.tags["items_sha256"]
    target = items_file(ws, expected)
    if not target.is_file() or file_sha256(target) != expected:
        _download(ws, f"runs:/{version.mlflow_run}/items/{target.name}", target, expected)
    return target


def run_json(ws: Workspace, version: Version) -> dict[str, Any]:
    """The run record a version was registered with."""
    with _fetched(ws, f"runs:/{version.mlflow_run}/run.json") as file:
        record: dict[str, Any] = read_json(file)
    return record


def fit_report(ws: Workspace, version: Version) -> dict[str, Any]:
    """The fit.json a version was registered with."""
    with _fetched(ws, f"runs:/{version.mlflow_run}/fit.json") as file:
        report: dict[str, Any] = read_json(file)
    return report


def verify_model(ws: Workspace, version: Version) -> int:
    """Compare every file of a registered model, its code among them, with the hashes it was
    registered with.

    Returns:
        The model's size in bytes.

    Raises:
        ArtifactError: a file was changed, is missing, or was added.
    """
    name = f"{ws.params().model.name} version {version.version}"
    if "files" not in version.tags:
        raise ArtifactError(
            f"{name}: registered without hashes of its files (not by this version of csa); "
            f"register it again"
        )
    expected: dict[str, str] = json.loads(version.tags["files"])
    with _fetched(ws, f"models:/{ws.params().model.name}/{version.version}") as folder:
        found = model_files(folder)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    for what, wrong in (
        (
            "was changed",
            [file for file in expected if file in found and found[file] != expected[file]],
        ),
        ("is missing", [file for file in expected if file not in found]),
        ("was added", [file for file in found if file not in expected]),
    ):
        if wrong:
            raise ArtifactError(
                f"{name}: {wrong[0]} {what} since it was registered; restore it, or register the "
                f"run again"
            )
    return size


def _download(ws: Workspace, source: str, target: Path, expected: str) -> None:
    with _fetched(ws, source, target.parent) as file:
        found = file_sha256(file)
        if found != expected:
            raise ArtifactError(
                f"{source}: its sha256 is {found[:12]}, but {expected[:12]} was registered; "
                "the registry's file was changed or damaged: restore it or register again"
            )
        shutil.move(file, target)


@contextmanager
def _fetched(ws: Workspace, source: str, near: Path | None = None) -> Iterator[Path]:
    """A fresh copy of a file or folder of the registry, for as long as the block lasts."""
    import mlflow
    from mlflow.exceptions import MlflowException

    near = near or ws.state / "downloads"
    near.mkdir(parents=True, exist_ok=True)
    with client_of(ws), tempfile.TemporaryDirectory(dir=near) as folder:
        try:
            copy = Path(mlflow.artifacts.download_artifacts(artifact_uri=source, dst_path=folder))
        except (MlflowException, OSError) as error:
            said = " ".join(str(error).split())
            raise ArtifactError(
                f"{source}: cannot be fetched from the registry at {ws.mlflow_uri} ({said})"
            ) from None
        yield copy
