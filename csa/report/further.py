"""What was measured beyond retrieval: classes, conformal decisions, other methods. Each gives None where it was not measured."""

from typing import Any

import polars as pl

from csa.report import charts
from csa.report.source import Measured, Source

_WORST = 8
_KINDS = (
    ("mismatch", "random strangers"),
    ("mismatch_hard", "hard strangers: a partner that looks alike"),
    ("mismatch_known", "errors that the data set knows of"),
)
_DETECTION = ("auc", "average_precision", "fpr_at_95_tpr")
_NAMES = {
    "asif": "ASIF",
    "procrustes": "Procrustes",
    "ridge_map": "ridge map",
    "plain_cca": "plain CCA",
    "canonical_published": "CSA as published",
    "raw_cosine": "raw cosine",
}
_VERDICTS = ("match", "mismatch", "undecided", "neither")


def mismatch_kinds(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Every kind of wrong pair that was looked for, with what was measured of it."""
    return [{"name": name, **metrics[key]} for key, name in _KINDS if key in metrics and _DETECTION[1] in metrics[key]]


def classification(source: Source) -> list[dict[str, Any]] | None:
    """Zero-shot classification of the held-out pairs and of each further task, each under its protocol's name."""
    found = [
        _classes(name, title, measured)
        for name, title, measured in _everything(source)
        if "classification" in measured.metrics and measured.classes is not None
    ]
    return found or None


def _classes(name: str, title: str, measured: Measured) -> dict[str, Any]:
    values, classes = measured.metrics["classification"], measured.classes
    assert classes is not None
    chart = charts.class_chart(f"classes-{name}", classes["label"].to_list(), classes["top_1"].to_numpy())
    worst = classes.filter(pl.col("top_1") < 1).head(_WORST).to_dicts()
    return {"title": title, "chart": chart, "worst": worst, **{"values": values}}


def calibration(source: Source) -> list[dict[str, Any]] | None:
    """What conformal verdicts and prediction sets promise, and what they keep."""
    found = []
    for name, title, measured in _everything(source):
        conformal = measured.metrics.get("conformal")
        if conformal is None or measured.calibration is None:
            continue
        sets = dict(conformal.get("retrieval", {})) | ({"classes": conformal["classes"]} if "classes" in conformal else {})
        found.append(
            {
                "title": title,
                "alpha": conformal["alpha"],
                "chart": charts.coverage_chart(f"coverage-{name}", measured.calibration),
                "verdicts": [(charts.arrow(kind).replace("_", " "), rates) for kind, rates in conformal.get("pairs", {}).items()],
                "names": _VERDICTS,
                "sets": [(charts.arrow(kind), values) for kind, values in sets.items()],
                "doubts": conformal.get("exchangeability", {}).get("reasons", []),
                "carried_over": conformal.get("by_the_held_out_pairs"),
            }
        )
    return found or None


def baselines(source: Source) -> list[dict[str, Any]] | None:
    """CSA and the methods that were measured beside it, the best first in each table."""
    found = []
    for _, title, measured in _everything(source):
        others = measured.metrics.get("baselines")
        if not others:
            continue
        columns = [(heading, keys) for heading, keys in _columns(measured.metrics) if _at(measured.metrics, keys) is not None]
        if not columns:
            continue  # a task that is none of these, which its own section shows
        models = {"CSA": measured.metrics, **{_NAMES.get(name, name): values for name, values in others.items()}}
        rows = [(name, [_at(values, keys) for _, keys in columns]) for name, values in models.items()]
        rows.sort(key=lambda row: -(row[1][0] or {"value": 0.0})["value"])
        best = [max((row[1][k]["value"] for row in rows if row[1][k]), default=None) for k in range(len(columns))]
        found.append({"title": title, "columns": [heading for heading, _ in columns], "rows": rows, "best": best})
    return found or None


def _columns(metrics: dict[str, Any]) -> list[tuple[str, tuple[str, ...]]]:
    recalls = [(f"R@1 {charts.arrow(way)}", ("retrieval", way, "recall_at_1")) for way in metrics.get("retrieval", {})]
    protocol = metrics.get("classification", {}).get("protocol", "").replace("_", " ")
    return [
        *recalls,
        ("AUC", ("mismatch", "auc")),
        ("AUC, hard", ("mismatch_hard", "auc")),
        (f"top-1, {protocol}", ("classification", "top_1")),
    ]


def _at(metrics: dict[str, Any], keys: tuple[str, ...]) -> Any:
    for key in keys:
        metrics = metrics.get(key, {})
    return metrics or None


def _everything(source: Source) -> list[tuple[str, str, Measured]]:
    """(a word for ids, a title, what was measured) of the held-out pairs and of each task."""
    tasks = [(f"task-{number}", f"Task {name}", measured) for number, (name, measured) in enumerate(source.tasks.items())]
    return [("held-out", "Held-out pairs", source.further), *tasks]
