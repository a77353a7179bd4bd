"""What was measured beyond retrieval: classes, conformal decisions, other methods. Each gives
None where it was not measured.
"""

from typing import Any

import polars as pl

from csa.figures.classes import class_chart, coverage_chart
from csa.figures.methods import Axes, curves_chart, sweep_curves
from csa.figures.style import arrow
from csa.report.shown import Shower
from csa.report.source import Measured, Source

_SWEEPS = (
    ("data_efficiency", "groups", "training groups, log scale"),
    ("noise", "noise", "share of shuffled pairs"),
)
_WORST = 8
_SUSPECTS = 12
_RULES = (
    ("paper", "two thresholds, as the paper"),
    ("discriminant", "both similarities, weighed"),
    ("image_alone", "image and caption alone"),
    ("captions_alone", "both captions alone"),
)
_KINDS = (
    ("mismatch", "random strangers"),
    ("mismatch_hard", "hard strangers"),
    ("mismatch_known", "known errors"),
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
    return [
        {"name": name, **metrics[key]}
        for key, name in _KINDS
        if key in metrics and _DETECTION[1] in metrics[key]
    ]


def classification(source: Source) -> list[dict[str, Any]] | None:
    """Zero-shot classification of the held-out pairs and of each further task, each under its
    protocol's name.
    """
    found = [
        _classes(name, title, measured)
        for name, title, measured in _everything(source)
        if "classification" in measured.metrics and measured.classes is not None
    ]
    return found or None


def _classes(name: str, title: str, measured: Measured) -> dict[str, Any]:
    values, classes = measured.metrics["classification"], measured.classes
    assert classes is not None
    chart = class_chart(f"classes-{name}", classes["label"].to_list(), classes["top_1"].to_numpy())
    worst = classes.filter(pl.col("top_1") < 1).head(_WORST).to_dicts()
    return {"title": title, "chart": chart, "worst": worst, **{"values": values}}


def calibration(source: Source) -> list[dict[str, Any]] | None:
    """What conformal verdicts and prediction sets promise, and what they keep."""
    found = []
    for name, title, measured in _everything(source):
        conformal = measured.metrics.get("conformal")
        if conformal is None or measured.calibration is None:
            continue
        sets, classes = dict(conformal.get("retrieval", {})), conformal.get("classes", {})
        if "coverage" in classes:
            sets[f"classes, {measured.metrics['classification']['protocol'].replace('_', ' ')}"] = (
                classes
            )
        found.append(
            {
                "title": title,
                "alpha": conformal["alpha"],
                "chart": coverage_chart(f"coverage-{name}", measured.calibration)
                if len(measured.calibration)
                else None,
                "verdicts": [
                    (arrow(kind).replace("_", " "), rates)
                    for kind, rates in conformal.get("pairs", {}).items()
                ],
                "names": _VERDICTS,
                "sets": [(arrow(kind), values) for kind, values in sets.items()],
                "doubts": conformal.get("exchangeability", {}).get("reasons", []),
                "too_few": classes.get("too_few"),
                "carried_over": conformal.get("by_the_held_out_pairs"),
            }
        )
    return found or None


def out_of_context(source: Source) -> list[dict[str, Any]] | None:
    """Whether second captions are misinformative, by each rule, for every task of that kind."""
    found = []
    for _, title, measured in _everything(source):
        values = measured.metrics.get("out_of_context")
        if values is not None:
            rules = [(name, values[key]) for key, name in _RULES if key in values]
            found.append({"title": title, "values": values, "rules": rules})
    return found or None


def suspected(source: Source, show: tuple[Shower, Shower]) -> dict[str, Any] | None:
    """The training pairs that a fit without them finds most wrong, each with a partner that
    scores higher.

    Args:
        source: of the run.
        show: one for each view, in order.

    Returns:
        The summary and the worst pairs; None where they were not looked for.
    """
    if source.suspects is None:
        return None
    first, second = source.views
    rows = [
        {
            **row,
            "first": show[0](row[first]),
            "second": show[1](row[second]),
            "better": show[1](row["better"]),
        }
        for row in source.suspects.table.head(_SUSPECTS).to_dicts()
    ]
    return {"summary": source.suspects.summary, "rows": rows}


def sweep(source: Source) -> dict[str, Any] | None:
    """Data efficiency and noise: a chart of each direction, and the numbers behind them."""
    if source.sweep is None:
        return None
    names, parts = source.sweep["methods"], []
    for title, key, label in _SWEEPS:
        rows = source.sweep[title]
        if not rows:
            continue
        against = Axes(label, "recall at 1, %", logarithmic=key == "groups")
        curves = [
            curves_chart(f"{title}-{way}", arrow(way), {way: part}, against)
            for way, part in sweep_curves(rows, key, names).items()
        ]
        places = sorted({row[key] for row in rows})
        table = [
            (names[method], [_mean_recall(rows, method, key, place) for place in places])
            for method in _methods(rows)
        ]
        parts.append(
            {
                "title": title.replace("_", " "),
                "key": key,
                "charts": curves,
                "places": places,
                "table": table,
            }
        )
    return {
        "parts": parts,
        **{name: source.sweep[name] for name in ("training_groups", "held_out_pairs", "seeds")},
    }


def _methods(rows: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["method"] for row in rows))


def _mean_recall(rows: list[dict[str, Any]], method: str, key: str, place: float) -> float | None:
    """Recall at 1 of both directions and all subsets alike; None where the method was not
    measured there.
    """
    here = [row["retrieval"] for row in rows if (row["method"], row[key]) == (method, place)]
    values = [way["recall_at_1"]["value"] for ways in here for way in ways.values()]
    return sum(values) / len(values) if values else None


def baselines(source: Source) -> list[dict[str, Any]] | None:
    """CSA and the methods that were measured beside it, the best first in each table."""
    found = []
    for _, title, measured in _everything(source):
        others = measured.metrics.get("baselines")
        if not others:
            continue
        columns = [
            (heading, keys)
            for heading, keys in _columns(measured.metrics)
            if _at(measured.metrics, keys) is not None
        ]
        if not columns:
            continue  # a task that is none of these, which its own section shows
        models = {
            "CSA": measured.metrics,
            **{_NAMES.get(name, name): values for name, values in others.items()},
        }
        rows = [
            (name, [_at(values, keys) for _, keys in columns]) for name, values in models.items()
        ]
        rows.sort(key=lambda row: -(row[1][0] or {"value": 0.0})["value"])
        best = [
            max((row[1][k]["value"] for row in rows if row[1][k]), default=None)
            for k in range(len(columns))
        ]
        found.append(
            {
                "title": title,
                "columns": [heading for heading, _ in columns],
                "rows": rows,
                "best": best,
            }
        )
    return found or None


def _columns(metrics: dict[str, Any]) -> list[tuple[str, tuple[str, ...]]]:
    recalls = [
        (f"R@1 {arrow(way)}", ("retrieval", way, "recall_at_1"))
        for way in metrics.get("retrieval", {})
    ]
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
    tasks = [
        (f"task-{number}", f"Task {name}", measured)
        for number, (name, measured) in enumerate(source.tasks.items())
    ]
    return [("held-out", "Held-out pairs", source.further), *tasks]
