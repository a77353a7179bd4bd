"""Stage `task`: a further evaluation on another data set."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from csa.core.alignment import Alignment, load
from csa.core.matrices import Array
from csa.datasets.ingest import ReadOptions, read_dataset
from csa.datasets.items import item_loader
from csa.datasets.pairs_table import write_pairs
from csa.datasets.roots import dataset_root
from csa.datasets.rows import truth
from csa.errors import DataError, InputError
from csa.evaluation.bootstrap import group_draws, mean_estimate, number_groups
from csa.evaluation.conformal import PairCalibration
from csa.evaluation.contenders import Contender, contenders
from csa.evaluation.decisions import CurvePoint, curve_table
from csa.evaluation.exchangeability import doubts
from csa.evaluation.out_of_context import (
    Similarities,
    caption_similarity,
    evaluate_out_of_context,
    expected_image,
)
from csa.evaluation.vectors import HeldOutVectors
from csa.features.embed import Items
from csa.features.embedder import Embedder
from csa.params.data import DatasetParams
from csa.params.measure import EvaluateParams, TaskParams
from csa.params.schema import Params
from csa.params.views import ViewParams
from csa.pipeline.data import PipelineData
from csa.pipeline.evaluate import write_classes
from csa.pipeline.labelled import (
    Labelled,
    circular,
    class_vectors,
    measure_class_sets,
    measure_classes,
    right_classes,
    transfer_labelled,
    view_pair,
)
from csa.pipeline.workspace import Workspace
from csa.results.task import (
    OutOfContextContender,
    OutOfContextTaskMetrics,
    RowCounts,
    TransferContender,
    TransferDecisions,
    TransferMetrics,
    TransferredCalibration,
)
from csa.storage.files import write_json

OUT_OF_CONTEXT = "out_of_context"
TO_MEASURE = ReadOptions(to_fit=False)


def task_stage(ws: Workspace, name: str) -> dict[str, Any]:
    """Measure the alignment on one task of the parameters; write its metrics and tables.

    Args:
        ws: where to work.
        name: of the task, a key of `tasks`.

    Returns:
        How many rows were measured, for the stage's record.

    Raises:
        InputError: there is no such task.
    """
    params = Params.load(ws.params_file)
    if name not in params.tasks:
        raise InputError(
            f"task {name!r}: no such task; params.yaml has {', '.join(params.tasks) or 'none'}"
        )
    task = params.tasks[name]
    work = _transfer if task.kind == "transfer" else _out_of_context
    metrics = work(ws, params, task, name)
    write_json(ws.task(name) / "metrics.json", metrics.as_dict())
    return {"rows": metrics.rows.all}


def _transfer(ws: Workspace, params: Params, task: TaskParams, name: str) -> TransferMetrics:
    read = read_dataset(task.dataset, params.views, ws.root, TO_MEASURE)
    labelled = transfer_labelled(read.pairs, params.views, task.prompts, name)
    alignment = load(ws.alignment)
    objection = circular(alignment, labelled)
    if objection is not None:
        raise InputError(f"task {name!r}: {objection}")
    own, embedder = (
        Contender("csa", alignment, params.views, own=True),
        Embedder(ws.cache, params.compute),
    )
    source = _Source(task.dataset, ws.root, embedder)
    images = source.images(labelled, own)
    metrics, results = measure_classes(own, labelled, images, params.evaluate, embedder)
    folder = ws.task(name) / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    write_classes(results, folder)
    vectors = HeldOutVectors(*class_vectors(own, labelled, images, embedder))
    known = pl.read_parquet(ws.evaluation / "pairs.parquet", glob=False)
    conformal, curve = _transfer_decisions(labelled, vectors, known, params.evaluate)
    write_pairs(curve_table(curve), folder / "calibration.parquet")
    others = {}
    for contender in contenders(
        params.evaluate, params.fit, params.views, PipelineData(ws).training
    ):
        features = images if contender.own else source.images(labelled, contender)
        others[contender.name] = TransferContender(
            measure_classes(contender, labelled, features, params.evaluate, embedder)[0]
        )
    rows = RowCounts(len(read.pairs), len(read.quarantine))
    return TransferMetrics("transfer", rows, metrics, conformal, others)


def _transfer_decisions(
    labelled: Labelled, vectors: HeldOutVectors, known: pl.DataFrame, settings: EvaluateParams
) -> tuple[TransferDecisions, list[CurvePoint]]:
    """Class sets calibrated on the data set itself, and what the workspace's own calibration is
    worth here.

    Args:
        labelled: images and classes.
        vectors: index vectors of the images (n, k) and of the classes (C, k).
        known: the workspace's held-out pairs with their scores.
        settings: alpha, bootstrap resamples, confidence level and seed.
    """
    groups = number_groups(labelled.images["group"])
    sets, curve = measure_class_sets(labelled, vectors.left, vectors.right, settings)
    scores = vectors.score(*right_classes(labelled))
    of_known = number_groups(known["group"])
    judge = PairCalibration.of(
        known["score"].to_numpy(), known["stranger_score"].to_numpy(), of_known
    )
    draws = group_draws(int(groups.max()) + 1, settings.bootstrap, settings.seed)
    covered = (judge.decide(scores, settings.alpha).p_match > settings.alpha).astype(np.float64)
    transferred = TransferredCalibration(
        coverage=mean_estimate(covered, groups, draws, settings.confidence),
        exchangeability=doubts(
            known["score"].to_numpy(), of_known, scores, groups, settings.alpha
        ).metrics,
    )
    return TransferDecisions(settings.alpha, sets, transferred), curve


def _out_of_context(
    ws: Workspace, params: Params, task: TaskParams, name: str
) -> OutOfContextTaskMetrics:
    names = view_pair(params.views)
    if names is None:
        raise DataError(
            f"task {name!r}: out_of_context needs one text view and another; the views are "
            f"{', '.join(params.views)}"
        )
    image, text = names
    views = {
        image: params.views[image],
        "caption1": params.views[text],
        "caption2": params.views[text],
    }
    dataset = task.dataset
    if dataset.kind == "table" and "label" not in dataset.columns:
        dataset = dataset.model_copy(
            update={"columns": {**dataset.columns, "label": OUT_OF_CONTEXT}}
        )
    read = read_dataset(dataset, views, ws.root, TO_MEASURE)
    out = [
        truth(label, f"task {name!r}: {pair}")
        for pair, label in read.pairs.select("pair_id", "label").iter_rows()
    ]
    labelled = read.pairs.filter(pl.Series([value is not None for value in out], dtype=pl.Boolean))
    if labelled.is_empty():
        raise DataError(
            f"task {name!r}: no row says whether it is out of context; give a column "
            f"{OUT_OF_CONTEXT}"
        )
    known = np.array([value for value in out if value is not None], dtype=np.bool_)
    asked = _Asked(image, text, known, number_groups(labelled["group"]))
    source = _Source(dataset, ws.root, Embedder(ws.cache, params.compute))

    def similarities(contender: Contender) -> Similarities:
        features = {
            view: source.features(labelled, view, contender.views[image if view == image else text])
            for view in views
        }
        return _similarities(contender, features, asked, task)

    own = Contender("csa", load(ws.alignment), params.views, own=True)
    rows = similarities(own)
    metrics, table, _ = evaluate_out_of_context(rows, params.evaluate)
    folder = ws.task(name) / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    about = labelled.select("pair_id", "group", *views)
    write_pairs(pl.concat([about, table], how="horizontal"), folder / "rows.parquet")
    others = {
        contender.name: OutOfContextContender(
            evaluate_out_of_context(similarities(contender), params.evaluate)[0]
        )
        for contender in contenders(
            params.evaluate, params.fit, params.views, PipelineData(ws).training
        )
    }
    counts = RowCounts(len(read.pairs), len(read.quarantine))
    return OutOfContextTaskMetrics("out_of_context", counts, task.text_similarity, metrics, others)


@dataclass(frozen=True, eq=False)
class _Asked:
    """Rows of which it is known whether they are out of context.

    Attributes:
        image, text: names of the views.
        out: whether each row is out of context, shape (n,).
        group: group number of each row, shape (n,).
    """

    image: str
    text: str
    out: NDArray[np.bool_]
    group: NDArray[np.intp]


def _similarities(
    contender: Contender, features: dict[str, Any], asked: _Asked, task: TaskParams
) -> Similarities:
    """Captions compared in the canonical space where the model has one and the task does not ask
    for the encoder's.
    """
    texts_second = list(contender.views)[1] == asked.text
    first, second = features["caption1"], features["caption2"]
    views = (features[asked.image], second) if texts_second else (second, features[asked.image])
    vectors = HeldOutVectors(*contender.model.index_vectors(*views))
    rows = np.arange(len(asked.out))
    if isinstance(contender.model, Alignment) and task.text_similarity == "canonical":
        first, second = (
            expected_image(contender.model, side, texts_second) for side in (first, second)
        )
    return Similarities(
        caption_similarity(first, second), vectors.score(rows, rows), asked.out, asked.group
    )


@dataclass(frozen=True)
class _Source:
    """Where the features of a task's items come from.

    Attributes:
        dataset: the task's own.
        root: the workspace's folder, which the data set's path is relative to.
        embedder: what computes or finds features.
    """

    dataset: DatasetParams
    root: Path
    embedder: Embedder

    def images(self, labelled: Labelled, contender: Contender) -> Array:
        """Features of the labelled images by a contender's encoder, shape (n, p), in order."""
        name = labelled.image_view
        return self.features(labelled.images, name, contender.views[name])

    def features(self, rows: pl.DataFrame, name: str, view: ViewParams) -> Array:
        """Features of one column of items of a table, shape (n, d), row by row.

        Args:
            rows: the table, n rows.
            name: of the column.
            view: whose encoder.
        """
        hashes = rows[f"{name}_hash"].to_list()
        items = dict(zip(hashes, rows[name].to_list(), strict=True))
        folder = dataset_root(self.dataset, self.root)
        load_item = item_loader(view, folder, self.dataset.max_image_pixels)
        asked = Items(list(items.items()), load_item, f"embed {name}")
        return self.embedder.items(view, asked).rows(hashes)
