"""metrics.json: what `evaluate` measured on the held-out pairs.

A direction is named FIRST_to_SECOND: queries of the first view search a gallery of the second.
"""

from dataclasses import dataclass
from html import escape

from csa.results.estimate import Estimate, Value
from csa.results.record import Record


@dataclass(frozen=True)
class RetrievalMetrics(Record):
    """One direction by the standard protocol.

    Attributes:
        recall_at_1, recall_at_5, recall_at_10, mrr, map: in [0, 1].
        median_rank: from 1 up.
    """

    recall_at_1: Estimate
    recall_at_5: Estimate
    recall_at_10: Estimate
    mrr: Estimate
    map: Estimate
    median_rank: Estimate

    @property
    def recalls(self) -> dict[int, Estimate]:
        """Recall by the number of results that are looked at."""
        return {1: self.recall_at_1, 5: self.recall_at_5, 10: self.recall_at_10}

    @property
    def of_queries(self) -> dict[str, Estimate]:
        """The means of what every query has by itself, by name."""
        recalls = {f"recall_at_{k}": value for k, value in self.recalls.items()}
        return recalls | {"mrr": self.mrr}


@dataclass(frozen=True)
class PaperRetrievalMetrics(Record):
    """One direction by the paper's protocol (Li et al. 2024); all in [0, 1]."""

    precision_at_1: Estimate
    precision_at_5: Estimate
    map: Estimate


@dataclass(frozen=True)
class DetectionMetrics(Record):
    """How well a score tells the kind that is looked for from the other; all in [0, 1]."""

    auc: Estimate
    average_precision: Estimate
    fpr_at_95_tpr: Estimate

    @property
    def all(self) -> tuple[Estimate, Estimate, Estimate]:
        """The three measures, in order."""
        return self.auc, self.average_precision, self.fpr_at_95_tpr


@dataclass(frozen=True)
class KnownCounts(Record):
    """How many held-out pairs the data set calls wrong, and how many it calls right."""

    wrong: int
    right: int


@dataclass(frozen=True)
class _OfKnownPairs(Record):
    pairs: KnownCounts


@dataclass(frozen=True)
class KnownMismatchMetrics(DetectionMetrics, _OfKnownPairs):  # fields of the last base come first
    """Detection of the pairs that the data set calls wrong, with their number."""


@dataclass(frozen=True)
class AskedPrompts(Record):
    """What classes were described by: templates, and which of a class's names were used."""

    templates: list[str]
    names: str


@dataclass(frozen=True)
class ClassChance(Record):
    """What a guess is worth."""

    top_1: Value
    top_5: Value


@dataclass(frozen=True)
class ClassificationMetrics(Record):
    """Zero-shot classification.

    Attributes:
        protocol: in_domain, unseen_classes, partly_unseen or transfer.
        classes: number of candidates.
        classes_of_images: how many of them have images here.
        classes_seen_in_training: how many of those occur in training pairs.
        images: number of images.
        prompts: what classes were described by.
        top_1, top_5: share of the images whose class is the best, among the best five.
        mean_class_top_1: mean over classes of their own top-1.
        chance: what a guess is worth.
    """

    protocol: str
    classes: int
    classes_of_images: int
    classes_seen_in_training: int
    images: int
    prompts: AskedPrompts
    top_1: Estimate
    top_5: Estimate
    mean_class_top_1: Estimate
    chance: ClassChance


@dataclass(frozen=True)
class VerdictMetrics(Record):
    """Shares of the verdicts on one kind of pair.

    Attributes:
        match, mismatch, undecided, neither: shares; they add up to 1.
        coverage: share of the pairs whose right claim is not rejected; None for hard strangers, of
            which nothing is promised.
    """

    match: Estimate
    mismatch: Estimate
    undecided: Estimate
    neither: Estimate
    coverage: Estimate | None = None


@dataclass(frozen=True)
class PairVerdictMetrics(Record):
    """Verdicts on true pairs, random strangers, and hard strangers where there are any."""

    true: VerdictMetrics
    strangers: VerdictMetrics
    hard_strangers: VerdictMetrics | None = None


@dataclass(frozen=True)
class SetMetrics(Record):
    """Prediction sets of queries.

    Attributes:
        coverage: share of the sets that hold a right answer.
        set_size, median_set_size: number of candidates in a set.
        candidates: number of candidates there are.
    """

    coverage: Estimate
    set_size: Value
    median_set_size: Value
    candidates: int


@dataclass(frozen=True)
class ClassSetMetrics(Record):
    """Prediction sets of classes; `too_few` says in one line why there are none."""

    protocol: str
    coverage: Estimate | None = None
    set_size: Value | None = None
    median_set_size: Value | None = None
    candidates: int | None = None
    too_few: str | None = None

    @classmethod
    def measured(cls, protocol: str, sets: SetMetrics) -> "ClassSetMetrics":
        """Sets that were measured.

        Args:
            protocol: of the classification.
            sets: what was measured of them.

        Returns:
            The record that holds both.
        """
        return cls(protocol, sets.coverage, sets.set_size, sets.median_set_size, sets.candidates)

    @property
    def sets(self) -> SetMetrics | None:
        """The sets; None if none were made."""
        if (
            self.coverage is None
            or self.set_size is None
            or self.median_set_size is None
            or self.candidates is None
        ):
            return None
        return SetMetrics(self.coverage, self.set_size, self.median_set_size, self.candidates)


