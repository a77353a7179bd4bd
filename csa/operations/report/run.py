"""The report of a workspace, made from its artifacts, its run record, and the ledger; no stage
depends on it.

It is made outside DVC's stages on purpose: see docs/decisions/0017-the-report-is-no-stage.md.
"""

from dataclasses import asdict
from pathlib import Path

from csa.core.alignment import load
from csa.datasets.items import item_loader
from csa.datasets.pairs_table import read_pairs, read_written
from csa.datasets.roots import dataset_root
from csa.errors import ArtifactError
from csa.evaluation.held_out import HeldOut
from csa.operations.gate import settled
from csa.operations.ledger import ledger
from csa.operations.ledger.champion import standing
from csa.operations.opened import Project
from csa.operations.registry.registering import log_report
from csa.operations.report.published import run_of
from csa.operations.runs.records import RunRecord, file_sha256, record_of
from csa.params.schema import Params
from csa.pipeline.held_out import EvaluationData
from csa.pipeline.workspace import Workspace
from csa.report.pictures import draw_pictures
from csa.report.run import report
from csa.report.source import Loader, Measured, Registration, Source, Suspects
from csa.results.evaluation import EvaluationMetrics
from csa.results.fit import FitReport
from csa.results.suspects import SuspectsReport
from csa.results.sweep import SweepReport
from csa.results.task import TaskMetrics, read_task
from csa.storage.files import read_json, write_atomic


def write_report(ws: Workspace, file: Path | None = None) -> Path:
    """Write the report of what a workspace holds now, and its pictures beside it.

    Args:
        ws: a workspace that was run.
        file: where to; default the workspace's data/report.html. Another file is written alone,
            without pictures.

    Returns:
        The file.

    Raises:
        ArtifactError: an artifact is missing, damaged, or does not belong with the others.
    """
    source = source_of(Project(ws))
    page = report(source)
    if file is None:
        draw_pictures(source, ws.pictures)
    write_atomic(file or ws.report, page.encode())
    return file or ws.report


def publish_report(project: Project, run: RunRecord, version: int) -> None:
    """Write the report of a registered run with its pictures and log both with its version, unless
    the workspace has them already.

    The registry comes first: a report of this run in the workspace means that it was logged.

    Args:
        project: a project whose workspace was run.
        run: what it holds.
        version: as which the run is registered.
    """
    if run_of(project.ws.report) == run.run_id:
        return
    source = source_of(project)
    page = report(source)
    draw_pictures(source, project.ws.pictures)
    log_report(project.registry, run, version, page)
    write_atomic(project.ws.report, page.encode())


def source_of(project: Project) -> Source:
    """Everything a report needs of a workspace."""
    ws, params = project.ws, project.params
    pairs, metrics = read_pairs(ws.pairs), EvaluationMetrics.read(ws.metrics)
    held_out = EvaluationData(ws).held_out()
    if held_out.evaluation_id != metrics.evaluation_id:
        raise ArtifactError(
            f"{ws.metrics}: measured on other pairs than {ws.pairs} holds; run `csa run` first"
        )
    run = record_of(project)
    return Source(
        workspace=ws.name,
        params=params,
        alignment=load(ws.alignment),
        held_out=held_out,
        pairs=pairs,
        quarantine=read_written(ws.quarantine),
        queries=read_written(ws.evaluation / "queries.parquet"),
        scores=read_written(ws.evaluation / "pairs.parquet"),
        fit=FitReport.read(ws.fit_report),
        metrics=metrics,
        features={view: read_json(ws.features(view) / "index.json") for view in params.views},
        loaders=loaders_of(ws, params),
        further=_measured(metrics, ws.data),
        tasks={
            name: _measured(read_task(ws.task(name) / "metrics.json"), ws.task(name))
            for name in params.tasks
            if ws.task(name).is_dir()
        },
        sweep=_sweep(ws, held_out),
        suspects=_suspects(ws),
        run=None if run is None else asdict(run),
        registration=None if run is None else _registration(ws, run),
    )


def loaders_of(ws: Workspace, params: Params) -> tuple[Loader, Loader]:
    """What loads the items of each view.

    Args:
        ws: whose data set.
        params: of the workspace.

    Returns:
        A loader for the first view, and one for the second.
    """
    root = dataset_root(params.dataset, ws.root)
    first, second = (
        item_loader(view, root, params.dataset.max_image_pixels) for view in params.views.values()
    )
    return first, second


def _measured(metrics: EvaluationMetrics | TaskMetrics, folder: Path) -> Measured:
    """Metrics, with the tables that lie beside them in evaluation/."""
    tables = {
        name: read_written(path)
        for name in ("classes", "calibration", "images", "rows")
        if (path := folder / "evaluation" / f"{name}.parquet").is_file()
    }
    return Measured(metrics, **tables)


def _sweep(ws: Workspace, held_out: HeldOut) -> SweepReport | None:
    """The sweep, if it was measured on these held-out pairs."""
    file = ws.data / "sweep" / "sweep.json"
    found = SweepReport.read(file) if file.is_file() else None
    return found if found and found.evaluation_id == held_out.evaluation_id else None


def _suspects(ws: Workspace) -> Suspects | None:
    """The suspected training pairs, if they were found with this alignment."""
    folder = ws.data / "suspects"
    if not (folder / "suspects.json").is_file():
        return None
    summary = SuspectsReport.read(folder / "suspects.json")
    if summary.alignment_sha256 != file_sha256(ws.alignment):
        return None
    return Suspects(summary, read_written(folder / "suspects.parquet"))


def _registration(ws: Workspace, run: RunRecord) -> Registration | None:
    """From what was noted of the run when it was gated, and from the ledger: asking MLflow would
    take seconds.
    """
    version = settled.version_of(ws, run)
    if version is None:
        return None
    history = ledger.history(ws.ledger, run.model)
    champion = standing([], history).ledger
    mine = [line for line in history if line.get("run_id") == run.run_id]
    if not mine:
        return Registration(version, champion, "keep", f"version {version} was not gated")
    slices = (mine[-1].get("evidence") or {}).get("slices", [])
    return Registration(version, champion, mine[-1]["verdict"], mine[-1]["reason"], slices)
