"""The model registry in MLflow: fitted alignments as versions, with their lineage; aliases
`challenger` and `champion`.

A version carries its run's id as a tag, so a run is registered once. MLflow takes seconds to
import; it is imported when needed.
"""

import errno
import json
import logging
import os
import re
import socket
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from csa.errors import ArtifactError, InputError, RegistryError
from csa.extras import DISTRIBUTION
from csa.operations.registry.databases import check_registry
from csa.operations.runs.items import items_file
from csa.operations.runs.metrics import flatten
from csa.operations.runs.records import RunRecord, file_sha256, folder_sha256
from csa.pipeline.workspace import Workspace
from csa.storage.files import read_json

CHAMPION, CHALLENGER = "champion", "challenger"
_REGISTERED = "csa.registered"  # tag of an MLflow run: "no" until its version exists
_WRITER = "csa.writer"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)  # nothing more can be written


@dataclass(frozen=True)
class Registered:
    """The version a run is registered as, and whether this call made it."""

    version: int
    created: bool


@dataclass(frozen=True)
class Version:
    """One registered version, as read from MLflow.

    Attributes:
        version: 1, 2, ...
        aliases: such as `champion`.
        created: UTC, ISO 8601.
        tags: lineage, see `_lineage`.
        mlflow_run: id of the MLflow run that holds metrics, pictures and the per-query table.
    """

    version: int
    aliases: tuple[str, ...]
    created: str
    tags: dict[str, str]
    mlflow_run: str


def register(ws: Workspace, run: RunRecord) -> Registered:
    """Register a recorded run's alignment and point `challenger` at it; a run that has a version
    keeps it.

    What an earlier call left behind when it was killed is removed first.

    Raises:
        ArtifactError: the alignment in the workspace is not the recorded one.
    """
    with client_of(ws) as client:
        _remove_leftovers(ws, client, run.model)
        found = _version_of_run(client, run)
        version = _create(ws, client, run) if found is None else found
        if client.get_registered_model(run.model).aliases.get(CHALLENGER) != version:
            client.set_registered_model_alias(run.model, CHALLENGER, str(version))
        return Registered(version, created=found is None)


def log_report(ws: Workspace, run: RunRecord, version: int, page: str) -> None:
    """Put a run's report beside the other artifacts of its version."""
    with client_of(ws) as client:
        client.log_text(
            client.get_model_version(run.model, str(version)).run_id, page, "report.html"
        )


def versions(ws: Workspace, model: str | None = None) -> list[Version]:
    """All versions of the workspace's model, or of another, newest first."""
    name = model or ws.params().model.name
    with client_of(ws) as client:
        if not client.search_registered_models(f"name = '{name}'"):
            return []
        aliases: dict[int, list[str]] = {}
        for alias, number in client.get_registered_model(name).aliases.items():
            aliases.setdefault(int(number), []).append(alias)
        found = [
            _read(version, aliases)
            for version in _pages(client.search_model_versions, f"name = '{name}'")
        ]
    return sorted(found, key=lambda version: -version.version)


def versions_table(ws: Workspace) -> pl.DataFrame:
    """`versions` for people: one row each."""
    rows = [
        {
            "version": version.version,
            "aliases": ", ".join(sorted(version.aliases)),
            "created": version.created,
            **{
                metric: _number(version.tags.get(metric))
                for metric in ("r1_forward", "r1_back", "mrr_forward", "mrr_back")
            },
            "run_id": version.tags.get("run_id", ""),
            "commit": version.tags.get("git_commit", "")[:10]
            + ("+" if version.tags.get("git_dirty") == "true" else ""),
            "alignment": version.tags.get("alignment_sha256", "")[:12],
        }
        for version in versions(ws)
    ]
    return pl.DataFrame(rows)


def version_of(ws: Workspace, number: int) -> Version:
    """One version of the workspace's model.

    Raises:
        InputError: there is no such version.
    """
    known = versions(ws)
    for version in known:
        if version.version == number:
            return version
    numbers = ", ".join(str(version.version) for version in known) or "none"
    raise InputError(f"{ws.params().model.name} has no version {number}; there are: {numbers}")


def champion(ws: Workspace) -> Version | None:
    """The version that `champion` points at."""
    return next((version for version in versions(ws) if CHAMPION in version.aliases), None)


