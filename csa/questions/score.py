"""How well two things belong together."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from csa.core.matrices import Array, Float64
from csa.datasets.pairs_table import read_pairs
from csa.evaluation.bootstrap import number_groups
from csa.evaluation.conformal import Calibration, PairCalibration, PairDecisions
from csa.evaluation.exchangeability import familiarity
from csa.features.shards import FeatureTable
from csa.params.schema import Params
from csa.pipeline.workspace import Workspace
from csa.questions.opened import Fitted

UNFAMILIAR = 0.01
"""P-value of `familiar` from which on an item is called unlike what was trained on."""


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
    values = fitted.alignment.score_pairs(X, Y)
    value = float(values[0])
    name, in_nats = fitted.alignment.score_name, fitted.alignment.in_nats
    judge = PairCalibration.read(ws.evaluation / "pairs.parquet")
    if judge is None:
        return PairScore(value, name, in_nats)
    return PairScore(
        value,
        name,
        in_nats,
        float(np.mean(judge.true.scores < value)),
        float(np.mean(-judge.strangers.scores < value)),
        judge.decide(values, fitted.params.evaluate.alpha),
        _doubts(ws, fitted.params, judge, {names[0]: X, names[1]: Y}),
    )


def _doubts(
    ws: Workspace, params: Params, judge: PairCalibration, items: dict[str, Array]
) -> tuple[str, ...]:
    """Why the held-out pairs may say little about this one: too few of them, or an item unlike
    all they hold.
    """
    reasons = (
        []
        if judge.true.threshold(params.evaluate.alpha) > -np.inf
        else [
            f"{judge.true.groups} held-out groups are too few to reject anything at alpha "
            f"{params.evaluate.alpha:g}"
        ]
    )
    for view, features in items.items():
        p = float(familiar(ws, view, features)[0])
        if p <= UNFAMILIAR:
            reasons.append(
                f"this {view} is less like any training {view} than nearly all held-out ones are "
                f"(p = {p:.2g}), so what was "
                "measured there may not hold"
            )
    return tuple(reasons)


def familiar(ws: Workspace, view: str, features: Array) -> Float64:
    """Whether items are as much like some training item as held-out ones are.

    Args:
        ws: a workspace that was run.
        view: of the items.
        features: by the view's encoder, shape (n, d).

    Returns:
        P-values of the claim that they are, shape (n,).
    """
    pairs, table = read_pairs(ws.pairs), FeatureTable.read(ws.features(view))
    train, test = (
        pairs.filter(pl.col("split") == split).unique(
            f"{view}_hash", keep="first", maintain_order=True
        )
        for split in ("train", "test")
    )
    known = table.rows(train[f"{view}_hash"].to_list())
    usual = Calibration.of(
        familiarity(table.rows(test[f"{view}_hash"].to_list()), known), number_groups(test["group"])
    )
    return usual.p_value(familiarity(features, known))
