"""The fits behind the estimator: from pairs, cross-fitted or by hand, and from moments alone."""

import logging
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from csa.core import diagnostics
from csa.core.alignment import Alignment
from csa.core.asked import Asked
from csa.core.crossfit import CrossFit
from csa.core.held import Held
from csa.core.hubness import HubnessCorrection
from csa.core.matrices import check_varies
from csa.core.moments import Moments
from csa.core.on_device import on_gpu
from csa.core.preparation import Preparation
from csa.core.routes import decompose
from csa.core.rows import Features, checked_pairs, some_rows
from csa.core.scores import LikelihoodRatioScore, Score
from csa.core.select import best_shrinkage, choose_recipe, held_out_retrieval
from csa.core.shrinkage import Shrinkage
from csa.core.solve import solve
from csa.core.training import MAX_HUB_ITEMS, Training
from csa.errors import InputError

Tried = dict[str, list[dict[str, Any]]]
"""What was compared on held-out folds, in order: "recipes" and "scores"."""

_log = logging.getLogger(__name__)

# Assumed scatter, over groups, of the difference between two scores' reciprocal ranks: those of one
# query mostly agree.
_MRR_SCATTER = 0.2


def fit_pairs(asked: Asked, X: Any, Y: Any, groups: ArrayLike | None) -> tuple[Alignment, Tried]:
    """Fit on paired features.

    Args:
        asked: what is named and what is to be chosen.
        X: first view, shape (n, p).
        Y: second view, shape (n, q); row i belongs to row i of X.
        groups: labels, shape (n,); None takes each pair for a group of its own.

    Returns:
        The alignment, and what was tried.

    Raises:
        FeatureError: unusable arrays.
        InputError: groups of another shape.
    """
    tried: Tried = {"recipes": [], "scores": []}
    if asked.of_moments and on_gpu(X, Y) and len(X) > max(X.shape[1], Y.shape[1]):
        return fit_moments(asked, Moments.from_arrays(X, Y), None), tried
    x, y = checked_pairs(X, Y)
    labels = np.arange(len(x)) if groups is None else np.asarray(groups)
    if labels.shape != (len(x),):
        raise InputError(
            f"groups must have one label per pair, shape ({len(x)},); got shape {labels.shape}"
        )
    if asked.fixed_by_hand:
        return _fit_by_hand(asked, x, y), tried
    for view, name in ((x, "X"), (y, "Y")):
        check_varies(view, name)  # here, since a fold's error would count that fold's rows
    training = Training.of(x, y, labels, asked.folds, asked.seed)
    if asked.whole_recipe:
        recipe, trials = choose_recipe(training)
        tried["recipes"] = [asdict(trial) for trial in trials]
        prepare, shrinkage = (recipe.prepare_x, recipe.prepare_y), recipe.shrinkage
        alignment, tried["scores"] = _cross_fit(asked, recipe.training, prepare, shrinkage)
        return alignment, tried
    prepare = asked.given_preparation(x, y)
    training = training.prepared(*prepare)
    shrinkage = asked.given_shrinkage() or best_shrinkage(training)
    alignment, tried["scores"] = _cross_fit(asked, training, prepare, shrinkage)
    return alignment, tried


def fit_moments(asked: Asked, moments: Moments, folds: list[Moments] | None) -> Alignment:
    """Fit on moments alone.

    Args:
        asked: what is named and what is to be chosen.
        moments: of all training pairs.
        folds: the same pairs' moments, fold by fold.

    Returns:
        The alignment.

    Raises:
        InputError: something is asked for, or left on "auto", that moments cannot decide.
    """
    if asked.features_changed:
        raise InputError(
            "preparation and hubness need features, but only moments were given; fit on features"
        )
    shrinkage = asked.given_shrinkage()
    if asked.of_moments and shrinkage is not None:
        decomposition = solve(moments, shrinkage)
        score = asked.candidates(Held.unscaled(decomposition.rho))[0]
        alignment = Alignment.of(moments, decomposition, shrinkage, score)
        return replace(alignment, notes=_in_sample(asked, alignment))
    if folds is None:
        raise InputError(
            "total moments cannot be cross-fitted; give folds=[...] (moments of each fold), "
            'or fix everything: score="canonical", shrinkage=..., n_components=...'
        )
    crossfit = CrossFit(folds)
    shrinkage = shrinkage or crossfit.best_shrinkage()
    held, decomposition = crossfit.measure(shrinkage), solve(crossfit.total, shrinkage)
    candidates = asked.candidates(Held.unscaled(decomposition.rho) if asked.published else held)
    if asked.score != "auto" and len(candidates) > 1:
        raise InputError(
            f"moments cannot choose n_components of the {asked.score} score; give it, or fit "
            f"on features"
        )
    score = LikelihoodRatioScore.of(held) if asked.score == "auto" else candidates[0]
    alignment = Alignment.of(
        crossfit.total, decomposition, shrinkage, score.leading(len(decomposition.rho))
    )
    notes = diagnostics.held_out(alignment.training_correlations, held, moments.n, None)
    return replace(alignment, notes=notes)


