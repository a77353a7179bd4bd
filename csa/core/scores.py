"""Similarities of canonical coordinates, all in inner-product form: score(x, y) = left(a) .
right(b).

One GEMM scores a whole gallery, and any inner-product index can hold it.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from csa.core.clusters import cluster_centres, distinct_rows
from csa.core.moments import Float64
from csa.core.preparation import unit

ScoreName = Literal["likelihood_ratio", "normalised_likelihood_ratio", "canonical"]

_MAX_HUB_CENTRES = 2000
_ITEMS_PER_HUB_CENTRE = 2
_HUB_BLOCK_ROWS = 4096


@dataclass(frozen=True, eq=False)
class CanonicalScore:
    """The paper's canonical similarity (Li et al. 2024, eq. 4).

    S(x, y; s) = sum_{i <= s} w_i a_i b_i / (||a_{1:s}|| ||b_{1:s}||); a zero vector scores 0. With
    w = rho it is exactly the paper's, with equal weights the cosine of canonical coordinates.

    Attributes:
        weights: w, shape (s,), not negative.
    """

    weights: Float64

    @property
    def name(self) -> ScoreName:
        """`canonical`."""
        return "canonical"

    def left(self, a: Float64) -> Float64:
        """First-view coordinates (n, r) to index vectors (n, s)."""
        return self._vectors(a)

    def right(self, b: Float64) -> Float64:
        """Second-view coordinates (m, r) to index vectors (m, s)."""
        return self._vectors(b)

    def _vectors(self, coordinates: Float64) -> Float64:
        kept = coordinates[:, : len(self.weights)]
        vectors: Float64 = unit(kept) * np.sqrt(self.weights)
        return vectors


@dataclass(frozen=True, eq=False)
class LikelihoodRatioScore:
    """Log-likelihood ratio of "one pair" against "two strangers", in nats, under probabilistic CCA
    (Bach & Jordan 2005).

    L(x, y) = sum_i [(w_i a_i b_i - w_i^2 (a_i^2 + b_i^2) / 2) / (1 - w_i^2) - log(1 - w_i^2) / 2],
    where a_i and b_i are first divided by their held-out standard deviations. Components with w_i =
    0 add nothing and are left out.

    Normalised (as length normalisation in PLDA, Garcia-Romero & Espy-Wilson 2011): a is first
    scaled so that what it predicts of the other view has its expected length, sum w_i^2 a_i^2 = sum
    w_i^2, and b alike. Real features have heavier tails than the Gaussian of the model, and a long
    vector would otherwise be paid for its length. The score is then no longer in nats.

    Attributes:
        weights: w, correlations measured on held-out folds, shape (r,), in [0, 1).
        scale_a, scale_b: held-out standard deviations of the coordinates, shape (r,).
        normalised: bring every item to its expected length first.
    """

    weights: Float64
    scale_a: Float64
    scale_b: Float64
    normalised: bool = False

    @property
    def name(self) -> ScoreName:
        """`likelihood_ratio` or `normalised_likelihood_ratio`."""
        return "normalised_likelihood_ratio" if self.normalised else "likelihood_ratio"

    def left(self, a: Float64) -> Float64:
        """First-view coordinates (n, r) to index vectors (n, k + 2), k the number of weights
        above 0.
        """
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
        w, scaled = self.weights[keep], coordinates[:, : len(keep)][:, keep] / scale[keep]
        if self.normalised:
            length = np.sqrt(scaled**2 @ w**2)[:, None]
            scaled = np.divide(
                scaled, length, out=np.zeros_like(scaled), where=length > 0
            ) * np.linalg.norm(w)
        return w, scaled


PairScore = CanonicalScore | LikelihoodRatioScore


def leading(score: PairScore, r: int) -> PairScore:
    """The score on at most r components: a fold can have one more than the whole, or fewer."""
    if isinstance(score, CanonicalScore):
        return CanonicalScore(score.weights[:r])
    return LikelihoodRatioScore(
        score.weights[:r], score.scale_a[:r], score.scale_b[:r], score.normalised
    )


@dataclass(frozen=True, eq=False)
class HubnessCorrectedScore:
    """A score less what each item scores with its nearest queries of the training set (NNN;
    Chowdhury et al. 2024).

    S'(x, y) = S(x, y) - strength (h(x) + h(y)), with h(y) the mean of y's `neighbours` highest
    scores against the first view's hub centres, and h(x) alike. An item near everything, a hub,
    stops being everybody's answer. The centres are cluster centres of training items' index
    vectors, fixed by the fit, and a centre's score is the mean score of its members: nothing is
    learned from the gallery, and no training item is kept.

    Attributes:
        base: the score that is corrected.
        hubs_left, hubs_right: hub centres of either view under `base`, shapes (m, k) and (m', k).
        strength: share of h that is taken off.
        neighbours: centres that h averages over.
    """

    base: PairScore
    hubs_left: Float64
    hubs_right: Float64
    strength: float = 0.5
    neighbours: int = 8

    @classmethod
    def of(cls, base: PairScore, a: Float64, b: Float64, seed: int) -> "HubnessCorrectedScore":
        """Correct `base` by the training items' coordinates a (n, r) and b (m, r).

        Training coordinates are overfitted, so each is brought to the variance that held-out items
        have.
        """
        scale_a, scale_b = _scales(base)
        left, right = base.left(_rescaled(a, scale_a)), base.right(_rescaled(b, scale_b))
        return cls(base, _hub_centres(left, seed), _hub_centres(right, seed))

    @property
    def name(self) -> ScoreName:
        """Name of the score that is corrected."""
        return self.base.name

    @property
    def weights(self) -> Float64:
        """Weights of the score that is corrected."""
        return self.base.weights

    def left(self, a: Float64) -> Float64:
        """First-view coordinates (n, r) to index vectors (n, k + 2), k the dimension of the
        base's.
        """
        vectors = self.base.left(a)
        return np.column_stack([vectors, -self._hubness(vectors, self.hubs_right), np.ones(len(a))])

    def right(self, b: Float64) -> Float64:
        """Second-view coordinates (m, r) to index vectors (m, k + 2)."""
        vectors = self.base.right(b)
        return np.column_stack([vectors, np.ones(len(b)), -self._hubness(vectors, self.hubs_left)])

    def _hubness(self, vectors: Float64, hubs: Float64) -> Float64:
        k = min(self.neighbours, len(hubs))
        hubness = np.empty(len(vectors))
        for i in range(0, len(vectors), _HUB_BLOCK_ROWS):
            scores = vectors[i : i + _HUB_BLOCK_ROWS] @ hubs.T
            hubness[i : i + _HUB_BLOCK_ROWS] = np.partition(scores, -k, axis=1)[:, -k:].mean(axis=1)
        return self.strength * hubness


Score = PairScore | HubnessCorrectedScore


def _hub_centres(vectors: Float64, seed: int) -> Float64:
    return cluster_centres(
        vectors, max(1, min(_MAX_HUB_CENTRES, len(vectors) // _ITEMS_PER_HUB_CENTRE)), seed
    )


def _rescaled(coordinates: Float64, scale: Float64) -> Float64:
    """Distinct rows, each coordinate brought to standard deviation `scale`."""
    items = coordinates[distinct_rows(coordinates), : len(scale)]
    spread = items.std(axis=0)
    factor: Float64 = np.divide(
        scale[: items.shape[1]], spread, out=np.zeros_like(spread), where=spread > 0
    )
    return items * factor


def _scales(score: PairScore) -> tuple[Float64, Float64]:
    if isinstance(score, LikelihoodRatioScore):
        return score.scale_a, score.scale_b
    return np.ones(len(score.weights)), np.ones(len(score.weights))


def mutual_information(weights: Float64) -> float:
    """Mutual information of jointly Gaussian coordinates with correlations `weights`, in nats."""
    return float(-0.5 * np.log1p(-(weights**2)).sum())


def effective_dimension(weights: Float64) -> float:
    """(sum w^2)^2 / sum w^4: how many equally strong components would carry the same signal; 0
    without any.
    """
    total = float((weights**2).sum())
    return total**2 / float((weights**4).sum()) if total > 0 else 0.0
