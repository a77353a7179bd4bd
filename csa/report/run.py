"""The report of one run: one HTML file that needs no network."""

from collections import Counter
from pathlib import PurePath
from typing import Any

import polars as pl
import yaml

from csa.core.diagnostics import null_edge
from csa.figures.detection import mismatch_chart
from csa.figures.retrieval import recall_chart, spectrum_chart
from csa.figures.style import Chart
from csa.masking import masked_all
from csa.report.card import card
from csa.report.choices import choices, tried_recipes, tried_scores
from csa.report.examples import Direction, Examples, chance_recall
from csa.report.further import (
    baselines,
    calibration,
    classification,
    out_of_context,
    suspected,
    sweep,
)
from csa.report.html import Section, render_page
from csa.report.shown import Shower
from csa.report.source import Measure, Source
from csa.results.evaluation import DetectionMetrics
from csa.results.words import arrow, recall


def report(source: Source) -> str:
    """The page; the same source gives the same bytes."""
    first, second = (
        Shower(name, view.modality, load)
        for (name, view), load in zip(source.params.views.items(), source.loaders, strict=True)
    )
    examples = Examples(source.ranked, (first, second))
    directions = examples.directions(source.params.evaluate.sheet_queries)
    suspects = examples.suspects(source.scores)
    sections = [
        Section(
            "summary",
            "Summary",
            {"headlines": _headlines(source), "mismatch": _detection(source.metrics.mismatch)},
        ),
        Section("data", "What was fitted on what", _data(source)),
        Section("choices", "Choices, and why", _choices(source)),
        Section("spectrum", "What the views share", _spectrum(source)),
        Section(
            "retrieval",
            "Retrieval",
            {"chart": recall_chart(source.queries), "directions": directions},
        ),
        Section("failures", "Hardest failures", {"directions": directions}),
        Section("classes", "Zero-shot classification", classification(source)),
        Section("mismatch", "Mismatched pairs", _mismatch(source) | {"suspects": suspects}),
        Section(
            "suspects", "Training pairs that look mislabelled", suspected(source, (first, second))
        ),
        Section("calibration", "Decisions with a promise", calibration(source)),
        Section("context", "Captions out of context", out_of_context(source)),
        Section("baselines", "Beside other methods", baselines(source)),
        Section("sweep", "Few pairs, and shuffled ones", sweep(source)),
        Section(
            "gate",
            "The gate, slice by slice",
            source.registration if source.registration and source.registration.slices else None,
        ),
        Section("card", "Model card", card(source)),
        Section("lineage", "Lineage", _lineage(source)),
        Section("reproduce", "How to reproduce", _reproduce(source)),
    ]
    shown = [section for section in sections if section.facts]
    return render_page(
        "report.html",
        shown,
        title=f"{source.params.model.name}: report",
        source=source,
        lead=_lead(source, directions),
    )


def _headlines(source: Source) -> list[dict[str, Any]]:
    """For each direction: its recalls and median rank with intervals, and what chance would
    give.
    """
    cards = []
    for side, (name, found) in enumerate(source.metrics.retrieval.items()):
        measures = [
            Measure(recall(k), value, chance_recall(source.held_out, side, k))
            for k, value in found.recalls.items()
        ]
        cards.append(
            {
                "title": arrow(name),
                "queries": source.queries.filter(pl.col("direction") == name).height,
                "gallery": source.metrics.gallery(name),
                "measures": measures,
                "found": found,
            }
        )
    return cards


def _detection(found: DetectionMetrics) -> list[Measure]:
    return [
        Measure("AUC", found.auc, 0.5),
        Measure("Average precision", found.average_precision, 0.5),
        Measure("False alarms at 95 % found", found.fpr_at_95_tpr, None),
    ]


def _lead(source: Source, directions: list[Direction]) -> list[str]:
    """The result in two or three plain sentences."""
    said = []
    for direction in directions:
        measured = source.metrics.retrieval[direction.name]
        said.append(
            f"Given {_an(direction.source)}, the right {direction.target} comes first of "
            f"{direction.gallery:,} in "
            f"{100 * measured.recall_at_1.value:.0f} % of cases, and is among the first ten in "
            f"{100 * measured.recall_at_10.value:.0f} %."
        )
    auc = source.metrics.mismatch.auc.value
    said.append(f"A true pair scores above a mismatched one {100 * auc:.0f} % of the time.")
    return said


