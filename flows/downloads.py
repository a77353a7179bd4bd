"""Files of a registered version, fetched once and checked against the hash they were registered with."""

import shutil
import tempfile
from pathlib import Path

import polars as pl

from csa.errors import ArtifactError
from csa.workspace import Workspace
from flows.records import file_sha256
from flows.registry import Version, client_of


def alignment_file(ws: Workspace, version: Version) -> Path:
    """A registered alignment as a local file, checked against the hash it was registered with.

    Raises:
        ArtifactError: what the registry holds is not what was registered.
    """
    expected = version.tags["alignment_sha256"]
    target = ws.state / "downloads" / f"{expected}.safetensors"
    if not target.is_file() or file_sha256(target) != expected:
        source = f"models:/{ws.params().model.name}/{version.version}/artifacts/alignment.safetensors"
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


def _download(ws: Workspace, source: str, target: Path, expected: str) -> None:
    import mlflow
    from mlflow.exceptions import MlflowException

    target.parent.mkdir(parents=True, exist_ok=True)
    with client_of(ws), tempfile.TemporaryDirectory(dir=target.parent) as folder:
        try:
            file = Path(mlflow.artifacts.download_artifacts(artifact_uri=source, dst_path=folder))
        except (MlflowException, OSError) as error:
            said = " ".join(str(error).split())
            raise ArtifactError(f"{source}: cannot be fetched from the registry at {ws.mlflow_uri} ({said})") from None
        found = file_sha256(file)
        if found != expected:
            raise ArtifactError(
                f"{source}: its sha256 is {found[:12]}, but {expected[:12]} was registered; "
                "the registry's file was changed or damaged: restore it or register again"
            )
        shutil.move(file, target)
