"""Zero-shot classification: every image goes to the class whose description it is most similar to.

A class is described by prompts; its vector is the mean of their features, taken before projection.
Three protocols, always named where a number appears:

- *in_domain*: the classes of the test images occur in the training pairs (the paper's: fit on a
part of a labelled data set).
- *unseen_classes*: same data set, but none of the test classes occurs in training; the candidates
are the test classes alone.
- *transfer*: the classes and the images are another data set's, of which nothing was paired.

A split in which some test classes occur in training and others do not is *partly_unseen*.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from csa.core.matrices import Array, Float64
from csa.errors import DataError
from csa.evaluation.bootstrap import estimate, group_draws, mean_estimate, number_groups
from csa.evaluation.vectors import PairScorer, each_block, search_vectors
from csa.params.measure import EvaluateParams, PromptParams
from csa.results.estimate import Estimate, Value
from csa.results.evaluation import AskedPrompts, ClassChance, ClassificationMetrics

Protocol = Literal["in_domain", "unseen_classes", "partly_unseen", "transfer"]
PAPER_TEMPLATE = "An image of {label}."


@dataclass(frozen=True, eq=False)
class Classes:
    """Candidate classes and the mean features of their prompts.

    Attributes:
        labels: names, C of them.
        features: of the text view, shape (C, q).
        protocol: which of the protocols this is.
        seen: how many of the classes of test images occur in training.
        prompts: what was asked, for the record.
    """

    labels: list[str]
    features: Array
    protocol: Protocol
    seen: int
    prompts: AskedPrompts


class Candidates(NamedTuple):
    """The classes that images may go to.

    Attributes:
        protocol: by which numbers are named.
        labels: the candidates, in order.
        seen: how many of the images' classes occur in training.
    """

    protocol: Protocol
    labels: list[str]
    seen: int


def prompts_of(label: str, params: PromptParams, template: str = PAPER_TEMPLATE) -> list[str]:
    """The prompts of one class: every template with every name of it in place of {label}.

    >>> prompts_of("tench, Tinca tinca", PromptParams(names="each"))
    ['An image of tench.', 'An image of Tinca tinca.']

    Args:
        label: the class; several names of it are separated by commas.
        params: templates, and which names to use.
        template: used where there are no templates.

    Returns:
        The prompts, template by template, within each one name by name.
    """
    names = [name.strip() for name in label.split(",") if name.strip()] or [label]
    names = {"whole": [label], "first": names[:1], "each": names}[params.names]
    return [
        one.replace("{label}", name) for one in params.templates or [template] for name in names
    ]


def mean_by_class(features: Array, counts: list[int]) -> Float64:
    """Mean of each class's consecutive rows.

    Args:
        features: shape (sum of counts, q).
        counts: rows of each class.

    Returns:
        Shape (len(counts), q).
    """
    starts = np.cumsum([0, *counts[:-1]])
    means: Float64 = (
        np.add.reduceat(features.astype(np.float64), starts, axis=0) / np.asarray(counts)[:, None]
    )
    return means


def protocol_of(train: set[str], test: set[str]) -> Candidates:
    """The protocol of a labelled split, and its candidate classes.

    Args:
        train: classes of the training pairs.
        test: classes of the test images.

    Returns:
        `unseen_classes` where no test class occurs in training: then the candidates are the test
        classes alone. `in_domain` where all do, `partly_unseen` where some do: then the candidates
        are the classes of both. Candidates are sorted.
    """
    seen = len(train & test)
    if not seen:
        return Candidates("unseen_classes", sorted(test), 0)
    protocol: Protocol = "in_domain" if seen == len(test) else "partly_unseen"
    return Candidates(protocol, sorted(train | test), seen)


def classify(
    model: PairScorer, images: Array, labels: list[str], classes: Classes, images_first: bool
) -> pl.DataFrame:
    """Rank the classes for every image.

    Args:
        model: fitted on the two views.
        images: features (n, p).
        labels: the right class of each image.
        classes: the candidates.
        images_first: whether images are the model's first view.

    Returns:
        One row an image: label, predicted, rank (of the right class; a tie counts against it),
        top_1, top_5, score (of the right class) and best_score.

    Raises:
        DataError: an image of a class that is no candidate.
    """
    number = {label: i for i, label in enumerate(classes.labels)}
    if missing := sorted(set(labels) - set(number)):
        raise DataError(
            f"{len(missing)} labels of images are not among the classes, such as {missing[0]!r}"
        )
    right = np.array([number[label] for label in labels], dtype=np.intp)
    queries, candidates = search_vectors(model, images, classes.features, images_first)

    def of_block(block: slice, scores: Float64) -> tuple[NDArray[Any], ...]:
        own = scores[np.arange(len(scores)), right[block]]
        reach = (scores >= own[:, None]).sum(axis=1)
        return scores.argmax(axis=1), scores.max(axis=1), own, reach

    predicted, best, score, rank = (
        np.concatenate(parts)
        for parts in zip(*each_block(queries, candidates, of_block), strict=True)
    )
    return pl.DataFrame(
        {
            "label": labels,
            "predicted": [classes.labels[i] for i in predicted],
            "rank": rank,
            "top_1": (rank <= 1).astype(np.float64),
            "top_5": (rank <= 5).astype(np.float64),
            "score": score,
            "best_score": best,
        }
    )


def summarise_classes(
    results: pl.DataFrame, groups: Any, classes: Classes, params: EvaluateParams
) -> ClassificationMetrics:
    """Top-1 and top-5 with intervals over groups, the mean of the classes' own top-1, and chance
    beside them.

    Args:
        results: from `classify`.
        groups: group label of each image.
        classes: the candidates.
        params: bootstrap resamples, confidence level and seed.

    Returns:
        The metrics, with the protocol and the prompts that they are named by.
    """
    group = number_groups(groups)
    draws = group_draws(int(group.max()) + 1, params.bootstrap, params.seed)
    kind, hit = number_groups(results["label"]), results["top_1"].to_numpy()
    count = len(classes.labels)
    top_1, top_5 = (
        mean_estimate(results[name].to_numpy(), group, draws, params.confidence)
        for name in ("top_1", "top_5")
    )
    return ClassificationMetrics(
        protocol=classes.protocol,
        classes=count,
        classes_of_images=results["label"].n_unique(),
        classes_seen_in_training=classes.seen,
        images=len(results),
        prompts=classes.prompts,
        top_1=top_1,
        top_5=top_5,
        mean_class_top_1=_mean_of_classes(hit, kind, group, draws, params.confidence),
        chance=ClassChance(Value(1 / count), Value(min(5, count) / count)),
    )


def _mean_of_classes(
    hit: Float64, kind: NDArray[np.intp], group: NDArray[np.intp], draws: Float64, confidence: float
) -> Estimate:
    def mean(weight: Float64) -> float:
        total = np.bincount(kind, weight)
        drawn = total > 0
        return float((np.bincount(kind, weight * hit)[drawn] / total[drawn]).mean())

    return estimate(mean, group, draws, confidence)


def per_class(results: pl.DataFrame) -> pl.DataFrame:
    """One row a class that has images, the worst first.

    Columns: label, images, top_1, top_5, predicted (how many images were put there), confused_with
    (the wrong class that most of its images went to, null if none did) and confused (the share of
    its images that did).
    """
    taken = dict(results["predicted"].value_counts().iter_rows())
    wrong = (
        results.filter(pl.col("predicted") != pl.col("label"))
        .group_by("label", "predicted")
        .len()
        .sort(["label", "len", "predicted"], descending=[False, True, False])
        .unique("label", keep="first", maintain_order=True)
    )
    confused = {label: (other, count) for label, other, count in wrong.iter_rows()}
    table = results.group_by("label").agg(
        pl.len().cast(pl.Int64).alias("images"), pl.col("top_1").mean(), pl.col("top_5").mean()
    )
    return table.with_columns(
        pl.Series("predicted", [taken.get(label, 0) for label in table["label"]], dtype=pl.Int64),
        pl.Series(
            "confused_with",
            [confused.get(label, (None, 0))[0] for label in table["label"]],
            dtype=pl.String,
        ),
        pl.Series(
            "confused",
            [
                confused.get(label, (None, 0))[1] / images
                for label, images in table.select("label", "images").iter_rows()
            ],
            dtype=pl.Float64,
        ),
    ).sort(["top_1", "top_5", "images", "label"], descending=[False, False, True, False])