def _fit_by_hand(asked: Asked, x: Features, y: Features) -> Alignment:
    shrinkage = asked.given_shrinkage() or Shrinkage(0.0, 0.0)
    prepare_x, prepare_y = asked.given_preparation(x, y)
    X, Y = prepare_x.of_rows(x), prepare_y.of_rows(y)
    moments, decomposition = decompose(X, Y, shrinkage)
    score = asked.candidates(Held.unscaled(decomposition.rho))[0]
    alignment = Alignment.of(moments, decomposition, shrinkage, score)
    correction = None
    if asked.hubness is True:
        bank = (some_rows(features, MAX_HUB_ITEMS, asked.seed) for features in (X, Y))
        a, b = decomposition.coordinates(moments, *bank)
        correction = HubnessCorrection.of(score, a, b, asked.seed)
    return replace(
        alignment,
        hubness=correction,
        notes=_in_sample(asked, alignment),
        prepare_x=prepare_x,
        prepare_y=prepare_y,
    )


def _cross_fit(
    asked: Asked,
    training: Training,
    prepare: tuple[Preparation, Preparation],
    shrinkage: Shrinkage,
) -> tuple[Alignment, list[dict[str, Any]]]:
    """Choose the score where there is a choice, in the dimensions of `training`; then fit it
    in all dimensions. Returns the alignment, and the scores that were tried.
    """
    exact = training if training.dimensions is None else training.sketched(None)
    moments, decomposition = decompose(training.X, training.Y, shrinkage, exact.compact.moments)
    held, hubness = training.compact.crossfit.measure(shrinkage), asked.hubness is True
    candidates = asked.candidates(Held.unscaled(decomposition.rho) if asked.published else held)
    values = held_out_retrieval(training, shrinkage, candidates, hubness)
    tried = [_trial(score, hubness, mrr) for score, mrr in zip(candidates, values, strict=True)]
    chosen = int(np.argmax(values))
    if asked.score == "auto" and values[0] > values[chosen] - _MRR_SCATTER / np.sqrt(
        training.groups
    ):
        chosen = 0  # as good as can be told from so many groups
    best, value = candidates[chosen], values[chosen]
    if asked.hubness == "auto" and asked.whole_recipe and best.weights.max(initial=0.0) > 0:
        corrected = held_out_retrieval(training, shrinkage, [best], hubness=True)[0]
        tried.append(_trial(best, True, corrected))
        hubness, value = corrected > value, max(corrected, value)
    _log.info(
        "chose %s%s: held-out MRR %.3f; fitting it in all dimensions",
        best.name,
        ", hubness corrected" * hubness,
        value,
    )
    if exact is not training:
        held = exact.compact.crossfit.measure(shrinkage)
        best = best.with_weights(held)
    best, correction = best.leading(len(decomposition.rho)), None
    if hubness:
        rows = training.for_hubs
        a, b = decomposition.coordinates(moments, training.X[rows], training.Y[rows])
        correction = HubnessCorrection.of(best, a, b, asked.seed)
    alignment = Alignment.of(moments, decomposition, shrinkage, best)
    whole = replace(
        alignment,
        hubness=correction,
        notes=diagnostics.held_out(alignment.training_correlations, held, training.groups, value),
        prepare_x=prepare[0],
        prepare_y=prepare[1],
    )
    return whole, tried


def _in_sample(asked: Asked, alignment: Alignment) -> dict[str, Any]:
    return diagnostics.in_sample(
        alignment.canonical_correlations,
        (alignment.n_pairs, len(alignment.A), len(alignment.B)),
        unshrunk=asked.given_shrinkage() == (0.0, 0.0),
    )


def _trial(score: Score, hubness: bool, held_out_mrr: float) -> dict[str, Any]:
    return {
        "score": score.name,
        "n_components": len(score.weights) if score.truncated else None,
        "hubness_corrected": hubness,
        "held_out_mrr": held_out_mrr,
    }
