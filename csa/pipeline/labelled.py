"""What `evaluate` and the tasks share: labelled images with their classes in words, and one
model's results on them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from csa.core.alignment import Alignment
from csa.core.matrices import Array
from csa.errors import DataError
from csa.evaluation.bootstrap import number_groups
from csa.evaluation.classification import (
    PAPER_TEMPLATE,
    Candidates,
    Classes,
    Protocol,
    classify,
    mean_by_class,
    prompts_of,
    protocol_of,
    summarise_classes,
)
from csa.evaluation.conformal import fewest_groups
from csa.evaluation.contenders import Contender
from csa.evaluation.decisions import (
    CurvePoint,
    SetQueries,
    calibrating_groups,
    measure_sets,
)
from csa.evaluation.vectors import search_vectors
from csa.features.embedder import Embedder
from csa.params.data import DatasetParams
from csa.params.measure import EvaluateParams, PromptParams
from csa.params.views import ViewParams
from csa.results.evaluation import AskedPrompts, ClassificationMetrics, ClassSetMetrics

TEMPLATE_KINDS = ("imagefolder", "imagenet", "leafy_spurge", "handwriting")
"""Readers that put a class into words by `dataset.template`, which is then what classes are
asked by.
"""


@dataclass(frozen=True, eq=False)
class Labelled:
    """Images with the class of each, the candidate classes, and the prompts that describe them.

    Attributes:
        images: one row an image, with columns of the pairs table.
        image_view, text_view: names of the views.
        images_first: whether images are the model's first view.
        labels: candidate classes.
        prompts: of each candidate.
        protocol: by which numbers are named.
        seen: how many of the images' classes occur in training.
        asked: templates and names, for the record.
    """

    images: pl.DataFrame
    image_view: str
    text_view: str
    images_first: bool
    labels: list[str]
    prompts: list[list[str]]
    protocol: Protocol
    seen: int
    asked: AskedPrompts

    @property
    def items(self) -> list[tuple[str, str]]:
        """(hash, value) of the images."""
        return self.images.select(f"{self.image_view}_hash", self.image_view).rows()

    def classes(self, views: dict[str, ViewParams], embedder: Embedder) -> Classes:
        """The candidates as features of a text encoder.

        Args:
            views: whose text view's encoder.
            embedder: of the prompts.

        Returns:
            The candidates, each with the mean features of its prompts.
        """
        texts = [text for prompts in self.prompts for text in prompts]
        features = embedder.texts(views[self.text_view], texts, "embed prompts")
        means = mean_by_class(features, [len(prompts) for prompts in self.prompts])
        return Classes(self.labels, means, self.protocol, self.seen, self.asked)


def held_out_labelled(
    pairs: pl.DataFrame, views: dict[str, ViewParams], dataset: DatasetParams, prompts: PromptParams
) -> Labelled | None:
    """The held-out images that carry labels.

    Args:
        pairs: the pairs table.
        views: of the workspace.
        dataset: which says how its classes are put into words.
        prompts: templates, and which names of a class to use.

    Returns:
        None if there are none, or where the views are no texts and something else.
    """
    names = view_pair(views)
    labelled = pairs.filter(pl.col("label").is_not_null())
    test = labelled.filter(pl.col("split") == "test")
    if names is None or test.is_empty() or test["label"].n_unique() < 2:
        return None
    train = set(labelled.filter(pl.col("split") == "train")["label"])
    candidates = protocol_of(train, set(test["label"]))
    return _labelled(test, _sides(views, names), candidates, prompts, usual_template(dataset))


def usual_template(dataset: DatasetParams) -> str:
    """How a class is put into words by default: as the data set's own classes
    are, or as in the paper.
    """
    return dataset.template if dataset.kind in TEMPLATE_KINDS else PAPER_TEMPLATE


def transfer_labelled(
    pairs: pl.DataFrame, views: dict[str, ViewParams], prompts: PromptParams, name: str
) -> Labelled:
    """All images of another data set that carry labels.

    Args:
        pairs: its pairs table.
        views: of the workspace.
        prompts: templates, and which names of a class to use.
        name: of the task, for errors.

    Returns:
        The images, with all of their classes as candidates.

    Raises:
        DataError: they have none, or one class alone; or the views are not one text view and
            another.
    """
    names = view_pair(views)
    if names is None:
        raise DataError(
            f"task {name!r}: zero-shot classification needs one text view and another, but the "
            f"views are "
            f"{', '.join(f'{view}: {settings.modality}' for view, settings in views.items())}"
        )
    labelled = pairs.filter(pl.col("label").is_not_null())
    if labelled["label"].n_unique() < 2:
        raise DataError(
            f"task {name!r}: {labelled['label'].n_unique()} classes in its data set, so there is "
            f"nothing to tell apart; "
            "give a data set with labels (kind imagefolder, or a table with a column label)"
        )
    candidates = Candidates("transfer", sorted(set(labelled["label"])), 0)
    return _labelled(labelled, _sides(views, names), candidates, prompts, PAPER_TEMPLATE)


def view_pair(views: dict[str, ViewParams]) -> tuple[str, str] | None:
    """The view that is described and the text view; None unless exactly one view is texts."""
    texts = [name for name, view in views.items() if view.modality == "text"]
    others = [name for name in views if name not in texts]
    return (others[0], texts[0]) if len(texts) == len(others) == 1 else None


def circular(alignment: Alignment, labelled: Labelled) -> str | None:
    """Why a classification would say nothing: the fit has learned from labels that an encoder was
    trained on, and the classes are among them.

    Args:
        alignment: that would be measured.
        labelled: images and classes.

    Returns:
        One line, or None if nothing is wrong.
    """
    names = alignment.notes.get("unpaired", {}).get("label_names") or []
    lemmas = {_spelt(lemma) for name in names for lemma in (name, *name.split(","))}
    seen = [
        label
        for label in labelled.labels
        if not lemmas.isdisjoint(map(_spelt, (label, *label.split(","))))
    ]
    if not seen:
        return None
    view = labelled.image_view
    return (
        f"{len(seen):,} of {len(labelled.labels):,} classes, such as {seen[0]!r}, are among the "
        f"labels that the fit has learned from, so a classification would measure what the "
        f"encoder was told; set views.{view}.labels: none to measure it"
    )


def _spelt(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").lower().split())


def measure_classes(
    contender: Contender,
    labelled: Labelled,
    images: Array,
    params: EvaluateParams,
    embedder: Embedder,
) -> tuple[ClassificationMetrics, pl.DataFrame]:
    """Zero-shot classification by one model: its metrics, and one row an image (see
    `csa.evaluation.classification.classify`).

    Args:
        contender: the model and its encoders.
        labelled: images and classes.
        images: features of the images, in order, by the contender's encoder.
        params: bootstrap resamples, confidence level and seed.
        embedder: for the prompts.

    Returns:
        The metrics, and a table with a row an image.
    """
    classes = labelled.classes(contender.views, embedder)
    results = classify(
        contender.model, images, labelled.images["label"].to_list(), classes, labelled.images_first
    )
    metrics = summarise_classes(results, labelled.images["group"].to_numpy(), classes, params)
    about = labelled.images.select("pair_id", "group", pl.col(labelled.image_view).alias("item"))
    return metrics, pl.concat([about, results], how="horizontal")


def class_vectors(
    contender: Contender, labelled: Labelled, images: Array, embedder: Embedder
) -> tuple[Any, Any]:
    """Index vectors of images and classes.

    Args:
        contender: the model and its encoders.
        labelled: images and classes.
        images: features of the images, in order, by the contender's encoder.
        embedder: for the prompts.

    Returns:
        Of the images, shape (n, k), and of the candidate classes, shape (C, k).
    """
    classes = labelled.classes(contender.views, embedder).features
    return search_vectors(contender.model, images, classes, labelled.images_first)


def measure_class_sets(
    labelled: Labelled, images: Any, classes: Any, params: EvaluateParams
) -> tuple[ClassSetMetrics, list[CurvePoint]]:
    """Prediction sets of classes, calibrated on half of the images' groups and measured on the
    other half.

    Args:
        labelled: images and classes.
        images, classes: index vectors, from `class_vectors`.
        params: alpha, confidence level and seed.

    Returns:
        What `csa.evaluation.decisions.measure_sets` says of them, or `too_few`: one line, where
        the groups that calibrate can rule nothing out; and the points of a calibration curve, kind
        `classes`, none of them then.
    """
    groups = labelled.images["group"].to_numpy()
    calibrate, needed = (
        calibrating_groups(int(number_groups(groups).max()) + 1),
        fewest_groups(params.alpha),
    )
    if calibrate < needed:
        line = (
            f"{calibrate} groups of labelled images calibrate; fewer than {needed} rule no "
            f"class out at alpha {params.alpha:g}"
        )
        return ClassSetMetrics(labelled.protocol, too_few=line), []
    queries = SetQueries("classes", images, classes, right_classes(labelled), groups)
    sets, curve = measure_sets(queries, params)
    return ClassSetMetrics.measured(labelled.protocol, sets), curve


@dataclass(frozen=True)
class _Sides:
    image_view: str
    text_view: str
    images_first: bool


def _sides(views: dict[str, ViewParams], names: tuple[str, str]) -> _Sides:
    image_view, text_view = names
    return _Sides(image_view, text_view, images_first=next(iter(views)) == image_view)


def _labelled(
    rows: pl.DataFrame,
    sides: _Sides,
    candidates: Candidates,
    prompts: PromptParams,
    template: str,
) -> Labelled:
    return Labelled(
        images=rows.unique(f"{sides.image_view}_hash", keep="first", maintain_order=True),
        image_view=sides.image_view,
        text_view=sides.text_view,
        images_first=sides.images_first,
        labels=candidates.labels,
        prompts=[prompts_of(label, prompts, template) for label in candidates.labels],
        protocol=candidates.protocol,
        seen=candidates.seen,
        asked=AskedPrompts(prompts.templates or [template], prompts.names),
    )


def right_classes(labelled: Labelled) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """(image rows, class rows) of all right answers."""
    number = {label: i for i, label in enumerate(labelled.labels)}
    return np.arange(len(labelled.images)), np.array(
        [number[label] for label in labelled.images["label"]], dtype=np.intp
    )
