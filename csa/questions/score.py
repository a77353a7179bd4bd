"""How well two things belong together."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from csa.core.matrices import Array
from csa.evaluation.conformal import PairDecisions
from csa.pipeline.workspace import Workspace
from csa.questions.familiar import UNFAMILIAR
from csa.questions.opened import Fitted


@dataclass(frozen=True)
class PairScore:
    """The score of one pair, its place among the held-out pairs, and what that says (None where
    nothing was evaluated).

    Attributes:
        score: the similarity.
        score_name: of which kind.
        in_nats: whether it is a log-likelihood ratio as it stands.
        above_true_pairs, above_mismatched_pairs: shares of held-out pairs that score lower.
        decision: conformal p-values and verdict, calibrated on all held-out groups.
        doubts: why calibration and this pair may not be exchangeable, a sentence each.
    """

    score: float
    score_name: str
    in_nats: bool
    above_true_pairs: float | None = None
    above_mismatched_pairs: float | None = None
    decision: PairDecisions | None = None
    doubts: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "score": self.score,
            "score_name": self.score_name,
            "above_true_pairs": self.above_true_pairs,
            "above_mismatched_pairs": self.above_mismatched_pairs,
            "decision": None
            if self.decision is None
            else {
                "verdict": self.decision.verdicts[0],
                "alpha": self.decision.alpha,
                "p_match": float(self.decision.p_match[0]),
                "p_mismatch": float(self.decision.p_mismatch[0]),
                "doubts": list(self.doubts),
            },
        }

    def __str__(self) -> str:
        unit = " nats" if self.in_nats else ""
        lines = [f"score {self.score:.3f}{unit} ({self.score_name.replace('_', ' ')})"]
        if self.above_true_pairs is not None and self.above_mismatched_pairs is not None:
            lines.append(
                f"higher than {self.above_mismatched_pairs:.0%} of mismatched held-out pairs"
            )
            lines.append(f"higher than {self.above_true_pairs:.0%} of true held-out pairs")
        if self.decision is not None:
            meaning = {
                "match": "strangers score so high too rarely",
                "mismatch": "true pairs score so low too rarely",
                "undecided": "both true pairs and strangers score like this",
                "neither": "neither true pairs nor strangers score like this",
            }
            verdict = self.decision.verdicts[0]
            lines.append(
                f"{verdict} at alpha {self.decision.alpha:g}: {meaning[verdict]} "
                f"(p = {self.decision.p_match[0]:.2g} as a true pair, "
                f"{self.decision.p_mismatch[0]:.2g} as strangers)"
            )
        lines += [f"doubtful: {reason}" for reason in self.doubts]
        return "\n".join(lines)


def score_pair(ws: Workspace, first: str, second: str) -> PairScore:
    """Score one pair given on the command line.

    Args:
        ws: a workspace that was run.
        first, second: a text or the path of a file, for the first view and for the second.

    Returns:
        The score, its place among the held-out pairs, and what that says.

    Raises:
        ArtifactError: the workspace was not run yet.
        DataError, InputError: an item cannot be read or encoded.
    """
    fitted = Fitted.open(ws)
    names = fitted.params.view_names
    items = [fitted.read(name, value) for name, value in zip(names, (first, second), strict=True)]
    X, Y = (fitted.encode(name, item) for name, item in zip(names, items, strict=True))
    return judged(fitted, X, Y)[0]


def judged(fitted: Fitted, X: Array, Y: Array, alpha: float | None = None) -> list[PairScore]:
    """Score pairs by their features, with what the held-out pairs say of each.

    Args:
        fitted: a workspace that was run.
        X: features of the first view, shape (n, p).
        Y: features of the second view, shape (n, q); row i belongs to row i of X.
        alpha: error rate of the verdicts; None takes evaluate.alpha.

    Returns:
        Of each pair its score.

    Raises:
        FeatureError: a shape that does not fit, NaN or infinity.
        InputError: an alpha out of range.
    """
    scorer, name = fitted.scorer, fitted.scorer.alignment.score_name
    found, in_nats = scorer.scores(X, Y, alpha), scorer.alignment.in_nats
    if found.beside is None:
        return [PairScore(float(value), name, in_nats) for value in found.values]
    alpha = scorer.checked(alpha)
    doubts = _doubts(fitted, alpha, dict(zip(scorer.names, (X, Y), strict=True)))
    return [
        PairScore(
            float(value),
            name,
            in_nats,
            float(found.beside.above_true[i]),
            float(found.beside.above_mismatched[i]),
            found.beside.decision(i),
            doubts[i],
        )
        for i, value in enumerate(found.values)
    ]


def _doubts(fitted: Fitted, alpha: float, items: dict[str, Array]) -> list[tuple[str, ...]]:
    """Why the held-out pairs may say little about each pair: too few of them, or an item unlike
    all they hold.
    """
    judge = fitted.scorer.judge
    few: tuple[str, ...] = ()
    if judge is not None and judge.true.threshold(alpha) == -np.inf:
        few = (
            f"{judge.true.groups} held-out groups are too few to reject anything at alpha "
            f"{alpha:g}",
        )
    p_values = {view: fitted.familiar(view, features) for view, features in items.items()}
    return [
        few
        + tuple(
            f"this {view} is less like any training {view} than nearly all held-out ones are "
            f"(p = {p[i]:.2g}), so what was measured there may not hold"
            for view, p in p_values.items()
            if p[i] <= UNFAMILIAR
        )
        for i in range(len(next(iter(items.values()))))
    ]
