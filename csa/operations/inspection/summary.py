"""What a person sees at the end of a run."""

from typing import Any

import polars as pl

from csa.datasets.pairs_table import read_pairs
from csa.operations.opened import Project
from csa.operations.runs.result import RetrainResult
from csa.pipeline.workspace import Workspace
from csa.storage.files import read_json

_LONG = ("weights", "training_correlations", "tried")  # of fit.json: for reports, not for a summary


def summary_json(project: Project, result: RetrainResult) -> dict[str, Any]:
    """The outcome of a run, for machines.

    Args:
        project: what was run.
        result: what it came to.
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
        "fit": {key: value for key, value in read_json(ws.fit_report).items() if key not in _LONG},
        "metrics": read_json(ws.metrics),
        "tasks": {name: read_json(ws.task(name) / "metrics.json") for name in params.tasks},
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
    """
    ws, data = project.ws, summary_json(project, result)
    fit, metrics, model = data["fit"], data["metrics"], data["model"]
    ran = [o.stage for o in result.outcomes if o.status != "unchanged"]
    done = (
        ", ".join(f"{o.stage} {o.status}" for o in result.outcomes if o.status != "unchanged")
        or "nothing to do: all up to date"
    )
    gx, gy = fit["shrinkage"]
    first, second = project.params.view_names
    nats = fit["diagnostics"].get("mutual_information_nats")
    lines = [
        "",
        f"{model['name']}  run "
        f"{data['run_id']}{'' if data['new_run'] else '  (known: nothing was appended)'}",
        f"  stages      {done}",
        f"  pairs       {metrics['pairs']['train']:,} to train on in {fit['groups']:,} groups, "
        f"{metrics['pairs']['test']:,} held out in {metrics['groups']['test']:,}",
        *(
            f"  features    {view}: {_features_text(ws, view, f'embed@{view}' in ran)}"
            for view in (first, second)
        ),
        f"  alignment   "
        f"{fit['score'].replace('_', ' ')}"
        f"{', hubness corrected' if fit['hubness_corrected'] else ''}, "
        f"{fit['n_components']} components on {fit['preparation'][0]} {first} and "
        f"{fit['preparation'][1]} {second} features, "
        f"shrinkage {gx:.2g} ({first}) and {gy:.2g} ({second})"
        + (f", {nats:.1f} nats shared" if nats else ""),
    ]
    for direction, values in metrics["retrieval"].items():
        gallery = metrics["galleries"][direction.partition("_to_")[2]]
        recalls = "   ".join(f"R@{k} {_percent(values[f'recall_at_{k}'])}" for k in (1, 5, 10))
        median = values["median_rank"]["value"]
        lines.append(
            f"  {direction.replace('_to_', ' → '):<14}{recalls}   median rank {median:g} of "
            f"{gallery:,}"
        )
    lines += [
        f"  mismatch    AUC {_plain(metrics['mismatch']['auc'])} against random strangers"
        + _hard_text(metrics)
    ]
    if "classification" in metrics:
        lines.append(f"  classes     {_classes_text(metrics['classification'])}")
    lines += [f"  task        {name}: {_task_text(task)}" for name, task in data["tasks"].items()]
    lines += [
        f"  model       {model['name']} version {model['version']} "
        f"({'new' if model['created'] else 'registered before'})",
        f"  gate        {data['gate']['verdict']}: {data['gate']['reason']}",
        "",
        f"Report: {ws.report}",
        f"Next: {_example_search(project)}csa status{_where(ws)}   csa metrics   "
        f"csa models{_where(ws)}",
    ]
    return "\n".join(lines)


def _hard_text(metrics: dict[str, Any]) -> str:
    hard, known = metrics.get("mismatch_hard"), metrics.get("mismatch_known")
    text = f", {_plain(hard['auc'])} against hard ones" if hard else ""
    return text + (
        f", {_plain(known['auc'])} for {known['pairs']['wrong']:,} known errors" if known else ""
    )


def _classes_text(found: dict[str, Any]) -> str:
    chance = found["chance"]["top_1"]["value"]
    return (
        f"top-1 {_percent(found['top_1'])}   top-5 {_percent(found['top_5'])}   of "
        f"{found['classes']:,} classes "
        f"({found['protocol'].replace('_', ' ')}; chance {chance:.2g})"
    )


def _task_text(task: dict[str, Any]) -> str:
    if task["kind"] == "transfer":
        return _classes_text(task["classification"])
    paper, rows = task["out_of_context"]["paper"], task["out_of_context"]["rows"]
    return (
        f"out of context: AUC {_plain(paper['auc'])}, accuracy {_percent(paper['accuracy'])} of "
        f"{rows['test']:,} rows "
        f"(thresholds chosen on {rows['validation']:,} others)"
    )


def _example_search(project: Project) -> str:
    """A search that makes sense here: by a short text that was held out."""
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


def _plain(estimate: dict[str, float]) -> str:
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


def _percent(estimate: dict[str, float]) -> str:
    return f"{estimate['value']:.1%} [{100 * estimate['low']:.1f}, {100 * estimate['high']:.1f}]"


def _where(ws: Workspace) -> str:
    return "" if ws.name == "main" else f" -w {ws.name}"
