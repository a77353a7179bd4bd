"""What held-out folds of true pairs say of a student, among themselves and among the pools."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from csa.core.bridge import DEFAULT_TEMPERATURE
from csa.core.bridged import Vectors, first_given, joined
from csa.core.ground import Ground, Setting
from csa.core.hubness import HubnessCorrection
from csa.core.matrices import Array, Float64
from csa.core.scores import Score
from csa.core.select import reciprocal_ranks
from csa.core.shrinkage import Shrinkage
from csa.core.student import Student, judged_by, score_of
from csa.core.threads import each

_KAPPAS = (1.0, 2.0, 3.0, 4.0, 6.0)
# How many standard errors, over groups, the best of these must be better by than none: the best of
# fifteen useless ones is better than none by one or two.
_EVIDENCE = 2.0
_LIGHT_EVIDENCE = 1.0
# Items of either pool that say what is a hub, and among which held-out pairs are searched for.
_BANK_ITEMS = 500
_BANK_NEIGHBOURS = 16


def exceeds(ranks: Float64, than: Float64, errors: float) -> bool:
    """Whether ranks are better by more than chance, group by group, on a logarithmic scale: a
    few first ranks then do not drown what all the others say.

    Args:
        ranks: reciprocal ranks of each group, shape (groups,); NaN where unknown.
        than: of the same groups, shape (groups,).
        errors: how many standard errors the mean logarithm of their ratio must exceed.

    Returns:
        Whether it does.
    """
    seen = np.isfinite(ranks) & np.isfinite(than)
    difference = np.log(ranks[seen] / than[seen])
    if len(difference) < 2:
        return False
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    return bool(difference.mean() > errors * error)


def without(ground: Ground) -> Student:
    """The fit without pools and bridge, judged as fits with them are.

    Args:
        ground: pairs and pools.

    Returns:
        The student, judged.
    """
    shrinkage = Shrinkage(*ground.spans.narrowed(ground.plain.shrinkage))
    nothing = Setting(0.0, 0.0, DEFAULT_TEMPERATURE)
    student = Student(ground.pairs, ground.pairs.total, shrinkage, nothing)
    score = ground.plain.score.with_weights(student.held)
    bank = "pairs" if ground.plain.hubness_corrected else "none"
    among, within = _ranks(ground, student, score, [student.setting], bank)
    return replace(student, among=among[0], within=within[0])


def judged(ground: Ground, student: Student) -> Student:
    """The student with its ranks.

    Args:
        ground: pairs and pools.
        student: a fit to pairs and plan.

    Returns:
        The student, judged.
    """
    among, within = _ranks(ground, student, score_of(ground, student), [student.setting], "pools")
    return replace(student, among=among[0], within=within[0])


def with_bridge(ground: Ground, student: Student, temperatures: tuple[float, ...]) -> Student:
    """The student with the kappa and temperature that its held-out folds prefer.

    Where its teacher had none, they must show by two standard errors that they are worth it. What a
    teacher had is kept, unless another kappa is better by one: few pairs say too little of it to
    follow their best in every round.

    Args:
        ground: pairs and pools.
        student: a fit to pairs and plan, with its teacher's kappa and temperature.
        temperatures: to choose from where its teacher had none.

    Returns:
        The student, judged.
    """
    had = student.setting
    kept = temperatures if not had.kappa else (had.temperature,)
    kappas = _KAPPAS if not had.kappa else (0.0, *_KAPPAS)
    others = [had._replace(kappa=kappa, temperature=T) for T in kept for kappa in kappas]
    settings = [had, *(other for other in others if other != had)]
    among, within = _ranks(ground, student, score_of(ground, student), settings, "pools")
    ranks = judged_by(among, within)
    best = int(np.argmax(np.nanmean(np.log(ranks), axis=1)))
    evidence = _LIGHT_EVIDENCE if had.kappa else _EVIDENCE
    best = best if exceeds(ranks[best], ranks[0], evidence) else 0
    return replace(student, setting=settings[best], among=among[best], within=within[best])


def _ranks(
    ground: Ground, student: Student, whole: Score, settings: list[Setting], bank: str
) -> tuple[Float64, Float64]:
    """Reciprocal ranks of each group among fold and pools, and among the fold alone, shape
    (settings, groups) each; NaN for a group none of whose pairs was looked at.
    """
    crossfit = student.crossfit
    decompositions, t = crossfit.decompositions(student.shrinkage), ground.training

    def in_fold(k: int) -> Float64:
        rows, outside = ground.rows[k], _outside(ground, k)
        score = whole.leading(len(decompositions[k].rho))

        def vectors(X: Array, Y: Array) -> Vectors:
            a, b = decompositions[k].coordinates(crossfit.complements[k], X, Y)
            return score.left(a), score.right(b)

        pairs, others = vectors(t.X[rows], t.Y[rows]), vectors(t.X[outside], t.Y[outside])
        pools = vectors(ground.U[:_BANK_ITEMS], ground.V[:_BANK_ITEMS])
        found = np.empty((len(settings), 2, len(rows)))
        for i, setting in enumerate(settings):
            bridged, sets = ground.bridge(setting), (pairs, others, pools)
            if bridged is not None:
                kappa = setting.kappa
                sets = (
                    joined(pairs, bridged.pairs(rows, kappa)),
                    joined(others, bridged.pairs(outside, kappa)),
                    joined(pools, bridged.pools(kappa, _BANK_ITEMS)),
                )
            found[i] = _fold_ranks(sets, t.group[rows], bank)
        return found

    folds = np.concatenate(each(in_fold, range(len(ground.rows))), axis=2)
    group = t.group[np.concatenate(ground.rows)]
    seen = np.bincount(group, minlength=t.groups)
    with np.errstate(invalid="ignore"):
        among, within = (
            np.array([np.bincount(group, line, t.groups) / seen for line in folds[:, kind]])
            for kind in (0, 1)
        )
    return among, within


def _outside(ground: Ground, k: int) -> NDArray[np.intp]:
    """Rows of pairs outside a fold, some of them."""
    rows = np.concatenate([rows for j, rows in enumerate(ground.rows) if j != k])
    return ground.training.some(np.sort(rows), _BANK_ITEMS)


def _fold_ranks(
    sets: tuple[Vectors, Vectors, Vectors], group: NDArray[np.intp], bank: str
) -> tuple[Float64, Float64]:
    """Mean reciprocal rank of each pair over both directions, among fold and pools and among the
    fold alone.

    Args:
        sets: index vectors of the fold, of other pairs, and of the pools.
        group: of the fold's pairs.
        bank: who says what is a hub: "pools" where there are any, "pairs", or "none".

    Returns:
        Shape (n,) each.
    """
    pairs, others, pools = (_single(vectors) for vectors in sets)
    if bank != "none":
        hubs = first_given(pools, others) if bank == "pools" else others
        correction = HubnessCorrection(hubs[0], hubs[1], neighbours=_BANK_NEIGHBOURS)
        pairs, pools = (
            (correction.left(left), correction.right(right)) for left, right in (pairs, pools)
        )
    among, within = (
        reciprocal_ranks(*pairs, group, strangers).mean(axis=0) for strangers in (pools, None)
    )
    return among, within


def _single(vectors: Vectors) -> Vectors:
    """In float32: which of two items ranks higher needs no more digits."""
    return vectors[0].astype(np.float32), vectors[1].astype(np.float32)
