"""Files of a registered version, fetched once and checked against the hash they were registered
with; that hash is vouched for (`vouched`), or nothing is fetched.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from csa.errors import ArtifactError
from csa.operations.registry.registering import model_files
from csa.operations.registry.registry import Registry
from csa.operations.registry.versions import Version
from csa.operations.registry.vouched import vouch
from csa.operations.runs.items import items_file
from csa.operations.runs.records import file_sha256
from csa.results.fit import FitReport
from csa.storage.files import read_json


def alignment_file(registry: Registry, version: Version) -> Path:
    """A registered alignment as a local file, checked against the hash it was registered with.

    Args:
        registry: where it is registered.
        version: one of its versions.

    Returns:
        The file, in the state folder's downloads.

    Raises:
        ArtifactError: what the registry holds is not what was registered.
    """
    vouch(registry, version)
    expected = version.sha256("alignment_sha256")
    target = registry.ws.state / "downloads" / f"{expected}.safetensors"
    if not target.is_file() or file_sha256(target) != expected:
        source = f"models:/{version.model}/{version.version}/artifacts/alignment.safetensors"
        _download(registry, source, target, expected)
    return target


def queries_of(registry: Registry, version: Version) -> pl.DataFrame:
    """The per-query table a version was registered with, checked against its hash.

    Args:
        registry: where it is registered.
        version: one of its versions.

    Returns:
        One row a retrieval query, as in evaluation/queries.parquet.

    Raises:
        ArtifactError: it is gone from the registry, or is another one.
    """
    vouch(registry, version)
    expected = version.sha256("queries_sha256")
    target = registry.ws.state / "downloads" / f"{expected}.parquet"
    if not target.is_file() or file_sha256(target) != expected:
        _download(
            registry, f"runs:/{version.mlflow_run}/evaluation/queries.parquet", target, expected
        )
    return pl.read_parquet(target, glob=False)


def items_of(registry: Registry, version: Version) -> Path:
    """The file of items a version's run saw, from this state folder or the registry.

    Args:
        registry: where it is registered.
        version: one of its versions.

    Returns:
        The file.

    Raises:
        ArtifactError: it is gone from the registry, or is another one.
        KeyError: the version was registered without it.
    """
    vouch(registry, version)
    expected = version.sha256("items_sha256")
    target = items_file(registry.ws, expected)
    if not target.is_file() or file_sha256(target) != expected:
        _download(registry, f"runs:/{version.mlflow_run}/items/{target.name}", target, expected)
    return target


def run_json(registry: Registry, version: Version) -> dict[str, Any]:
    """The run record a version was registered with.

    Args:
        registry: where it is registered.
        version: one of its versions.

    Returns:
        The content of its run.json.

    Raises:
        ArtifactError: it is gone from the registry, or is another one.
    """
    with _record(registry, version, "run.json") as file:
        record: dict[str, Any] = read_json(file)
    return record


def fit_report(registry: Registry, version: Version) -> FitReport:
    """The fit.json a version was registered with.

    Args:
        registry: where it is registered.
        version: one of its versions.

    Returns:
        Choices and diagnostics of the fit.

    Raises:
        ArtifactError: it is gone from the registry, or is another one.
    """
    with _record(registry, version, "fit.json") as file:
        return FitReport.read(file)


def kept_fit_report(registry: Registry, run_id: str, version: Version | None) -> FitReport | None:
    """The fit.json of a run: that of its record here, else the one that was registered.

    Args:
        registry: where it may be registered.
        run_id: of the run; "" if none is known.
        version: that the run made, if it made one.

    Returns:
        Choices and diagnostics of the fit; None if there is neither.
    """
    here = registry.ws.runs / (run_id or "none") / "fit.json"
    if here.is_file():
        return FitReport.read(here)
    return None if version is None else fit_report(registry, version)


@contextmanager
def _record(registry: Registry, version: Version, name: str) -> Iterator[Path]:
    """A file of the run record, checked; versions of before have no hash of it."""
    vouch(registry, version)
    expected = version.mapping("records").get(name)
    source = f"runs:/{version.mlflow_run}/{name}"
    with registry.fetched(source) as file:
        if expected is not None:
            _check(file, source, expected)
        yield file


def verify_model(registry: Registry, version: Version) -> int:
    """Compare every file of a registered model, its code among them, with the hashes it was
    registered with.

    Args:
        registry: where it is registered.
        version: one of its versions.

    Returns:
        The model's size in bytes.

    Raises:
        ArtifactError: a file was changed, is missing, or was added.
    """
    with checked_model(registry, version) as folder:
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@contextmanager
def checked_model(registry: Registry, version: Version) -> Iterator[Path]:
    """A fresh copy of a registered model, for as long as the block lasts, after every file of it
    was compared with the hash it was registered with.

    Args:
        registry: where it is registered.
        version: one of its versions.

    Yields:
        The model's folder.

    Raises:
        ArtifactError: a file was changed, is missing, or was added.
    """
    vouch(registry, version)
    name = f"{version.model} version {version.version}"
    if "files" not in version.tags:
        raise ArtifactError(
            f"{name}: registered without hashes of its files (not by this version of csa); "
            f"register it again"
        )
    expected = version.mapping("files")
    with registry.fetched(f"models:/{version.model}/{version.version}") as folder:
        found = model_files(folder)
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
                    f"{name}: {wrong[0]} {what} since it was registered; restore it, or register "
                    f"the run again"
                )
        yield folder


def _download(registry: Registry, source: str, target: Path, expected: str) -> None:
    with registry.fetched(source, target.parent) as file:
        _check(file, source, expected)
        shutil.move(file, target)


def _check(file: Path, source: str, expected: str) -> None:
    found = file_sha256(file)
    if found != expected:
        raise ArtifactError(
            f"{source}: its sha256 is {found[:12]}, but {expected[:12]} was registered; "
            "the registry's file was changed or damaged: restore it or register again"
        )
