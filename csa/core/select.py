"""Choose the recipe of a fit from its training pairs alone: preparation, shrinkage, score and
hubness correction.

Everything is judged by retrieval inside held-out folds, which never split a group; shrinkage alone
is judged by the mutual information of held-out coordinates, which moments give
(`csa.core.crossfit`). One question is asked at a time, each with the answers so far.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csa.core.clusters import distinct_rows
from csa.core.held import Held
from csa.core.hubness import HubnessCorrection
from csa.core.matrices import Float64
from csa.core.preparation import RAW, Preparation, PreparationName
from csa.core.scores import NormalisedLikelihoodRatioScore, Score
from csa.core.search import best_ranks
from csa.core.shrinkage import Shrinkage, climb
from csa.core.threads import each
from csa.core.training import Training

_log = logging.getLogger(__name__)

# A norm or a root shows its worth on few pairs. A kernel is worth more the more pairs there are, so
# it is tried on more.
_PLAIN_TRIAL_PAIRS = 4000
_KERNEL_TRIAL_PAIRS = 15_000
_KERNEL_MIN_ITEMS = 2000
# Principal dimensions of either view in which candidates are compared; the chosen one is then
# fitted in all.
TRIAL_DIMENSIONS = 384
# Steps in the log-odds of both shrinkages.
_RAISES = ((1.0, 1.0), (1.0, 0.0), (0.0, 1.0))


@dataclass(frozen=True, eq=False)
class Recipe:
    """Preparation and shrinkage for some training pairs.

    Attributes:
        training: the pairs, prepared, in the principal dimensions they were judged in.
        prepare_x, prepare_y: their preparation.
        shrinkage: (gx, gy).
        held_out_mrr: mean reciprocal rank in held-out folds under the normalised likelihood ratio.
    """

    training: Training
    prepare_x: Preparation
    prepare_y: Preparation
    shrinkage: Shrinkage
    held_out_mrr: float


@dataclass(frozen=True)
class Trial:
    """A recipe that was tried: names of both preparations, on how many pairs, at which
    shrinkage, and its held-out MRR.
    """

    preparation: tuple[str, str]
    pairs: int
    shrinkage: Shrinkage
    held_out_mrr: float


def choose_recipe(training: Training) -> tuple[Recipe, list[Trial]]:
    """Preparation and shrinkage for the normalised likelihood ratio, by held-out retrieval; and all
    that was tried, in order.

    Norm and root first, a view at a time, on a part of the pairs and under the shrinkage that suits
    the raw features; then the kernel, on more pairs and under its own.
    """
    tried: list[Trial] = []

    def attempt(
        pairs: Training, x: Preparation, y: Preparation, shrinkage: Shrinkage | None = None
    ) -> Recipe:
        recipe = _try(pairs, x, y, shrinkage)
        tried.append(Trial((x.name, y.name), len(pairs.X), recipe.shrinkage, recipe.held_out_mrr))
        return recipe

    sketch = training.sketched(TRIAL_DIMENSIONS)
    few = sketch.sample(_PLAIN_TRIAL_PAIRS)
    best = attempt(few, RAW, RAW)
    shrinkage = best.shrinkage
    for view in (0, 1):
        best = max(
            [
                best,
                *(
                    attempt(few, *_with(few, best, view, name), shrinkage)
                    for name in ("unit", "root")
                ),
            ],
            key=_value,
        )
    many = sketch.sample(_KERNEL_TRIAL_PAIRS)
    best = (
        best
        if many is few and best.prepare_x is best.prepare_y is RAW
        else attempt(many, best.prepare_x, best.prepare_y)
    )
    for view in (1, 0):
        items = np.asarray((many.X, many.Y)[view])
        if len(distinct_rows(items)) >= _KERNEL_MIN_ITEMS:
            best = max([best, attempt(many, *_with(many, best, view, "kernel"))], key=_value)
    return (best if many is sketch else attempt(sketch, best.prepare_x, best.prepare_y)), tried


def _with(
    training: Training, recipe: Recipe, view: int, name: PreparationName
) -> tuple[Preparation, Preparation]:
    fitted = Preparation.fit(name, (training.X, training.Y)[view], training.seed)
    return (fitted, recipe.prepare_y) if view == 0 else (recipe.prepare_x, fitted)


def _try(
    training: Training,
    prepare_x: Preparation,
    prepare_y: Preparation,
    shrinkage: Shrinkage | None = None,
) -> Recipe:
    prepared = training.prepared(prepare_x, prepare_y)
    if shrinkage is not None:
        value = _held_out_mrr(prepared, shrinkage, NormalisedLikelihoodRatioScore.of)
    else:
        shrinkage, value = raise_shrinkage(
            prepared, best_shrinkage(prepared), NormalisedLikelihoodRatioScore.of
        )
    _log.info(
        "tried %s and %s features on %d pairs: held-out MRR %.3f at shrinkage %.2g and %.2g",
        *(prepare_x.name, prepare_y.name, len(prepared.X), value, *shrinkage),
    )
    return Recipe(prepared, prepare_x, prepare_y, shrinkage, value)


def raise_shrinkage(
    training: Training, shrinkage: Shrinkage, score: Callable[[Held], Score]
) -> tuple[Shrinkage, float]:
    """More shrinkage than carries the most information, as long as held-out retrieval improves.

    Information counts every weak component in full; retrieval, on features that are not quite
    Gaussian, does better without some.

    Args:
        training: the pairs.
        shrinkage: to start from.
        score: makes the score that is judged of what held-out folds say.

    Returns:
        The shrinkage, and the held-out mean reciprocal rank under it.
    """
    return climb(
        shrinkage,
        lambda at: _held_out_mrr(training, at, score),
        lambda at: (at.raised(*steps) for steps in _RAISES),
    )


def _held_out_mrr(
    training: Training, shrinkage: Shrinkage, score: Callable[[Held], Score]
) -> float:
    judged = score(training.compact.crossfit.measure(shrinkage))
    return held_out_retrieval(training, shrinkage, [judged])[0]


def _value(recipe: Recipe) -> float:
    return recipe.held_out_mrr


def best_shrinkage(training: Training) -> Shrinkage:
    """The shrinkage under which held-out coordinates carry the most mutual information."""
    return training.compact.crossfit.best_shrinkage()


def held_out_retrieval(
    training: Training, shrinkage: Shrinkage, scores: Sequence[Score], hubness: bool = False
) -> list[float]:
    """Mean reciprocal rank of each score inside the held-out folds, averaged over both directions
    and all folds.

    Args:
        training: the pairs.
        shrinkage: under which each fold's complement is decomposed.
        scores: the candidates.
        hubness: correct each score by the hub centres of the fold's complement.

    Returns:
        A value in (0, 1] for each score.
    """
    folds = held_out_ranks(training, shrinkage, scores, hubness)
    values = np.zeros(len(scores))
    for fold in folds:
        values += [forward.mean() + backward.mean() for forward, backward in fold.reciprocal]
    return [float(value) / (2 * len(folds)) for value in values]


@dataclass(frozen=True, eq=False)
class FoldRanks:
    """Reciprocal ranks of the pairs of one held-out fold, or of some of them.

    Attributes:
        rows: of the pairs, shape (n,).
        reciprocal: of each score and in either direction, shape (scores, 2, n).
    """

    rows: NDArray[np.intp]
    reciprocal: Float64


def reciprocal_ranks(
    left: Float64,
    right: Float64,
    group: NDArray[np.intp],
    strangers: tuple[Float64, Float64] | None = None,
) -> Float64:
    """Reciprocal ranks of pairs among each other, in both directions.

    Args:
        left, right: index vectors of the pairs, shape (n, k) each.
        group: of each pair, shape (n,); pairs of one group are relevant to each other.
        strangers: index vectors of further items of either view, relevant to no pair.

    Returns:
        Shape (2, n).
    """
    query, gallery = np.nonzero(group[:, None] == group)
    first, second = left.astype(np.float32), right.astype(np.float32)
    galleries = [first, second]
    if strangers is not None:
        galleries = [
            np.vstack([pairs, more.astype(np.float32)])
            for pairs, more in zip(galleries, strangers, strict=True)
        ]
    forward = best_ranks(first, galleries[1], (query, gallery))
    backward = best_ranks(second, galleries[0], (query, gallery))
    return np.array([1 / forward, 1 / backward])


def held_out_ranks(
    training: Training, shrinkage: Shrinkage, scores: Sequence[Score], hubness: bool = False
) -> list[FoldRanks]:
    """Reciprocal ranks of each score inside the held-out folds.

    Args:
        training: the pairs.
        shrinkage: under which each fold's complement is decomposed.
        scores: the candidates.
        hubness: correct each score by the hub centres of the fold's complement.

    Returns:
        One for each fold.
    """
    pairs = training.compact
    decompositions = pairs.crossfit.decompositions(shrinkage)

    def in_fold(k: int) -> FoldRanks:
        mean, decomposition = pairs.crossfit.complements[k], decompositions[k]

        def project(rows: NDArray[np.intp]) -> tuple[Float64, Float64]:
            return decomposition.coordinates(mean, pairs.X[rows], pairs.Y[rows])

        rows = training.of_fold(k)
        a, b = project(rows)
        rest = project(training.outside_fold(k)) if hubness else None
        group = training.group[rows]
        reciprocal = np.empty((len(scores), 2, len(rows)))
        for i, whole in enumerate(scores):
            score = whole.leading(len(decomposition.rho))
            left, right = score.left(a), score.right(b)
            if rest is not None:
                correction = HubnessCorrection.of(score, *rest, training.seed)
                left, right = correction.left(left), correction.right(right)
            reciprocal[i] = reciprocal_ranks(left, right, group)
        return FoldRanks(rows, reciprocal)

    return each(in_fold, range(len(decompositions)))