def _data(source: Source) -> dict[str, Any]:
    pairs, params = source.pairs, source.params
    counts = [
        {
            "split": name,
            "pairs": part.height,
            "groups": part["group"].n_unique(),
            "items": [part[f"{view}_hash"].n_unique() for view in source.views],
        }
        for name, part in (
            ("train", pairs.filter(pl.col("split") == "train")),
            ("test", pairs.filter(pl.col("split") == "test")),
        )
    ]
    reasons = (
        Counter(source.quarantine["reason"].to_list())
        if source.quarantine.height
        else Counter[str]()
    )
    encoders = [
        {
            "view": view,
            "modality": params.views[view].modality,
            "settings": _settings(index["encoder"]),
            "name": index["encoder"]["encoder"],
            "preparation": prepared,
            **{key: index[key] for key in ("fingerprint", "dimension", "items")},
        }
        for (view, index), prepared in zip(
            source.features.items(), source.fit.preparation, strict=True
        )
    ]
    return {
        "kind": params.dataset.kind,
        "name": PurePath(params.dataset.path).name,
        "language": params.dataset.language if "openmoji" in params.dataset.path else None,
        "counts": counts,
        "labels": pairs["label"].n_unique() if pairs["label"].null_count() < pairs.height else 0,
        "quarantine": reasons.most_common(),
        "encoders": encoders,
        "fit": source.fit,
    }


def _settings(description: dict[str, Any]) -> dict[str, Any]:
    """What is shown of an encoder; of several side by side a line each, named once more where
    two have one name.
    """
    parts = description.get("side_by_side")
    if parts is None:
        return {
            key: value
            for key, value in description.items()
            if key not in ("encoder", "modality", "weights")
        }
    shown = {}
    for number, part in enumerate(parts, start=1):
        name = part["encoder"] if part["encoder"] not in shown else f"{part['encoder']} ({number})"
        shown[name] = {
            key: value for key, value in _settings(part).items() if not isinstance(value, dict)
        }
    return shown


def _choices(source: Source) -> dict[str, Any]:
    recipes, scores = tried_recipes(source.fit, source.views), tried_scores(source.fit)
    return {
        "choices": choices(source.fit, source.params.fit, source.views),
        "tried": [("Preparations", recipes), ("Scores", scores)] if recipes or scores else [],
        "folds": source.params.fit.folds,
    }


def _spectrum(source: Source) -> dict[str, Any]:
    dimensions = source.dimensions
    return {
        "chart": spectrum_of(source),
        "fit": source.fit,
        "edge": null_edge(source.fit.groups, *dimensions),
        "dimensions": dimensions,
    }


def spectrum_of(source: Source) -> Chart:
    """The spectrum of a run, for the page and as a picture."""
    alignment = source.alignment
    return spectrum_chart(
        alignment.training_correlations,
        alignment.score.weights,
        source.fit.groups,
        source.dimensions,
    )


def _mismatch(source: Source) -> dict[str, Any]:
    return {
        "chart": mismatch_chart(source.scores),
        "auc": source.metrics.mismatch.auc,
        "kinds": source.metrics.detections,
        "pairs": source.scores.height,
    }


def _lineage(source: Source) -> dict[str, Any]:
    return {
        "run": source.run,
        "registration": source.registration,
        "source": source,
        "parameters": _yaml(source),
    }


def _reproduce(source: Source) -> dict[str, Any]:
    commit = source.run["git_commit"] if source.run else "none"
    where = "" if source.workspace == "main" else f" -w {source.workspace}"
    if source.workspace == "main":
        run = "make run"
    else:
        run = (
            f"csa run recipes/{source.workspace}.yaml --data "
            f"{PurePath(source.params.dataset.path).name}"
        )
    checkout = [f"git checkout {commit}"] if commit != "none" else []
    return {
        "dirty": bool(source.run and source.run["git_dirty"]),
        "commands": "\n".join([*checkout, "make install", run]),
        "use": f'csa search "a text"{where}\ncsa report{where}',
        "recipe": None if source.workspace == "main" else f"recipes/{source.workspace}.yaml",
        "run_id": source.run["run_id"] if source.run else None,
    }


def _yaml(source: Source) -> str:
    """All parameters; of an absolute path only its last part, since the page may travel."""
    params = masked_all(source.params.dump())
    path = PurePath(params["dataset"]["path"])
    if path.is_absolute():
        params["dataset"]["path"] = f"…/{path.name}"
    return yaml.safe_dump(params, sort_keys=False, allow_unicode=True)


def _an(word: str) -> str:
    return f"{'an' if word[:1].lower() in 'aeiou' else 'a'} {word}"