def set_champion(ws: Workspace, number: int) -> None:
    """Point `champion` at a version."""
    with client_of(ws) as client:
        client.set_registered_model_alias(ws.params().model.name, CHAMPION, str(number))


def tag_version(ws: Workspace, number: int, key: str, value: str) -> None:
    """Set one tag of a version."""
    with client_of(ws) as client:
        client.set_model_version_tag(ws.params().model.name, str(number), key, value)


def local_database(ws: Workspace) -> Path | None:
    """The registry's SQLite file, if it is one."""
    scheme, _, path = ws.mlflow_uri.partition(":///")
    return Path(path) if scheme == "sqlite" else None


@contextmanager
def client_of(ws: Workspace) -> Iterator[Any]:
    """An MLflow client of the workspace's registry, with MLflow's chatter off.

    Raises:
        RegistryError: MLflow does not answer, or cannot read or write its store.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow
        from mlflow.exceptions import MlflowException

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # its errors are raised too
        database = local_database(ws)
        if database is not None:
            database.parent.mkdir(parents=True, exist_ok=True)
            check_registry(database)
        given = os.environ.get("MLFLOW_TRACKING_URI")
        mlflow.set_tracking_uri(ws.mlflow_uri)
        if given is None:  # MLflow sets it itself, and it would hold for the next workspace too
            os.environ.pop("MLFLOW_TRACKING_URI", None)
        try:
            yield mlflow.MlflowClient()
        except (MlflowException, OSError) as error:
            if isinstance(error, OSError) and error.errno not in _FULL:
                raise
            cause = "is the server up, and its address right?"
            if database is not None:
                cause = "is the disk full, or the file not yours to write?"
            raise RegistryError(
                f"the registry at {ws.mlflow_uri} cannot be used ({_said(error)}): {cause} The "
                f"next `csa run` finishes or undoes "
                "what was begun"
            ) from error


def _said(error: Exception) -> str:
    """The heart of an error that came through SQLAlchemy or urllib3, which wrap it in statements
    and addresses.
    """
    text = " ".join(str(error).split())
    heart = re.search(r"\(sqlite3\.\w+\) (.+?)(?: \[SQL| \(Background|$)", text) or re.search(
        r"\[Errno \d+\] ([^\"')]+)", text
    )
    return heart[1] if heart else text[:200]


def _create(ws: Workspace, client: Any, run: RunRecord) -> int:
    """Log the model in an MLflow run of its own and make it the model's next version, tags and
    all in one transaction.
    """
    import mlflow

    if file_sha256(ws.alignment) != run.alignment_sha256:
        raise ArtifactError(
            f"{ws.alignment}: not the alignment of run {run.run_id}; run `csa run` again"
        )
    tags = {"csa.run_id": run.run_id, _WRITER: _writer(ws), _REGISTERED: "no"}
    mlflow_run = client.create_run(
        _experiment(ws, client, run.model), tags=tags, run_name=run.run_id
    ).info.run_id
    metrics = read_json(ws.runs / run.run_id / "metrics.json")
    with mlflow.start_run(run_id=mlflow_run):
        model = mlflow.pyfunc.log_model(
            name="alignment",
            python_model=str(Path(__file__).with_name("mlflow_model.py")),
            artifacts={"alignment": str(ws.alignment)},
            model_config={"views": list(run.views)},
            signature=_signature(run.views),
            pip_requirements=[
                f"{DISTRIBUTION}=={run.versions['csa']}",
                *(f"{name}=={run.versions[name]}" for name in ("numpy", "scipy")),
            ],
        )
        mlflow.log_metrics({name: value for name, value, _, _ in flatten(metrics)})
        for record in ("run.json", "metrics.json", "fit.json"):
            mlflow.log_artifact(str(ws.runs / run.run_id / record))
        mlflow.log_artifact(str(items_file(ws, run.items_sha256)), "items")
        for file in (
            ws.runs / run.run_id / "queries.parquet",
            *sorted(ws.evaluation.glob("*.png")),
        ):
            mlflow.log_artifact(str(file), "evaluation")
    if not client.search_registered_models(f"name = '{run.model}'"):
        client.create_registered_model(run.model)
    tags = _lineage(run, metrics) | {"files": json.dumps(_logged_files(model.model_uri))}
    version = client.create_model_version(
        run.model, model.model_uri, mlflow_run, tags=tags, model_id=model.model_id
    )
    client.set_tag(mlflow_run, _REGISTERED, "yes")
    return int(version.version)


def model_files(folder: Path) -> dict[str, str]:
    """The sha256 of every file of a model as the registry gives it back, without the note that
    MLflow lays beside them.
    """
    return {
        file: sha256
        for file, sha256 in folder_sha256(folder).items()
        if file != "registered_model_meta"
    }


def _logged_files(model_uri: str) -> dict[str, str]:
    import mlflow

    with tempfile.TemporaryDirectory() as folder:
        return model_files(
            Path(mlflow.artifacts.download_artifacts(artifact_uri=model_uri, dst_path=folder))
        )


def _lineage(run: RunRecord, metrics: dict[str, Any]) -> dict[str, str]:
    """What a version says about itself: where it came from, what it may be compared with, and
    how good it was.
    """
    forward, back = (metrics["retrieval"][f"{a}_to_{b}"] for a, b in (run.views, run.views[::-1]))
    return {
        "run_id": run.run_id,
        "git_commit": run.git_commit,
        "git_dirty": str(run.git_dirty).lower(),
        "params_hash": run.params_hash,
        "evaluation_id": run.evaluation_id,
        "alignment_sha256": run.alignment_sha256,
        "queries_sha256": run.queries_sha256,
        "items_sha256": run.items_sha256,
        "encoders": json.dumps(run.encoders),
        "data_rule": run.data_rule,
        **{f"dvc.{path}": md5 for path, md5 in run.outputs.items()},
        **{
            f"{short}_{side}": f"{values[metric]['value']:.4f}"
            for side, values in (("forward", forward), ("back", back))
            for short, metric in (("r1", "recall_at_1"), ("mrr", "mrr"))
        },
    }


def _remove_leftovers(ws: Workspace, client: Any, model: str) -> None:
    """End and delete MLflow runs of this state folder that never became a version: their process
    was killed.

    Only one run at a time works in a state folder, so none of them is alive.
    """
    experiment = client.get_experiment_by_name(model)
    if experiment is None:
        return
    query = f"tags.`{_REGISTERED}` = 'no' and tags.`{_WRITER}` = '{_writer(ws)}'"
    for run in client.search_runs([experiment.experiment_id], query):
        run_id = run.info.run_id
        # killed right after its version was made
        if list(client.search_model_versions(f"run_id = '{run_id}'")):
            client.set_tag(run_id, _REGISTERED, "yes")
            continue
        for output in client.search_logged_models(
            [experiment.experiment_id], f"source_run_id = '{run_id}'"
        ):
            client.delete_logged_model(output.model_id)
        client.set_terminated(run_id, "KILLED")
        client.delete_run(run_id)


def _version_of_run(client: Any, run: RunRecord) -> int | None:
    found = client.search_model_versions(f"name = '{run.model}' and tags.run_id = '{run.run_id}'")
    return min((int(version.version) for version in found), default=None)


def _experiment(ws: Workspace, client: Any, model: str) -> str:
    found = client.get_experiment_by_name(model)
    if found is not None:
        return str(found.experiment_id)
    database = local_database(ws)
    # Without an explicit place, artifacts of a SQLite registry land in the folder the command
    # happens to run in.
    place = None if database is None else (database.parent / "artifacts").as_uri()
    return str(client.create_experiment(model, artifact_location=place))


def _signature(views: tuple[str, str]) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Array, ColSpec, DataType, Schema

    return ModelSignature(
        inputs=Schema(
            [ColSpec(Array(DataType.double), name=view, required=False) for view in views]
        )
    )


def _read(version: Any, aliases: dict[int, list[str]]) -> Version:
    number = int(version.version)  # a server gives text, SQLite a number
    created = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(
        timespec="seconds"
    )
    return Version(
        number, tuple(aliases.get(number, ())), created, dict(version.tags), version.run_id
    )


def _pages(search: Any, query: str) -> Iterator[Any]:
    token = None
    while True:
        page = search(query, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _writer(ws: Workspace) -> str:
    return f"{socket.gethostname()}:{ws.state.resolve()}"


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)
