"""Choose the recipe of a fit from its training pairs alone: preparation, shrinkage, score and hubness correction.

Everything is judged by retrieval inside held-out folds, which never split a group; shrinkage alone is judged by the mutual information
of held-out coordinates, which moments give (`csa.crossfit`). One question is asked at a time, each with the answers so far.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

from csa.clusters import distinct_rows
from csa.crossfit import CrossFit, Held, Shrinkage
from csa.errors import FeatureError
from csa.moments import Array, Float64, Moments
from csa.preparation import RAW, Preparation, PreparationName
from csa.scores import CanonicalScore, HubnessCorrectedScore, LikelihoodRatioScore, PairScore, Score
from csa.search import best_ranks
from csa.solve import Decomposition

# Retrieval inside a fold needs no more pairs than this to rank a handful of candidates, nor hub centres more items.
_MAX_FOLD_PAIRS = 2000
_MAX_HUB_ITEMS = 6000
# A norm or a root shows its worth on few pairs. A kernel is worth more the more pairs there are, so it is tried on more.
_PLAIN_TRIAL_PAIRS = 4000
_KERNEL_TRIAL_PAIRS = 15_000
_KERNEL_MIN_ITEMS = 200


@dataclass(frozen=True, eq=False)
class Training:
    """Training pairs and their folds.

    Attributes:
        X, Y: features, (n, p) and (n, q).
        group: group number of each pair; pairs of one group are relevant to each other.
        fold: fold number of each pair.
        seed: of all random choices.
    """

    X: Array
    Y: Array
    group: NDArray[np.intp]
    fold: NDArray[np.intp]
    seed: int

    @classmethod
    def of(cls, X: Array, Y: Array, groups: ArrayLike, folds: int, seed: int) -> "Training":
        """Assign folds.

        Raises:
            FeatureError: fewer than 2 groups.
        """
        group = np.unique(np.asarray(groups), return_inverse=True)[1]
        return cls(X, Y, group, assign_folds(group, folds, seed), seed)

    @cached_property
    def crossfit(self) -> CrossFit:
        """Cross-fitting from the folds' moments, computed once."""
        numbers = range(int(self.fold.max()) + 1)
        return CrossFit([Moments.from_arrays(self.X[self.fold == k], self.Y[self.fold == k]) for k in numbers])

    def prepared(self, prepare_x: Preparation, prepare_y: Preparation) -> "Training":
        """The same pairs with prepared features."""
        return replace(self, X=prepare_x(self.X), Y=prepare_y(self.Y))

    def sample(self, pairs: int) -> "Training":
        """About so many of the pairs, whole groups of every fold; all if there are no more."""
        if len(self.X) <= pairs:
            return self
        order = np.random.default_rng(self.seed).permutation(int(self.group.max()) + 1)
        share = pairs / len(self.X)
        # Folds are a shuffle of groups already, so the first groups of another shuffle hold some of each.
        rows = np.flatnonzero(np.isin(self.group, order[: max(2, round(share * len(order)))]))
        group = np.unique(self.group[rows], return_inverse=True)[1]
        folds = int(self.fold.max()) + 1
        return Training(self.X[rows], self.Y[rows], group, assign_folds(group, folds, self.seed), self.seed)


@dataclass(frozen=True, eq=False)
class Recipe:
    """What was chosen for the training pairs (already prepared), and how well it did on held-out folds."""

    training: Training
    prepare_x: Preparation
    prepare_y: Preparation
    shrinkage: Shrinkage
    held_out_mrr: float


def choose_recipe(training: Training) -> Recipe:
    """Preparation and shrinkage for the normalised likelihood ratio, by held-out retrieval.

    Norm and root first, a view at a time, on a part of the pairs; then the kernel, on more.
    """
    few = training.sample(_PLAIN_TRIAL_PAIRS)
    best = _try(few, RAW, RAW)
    for view in (0, 1):
        best = max([best, *(_try(few, *_with(few, best, view, name)) for name in ("unit", "root"))], key=_value)
    many = training.sample(_KERNEL_TRIAL_PAIRS)
    best = _try(many, best.prepare_x, best.prepare_y) if many is not few else best
    for view in (1, 0):
        if len(distinct_rows((many.X, many.Y)[view])) >= _KERNEL_MIN_ITEMS:
            best = max([best, _try(many, *_with(many, best, view, "kernel"))], key=_value)
    return best if many is training else _try(training, best.prepare_x, best.prepare_y)


