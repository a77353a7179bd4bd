"""tasks/NAME/metrics.json: what a further evaluation on another data set measured."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from csa.errors import ArtifactError
from csa.results.estimate import Estimate, Value
from csa.results.evaluation import (
    ClassificationMetrics,
    ClassSetMetrics,
    DetectionMetrics,
    ExchangeabilityMetrics,
    TestCount,
)
from csa.results.record import Record


@dataclass(frozen=True)
class RowCounts(Record):
    """Rows of the data set that were read, and rows that were set aside."""

    all: int
    set_aside: int


@dataclass(frozen=True)
class TransferredCalibration(Record):
    """What the workspace's own held-out pairs promise on the other data set.

    Attributes:
        coverage: share of the true pairs that are not rejected.
        exchangeability: doubts.
    """

    coverage: Estimate
    exchangeability: ExchangeabilityMetrics


@dataclass(frozen=True)
class TransferDecisions(Record):
    """Decisions on another data set.

    Attributes:
        alpha: the error rate that is promised.
        classes: prediction sets, calibrated on the data set itself.
        by_the_held_out_pairs: pairs judged by the workspace's own calibration.
    """

    alpha: float
    classes: ClassSetMetrics
    by_the_held_out_pairs: TransferredCalibration


@dataclass(frozen=True)
class TransferContender(Record):
    """Another method on the same images."""

    classification: ClassificationMetrics


@dataclass(frozen=True)
class TransferMetrics(Record):
    """Zero-shot classification of another data set.

    Attributes:
        kind: of the task.
        rows: counts.
        classification: of its images.
        conformal: decisions with an error rate.
        baselines: name -> the same of another method.
    """

    kind: Literal["transfer"]
    rows: RowCounts
    classification: ClassificationMetrics
    conformal: TransferDecisions
    baselines: dict[str, TransferContender]


@dataclass(frozen=True)
class HalfCounts(Record):
    """Rows that chose, rows that measured, and how many of these are out of context."""

    validation: int
    test: int
    test_out: int


@dataclass(frozen=True)
class Thresholds(Record):
    """A row is called out of context up to both similarities; None: no row is."""

    captions: float | None
    image: float | None


@dataclass(frozen=True)
class _Decided(DetectionMetrics):
    accuracy: Estimate
    f1: Estimate


@dataclass(frozen=True)
class _ByThresholds(Record):
    thresholds: Thresholds


@dataclass(frozen=True)
class RuleMetrics(_Decided, _ByThresholds):  # fields of the last base come first
    """The paper's rule: thresholds, detection, accuracy and F1."""


@dataclass(frozen=True)
class _ByDirection(Record):
    direction: list[float]


@dataclass(frozen=True)
class DiscriminantMetrics(_Decided, _ByDirection):  # fields of the last base come first
    """The linear discriminant: its direction, detection, accuracy and F1."""


@dataclass(frozen=True)
class AccuracyChance(Record):
    """The accuracy of always calling the more frequent kind."""

    accuracy: Value


@dataclass(frozen=True)
class OutOfContextMetrics(Record):
    """Detection of captions that are out of context.

    Attributes:
        rows, groups: counts.
        paper: the paper's rule.
        discriminant: the linear discriminant.
        image_alone, captions_alone: one similarity by itself.
        chance: what a guess is worth.
    """

    rows: HalfCounts
    groups: TestCount
    paper: RuleMetrics
    discriminant: DiscriminantMetrics
    image_alone: DetectionMetrics
    captions_alone: DetectionMetrics
    chance: AccuracyChance


@dataclass(frozen=True)
class OutOfContextContender(Record):
    """Another method on the same rows."""

    out_of_context: OutOfContextMetrics


@dataclass(frozen=True)
class OutOfContextTaskMetrics(Record):
    """An evaluation of captions in and out of context.

    Attributes:
        kind: of the task.
        rows: counts.
        text_similarity: how two captions were compared.
        out_of_context: what was measured.
        baselines: name -> the same of another method.
    """

    kind: Literal["out_of_context"]
    rows: RowCounts
    text_similarity: str
    out_of_context: OutOfContextMetrics
    baselines: dict[str, OutOfContextContender]


TaskMetrics = TransferMetrics | OutOfContextTaskMetrics
_KINDS: dict[str, type[TransferMetrics] | type[OutOfContextTaskMetrics]] = {
    "transfer": TransferMetrics,
    "out_of_context": OutOfContextTaskMetrics,
}


@dataclass(frozen=True)
class _OfAnyKind(Record):
    kind: str


def read_task(path: Path) -> TaskMetrics:
    """The metrics of a task, from the file that its stage wrote.

    Raises:
        ArtifactError: it is missing, is not JSON, or lacks what a task of its kind has.
    """
    kind = _OfAnyKind.read(path).kind
    if kind not in _KINDS:
        raise ArtifactError(
            f"{path}: damaged, or of another version of csa (kind {kind!r}; there are "
            f"{', '.join(_KINDS)}); delete it and run `csa run` again"
        )
    return _KINDS[kind].read(path)
