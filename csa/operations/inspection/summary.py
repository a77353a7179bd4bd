"""What a person sees at the end of a run."""

from typing import Any

from csa.operations.opened import Project
from csa.operations.runs.result import RetrainResult
from csa.pipeline.workspace import Workspace
from csa.results.evaluation import ClassificationMetrics, EvaluationMetrics
from csa.results.fit import FitReport
from csa.results.task import TaskMetrics, TransferMetrics, read_task
from csa.results.words import arrow, percent, plain, recall_line, spaced
from csa.storage.files import read_json

# of fit.json: for reports, not for a summary
_LONG = ("weights", "training_correlations", "tried", "unpaired_profiles")


def summary_json(project: Project, result: RetrainResult) -> dict[str, Any]:
    """The outcome of a run, for machines.

    Args:
        project: what was run.
        result: what it came to.

    Returns:
        JSON-able; the keys are the contract of `csa run --json`.
    """
    ws, params = project.ws, project.params
    return {
        "workspace": ws.name,
        "run_id": result.run_id,
        "new_run": result.new_run,
        "stages": [
            {"stage": o.stage, "status": o.status, "seconds": o.seconds} for o in result.outcomes
        ],
        "features": {view: _record(ws, f"embed@{view}") for view in params.views},
        "fit": {
            key: value
            for key, value in FitReport.read(ws.fit_report).as_dict().items()
            if key not in _LONG
        },
        "metrics": EvaluationMetrics.read(ws.metrics).as_dict(),
        "tasks": {name: task.as_dict() for name, task in _tasks(project).items()},
        "model": {
            "name": project.model,
            "version": result.version,
            "created": result.created,
        },
        "gate": {"verdict": result.decision.verdict, "reason": result.decision.reason},
        "report": str(ws.report),
    }


def summary_text(project: Project, result: RetrainResult) -> str:
    """The outcome of a run, for people.

    Args:
        project: what was run.
        result: what it came to.

    Returns:
        Several lines.
    """
    ws = project.ws
    fit, metrics = FitReport.read(ws.fit_report), EvaluationMetrics.read(ws.metrics)
    ran = [o.stage for o in result.outcomes if o.status != "unchanged"]
    done = (
        ", ".join(f"{o.stage} {o.status}" for o in result.outcomes if o.status != "unchanged")
        or "nothing to do: all up to date"
    )
    first, second = project.params.view_names
    lines = [
        "",
        f"{project.model}  run "
        f"{result.run_id}{'' if result.new_run else '  (known: nothing was appended)'}",
        f"  stages      {done}",
        f"  pairs       {metrics.pairs.train:,} to train on in {fit.groups:,} groups, "
        f"{metrics.pairs.test:,} held out in {metrics.groups.test:,}{_asked(metrics)}",
        *(
            f"  features    {view}: {_features_text(ws, view, f'embed@{view}' in ran)}"
            for view in (first, second)
        ),
        f"  alignment   {_alignment_text(fit, first, second)}",
        *(
            f"  {arrow(direction):<13} {recall_line(found)}   median rank "
            f"{found.median_rank.value:g} of {metrics.gallery(direction):,}"
            for direction, found in metrics.retrieval.items()
        ),
        f"  mismatch    AUC {plain(metrics.mismatch.auc)} against random strangers"
        + _hard_text(metrics),
    ]
    if metrics.classification is not None:
        lines.append(f"  classes     {_classes_text(metrics.classification)}")
    lines += [f"  task        {name}: {_task_text(task)}" for name, task in _tasks(project).items()]
    lines += [
        f"  model       {project.model} version {result.version} "
        f"({'new' if result.created else 'registered before'})",
        f"  gate        {result.decision.verdict}: {result.decision.reason}",
        "",
        f"Report: {ws.report}",
        f"Next: {_example_search(project) if ran else ''}csa status{_where(ws)}   csa metrics   "
        f"csa models{_where(ws)}",
    ]
    return "\n".join(lines)


def _tasks(project: Project) -> dict[str, TaskMetrics]:
    ws = project.ws
    return {name: read_task(ws.task(name) / "metrics.json") for name in project.params.tasks}


def _alignment_text(fit: FitReport, first: str, second: str) -> str:
    (gx, gy), (prepared_x, prepared_y) = fit.shrinkage, fit.preparation
    return (
        f"{spaced(fit.score)}{', hubness corrected' if fit.hubness_corrected else ''}, "
        f"{fit.n_components} components on {prepared_x} {first} and {prepared_y} {second} "
        f"features, shrinkage {gx:.2g} ({first}) and {gy:.2g} ({second})"
        + (f", {fit.nats:.1f} nats shared" if fit.nats else "")
    )


def _asked(metrics: EvaluationMetrics) -> str:
    return f", {metrics.asked.groups:,} asked" if metrics.asked else ""


def _hard_text(metrics: EvaluationMetrics) -> str:
    hard, known = metrics.mismatch_hard, metrics.mismatch_known
    text = f", {plain(hard.auc)} against hard ones" if hard else ""
    return text + (f", {plain(known.auc)} for {known.pairs.wrong:,} known errors" if known else "")


def _classes_text(found: ClassificationMetrics) -> str:
    return (
        f"top-1 {percent(found.top_1)}   top-5 {percent(found.top_5)}   of "
        f"{found.classes:,} classes "
        f"({spaced(found.protocol)}; chance {found.chance.top_1.value:.2g})"
    )


def _task_text(task: TaskMetrics) -> str:
    if isinstance(task, TransferMetrics):
        return _classes_text(task.classification)
    paper, rows = task.out_of_context.paper, task.out_of_context.rows
    return (
        f"out of context: AUC {plain(paper.auc)}, accuracy {percent(paper.accuracy)} of "
        f"{rows.test:,} rows (thresholds chosen on {rows.validation:,} others)"
    )


def _example_search(project: Project) -> str:
    """A search that makes sense here: by a short text that was held out."""
    import polars as pl

    from csa.datasets.pairs_table import read_pairs

    ws = project.ws
    texts = [name for name, view in project.params.views.items() if view.modality == "text"]
    if not texts:
        return ""
    held_out = read_pairs(ws.pairs).filter(pl.col("split") == "test")[texts[0]].to_list()
    query = next(
        (
            text
            for text in held_out
            if 10 <= len(text) <= 50 and " " in text and not set(text) & set('"\\$`!')
        ),
        "a red heart",
    )
    return f'csa search "{query}" --save sheet.png{_where(ws)}   '


def _features_text(ws: Workspace, view: str, ran: bool) -> str:
    record = _record(ws, f"embed@{view}") if ran else None
    if record is None:
        return "up to date"
    return (
        f"{record['computed']:,} computed, {record['reused']:,} reused in {record['seconds']:.0f} s"
    )


def _record(ws: Workspace, stage: str) -> dict[str, Any] | None:
    path = ws.stage_record(stage)
    record: dict[str, Any] | None = read_json(path) if path.is_file() else None
    return record


def _where(ws: Workspace) -> str:
    return "" if ws.name == "main" else f" -w {ws.name}"
