"""Cross-fitting from moments: what held-out folds say about a shrinkage, without a second look at the features.

Every training complement is the total moments minus a fold's, and each view's eigendecomposition serves its whole shrinkage grid.
What a shrinkage is worth is the mutual information of the *held-out* canonical coordinates.
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from csa.moments import Float64, Moments
from csa.scores import mutual_information
from csa.solve import Decomposition, Factors

Shrinkage = tuple[float, float]

# Shrinkages are searched as log-odds: -4, -1, 2 are about 0.02, 0.27 and 0.88.
_COARSE_LOG_ODDS = (-4.0, -1.0, 2.0)
_CLIMB_STEPS = (1.5, 0.75)
_MAX_LOG_ODDS = 10.0
_WEIGHT_CEILING = 0.999
# Held-out variance below this share of the component's in-sample variance is noise, and dividing by it would blow up the score.
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
    """The folds of one fit: complements' factors and held-out moments, ready for any shrinkage."""

    def __init__(self, folds: list[Moments]):
        self.total = sum(folds[1:], start=folds[0])
        self.complements = [self.total - fold for fold in folds]
        self._factors = [Factors.of(complement) for complement in self.complements]
        self._grids = [_FoldGrid(*parts) for parts in zip(self._factors, folds, self.complements, strict=True)]
        self._measured: dict[Shrinkage, Held] = {}

    def decompositions(self, shrinkage: Shrinkage) -> list[Decomposition]:
        """The decomposition of each fold's complement."""
        return [factors.solve(shrinkage) for factors in self._factors]

    def measure(self, shrinkage: Shrinkage) -> Held:
        """Held-out correlations and scales under one shrinkage."""
        if shrinkage not in self._measured:
            folds = [grid.held_out_moments(shrinkage) for grid in self._grids]
            r = min(fold.shape[1] for fold in folds)
            a2, b2, ab = np.mean([fold[:, :r] for fold in folds], axis=0)
            a2, b2 = np.maximum(a2, _VARIANCE_FLOOR), np.maximum(b2, _VARIANCE_FLOOR)
            weights = np.clip(ab / np.sqrt(a2 * b2), 0.0, _WEIGHT_CEILING)
            self._measured[shrinkage] = Held(weights, np.sqrt(a2), np.sqrt(b2))
        return self._measured[shrinkage]

    def best_shrinkage(self) -> Shrinkage:
        """The shrinkage whose held-out coordinates carry the most mutual information.

        A coarse grid over the log-odds of both shrinkages, then a climb from its best point with ever smaller steps.
        """
        best = self._best_of([(gx, gy) for gx in _COARSE_LOG_ODDS for gy in _COARSE_LOG_ODDS])
        for step in _CLIMB_STEPS:
            while (better := self._best_of([best, *_around(best, step)])) != best:
                best = better
        return _shrinkage(best)

    def _best_of(self, log_odds: list[tuple[float, float]]) -> tuple[float, float]:
        return max(log_odds, key=lambda point: self.measure(_shrinkage(point)).mutual_information)


class _FoldGrid:
    """Held-out moments of one fold's canonical coordinates, for many shrinkages at the cost of few.

    With C the cross moment between the eigenbases and D = diag(d) the whitening scales, T = Dx C Dy and T'T = Dy (C' Dx^2 C) Dy.
    All that a pair (gx, gy) needs from the larger view are three matrices of the smaller view's size, made once per gx.
    """

    def __init__(self, factors: Factors, fold: Moments, complement: Moments):
        sxx, syy, sxy = _about(fold, complement)
        x, y, C = factors.x, factors.y, factors.cross
        Hx, Hy, Hxy = x.vectors.T @ sxx @ x.vectors, y.vectors.T @ syy @ y.vectors, x.vectors.T @ sxy @ y.vectors
        self._swapped = len(x.values) < len(y.values)
        self._large, self._small = (y, x) if self._swapped else (x, y)
        self._C, self._H_cross = (C.T, Hxy.T) if self._swapped else (C, Hxy)
        self._H_large, self._H_small = (Hy, Hx) if self._swapped else (Hx, Hy)
        self._reduced: dict[float, tuple[Float64, Float64, Float64]] = {}

    def held_out_moments(self, shrinkage: Shrinkage) -> Float64:
        """Rows: held-out E[a_i^2], E[b_i^2], E[a_i b_i] of the canonical coordinates; shape (3, r)."""
        g_large, g_small = reversed(shrinkage) if self._swapped else shrinkage
        G, P, Q = self._reduce(g_large)
        scale = self._small.whitening_scale(g_small)
        values, V = linalg.eigh(scale[:, None] * G * scale, check_finite=False, driver="evd")
        keep = values > values[-1] * 1e-12
        rho, W = np.sqrt(values[keep][::-1]), (scale[:, None] * V[:, keep])[:, ::-1]
        large = _diagonal(W, P, W) / rho**2
        small = _diagonal(W, self._H_small, W)
        cross = _diagonal(W, Q, W) / rho
        return np.array([small, large, cross] if self._swapped else [large, small, cross])

    def _reduce(self, shrinkage: float) -> tuple[Float64, Float64, Float64]:
        if shrinkage not in self._reduced:
            DC = self._large.whitening_scale(shrinkage)[:, None] ** 2 * self._C
            self._reduced[shrinkage] = (self._C.T @ DC, DC.T @ self._H_large @ DC, DC.T @ self._H_cross)
        return self._reduced[shrinkage]


def _about(fold: Moments, complement: Moments) -> tuple[Float64, Float64, Float64]:
    """Second moments of a fold about the *training* means, as they are met when the fold is projected."""
    dx, dy = fold.mean_x - complement.mean_x, fold.mean_y - complement.mean_y
    return (
        fold.cxx / fold.n + np.outer(dx, dx),
        fold.cyy / fold.n + np.outer(dy, dy),
        fold.cxy / fold.n + np.outer(dx, dy),
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
