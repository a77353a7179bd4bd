"""Choose shrinkage, weights, score and dimensions from the training pairs alone, by grouped cross-fitting.

Every training complement is the total moments minus a fold's, and each view's eigendecomposition serves its whole shrinkage grid.
What a shrinkage is worth is the mutual information of the *held-out* canonical coordinates, which needs only moments; which score
and how many dimensions to use is decided by retrieval inside the held-out folds, which needs features.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg

from csa.errors import FeatureError
from csa.moments import Array, Float64, Moments
from csa.scores import CanonicalScore, LikelihoodRatioScore, Score, mutual_information
from csa.search import best_ranks
from csa.solve import Decomposition, Factors

Shrinkage = tuple[float, float]

# Shrinkages are searched as log-odds: -4, -1, 2 are about 0.02, 0.27 and 0.88.
_COARSE_LOG_ODDS = (-4.0, -1.0, 2.0)
_CLIMB_STEPS = (1.5, 0.75)
_MAX_LOG_ODDS = 10.0
_WEIGHT_CEILING = 0.999
# Held-out variance below this share of the component's in-sample variance is noise, and dividing by it would blow up the score.
_VARIANCE_FLOOR = 0.05
# Retrieval inside a fold needs no more pairs than this to rank a handful of candidates.
_MAX_FOLD_PAIRS = 2000


def assign_folds(groups: ArrayLike, folds: int, seed: int) -> NDArray[np.intp]:
    """Fold number of every pair; a group is never split and folds have as equal numbers of groups as can be.

    Raises:
        FeatureError: fewer than 2 groups.
    """
    _, group_of = np.unique(np.asarray(groups), return_inverse=True)
    count = int(group_of.max(initial=-1)) + 1
    if count < 2:
        raise FeatureError(
            f"cross-fitting needs pairs of at least 2 groups, got {count}; fix shrinkage and score by hand, or add pairs"
        )
    fold_of_group = np.random.default_rng(seed).permutation(count) % min(folds, count)
    fold: NDArray[np.intp] = fold_of_group[group_of]
    return fold


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


def held_out_retrieval(
    X: Array,
    Y: Array,
    groups: NDArray[np.intp],
    fold: NDArray[np.intp],
    fits: list[tuple[Moments, Decomposition]],
    scores: list[Score],
) -> list[float]:
    """Mean reciprocal rank of each score inside the held-out folds, averaged over both directions and all folds.

    Args:
        X, Y: features, (n, p) and (n, q).
        groups: group number of each pair; pairs of one group are relevant to each other.
        fold: fold number of each pair.
        fits: per fold, the moments of its complement and their decomposition.
        scores: the candidates.
    """
    totals = np.zeros(len(scores))
    for k, (complement, decomposition) in enumerate(fits):
        rows = np.flatnonzero(fold == k)[:_MAX_FOLD_PAIRS]
        a = (X[rows] - complement.mean_x) @ decomposition.A
        b = (Y[rows] - complement.mean_y) @ decomposition.B
        query, gallery = np.nonzero(groups[rows][:, None] == groups[rows])
        for i, score in enumerate(scores):
            left, right = score.left(a), score.right(b)
            forward, backward = best_ranks(left, right, (query, gallery)), best_ranks(right, left, (query, gallery))
            totals[i] += (1 / forward).mean() + (1 / backward).mean()
    return [float(total) / (2 * len(fits)) for total in totals]


def component_grid(r: int) -> list[int]:
    """Numbers of canonical dimensions worth trying out of r: about 3 per doubling."""
    return sorted({min(r, round(2 ** (k / 3))) for k in range(3 * int(np.ceil(np.log2(max(r, 2)))) + 1)})


def canonical_candidates(weights: Float64, n_components: int | None) -> list[CanonicalScore]:
    """Canonical scores with the given number of components, or with each of a grid."""
    sizes = [n_components] if n_components else component_grid(len(weights))
    return [CanonicalScore(weights[:s]) for s in sizes]


def likelihood_ratio(held: Held) -> LikelihoodRatioScore:
    """The likelihood-ratio score with cross-fitted weights and scales."""
    return LikelihoodRatioScore(held.weights, held.scale_a, held.scale_b)


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
