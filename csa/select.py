"""Choose score and dimensions from the training pairs alone, by retrieval inside the held-out folds of the cross-fitting."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from csa.crossfit import Held
from csa.errors import FeatureError
from csa.moments import Array, Float64, Moments
from csa.scores import CanonicalScore, LikelihoodRatioScore, Score
from csa.search import best_ranks
from csa.solve import Decomposition

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
