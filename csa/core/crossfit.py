"""Cross-fitting from moments: what held-out folds say about a shrinkage, without a second look at
the features.

Every training complement is the total moments minus a fold's. What a shrinkage is worth is the
mutual information of the *held-out* canonical coordinates; many shrinkages are previewed
(`csa.core.preview`), and what comes out is measured exactly.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from csa.core.moments import Float64, Moments
from csa.core.preview import FoldPreview
from csa.core.scores import mutual_information
from csa.core.solve import Decomposition, solve
from csa.core.threads import each

Shrinkage = tuple[float, float]

# Shrinkages are searched as log-odds: -4, -1, 2 are about 0.02, 0.27 and 0.88.
_COARSE_LOG_ODDS = (-4.0, -1.0, 2.0)
_CLIMB_STEPS = (1.5, 0.75)
_MAX_LOG_ODDS = 10.0
_WEIGHT_CEILING = 0.999
# Held-out variance below this share of the component's in-sample variance is noise, and dividing by
# it would blow up the score.
_VARIANCE_FLOOR = 0.05


@dataclass(frozen=True, eq=False)
class Held:
    """What held-out folds say about one shrinkage, averaged over folds.

    Attributes:
        weights: held-out correlation of each canonical pair, in [0, 1), shape (r,).
        scale_a, scale_b: held-out standard deviation of each coordinate, shape (r,).
    """

    weights: Float64
    scale_a: Float64
    scale_b: Float64

    @property
    def mutual_information(self) -> float:
        """In nats."""
        return mutual_information(self.weights)


class CrossFit:
    """The folds of one fit: their complements and held-out moments, ready for any shrinkage."""

    def __init__(self, folds: list[Moments]):
        self._folds = folds
        self.total = sum(folds[1:], start=folds[0])
        self.complements = [self.total - fold for fold in folds]
        self._decompositions: dict[Shrinkage, list[Decomposition]] = {}
        self._previewed: dict[Shrinkage, Held] = {}

    def decompositions(self, shrinkage: Shrinkage) -> list[Decomposition]:
        """The decomposition of each fold's complement."""
        if shrinkage not in self._decompositions:
            self._decompositions[shrinkage] = each(
                lambda complement: solve(complement, shrinkage), self.complements
            )
        return self._decompositions[shrinkage]

    def measure(self, shrinkage: Shrinkage) -> Held:
        """Held-out correlations and scales under one shrinkage: a decomposition a fold."""
        folds = zip(self.decompositions(shrinkage), self._folds, self.complements, strict=True)
        return _held(each(lambda fold: projected_moments(*fold), folds))

    def preview(self, shrinkage: Shrinkage) -> Held:
        """What `measure` would say of the leading components, at a fraction of its cost once a
        few shrinkages were asked for.
        """
        if shrinkage not in self._previewed:
            self._previewed[shrinkage] = _held(
                each(lambda fold: fold.held_out_moments(shrinkage), self._previews)
            )
        return self._previewed[shrinkage]

    @cached_property
    def _previews(self) -> list[FoldPreview]:
        return each(
            lambda pair: FoldPreview(*pair), zip(self.complements, self._folds, strict=True)
        )

    def best_shrinkage(self) -> Shrinkage:
        """The shrinkage whose held-out coordinates carry the most mutual information.

        A coarse grid over the log-odds of both shrinkages, then a climb from its best point with
        ever smaller steps.
        """
        best = self._best_of([(gx, gy) for gx in _COARSE_LOG_ODDS for gy in _COARSE_LOG_ODDS])
        for step in _CLIMB_STEPS:
            while (better := self._best_of([best, *_around(best, step)])) != best:
                best = better
        return _shrinkage(best)

    def _best_of(self, log_odds: list[tuple[float, float]]) -> tuple[float, float]:
        return max(log_odds, key=lambda point: self.preview(_shrinkage(point)).mutual_information)


def _held(folds: list[Float64]) -> Held:
    """Average held-out moments (3, r) over folds."""
    r = min(fold.shape[1] for fold in folds)
    a2, b2, ab = np.mean([fold[:, :r] for fold in folds], axis=0)
    a2, b2 = np.maximum(a2, _VARIANCE_FLOOR), np.maximum(b2, _VARIANCE_FLOOR)
    weights = np.clip(ab / np.sqrt(a2 * b2), 0.0, _WEIGHT_CEILING)
    return Held(weights, np.sqrt(a2), np.sqrt(b2))


def projected_moments(decomposition: Decomposition, fold: Moments, complement: Moments) -> Float64:
    """Rows: E[a_i^2], E[b_i^2], E[a_i b_i] over a fold of canonical coordinates fitted on its
    complement; shape (3, r).
    """
    A, B, n = decomposition.A, decomposition.B, fold.n
    # About the *training* means, as they are met when the fold is projected.
    a, b = (fold.mean_x - complement.mean_x) @ A, (fold.mean_y - complement.mean_y) @ B
    return np.array(
        [
            _diagonal(A, fold.cxx, A) / n + a**2,
            _diagonal(B, fold.cyy, B) / n + b**2,
            _diagonal(A, fold.cxy, B) / n + a * b,
        ]
    )


def _diagonal(A: Float64, S: Float64, B: Float64) -> Float64:
    """diag(A' S B)."""
    diagonal: Float64 = np.einsum("ir,ir->r", A, S @ B)
    return diagonal


def _shrinkage(log_odds: tuple[float, float]) -> Shrinkage:
    gx, gy = (float(1 / (1 + np.exp(-value))) for value in log_odds)
    return gx, gy


def _around(point: tuple[float, float], step: float) -> list[tuple[float, float]]:
    moves = ((step, 0.0), (-step, 0.0), (0.0, step), (0.0, -step))
    near = [(point[0] + dx, point[1] + dy) for dx, dy in moves]
    return [p for p in near if max(map(abs, p)) <= _MAX_LOG_ODDS]
