"""The fitted alignments as versions of a registered model, made once for each run.

A version carries its run's id as a tag, so a run is registered once. What a killed call left
behind is found by its tags and removed by the next.
"""

import json
import socket
import tempfile
from pathlib import Path
from typing import Any

from csa.errors import ArtifactError
from csa.operations.registry.logged_model import log_model
from csa.operations.registry.registry import Registry
from csa.operations.registry.versions import CHALLENGER, Registered, Version
from csa.operations.registry.vouched import is_vouched, note_registration
from csa.operations.runs.items import items_file
from csa.operations.runs.metrics import flatten
from csa.operations.runs.records import RunRecord, file_sha256, folder_sha256
from csa.pipeline.workspace import Workspace
from csa.results.evaluation import EvaluationMetrics

_REGISTERED = "csa.registered"  # tag of an MLflow run: "no" until its version exists
_WRITER = "csa.writer"

RECORDS = ("run.json", "metrics.json", "fit.json")
"""Files of a run record that are kept beside a version."""


def register(registry: Registry, run: RunRecord) -> Registered:
    """Register a recorded run's alignment and point `challenger` at it; a run that has a version
    keeps it.

    What an earlier call left behind when it was killed is removed first. A version of this run
    counts where this state folder made it, or where the ledger says what it was when it was judged:
    whoever can write to the registry could have put another model under the run's id.

    Args:
        registry: of the workspace that holds the run's artifacts.
        run: its record.

    Returns:
        The version, and whether it is new.

    Raises:
        ArtifactError: the alignment in the workspace is not the recorded one.
    """
    with registry.writing() as client:
        _remove_leftovers(registry.ws, client, run.model)
        found = _version_of_run(registry, client, run)
        version = _create(registry, client, run) if found is None else found
        if client.get_registered_model(run.model).aliases.get(CHALLENGER) != version:
            client.set_registered_model_alias(run.model, CHALLENGER, str(version))
        return Registered(version, created=found is None)


def log_report(registry: Registry, run: RunRecord, version: int, page: str) -> None:
    """Put a run's report, and the pictures that were drawn with it, beside the other artifacts of
    its version.

    Args:
        registry: where the run is registered.
        run: its record.
        version: the version it is registered as.
        page: the report, HTML.
    """
    with registry.client() as client:
        mlflow_run = client.get_model_version(run.model, str(version)).run_id
        if registry.ws.pictures.is_dir():
            client.log_artifacts(mlflow_run, str(registry.ws.pictures), "evaluation")
        client.log_text(mlflow_run, page, "report.html")


def _create(registry: Registry, client: Any, run: RunRecord) -> int:
    """Log the model in an MLflow run of its own and make it the model's next version, tags and
    all in one transaction.
    """
    import mlflow

    ws = registry.ws
    if file_sha256(ws.alignment) != run.alignment_sha256:
        raise ArtifactError(
            f"{ws.alignment}: not the alignment of run {run.run_id}; run `csa run` again"
        )
    tags = {"csa.run_id": run.run_id, _WRITER: _writer(ws), _REGISTERED: "no"}
    mlflow_run = client.create_run(
        _experiment(registry, client, run.model), tags=tags, run_name=run.run_id
    ).info.run_id
    metrics = EvaluationMetrics.read(ws.runs / run.run_id / "metrics.json")
    with mlflow.start_run(run_id=mlflow_run):
        model = log_model(ws, run, metrics)
        mlflow.log_input(_data_set(ws, run), context="training")
        mlflow.log_metrics({name: value for name, value, _, _ in flatten(metrics.as_dict())})
        for record in RECORDS:
            mlflow.log_artifact(str(ws.runs / run.run_id / record))
        mlflow.log_artifact(str(items_file(ws, run.items_sha256)), "items")
        mlflow.log_artifact(str(ws.runs / run.run_id / "queries.parquet"), "evaluation")
    if not client.search_registered_models(f"name = '{run.model}'"):
        client.create_registered_model(run.model)
    lineage = _lineage(run, metrics) | {
        "files": json.dumps(_logged_files(model.model_uri)),
        "records": json.dumps(
            {record: file_sha256(ws.runs / run.run_id / record) for record in RECORDS}
        ),
    }
    note_registration(ws, run.run_id, lineage)
    version = client.create_model_version(
        run.model, model.model_uri, mlflow_run, tags=lineage, model_id=model.model_id
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


def _lineage(run: RunRecord, metrics: EvaluationMetrics) -> dict[str, str]:
    """What a version says about itself: where it came from, what it may be compared with, and
    how good it was.
    """
    forward, back = (metrics.retrieval[f"{a}_to_{b}"] for a, b in (run.views, run.views[::-1]))
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
            f"{short}_{side}": f"{estimate.value:.4f}"
            for side, found in (("forward", forward), ("back", back))
            for short, estimate in (("r1", found.recall_at_1), ("mrr", found.mrr))
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
    for run in client.search_runs([experiment.experiment_id], f"tags.`{_REGISTERED}` = 'no'"):
        if run.data.tags.get(_WRITER) != _writer(ws):  # a path, which may hold a quote
            continue
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


def _version_of_run(registry: Registry, client: Any, run: RunRecord) -> int | None:
    query = f"name = '{run.model}' and tags.run_id = '{run.run_id}'"
    found = [Version.read(one, {}) for one in client.search_model_versions(query)]
    return min((one.version for one in found if is_vouched(registry, one)), default=None)


def _experiment(registry: Registry, client: Any, model: str) -> str:
    found = client.get_experiment_by_name(model)
    if found is not None:
        return str(found.experiment_id)
    # Without an explicit place, artifacts of a SQLite registry land in the folder the command
    # happens to run in.
    place = None if registry.database is None else (registry.database.parent / "artifacts").as_uri()
    return str(client.create_experiment(model, artifact_location=place))


def _data_set(ws: Workspace, run: RunRecord) -> Any:
    """The pairs that a run read, for MLflow's page: their digest and where they came from."""
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined]

    about = run.params["dataset"]
    return MetaDataset(  # type: ignore[abstract]
        LocalArtifactDatasetSource(str(about["path"])),
        name=f"{about['kind']} pairs",
        digest=run.outputs[ws.pairs.relative_to(ws.root).as_posix()],
    )


def _writer(ws: Workspace) -> str:
    return f"{socket.gethostname()}:{ws.state.resolve()}"
