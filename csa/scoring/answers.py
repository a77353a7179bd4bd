"""What a scorer answers: scores with what held-out pairs say of them, and labels."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from csa.core.matrices import Float64
from csa.evaluation.conformal import PairDecisions


@dataclass(frozen=True, eq=False)
class Beside:
    """What scores say beside those of held-out pairs.

    Attributes:
        above_true, above_mismatched: shares of true and of mismatched held-out pairs that score
            lower, shape (n,).
        decisions: conformal p-values and verdicts.
    """

    above_true: Float64
    above_mismatched: Float64
    decisions: PairDecisions

    def decision(self, row: int) -> PairDecisions:
        """The decision on one pair."""
        one, all_ = slice(row, row + 1), self.decisions
        return PairDecisions(all_.p_match[one], all_.p_mismatch[one], all_.alpha)


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of pairs.

    Attributes:
        values: the similarities, shape (n,).
        beside: what they say; None if nothing was evaluated.
    """

    values: Float64
    beside: Beside | None = None


@dataclass(frozen=True, eq=False)
class Labelled:
    """Items with their best labels.

    Attributes:
        labels: of each item, the best first.
        scores: of these, shape (n, labels).
        p_match: p-value of "this item and this label belong together" among the held-out pairs,
            shape (n, labels); None if nothing was evaluated.
        alpha: the labels whose p_match is above it are the conformal set.
    """

    labels: list[list[str]]
    scores: Float64
    p_match: Float64 | None
    alpha: float

    def rows(self) -> list[list[dict[str, Any]]]:
        """Of each item its labels: label, score, p_match, and whether the conformal set has it."""
        p_match = np.full(self.scores.shape, np.nan) if self.p_match is None else self.p_match
        return [
            [
                {
                    "label": label,
                    "score": float(score),
                    "p_match": None if self.p_match is None else float(p),
                    "in_set": None if self.p_match is None else bool(p > self.alpha),
                }
                for label, score, p in zip(*row, strict=True)
            ]
            for row in zip(self.labels, self.scores, p_match, strict=True)
        ]
