"""Misinformative captions: of two captions of one image, is the second out of context (COSMOS;
Aneja et al. 2023)?

The paper's rule (Li et al. 2024): out of context iff sim(caption 1, caption 2) <= t1 and sim(image,
caption 2) <= t2. Its AUC is that of one number that the rule is a threshold of: the larger of the
two similarities' places among the validation part's, since both are low exactly where the larger
one is. Beside it the linear discriminant of the two similarities: for two Gaussians of equal
covariance it is the log-likelihood ratio, so no other score has a larger area under its ROC curve
then.

Everything that is chosen (thresholds, places, discriminant) is chosen on the validation groups, and
everything that is reported is measured on the others.

Two captions are compared by the cosine of the text encoder's features, as the paper does.
`text_similarity: canonical` compares them in the space the alignment made, by what each says of the
other view: with b a caption's canonical coordinates in held-out standard deviations and w the
held-out correlations, w b is what it leads one to expect of the image, and the similarity is the
cosine of w b1 and w b2. What the images cannot show does not count then; constructed rows with
captions of similar pictures are ranked worse by that (`benchmarks/out_of_context.py`).
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from csa.core.alignment import Alignment
from csa.core.matrices import Array, Float64
from csa.core.preparation import unit
from csa.errors import DataError
from csa.evaluation.bootstrap import estimate, group_draws, number_groups
from csa.evaluation.decisions import halves
from csa.evaluation.detection import Ranked, detection_estimates
from csa.params.measure import EvaluateParams
from csa.results.estimate import Estimate, Value
from csa.results.evaluation import DetectionMetrics, TestCount
from csa.results.task import (
    AccuracyChance,
    DiscriminantMetrics,
    HalfCounts,
    OutOfContextMetrics,
    RuleMetrics,
    Thresholds,
)

_CUTS = 400


@dataclass(frozen=True, eq=False)
class Similarities:
    """Of each row: the two captions with each other, the image with the second caption, and the
    truth; shapes (n,).
    """

    captions: Float64
    image: Float64
    out: NDArray[np.bool_]
    group: NDArray[np.intp]

    def part(self, rows: NDArray[np.bool_]) -> "Similarities":
        """Some of the rows."""
        return Similarities(self.captions[rows], self.image[rows], self.out[rows], self.group[rows])


@dataclass(frozen=True, eq=False)
class Detector:
    """The rule and the discriminant, as the validation part chose them.

    Attributes:
        t_captions, t_image: out of context iff both similarities are at most these.
        validation: the validation part, which places are read off.
        direction: discriminant, shape (2,): higher captions @ direction means in context.
        cut: out of context by the discriminant iff the projection is at most this.
    """

    t_captions: float
    t_image: float
    validation: Similarities
    direction: Float64
    cut: float

    @classmethod
    def choose(cls, validation: Similarities) -> "Detector":
        """Thresholds with the best accuracy on the validation part; of equals, the lowest.

        Raises:
            DataError: the validation part lacks one of the two kinds.
        """
        if validation.out.all() or not validation.out.any():
            raise DataError(
                f"all {len(validation.out)} validation rows are "
                f"{'out of' if validation.out.all() else 'in'} context, so no "
                "threshold can be chosen; give more rows of both kinds"
            )
        t_captions, t_image = _best_pair(validation)
        points = np.column_stack([validation.captions, validation.image])
        inside, outside = points[~validation.out], points[validation.out]
        scatter = sum(
            (len(part) * np.cov(part.T, bias=True) for part in (inside, outside)), np.zeros((2, 2))
        ) / len(points)
        tiny = np.finfo(np.float64).eps * max(float(np.trace(scatter)), np.finfo(np.float64).tiny)
        direction = np.linalg.solve(
            scatter + tiny * np.eye(2), inside.mean(axis=0) - outside.mean(axis=0)
        )
        cut = _best_cut(points @ direction, validation.out)
        return cls(t_captions, t_image, validation, direction, cut)

    def rule(self, rows: Similarities) -> NDArray[np.bool_]:
        """The paper's decision, shape (n,): True is out of context."""
        return (rows.captions <= self.t_captions) & (rows.image <= self.t_image)

    def rule_score(self, rows: Similarities) -> Float64:
        """What the rule thresholds: the larger of the two places in the validation part, shape
        (n,); low is out of context.
        """
        places = [
            np.searchsorted(np.sort(known), values, side="right") / len(known)
            for values, known in (
                (rows.captions, self.validation.captions),
                (rows.image, self.validation.image),
            )
        ]
        larger: Float64 = np.maximum(*places)
        return larger

    def discriminant(self, rows: Similarities) -> Float64:
        """The linear discriminant, shape (n,); low is out of context."""
        return np.column_stack([rows.captions, rows.image]) @ self.direction


def expected_image(alignment: Alignment, texts: ArrayLike, texts_second: bool) -> Float64:
    """What texts lead one to expect of the other view: w b / scale.

    Args:
        alignment: the fitted model.
        texts: features, shape (n, q).
        texts_second: whether texts are the model's second view.

    Returns:
        Unit vectors, shape (n, r).
    """
    coordinates = alignment.transform(Y=texts) if texts_second else alignment.transform(X=texts)
    weights, scale = alignment.score.weights, alignment.score.scales[int(texts_second)]
    return np.asarray(unit(coordinates[:, : len(weights)] / scale * weights), dtype=np.float64)


