"""Cross-fitting from moments: what held-out folds say about a shrinkage, without a second look at
the features.

Every training complement is the total moments minus a fold's. What a shrinkage is worth is the
mutual information of the *held-out* canonical coordinates; many shrinkages are previewed
(`csa.core.preview`), and what comes out is measured exactly.
"""

from dataclasses import replace
from functools import cached_property, partial
from itertools import product

import numpy as np

from csa.core.held import Held
from csa.core.matrices import Float64
from csa.core.moments import Moments
from csa.core.preview import FoldPreview
from csa.core.shrinkage import WHOLE, Shrinkage, Spans, SpanShrinkage, climb, log_odds_of, share_of
from csa.core.solve import Decomposition, solve
from csa.core.threads import each

LogOdds = tuple[float, float]

# Shrinkages are searched as log-odds: -4, -1, 2 are about 0.02, 0.27 and 0.88.
_COARSE_LOG_ODDS = (-4.0, -1.0, 2.0)
_CLIMB_STEPS = (1.5, 0.75)
_MAX_LOG_ODDS = 10.0
_WEIGHT_CEILING = 0.999
# Held-out variance below this share of the component's in-sample variance is noise, and dividing by
# it would blow up the score.
_VARIANCE_FLOOR = 0.05


class CrossFit:
    """The folds of one fit: their complements and held-out moments, ready for any shrinkage.

    Shrinkage and coordinates are those of the whole space, also where the moments were taken in the
    spans of the items.

    Args:
        folds: moments of each fold.
        spans: that the moments were taken in.
        complements: what is fitted to judge each fold, where that is more than the other folds.

    Attributes:
        total: moments of all folds.
        complements: moments that each fold is judged by.
    """

    def __init__(
        self,
        folds: list[Moments],
        spans: Spans = WHOLE,
        complements: list[Moments] | None = None,
    ):
        self._folds, self._spans = folds, spans
        self.total = sum(folds[1:], start=folds[0])
        self.complements = complements or [self.total - fold for fold in folds]
        self._decompositions: dict[SpanShrinkage, list[Decomposition]] = {}
        self._previewed: dict[SpanShrinkage, Held] = {}

    def decompositions(self, shrinkage: Shrinkage) -> list[Decomposition]:
        """The decomposition of each fold's complement, its coordinates as long as in the whole
        space.
        """
        unit_x, unit_y = self._spans.units(shrinkage)
        return [
            replace(decomposition, A=unit_x * decomposition.A, B=unit_y * decomposition.B)
            for decomposition in self._within_spans(shrinkage)
        ]

    def measure(self, shrinkage: Shrinkage) -> Held:
        """Held-out correlations and scales under one shrinkage: a decomposition a fold."""
        folds = zip(self._within_spans(shrinkage), self._folds, self.complements, strict=True)
        return self._lengthened(
            _held(each(lambda fold: projected_moments(*fold), folds)), shrinkage
        )

    def preview(self, shrinkage: Shrinkage) -> Held:
        """What `measure` would say of the leading components, at a fraction of its cost once a
        few shrinkages were asked for.
        """
        return self._lengthened(self._previewed_at(self._spans.narrowed(shrinkage)), shrinkage)

    def best_shrinkage(self, near: Shrinkage | None = None) -> Shrinkage:
        """The shrinkage whose held-out coordinates carry the most mutual information.

        A coarse grid over the log-odds of both shrinkages, then a climb from its best point with
        ever smaller steps.

        Args:
            near: where to look with the smallest steps alone, such as the best of moments that are
                much like these.

        Returns:
            The shrinkage.
        """
        if near is not None:
            start = log_odds_of(self._spans.narrowed(near), _MAX_LOG_ODDS)
            steps: tuple[float, ...] = _CLIMB_STEPS[-1:]
        else:
            start = max(product(_COARSE_LOG_ODDS, _COARSE_LOG_ODDS), key=self._worth)
            steps = _CLIMB_STEPS
        best = start
        for step in steps:
            best, _ = climb(best, self._worth, partial(_around, step=step), steepest=True)
        return self._spans.widened(_shrinkage(best))

    def _worth(self, log_odds: LogOdds) -> float:
        return self._previewed_at(_shrinkage(log_odds)).mutual_information

    def _within_spans(self, shrinkage: Shrinkage) -> list[Decomposition]:
        narrow = self._spans.narrowed(shrinkage)
        if narrow not in self._decompositions:
            self._decompositions[narrow] = each(
                lambda complement: solve(complement, narrow), self.complements
            )
        return self._decompositions[narrow]

    def _previewed_at(self, shrinkage: SpanShrinkage) -> Held:
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

    def _lengthened(self, held: Held, shrinkage: Shrinkage) -> Held:
        """With scales in the units of the whole space's coordinates."""
        unit_x, unit_y = self._spans.units(shrinkage)
        return Held(held.weights, held.scale_a * unit_x, held.scale_b * unit_y)


def _held(folds: list[Float64]) -> Held:
    """Average held-out moments (3, r) over folds."""
    r = min(fold.shape[1] for fold in folds)
    a2, b2, ab = np.mean([fold[:, :r] for fold in folds], axis=0)
    a2, b2 = np.maximum(a2, _VARIANCE_FLOOR), np.maximum(b2, _VARIANCE_FLOOR)
    weights = np.clip(ab / np.sqrt(a2 * b2), 0.0, _WEIGHT_CEILING)
    return Held(weights, np.sqrt(a2), np.sqrt(b2))


def projected_moments(decomposition: Decomposition, fold: Moments, complement: Moments) -> Float64:
    """Second moments over a fold of canonical coordinates fitted on its complement.

    About the training means m, E[a_i^2] = A_i' (Sxx + dx dx') A_i with dx the fold's mean less m;
    E[b_i^2] and E[a_i b_i] alike.

    Args:
        decomposition: of the complement, r components.
        fold: moments of the pairs that are projected.
        complement: moments of the pairs that were fitted.

    Returns:
        Rows E[a_i^2], E[b_i^2], E[a_i b_i], shape (3, r).
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


def _shrinkage(log_odds: LogOdds) -> SpanShrinkage:
    return SpanShrinkage(*map(share_of, log_odds))


def _around(point: LogOdds, step: float) -> list[LogOdds]:
    moves = ((step, 0.0), (-step, 0.0), (0.0, step), (0.0, -step))
    near = [(point[0] + dx, point[1] + dy) for dx, dy in moves]
    return [p for p in near if max(map(abs, p)) <= _MAX_LOG_ODDS]