@dataclass(frozen=True)
class ExchangeabilityMetrics(Record):
    """Reasons to doubt that what calibrates and what is judged are alike.

    Attributes:
        doubtful: whether there is any.
        reasons: a sentence each.
        ks, ks_p_value: Kolmogorov-Smirnov distance of the group means, and its p-value.
    """

    doubtful: bool
    reasons: list[str]
    ks: Value
    ks_p_value: Value


@dataclass(frozen=True)
class ConformalMetrics(Record):
    """Decisions at error rate `alpha`, calibrated on half of the groups and measured on the rest.

    Attributes:
        alpha: the error rate that is promised.
        halvings: how many random halves calibrated.
        groups: number of held-out groups.
        pairs: verdicts.
        retrieval: direction -> prediction sets.
        exchangeability: doubts.
        classes: prediction sets of classes, where images carry labels.
    """

    alpha: float
    halvings: int
    groups: int
    pairs: PairVerdictMetrics
    retrieval: dict[str, SetMetrics]
    exchangeability: ExchangeabilityMetrics
    classes: ClassSetMetrics | None = None


@dataclass(frozen=True)
class PairCounts(Record):
    """Number of training pairs and of held-out pairs."""

    train: int
    test: int


@dataclass(frozen=True)
class TestCount(Record):
    """Number of held-out groups."""

    __test__ = False  # not a class of tests, whatever its name begins with
    test: int


@dataclass(frozen=True)
class AskedCounts(Record):
    """Number of held-out pairs and groups that were asked as queries, where that is not all."""

    pairs: int
    groups: int


@dataclass(frozen=True)
class _OfPairs(Record):
    retrieval: dict[str, RetrievalMetrics]
    retrieval_paper: dict[str, PaperRetrievalMetrics]
    mismatch: DetectionMetrics
    mismatch_hard: DetectionMetrics | None = None
    mismatch_known: KnownMismatchMetrics | None = None

    @property
    def detections(self) -> dict[str, DetectionMetrics]:
        """Every kind of wrong pair that was looked for, with how well it was told from the rest."""
        kinds = {
            "random strangers": self.mismatch,
            "hard strangers": self.mismatch_hard,
            "known errors": self.mismatch_known,
        }
        return {kind: found for kind, found in kinds.items() if found is not None}


@dataclass(frozen=True)
class ModelMetrics(_OfPairs):
    """What is measured of any model of pairs.

    Attributes:
        retrieval: direction -> metrics by the standard protocol.
        retrieval_paper: direction -> metrics by the paper's protocol.
        mismatch, mismatch_hard, mismatch_known: detection of random strangers, of hard strangers,
            and of the pairs that the data set calls wrong.
        classification: where images carry labels.
    """

    classification: ClassificationMetrics | None = None


@dataclass(frozen=True)
class _About(Record):
    evaluation_id: str
    pairs: PairCounts
    groups: TestCount
    galleries: dict[str, int]


@dataclass(frozen=True)
class EvaluationMetrics(_OfPairs, _About):  # fields of the last base come first
    """What `evaluate` measured of the alignment, as metrics.json holds it.

    Attributes:
        evaluation_id: names the held-out pairs; only metrics that share it compare directly.
        pairs: number of pairs.
        groups: number of held-out groups.
        galleries: view -> number of items that are searched.
        asked: how many of the pairs and groups were asked; None: all.
        retrieval, retrieval_paper, mismatch, mismatch_hard, mismatch_known, classification: see
            `ModelMetrics`.
        conformal: decisions with an error rate.
        baselines: name -> the same of what CSA is measured beside.
    """

    asked: AskedCounts | None = None
    conformal: ConformalMetrics | None = None
    classification: ClassificationMetrics | None = None
    baselines: dict[str, ModelMetrics] | None = None

    def gallery(self, direction: str) -> int:
        """Number of items that the queries of a direction search."""
        return self.galleries[direction.partition("_to_")[2]]

    @property
    def contenders(self) -> dict[str, ModelMetrics]:
        """The baselines; empty if nothing was measured beside."""
        return self.baselines or {}

    def _repr_html_(self) -> str:
        heads = ["", "", "R@1", "R@5", "R@10", "MRR", "median rank", "mismatch AUC"]
        models: dict[str, ModelMetrics | EvaluationMetrics] = {"CSA": self, **self.contenders}
        rows = [
            [
                name,
                direction.replace("_", " "),
                *map(_cell, found.of_queries.values()),
                f"{found.median_rank.value:g} of {self.gallery(direction):,}",
                _cell(model.mismatch.auc),
            ]
            for name, model in models.items()
            for direction, found in model.retrieval.items()
        ]
        return (
            f"<table><caption>{self.pairs.test:,} held-out pairs in {self.groups.test:,} groups"
            f"</caption>{_row('th', heads)}{''.join(_row('td', row) for row in rows)}</table>"
        )


def _row(tag: str, cells: list[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"


def _cell(estimate: Estimate) -> str:
    # not by csa.results.words: no stage depends on how numbers are said elsewhere
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