def caption_similarity(first: Array, second: Array) -> Float64:
    """Cosine of two captions' features, row by row.

    Args:
        first, second: features, shapes (n, q).

    Returns:
        Shape (n,).
    """
    cosines: Float64 = np.einsum("ik,ik->i", unit(first), unit(second))
    return cosines


def evaluate_out_of_context(
    rows: Similarities, params: EvaluateParams
) -> tuple[OutOfContextMetrics, pl.DataFrame, Detector]:
    """Choose on half of the groups, measure on the other half.

    Args:
        rows: similarities, truth and groups.
        params: bootstrap resamples, confidence level and seed; the seed chooses the halves too.

    Returns:
        The metrics; a table in the order of the rows: part (validation or test),
        caption_similarity, image_similarity, out, rule_score, discriminant, called_out (by the
        rule); and what was chosen.

    Raises:
        DataError: one of the parts lacks one of the two kinds.
    """
    validation = halves(rows.group, params.seed)
    detector = Detector.choose(rows.part(validation))
    test = rows.part(~validation)
    if test.out.all() or not test.out.any():
        raise DataError(
            "the test half of the groups has rows of one kind only; give more rows of both kinds"
        )
    more_frequent = max(float(test.out.mean()), 1 - float(test.out.mean()))
    by_rule, by_discriminant = detector.rule_score(test), detector.discriminant(test)
    metrics = OutOfContextMetrics(
        rows=HalfCounts(int(validation.sum()), int((~validation).sum()), int(test.out.sum())),
        groups=TestCount(len(np.unique(test.group))),
        paper=RuleMetrics(
            Thresholds(_finite(detector.t_captions), _finite(detector.t_image)),
            *_detection(-by_rule, test, params).all,
            *_decisions(detector.rule(test), test, params),
        ),
        discriminant=DiscriminantMetrics(
            detector.direction.tolist(),
            *_detection(-by_discriminant, test, params).all,
            *_decisions(by_discriminant <= detector.cut, test, params),
        ),
        image_alone=_detection(-test.image, test, params),
        captions_alone=_detection(-test.captions, test, params),
        chance=AccuracyChance(Value(more_frequent)),
    )
    table = pl.DataFrame(
        {
            "part": np.where(validation, "validation", "test"),
            "caption_similarity": rows.captions,
            "image_similarity": rows.image,
            "out": rows.out,
            "rule_score": detector.rule_score(rows),
            "discriminant": detector.discriminant(rows),
            "called_out": detector.rule(rows),
        }
    )
    return metrics, table, detector


def _finite(threshold: float) -> float | None:
    return None if np.isinf(threshold) else threshold


def _detection(score: Float64, test: Similarities, params: EvaluateParams) -> DetectionMetrics:
    group = number_groups(test.group)
    return detection_estimates(
        score[test.out], score[~test.out], group[test.out], group[~test.out], params
    )


def _decisions(
    called: NDArray[np.bool_], test: Similarities, params: EvaluateParams
) -> tuple[Estimate, Estimate]:
    """Accuracy, and F1 of the kind that is looked for, with intervals over groups."""
    group = number_groups(test.group)
    draws = group_draws(int(group.max()) + 1, params.bootstrap, params.seed)
    right, hit = (called == test.out).astype(np.float64), (called & test.out).astype(np.float64)

    def accuracy(weight: Float64) -> float:
        return float(weight @ right / weight.sum())

    def f1(weight: Float64) -> float:
        called_or_out = float(weight @ called + weight @ test.out)
        return 2 * float(weight @ hit) / called_or_out if called_or_out else 0.0

    return (
        estimate(accuracy, group, draws, params.confidence),
        estimate(f1, group, draws, params.confidence),
    )


def _best_pair(rows: Similarities) -> tuple[float, float]:
    """The thresholds with the best accuracy of all pairs of values in the rows (of at most 400
    quantiles of each).
    """
    cuts = [
        np.unique(np.quantile(values, np.linspace(0, 1, _CUTS), method="lower"))
        for values in (rows.captions, rows.image)
    ]
    place = [
        np.searchsorted(cut, values)
        for cut, values in zip(cuts, (rows.captions, rows.image), strict=True)
    ]
    gain = np.zeros((len(cuts[0]) + 1, len(cuts[1]) + 1))
    # calling a row out is right or wrong by one
    np.add.at(gain, tuple(place), np.where(rows.out, 1.0, -1.0))
    total = gain.cumsum(axis=0).cumsum(axis=1)[:-1, :-1]
    i, j = np.unravel_index(int(total.argmax()), total.shape)
    if total[i, j] <= 0:
        return -np.inf, -np.inf
    return float(cuts[0][i]), float(cuts[1][j])


def _best_cut(score: Float64, out: NDArray[np.bool_]) -> float:
    """The value of `score` at or below which calling rows out is most often right."""
    ranked = Ranked.of(score[out], score[~out])
    gain = np.cumsum(
        np.bincount(ranked.positive, minlength=ranked.levels)
        - np.bincount(ranked.negative, minlength=ranked.levels)
    )
    at = int(gain.argmax())
    return float(np.unique(score)[at]) if gain[at] > 0 else -np.inf
