"""What was measured beyond retrieval: classes, conformal decisions, other methods. Each gives
None if it was not measured.
"""

from statistics import fmean
from typing import Any

import polars as pl

from csa.figures.classes import class_chart, coverage_chart
from csa.figures.methods import METHOD_NAMES, Axes, curves_chart, sweep_curves
from csa.report.shown import Shower
from csa.report.source import Measure, Measured, Source
from csa.results.compared import headlines
from csa.results.estimate import Estimate
from csa.results.evaluation import (
    ConformalMetrics,
    SetMetrics,
    VerdictMetrics,
)
from csa.results.sweep import SweepRow
from csa.results.task import OutOfContextMetrics, OutOfContextTaskMetrics, TransferDecisions
from csa.results.words import arrow, spaced

_WORST = 8
_SUSPECTS = 12
_VERDICTS = ("match", "mismatch", "undecided", "neither")


def classification(source: Source) -> list[dict[str, Any]] | None:
    """Zero-shot classification of the held-out pairs and of each further task, each under its
    protocol's name.
    """
    found = []
    for name, title, measured in _everything(source):
        values, classes = measured.classification, measured.classes
        if values is None or classes is None:
            continue
        labels, top_1 = classes["label"].to_list(), classes["top_1"].to_numpy()
        measures = [
            Measure("Top-1", values.top_1, values.chance.top_1.value),
            Measure("Top-5", values.top_5, values.chance.top_5.value),
            Measure("Mean of classes", values.mean_class_top_1, None),
        ]
        found.append(
            {
                "title": title,
                "chart": class_chart(f"classes-{name}", labels, top_1),
                "worst": classes.filter(pl.col("top_1") < 1).head(_WORST).to_dicts(),
                "about": values,
                "measures": measures,
            }
        )
    return found or None


def calibration(source: Source) -> list[dict[str, Any]] | None:
    """What conformal verdicts and prediction sets promise, and what they keep."""
    found = []
    for name, title, measured in _everything(source):
        decisions, curve = _decisions(measured), measured.calibration
        if decisions is None or curve is None:
            continue
        own = decisions if isinstance(decisions, ConformalMetrics) else None
        other = decisions if isinstance(decisions, TransferDecisions) else None
        found.append(
            {
                "title": title,
                "alpha": decisions.alpha,
                "chart": coverage_chart(f"coverage-{name}", curve) if len(curve) else None,
                "verdicts": _verdicts(own) if own else [],
                "names": _VERDICTS,
                "sets": _sets(decisions),
                "doubts": own.exchangeability.reasons if own else [],
                "too_few": decisions.classes and decisions.classes.too_few,
                "carried_over": other and other.by_the_held_out_pairs,
            }
        )
    return found or None


def _decisions(measured: Measured) -> ConformalMetrics | TransferDecisions | None:
    if isinstance(measured.metrics, OutOfContextTaskMetrics):
        return None
    return measured.metrics.conformal


def _verdicts(decisions: ConformalMetrics) -> list[tuple[str, list[Estimate]]]:
    """(kind of pair, share of each verdict)."""
    kinds: list[tuple[str, VerdictMetrics | None]] = [
        ("true", decisions.pairs.true),
        ("strangers", decisions.pairs.strangers),
        ("hard strangers", decisions.pairs.hard_strangers),
    ]
    return [
        (kind, [rates.match, rates.mismatch, rates.undecided, rates.neither])
        for kind, rates in kinds
        if rates is not None
    ]


def _sets(decisions: ConformalMetrics | TransferDecisions) -> list[tuple[str, SetMetrics]]:
    """(what is in the sets, what was measured of them)."""
    retrieval = decisions.retrieval if isinstance(decisions, ConformalMetrics) else {}
    sets = [(arrow(direction), measured) for direction, measured in retrieval.items()]
    classes = decisions.classes
    if classes is not None and classes.sets is not None:
        sets.append((f"classes, {spaced(classes.protocol)}", classes.sets))
    return sets


def out_of_context(source: Source) -> list[dict[str, Any]] | None:
    """Whether second captions are misinformative, by each rule, for every task of that kind."""
    return [
        {"title": title, "about": metrics.out_of_context, "rules": _rules(metrics.out_of_context)}
        for _, title, measured in _everything(source)
        if isinstance(metrics := measured.metrics, OutOfContextTaskMetrics)
    ] or None


def _rules(metrics: OutOfContextMetrics) -> list[tuple[str, list[Estimate | None]]]:
    """(rule, its accuracy, F1 and AUC); one similarity alone decides nothing and has AUC alone."""
    paper, weighed = metrics.paper, metrics.discriminant
    return [
        ("two thresholds, as the paper", [paper.accuracy, paper.f1, paper.auc]),
        ("both similarities, weighed", [weighed.accuracy, weighed.f1, weighed.auc]),
        ("image and caption alone", [None, None, metrics.image_alone.auc]),
        ("both captions alone", [None, None, metrics.captions_alone.auc]),
    ]


def suspected(source: Source, show: tuple[Shower, Shower]) -> dict[str, Any] | None:
    """The training pairs that a fit without them finds most wrong, each with a partner that
    scores higher.

    Args:
        source: of the run.
        show: one for each view, in order.

    Returns:
        The summary and the worst pairs; None if they were not looked for.
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
    report = source.sweep
    if report is None:
        return None
    against = {
        "groups": Axes("training groups, log scale", "recall at 1, %", logarithmic=True),
        "noise": Axes("share of shuffled pairs", "recall at 1, %"),
    }
    parts = []
    for part in report.parts:
        charts = [
            curves_chart(f"{part.varied}-{way}", arrow(way), {way: curves}, against[part.varied])
            for way, curves in sweep_curves(part, report.methods).items()
        ]
        table = [
            (report.methods[method], [_mean_recall(part.at(method, x)) for x in part.places])
            for method in part.methods
        ]
        parts.append({"part": part, "charts": charts, "table": table})
    return {"parts": parts, "about": report}


def _mean_recall(rows: list[SweepRow]) -> float | None:
    """Recall at 1 of both directions and all subsets alike; None if the method was not
    measured there.
    """
    return fmean(row.recall for row in rows) if rows else None


def baselines(source: Source) -> list[dict[str, Any]] | None:
    """CSA and the methods that were measured beside it, the best first in each table."""
    found = []
    for _, title, measured in _everything(source):
        own, others = headlines(measured.metrics), measured.metrics.baselines
        if not own or not others:
            continue  # where there is nothing to compare, or a section of its own shows it
        models = {"CSA": own} | {
            METHOD_NAMES.get(name, name): headlines(other) for name, other in others.items()
        }
        rows = [(name, [model.get(column) for column in own]) for name, model in models.items()]
        rows.sort(key=lambda row: -row[1][0].value if row[1][0] else 0.0)
        best = [
            max((cell.value for _, cells in rows if (cell := cells[k])), default=None)
            for k in range(len(own))
        ]
        found.append({"title": title, "columns": list(own), "rows": rows, "best": best})
    return found or None


def _everything(source: Source) -> list[tuple[str, str, Measured]]:
    """(a word for ids, a title, what was measured) of the held-out pairs and of each task."""
    tasks = [
        (f"task-{number}", f"Task {name}", measured)
        for number, (name, measured) in enumerate(source.tasks.items())
    ]
    return [("held-out", "Held-out pairs", source.further), *tasks]