def _with(training: Training, recipe: Recipe, view: int, name: PreparationName) -> tuple[Preparation, Preparation]:
    fitted = Preparation.fit(name, (training.X, training.Y)[view], training.seed)
    return (fitted, recipe.prepare_y) if view == 0 else (recipe.prepare_x, fitted)


def _try(training: Training, prepare_x: Preparation, prepare_y: Preparation) -> Recipe:
    prepared = training.prepared(prepare_x, prepare_y)
    shrinkage = prepared.crossfit.best_shrinkage()
    score = likelihood_ratio(prepared.crossfit.measure(shrinkage), normalised=True)
    return Recipe(prepared, prepare_x, prepare_y, shrinkage, held_out_retrieval(prepared, shrinkage, [score])[0])


def _value(recipe: Recipe) -> float:
    return recipe.held_out_mrr


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
    training: Training, shrinkage: Shrinkage, scores: Sequence[PairScore], hubness: bool = False
) -> list[float]:
    """Mean reciprocal rank of each score inside the held-out folds, averaged over both directions and all folds.

    Args:
        training: the pairs.
        shrinkage: under which each fold's complement is decomposed.
        scores: the candidates.
        hubness: correct each score by the hub centres of the fold's complement.
    """
    crossfit, totals = training.crossfit, np.zeros(len(scores))
    decompositions = crossfit.decompositions(shrinkage)
    for k, (complement, decomposition) in enumerate(zip(crossfit.complements, decompositions, strict=True)):

        def project(rows: NDArray[np.intp], m: Moments = complement, d: Decomposition = decomposition) -> tuple[Float64, Float64]:
            return (training.X[rows] - m.mean_x) @ d.A, (training.Y[rows] - m.mean_y) @ d.B

        rows = _some(np.flatnonzero(training.fold == k), _MAX_FOLD_PAIRS, training.seed)
        a, b = project(rows)
        rest = project(_some(np.flatnonzero(training.fold != k), _MAX_HUB_ITEMS, training.seed)) if hubness else None
        relevant = np.nonzero(training.group[rows][:, None] == training.group[rows])
        for i, base in enumerate(scores):
            score: Score = base if rest is None else HubnessCorrectedScore.of(base, *rest, training.seed)
            left, right = score.left(a), score.right(b)
            forward, backward = best_ranks(left, right, relevant), best_ranks(right, left, relevant)
            totals[i] += (1 / forward).mean() + (1 / backward).mean()
    return [float(total) / (2 * len(decompositions)) for total in totals]


def hub_items(training: Training) -> NDArray[np.intp]:
    """Rows of the training items that hub centres are made from."""
    return _some(np.arange(len(training.X)), _MAX_HUB_ITEMS, training.seed)


def _some(rows: NDArray[np.intp], most: int, seed: int) -> NDArray[np.intp]:
    return rows if len(rows) <= most else np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def component_grid(r: int) -> list[int]:
    """Numbers of canonical dimensions worth trying out of r: about 3 per doubling."""
    return sorted({min(r, round(2 ** (k / 3))) for k in range(3 * int(np.ceil(np.log2(max(r, 2)))) + 1)})


def canonical_candidates(weights: Float64, n_components: int | None) -> list[CanonicalScore]:
    """Canonical scores with the given number of components, or with each of a grid."""
    sizes = [n_components] if n_components else component_grid(len(weights))
    return [CanonicalScore(weights[:s]) for s in sizes]


def likelihood_ratio(held: Held, normalised: bool = False) -> LikelihoodRatioScore:
    """The likelihood-ratio score with cross-fitted weights and scales.

    Canonical pairs come in descending strength, so weights that rise with the component are noise of the folds: they are replaced by
    their closest descending sequence (isotonic regression).
    """
    weights: Float64 = isotonic_regression(held.weights, increasing=False).x
    return LikelihoodRatioScore(np.clip(weights, 0.0, held.weights.max(initial=0.0)), held.scale_a, held.scale_b, normalised)
