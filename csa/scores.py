"""Similarities of canonical coordinates, all in inner-product form: score(x, y) = left(a) . right(b).

One GEMM scores a whole gallery, and any inner-product index can hold it.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from csa.moments import Float64

ScoreName = Literal["likelihood_ratio", "canonical"]


@dataclass(frozen=True, eq=False)
class CanonicalScore:
    """The paper's canonical similarity (Li et al. 2024, eq. 4).

    S(x, y; s) = sum_{i <= s} w_i a_i b_i / (||a_{1:s}|| ||b_{1:s}||); a zero vector scores 0. With w = rho it is
    exactly the paper's, with equal weights the cosine of canonical coordinates.

    Attributes:
        weights: w, shape (s,), not negative.
    """

    weights: Float64

    def left(self, a: Float64) -> Float64:
        """First-view coordinates (n, r) to index vectors (n, s)."""
        return self._vectors(a)

    def right(self, b: Float64) -> Float64:
        """Second-view coordinates (m, r) to index vectors (m, s)."""
        return self._vectors(b)

    def _vectors(self, coordinates: Float64) -> Float64:
        kept = coordinates[:, : len(self.weights)]
        norm = np.linalg.norm(kept, axis=1, keepdims=True)
        unit = np.divide(kept, norm, out=np.zeros_like(kept), where=norm > 0)
        vectors: Float64 = unit * np.sqrt(self.weights)
        return vectors


@dataclass(frozen=True, eq=False)
class LikelihoodRatioScore:
    """Log-likelihood ratio of "one pair" against "two strangers", in nats, under probabilistic CCA (Bach & Jordan 2005).

    L(x, y) = sum_i [(w_i a_i b_i - w_i^2 (a_i^2 + b_i^2) / 2) / (1 - w_i^2) - log(1 - w_i^2) / 2], where a_i and b_i are first
    divided by their held-out standard deviations. Components with w_i = 0 add nothing and are left out.

    Attributes:
        weights: w, correlations measured on held-out folds, shape (r,), in [0, 1).
        scale_a, scale_b: held-out standard deviations of the coordinates, shape (r,).
    """

    weights: Float64
    scale_a: Float64
    scale_b: Float64

    def left(self, a: Float64) -> Float64:
        """First-view coordinates (n, r) to index vectors (n, k + 2), k the number of weights above 0."""
        w, a = self._informative(a, self.scale_a)
        penalty = -(a**2) @ (w**2 / (1 - w**2)) / 2 + self.mutual_information
        return np.column_stack([a * (w / (1 - w**2)), penalty, np.ones(len(a))])

    def right(self, b: Float64) -> Float64:
        """Second-view coordinates (m, r) to index vectors (m, k + 2)."""
        w, b = self._informative(b, self.scale_b)
        penalty = -(b**2) @ (w**2 / (1 - w**2)) / 2
        return np.column_stack([b, np.ones(len(b)), penalty])

    @property
    def mutual_information(self) -> float:
        """sum_i -log(1 - w_i^2) / 2, in nats: what one view tells of the other."""
        return mutual_information(self.weights)

    def _informative(self, coordinates: Float64, scale: Float64) -> tuple[Float64, Float64]:
        keep = self.weights > 0
        return self.weights[keep], coordinates[:, : len(keep)][:, keep] / scale[keep]


Score = CanonicalScore | LikelihoodRatioScore


def mutual_information(weights: Float64) -> float:
    """Mutual information of jointly Gaussian coordinates with correlations `weights`, in nats."""
    return float(-0.5 * np.log1p(-(weights**2)).sum())


def effective_dimension(weights: Float64) -> float:
    """(sum w^2)^2 / sum w^4: how many equally strong components would carry the same signal; 0 without any."""
    total = float((weights**2).sum())
    return total**2 / float((weights**4).sum()) if total > 0 else 0.0
