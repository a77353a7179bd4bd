"""The stages that measure: `evaluate` on the held-out pairs, and `task@NAME` for each further
evaluation.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from csa.core.alignment import load
from csa.datasets.pairs_table import write_pairs
from csa.evaluation.classification import per_class
from csa.evaluation.contenders import Contender, contenders
from csa.evaluation.decisions import curve_table, measure_decisions
from csa.evaluation.evaluation import Evaluation, evaluate, measure
from csa.evaluation.held_out import HeldOut
from csa.evaluation.plots import (
    calibration_table,
    headline,
    recall_table,
    roc_table,
    spectrum_table,
)
from csa.features.embed import Items
from csa.features.embedder import Embedder
from csa.pipeline.held_out import EvaluationData
from csa.pipeline.labelled import (
    Labelled,
    circular,
    class_vectors,
    held_out_labelled,
    measure_class_sets,
    measure_classes,
)
from csa.pipeline.workspace import Workspace
from csa.results.evaluation import EvaluationMetrics, ModelMetrics
from csa.storage.files import write_atomic, write_json


def evaluate_stage(ws: Workspace) -> dict[str, Any]:
    """Measure the alignment on the held-out pairs; write metrics and tables, and what DVC draws."""
    data = EvaluationData(ws)
    params, pairs, alignment = data.params, data.pairs, load(ws.alignment)
    held_out = data.held_out()
    result = evaluate(alignment, held_out, params.evaluate)
    decisions = measure_decisions(result, held_out, params.evaluate)
    conformal, curve = decisions.metrics, decisions.curve
    folder = ws.evaluation
    folder.mkdir(parents=True, exist_ok=True)
    write_pairs(result.queries, folder / "queries.parquet")
    write_pairs(
        pl.concat([result.pairs, decisions.pairs], how="horizontal"), folder / "pairs.parquet"
    )
    labelled = held_out_labelled(pairs, params.views, params.dataset, params.evaluate.prompts)
    objection = None if labelled is None else circular(alignment, labelled)
    if objection is not None:
        print(f"note: no classification: {objection}", file=sys.stderr)
        labelled = None
    own, embedder = (
        Contender("csa", alignment, params.views, own=True),
        Embedder(ws.cache, params.compute),
    )
    classification = None
    if labelled is not None:
        images = _of_held_out(held_out, labelled)
        classification, results = measure_classes(own, labelled, images, params.evaluate, embedder)
        write_classes(results, folder)
        sets, of_classes = measure_class_sets(
            labelled, *class_vectors(own, labelled, images, embedder), params.evaluate
        )
        conformal, curve = replace(conformal, classes=sets), [*curve, *of_classes]
    write_pairs(curve_table(curve), folder / "calibration.parquet")
    metrics = replace(
        result.metrics,
        conformal=conformal,
        classification=classification,
        baselines=_measure_contenders(data, held_out, labelled),
    )
    write_json(ws.metrics, metrics.as_dict())
    write_json(ws.headline, headline(metrics, params.view_names))
    _write_plots(
        ws,
        {
            "recall": recall_table(result.queries),
            "roc": roc_table(result.pairs),
            "spectrum": spectrum_table(alignment.training_correlations, alignment.score.weights),
            "calibration": calibration_table(curve_table(curve)),
        },
    )
    return {"queries": len(result.queries)}


def _measure_contenders(
    data: EvaluationData, held_out: HeldOut, labelled: Labelled | None
) -> dict[str, ModelMetrics]:
    """Retrieval, mismatch and, where there are labels, classification of everything that CSA is
    measured beside.
    """
    params = data.params
    embedder, measured = Embedder(data.ws.cache, params.compute), {}
    for contender in contenders(params.evaluate, params.fit, params.views, data.training):
        theirs = held_out
        if not contender.own:
            load = data.loaders()
            first, second = (
                embedder.items(
                    contender.views[view.name],
                    Items(
                        list(zip(view.items, view.values, strict=True)),
                        load[view.name],
                        f"embed {view.name} for {contender.name}",
                    ),
                )
                for view in held_out.views
            )
            theirs = HeldOut.of(
                data.pairs, params.view_names, (first, second), params.evaluate.queries
            )
        metrics = measure(contender.model, theirs, params.evaluate).metrics
        if labelled is not None:
            images = _of_held_out(theirs, labelled)
            classification, _ = measure_classes(
                contender, labelled, images, params.evaluate, embedder
            )
            metrics = replace(metrics, classification=classification)
        measured[contender.name] = metrics
    return measured


def _of_held_out(held_out: HeldOut, labelled: Labelled) -> Any:
    """Features of the labelled images, which are all held-out items, in order."""
    view = next(view for view in held_out.views if view.name == labelled.image_view)
    row = {item: i for i, item in enumerate(view.items)}
    return view.features[[row[item] for item, _ in labelled.items]]


def _write_plots(ws: Workspace, tables: dict[str, pl.DataFrame]) -> None:
    """The curves that `dvc plots` draws: small tables that people and DVC can read."""
    for name, table in tables.items():
        write_atomic(ws.plots / f"{name}.csv", table.write_csv().encode())


def write_classes(results: pl.DataFrame, folder: Path) -> None:
    """The tables of a classification.

    Args:
        results: one row an image, from `csa.evaluation.classification.classify`.
        folder: where to.
    """
    write_pairs(results, folder / "images.parquet")
    write_pairs(per_class(results), folder / "classes.parquet")


def evaluate_elsewhere(ws: Workspace, alignment_file: Any) -> Evaluation[EvaluationMetrics]:
    """Measure another alignment, such as the champion's, on this workspace's held-out pairs;
    writes nothing.

    Args:
        ws: whose held-out pairs.
        alignment_file: what to measure.

    Returns:
        Tables and metrics of retrieval and of mismatched pairs.
    """
    data = EvaluationData(ws)
    return evaluate(load(alignment_file), data.held_out(), data.params.evaluate)
