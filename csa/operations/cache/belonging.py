"""Whether restored outputs belong with what they are said to be made from.

An object's hash shows that its bytes are whole, not that the run cache names the right object. So
what is restored is held against its inputs: features against the pairs table, an alignment against
the features, an evaluation against the alignment.
"""

import numpy as np
import polars as pl

from csa.core.alignment import load
from csa.core.matrices import Array
from csa.datasets.pairs_table import read_pairs
from csa.errors import CSAError
from csa.features.shards import FeatureTable
from csa.operations.opened import Project
from csa.pipeline.workspace import Workspace
from csa.results.evaluation import EvaluationMetrics

# of a mean, in standard deviations: far above rounding, far below another data set's
_TOLERANCE = 1e-4
_MOVED_RANKS = 0.02  # share of ranks that the rounding of another processor may move


def objection(project: Project, stage: str) -> str | None:
    """What is wrong with a stage's restored outputs; None where nothing is.

    Args:
        project: whose outputs.
        stage: which.
    """
    ws = project.ws
    try:
        if stage.startswith("embed@"):
            return _of_features(ws, stage.removeprefix("embed@"))
        if stage == "fit":
            return _of_alignment(project)
        if stage == "evaluate":
            return _of_evaluation(ws)
    except (CSAError, KeyError, pl.exceptions.PolarsError) as error:
        return f"what it holds of {stage} cannot be read ({' '.join(str(error).split())[:200]})"
    return None


def _of_features(ws: Workspace, view: str) -> str | None:
    items = read_pairs(ws.pairs)[f"{view}_hash"].unique(maintain_order=True).to_list()
    if FeatureTable.read(ws.features(view)).items != items:
        return f"its features of {view} are of other items than the pairs table's"
    return None


def _of_alignment(project: Project) -> str | None:
    ws = project.ws
    alignment, train = load(ws.alignment), read_pairs(ws.pairs).filter(pl.col("split") == "train")
    if alignment.n_pairs != len(train):
        return (
            f"its alignment was fitted on {alignment.n_pairs:,} pairs, not on these {len(train):,}"
        )
    if alignment.notes.get("unpaired", {}).get("used"):
        return None  # its means are of unpaired items as well
    sides = ((alignment.prepare_x, alignment.mean_x), (alignment.prepare_y, alignment.mean_y))
    for view, (prepare, mean) in zip(project.params.view_names, sides, strict=True):
        features: Array = FeatureTable.read(ws.features(view)).rows(train[f"{view}_hash"].to_list())
        prepared = np.asarray(prepare(features), dtype=np.float64)
        off = np.abs(prepared.mean(axis=0) - mean)
        if mean.shape != off.shape or (off > _TOLERANCE * (prepared.std(axis=0) + 1e-12)).any():
            return f"its alignment was fitted on other features of {view}"
    return None


def _of_evaluation(ws: Workspace) -> str | None:
    from csa.pipeline.evaluate import evaluate_elsewhere

    again, kept = (
        evaluate_elsewhere(ws, ws.alignment),
        pl.read_parquet(ws.evaluation / "queries.parquet", glob=False),
    )
    names = ["direction", "query"]
    if not kept.select(names).equals(again.queries.select(names)):
        return "its evaluation is not of these held-out pairs"
    if np.mean(kept["rank"].to_numpy() != again.queries["rank"].to_numpy()) > _MOVED_RANKS:
        return "its evaluation is not that of this alignment"
    told = EvaluationMetrics.read(ws.metrics).retrieval
    for direction, measured in again.metrics.retrieval.items():
        for name, estimate in measured.of_queries.items():
            if abs(told[direction].of_queries[name].value - estimate.value) > _MOVED_RANKS:
                return f"its {name} of {direction} is not that of this alignment"
    return None
