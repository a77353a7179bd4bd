"""By what models are compared: one table of names for figures and pages."""

from dataclasses import dataclass

from csa.results.estimate import Estimate
from csa.results.evaluation import EvaluationMetrics, ModelMetrics
from csa.results.record import Record
from csa.results.task import (
    OutOfContextContender,
    OutOfContextTaskMetrics,
    TaskMetrics,
    TransferContender,
)
from csa.results.words import arrow, recall, spaced

Contender = ModelMetrics | TransferContender | OutOfContextContender
"""What CSA is measured beside."""


@dataclass(frozen=True)
class Difference(Record):
    """One metric of two models on the same queries.

    Attributes:
        metric: its name.
        first, second: of either model, the mean over the directions.
        difference: second less first, directions alike.
        low, high: its interval.
    """

    metric: str
    first: float
    second: float
    difference: float
    low: float
    high: float

    @property
    def estimate(self) -> Estimate:
        """The difference with its interval."""
        return Estimate(self.difference, self.low, self.high)


def headlines(measured: EvaluationMetrics | TaskMetrics | Contender) -> dict[str, Estimate]:
    """What was measured of a model that others are compared by: name -> estimate, the higher the
    better; empty for captions out of context, which have measures of their own.
    """
    if isinstance(measured, OutOfContextTaskMetrics | OutOfContextContender):
        return {}
    found: dict[str, Estimate] = {}
    if isinstance(measured, EvaluationMetrics | ModelMetrics):
        for direction, way in measured.retrieval.items():
            found[f"{recall(1)} {arrow(direction)}"] = way.recall_at_1
        found["AUC"] = measured.mismatch.auc
        if measured.mismatch_hard is not None:
            found["AUC, hard"] = measured.mismatch_hard.auc
    if measured.classification is not None:
        found[f"top-1, {spaced(measured.classification.protocol)}"] = measured.classification.top_1
    return found
