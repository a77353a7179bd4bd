"""Split-conformal decisions: p-values and prediction sets whose error rate holds whatever the score
is worth.

The guarantee needs that calibration items and new ones are exchangeable, nothing else: no model of
the scores, no large numbers. Training pairs score too high to calibrate anything, so calibration is
on held-out pairs. Items that share a group (the captions of one image) are alike, so groups are
what is exchangeable: each weighs one, its items share that weight, and the promise is about a
random item of a new group (hierarchical conformal prediction; Lee, Barber & Willett 2023, arXiv
2306.06342). With groups of one item this is plain split-conformal prediction (Vovk et al. 2005).
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from csa.core.matrices import Float64
from csa.evaluation.bootstrap import number_groups
from csa.evaluation.vectors import each_block

Verdict = Literal["match", "mismatch", "undecided", "neither"]
_ROUNDING = 1e-9


def fewest_groups(alpha: float) -> int:
    """How many groups must calibrate before anything can be ruled out at `alpha`: the least n
    with 1 / (n + 1) <= alpha.
    """
    return max(1, math.ceil(1 / alpha - _ROUNDING) - 1)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Scores of one kind of held-out pair, low ones being strange.

    Attributes:
        scores: ascending, shape (n,).
        weight: summed weight of the scores up to each, in groups, shape (n,); the last is `groups`.
        groups: how many groups the scores come from.
    """

    scores: Float64
    weight: Float64
    groups: int

    @classmethod
    def of(cls, scores: Float64, group: NDArray[np.intp]) -> "Calibration":
        """The calibration that held-out scores make.

        Args:
            scores: low ones being strange, shape (n,).
            group: group number of each, shape (n,).

        Returns:
            The scores in order, where each group weighs one.
        """
        labels, number, size = np.unique(group, return_inverse=True, return_counts=True)
        order = np.argsort(scores, kind="stable")
        return cls(scores[order], np.cumsum(1 / size[number[order]]), len(labels))

    def p_value(self, scores: Float64) -> Float64:
        """(1 + sum over groups of the share of its scores that are at most s) / (groups + 1), for
        each s.

        A new item of this kind gets a p-value of at most alpha with a probability of at most alpha.
        """
        place = np.searchsorted(self.scores, scores, side="right")
        below: Float64 = (1 + np.concatenate([[0.0], self.weight])[place]) / (self.groups + 1)
        return below

    def threshold(self, alpha: float) -> float:
        """Scores from here up have a p-value above alpha; -inf where there are too few groups
        for any to be ruled out.
        """
        needed = alpha * (self.groups + 1) - 1 + _ROUNDING
        if needed < 0:
            return -np.inf
        return float(
            self.scores[
                min(int(np.searchsorted(self.weight, needed, side="right")), len(self.scores) - 1)
            ]
        )


@dataclass(frozen=True, eq=False)
class PairDecisions:
    """P-values of the claims "this is a true pair" and "these are strangers", shapes (n,), and
    the verdict at `alpha`.
    """

    p_match: Float64
    p_mismatch: Float64
    alpha: float

    @property
    def verdicts(self) -> list[Verdict]:
        """`match` or `mismatch` where the other claim alone is rejected, `undecided` where none
        is, `neither` where both are.
        """
        names: dict[tuple[bool, bool], Verdict] = {
            (True, False): "match",
            (False, True): "mismatch",
            (True, True): "undecided",
            (False, False): "neither",
        }
        possible = zip(self.p_match > self.alpha, self.p_mismatch > self.alpha, strict=True)
        return [names[bool(match), bool(mismatch)] for match, mismatch in possible]


@dataclass(frozen=True, eq=False)
class PairCalibration:
    """What pairs are judged by: scores of true held-out pairs and of strangers."""

    true: Calibration
    strangers: Calibration

    @classmethod
    def of(cls, true: Float64, strange: Float64, group: NDArray[np.intp]) -> "PairCalibration":
        """The calibration that held-out pairs make.

        Args:
            true: scores of true pairs, shape (n,).
            strange: scores of the same first items with strangers' partners, shape (n,).
            group: group number of each pair, shape (n,).

        Returns:
            What new pairs are judged by.
        """
        return cls(Calibration.of(true, group), Calibration.of(-strange, group))

    @classmethod
    def read(cls, file: Path) -> "PairCalibration | None":
        """From the held-out pairs that `evaluate` wrote (pairs.parquet); None if nothing was
        evaluated.
        """
        if not file.is_file():
            return None
        pairs = pl.read_parquet(file, glob=False)
        return cls.of(
            pairs["score"].to_numpy(),
            pairs["stranger_score"].to_numpy(),
            number_groups(pairs["group"]),
        )

    def decide(self, scores: Float64, alpha: float) -> PairDecisions:
        """Judge pairs: each claim is wrongly rejected with a probability of at most alpha.

        Args:
            scores: of the pairs, shape (n,).
            alpha: error rate of either claim, in (0, 1).

        Returns:
            P-values of both claims, and the verdicts that follow at alpha.
        """
        return PairDecisions(self.true.p_value(scores), self.strangers.p_value(-scores), alpha)


def right_gaps(
    left: Any, right: Any, relevant: tuple[NDArray[np.intp], NDArray[np.intp]]
) -> Float64:
    """How far each query's best right candidate is behind the best of all, shape (n,); 0 where it
    is first.

    The prediction set of a query holds all candidates y with max_z s(x, z) - s(x, y) at most a
    calibrated gap, so a query with a clear winner gets a small set and one without a large one. The
    gap has the scale of the score, whatever that is.

    Args:
        left, right: index vectors of queries (n, k) and candidates (m, k).
        relevant: (query rows, candidate rows) of all right answers.

    Returns:
        Gaps, shape (n,), at least 0, in units of the score; infinite where a query has no right
        answer.
    """

    def of_block(block: slice, scores: Float64) -> Float64:
        mine = (relevant[0] >= block.start) & (relevant[0] < block.stop)
        row, column = relevant[0][mine] - block.start, relevant[1][mine]
        behind = np.full(len(scores), np.inf)
        np.minimum.at(behind, row, scores.max(axis=1)[row] - scores[row, column])
        return behind

    return np.concatenate(each_block(left, right, of_block))


def set_sizes(left: Any, right: Any, gaps: Float64) -> NDArray[np.intp]:
    """How many candidates each query's prediction set holds for each calibrated gap; an infinite
    gap holds all.

    Args:
        left, right: index vectors of queries (n, k) and candidates (m, k).
        gaps: calibrated gaps, in units of the score, shape (g,).

    Returns:
        Sizes, from 0 to m, shape (n, g).
    """

    def of_block(_: slice, scores: Float64) -> NDArray[np.intp]:
        sizes = np.empty((len(scores), len(gaps)), dtype=np.intp)
        for row, mine in zip(scores, sizes, strict=True):  # a row stays in the processor's cache
            behind = row.max() - row
            mine[:] = [np.count_nonzero(behind <= gap) for gap in gaps]
        return sizes

    return np.concatenate(each_block(left, right, of_block))
