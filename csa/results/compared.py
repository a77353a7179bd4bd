"""By what models are compared: one table of names for the figure and the page."""

from csa.results.estimate import Estimate
from csa.results.evaluation import EvaluationMetrics, ModelMetrics
from csa.results.task import OutOfContextContender, OutOfContextTaskMetrics, TaskMetrics
from csa.results.task import TransferContender
from csa.results.words import arrow, recall, spaced

Contender = ModelMetrics | TransferContender | OutOfContextContender
"""What CSA is measured beside."""


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
