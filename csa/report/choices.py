"""What the fit chose and why, in words drawn from fit.json."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from csa.params.fit import FitParams
from csa.results.fit import FitReport, TriedRecipe, TriedScore
from csa.results.words import spaced

_TAKEN_OVER = "the champion's, as they do on today's pairs too (`fit.search: full` searches anew)"


@dataclass(frozen=True)
class Choice:
    """One choice: what, its outcome, and the reason."""

    what: str
    taken: str
    why: str


@dataclass(frozen=True)
class Candidate:
    """What was tried and what held-out folds said of it."""

    name: str
    held_out_mrr: float
    taken: bool
    note: str = ""


def choices(fit: FitReport, asked: FitParams, views: tuple[str, str]) -> list[Choice]:
    """Every choice of a fit.

    Args:
        fit: fit.json.
        asked: the parameters; what is not "auto" there was not chosen.
        views: names of both views.

    Returns:
        A choice each, in the order in which they are made.
    """
    recipes, scores = fit.compared.recipes, fit.compared.scores
    shrinkage = _both([f"{g:.2f}" for g in fit.shrinkage], views)
    rows: list[tuple[str, Any, str, Callable[[], str]]] = [
        (
            "preparation",
            asked.preparation,
            _both(fit.preparation, views),
            lambda: _why_preparation(recipes, fit),
        ),
        ("shrinkage", asked.shrinkage, shrinkage, lambda: _why_shrinkage(recipes)),
        (
            "score",
            asked.score,
            spaced(fit.score),
            lambda: _why_score(scores, fit.score),
        ),
        (
            "components",
            asked.n_components,
            f"{fit.n_components:,}",
            lambda: _why_components(fit),
        ),
        (
            "hubness correction",
            asked.hubness,
            "yes" if fit.hubness_corrected else "no",
            lambda: _why_hubness(scores),
        ),
    ]
    taken_over = fit.searched is not None and fit.searched.road == "champion"
    return [
        Choice(
            what,
            taken,
            "set in params.yaml" if given != "auto" else _TAKEN_OVER if taken_over else why(),
        )
        for what, given, taken, why in rows
    ]


def tried_recipes(fit: FitReport, views: tuple[str, str]) -> list[Candidate]:
    """The preparations that were tried.

    Args:
        fit: fit.json.
        views: names of both views.

    Returns:
        A candidate each, in order.
    """
    return [
        Candidate(
            _both(trial.preparation, views),
            trial.held_out_mrr,
            trial.preparation == fit.preparation,
            f"{trial.pairs:,} pairs, shrinkage {trial.shrinkage[0]:.2f} and "
            f"{trial.shrinkage[1]:.2f}",
        )
        for trial in fit.compared.recipes
    ]


def tried_scores(fit: FitReport) -> list[Candidate]:
    """The scores that were tried, in order."""
    rows = []
    for trial in fit.compared.scores:
        size = trial.n_components
        taken = (trial.score, trial.hubness_corrected) == (fit.score, fit.hubness_corrected)
        rows.append(
            Candidate(
                spaced(trial.score) + (", hubness corrected" if trial.hubness_corrected else ""),
                trial.held_out_mrr,
                taken and size in (None, fit.n_components),
                "" if size is None else f"{size:,} component{'s' if size > 1 else ''}",
            )
        )
    return rows


def _both(names: list[str], views: tuple[str, str]) -> str:
    return f"{names[0]} ({views[0]}), {names[1]} ({views[1]})"


def _why_preparation(recipes: list[TriedRecipe], fit: FitReport) -> str:
    if not recipes:
        return "features as they are: a score or shrinkage set by hand is taken on raw features"
    kinds = {tuple(trial.preparation) for trial in recipes}
    most = max(trial.pairs for trial in recipes)
    here = [trial for trial in recipes if trial.pairs == most]
    raw = [trial.held_out_mrr for trial in recipes if trial.preparation == ["raw", "raw"]]
    best = [trial.held_out_mrr for trial in recipes if trial.preparation == fit.preparation]
    said = f"{len(kinds)} combinations tried by retrieval inside held-out folds"
    if fit.preparation == ["raw", "raw"]:
        return f"{said}; none did better than the features as they are"
    if raw and best and len({trial.pairs for trial in recipes}) == 1:
        return f"{said}: mean reciprocal rank {max(best):.3f}, raw features {raw[0]:.3f}"
    return f"{said}; best on {most:,} pairs: {max(trial.held_out_mrr for trial in here):.3f}"


def _why_shrinkage(recipes: list[TriedRecipe]) -> str:
    start = "by the mutual information of held-out coordinates"
    return f"{start}, then raised as long as held-out retrieval improved" if recipes else start


def _why_score(scores: list[TriedScore], taken: str) -> str:
    if not scores:
        return "nothing to compare: fitted from moments"
    # Scores are compared before a correction is tried; where one was asked for, all of them have
    # it.
    plain = [trial for trial in scores if not trial.hubness_corrected] or scores
    best = max(plain, key=lambda trial: trial.held_out_mrr)
    mine = max(trial.held_out_mrr for trial in plain if trial.score == taken)
    others = [trial for trial in plain if trial.score != taken]
    if best.score != taken:
        return (
            f"preferred, and within the folds' noise of the best: mean reciprocal rank {mine:.3f}, "
            f"{spaced(best.score)} {best.held_out_mrr:.3f}"
        )
    second = max(others, key=lambda trial: trial.held_out_mrr, default=None)
    beaten = f"; {spaced(second.score)} {second.held_out_mrr:.3f}" if second else ""
    return f"best of {len(plain)} in held-out folds: mean reciprocal rank {mine:.3f}{beaten}"


def _why_components(fit: FitReport) -> str:
    if fit.score == "canonical":
        return "the best of a grid in held-out folds"
    effective = fit.effective_dimension
    count = f"; they weigh as much as {effective:.0f} equal ones" if effective else ""
    return f"all that carry weight; each is weighted by what held-out folds confirm of it{count}"


def _why_hubness(scores: list[TriedScore]) -> str:
    corrected = [trial for trial in scores if trial.hubness_corrected]
    if not corrected:
        return "not tried: a score set by hand is taken as it is"
    trial = corrected[-1]
    without = max(
        one.held_out_mrr for one in scores if not one.hubness_corrected and one.score == trial.score
    )
    return (
        f"mean reciprocal rank in held-out folds {trial.held_out_mrr:.3f} with it, "
        f"{without:.3f} without"
    )
