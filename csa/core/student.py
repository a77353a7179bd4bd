"""Fits to the mixed moments of pairs and plans, and the plans of such fits."""

from dataclasses import dataclass, field, replace

import numpy as np

from csa.core import diagnostics
from csa.core.alignment import Alignment
from csa.core.bridged import first_given, joined
from csa.core.crossfit import CrossFit
from csa.core.ground import Ground, Setting
from csa.core.held import Held
from csa.core.hubness import HubnessCorrection
from csa.core.matrices import Float64
from csa.core.moments import Moments
from csa.core.scores import NormalisedLikelihoodRatioScore, Score
from csa.core.shrinkage import Shrinkage, SpanShrinkage
from csa.core.solve import solve
from csa.core.threads import each
from csa.core.training import MAX_HUB_ITEMS
from csa.core.transport import (
    Parts,
    average,
    mixed,
    plan_moments,
    scores_of,
    transport_plan,
)


def _unknown() -> Float64:
    return np.zeros(0)


@dataclass(frozen=True, eq=False)
class Student:
    """A fit to pairs and plan.

    Attributes:
        crossfit: the true pairs' folds, judged by fits to the mixed moments of the other folds and
            their plan.
        total: mixed moments of all pairs.
        shrinkage: in the principal dimensions.
        setting: weights and temperature.
        turn: number of plans before it.
        plans: moments of the plan that each fold's fit has; none for the pairs alone.
        among: reciprocal rank of each group's held-out pairs among their fold and the pools, shape
            (groups,); empty until it is judged.
        within: the same among their fold alone.
        labels_before: whether a teacher's plan was made with the bridge.
    """

    crossfit: CrossFit
    total: Moments
    shrinkage: Shrinkage
    setting: Setting
    turn: int = 0
    plans: tuple[Moments, ...] = ()
    among: Float64 = field(default_factory=_unknown)
    within: Float64 = field(default_factory=_unknown)
    labels_before: bool = False

    @property
    def ranks(self) -> Float64:
        """What a group's pairs are judged by: the geometric mean of both reciprocal ranks.

        Among the pools few pairs are found at all, and in a fold of few pairs most are.
        """
        return judged_by(self.among, self.within)

    @property
    def value(self) -> float:
        """Geometric mean of the ranks over groups."""
        return float(np.exp(np.nanmean(np.log(self.ranks))))

    @property
    def learned_from_labels(self) -> bool:
        """Whether a bridge had a part in it, in its score or in a plan."""
        return self.labels_before or self.setting.kappa > 0

    @property
    def held(self) -> Held:
        """What held-out folds of true pairs say."""
        return self.crossfit.measure(self.shrinkage)


def judged_by(among: Float64, within: Float64) -> Float64:
    """Geometric mean of reciprocal ranks.

    Args:
        among: among fold and pools, shape (…, groups).
        within: in the fold alone, of the same shape.

    Returns:
        The same shape.
    """
    ranks: Float64 = np.sqrt(among * within)
    return ranks


def alone(ground: Ground, setting: Setting) -> Student:
    """The student of the pairs alone, under the shrinkage that carries most information.

    Args:
        ground: pairs and pools.
        setting: its bridge; it has no plan.

    Returns:
        The student; its ranks are not known yet.
    """
    crossfit = ground.pairs
    return Student(crossfit, crossfit.total, crossfit.best_shrinkage(), setting)


def taught(
    ground: Ground,
    plans: list[Moments],
    teacher: Student,
    weight: float,
    shrinkage: Shrinkage | None = None,
) -> Student:
    """The student of pairs and plans.

    Args:
        ground: pairs and pools.
        plans: moments of each fold's plan.
        teacher: that the plans are of.
        weight: g.
        shrinkage: that it is made under; by default what carries most information.

    Returns:
        The student; its ranks are not known yet.
    """
    complements = [
        mixed(pairs, plan, weight)
        for pairs, plan in zip(ground.pairs.complements, plans, strict=True)
    ]
    total = mixed(ground.pairs.total, average(plans), weight)
    setting = teacher.setting._replace(weight=weight)
    crossfit = CrossFit(ground.folds, complements=complements)
    shrinkage = shrinkage or crossfit.best_shrinkage(teacher.shrinkage if teacher.plans else None)
    return Student(
        crossfit,
        total,
        shrinkage,
        setting,
        teacher.turn + 1,
        tuple(plans),
        labels_before=teacher.learned_from_labels,
    )


def plans_of(ground: Ground, teacher: Student) -> list[Moments]:
    """Moments of the plan of each fold's teacher, which never saw the fold.

    Args:
        ground: pairs and pools.
        teacher: whose folds' fits match the pools.

    Returns:
        One for each fold.
    """
    crossfit, bridged = teacher.crossfit, ground.bridge(teacher.setting)
    decompositions = crossfit.decompositions(teacher.shrinkage)
    parts = Parts.of(len(ground.U), len(ground.V))

    def plan(k: int) -> Moments:
        score = NormalisedLikelihoodRatioScore.of(held_outside(ground, teacher, k))
        score = score.leading(len(decompositions[k].rho))
        a, b = decompositions[k].coordinates(crossfit.complements[k], ground.U, ground.V)
        left, right = score.left(a), score.right(b)
        if bridged is not None:
            left, right = joined((left, right), bridged.pools(teacher.setting.kappa))
        met = [
            plan_moments(transport_plan(scores_of(left[i], right[j])), ground.U[i], ground.V[j])
            for i, j in parts.meetings(teacher.turn)
        ]
        return sum(met[1:], start=met[0])

    return each(plan, range(len(decompositions)))


def held_outside(ground: Ground, student: Student, k: int) -> Held:
    """What the other folds' pairs say of a student, each held out from a fit that saw neither it
    nor fold k.

    Args:
        ground: pairs and pools.
        student: a fit to pairs and plan.
        k: number of the fold that must stay unseen.

    Returns:
        Held-out correlations and scales.
    """
    others = [fold for j, fold in enumerate(ground.folds) if j != k]
    remaining = (ground.pairs.complements[k] - fold for fold in others)
    complements = [
        mixed(pairs, student.plans[k], student.setting.weight) if student.plans else pairs
        for pairs in remaining
    ]
    return CrossFit(others, complements=complements).measure(student.shrinkage)


def score_of(ground: Ground, student: Student) -> Score:
    """The score that the alignment of a student has.

    Args:
        ground: pairs and pools.
        student: that is fitted.

    Returns:
        The score that was asked for by name, else the normalised likelihood ratio.
    """
    if ground.named is not None:
        return ground.named.with_weights(student.held)
    return NormalisedLikelihoodRatioScore.of(student.held)


def alignment_of(ground: Ground, student: Student, hubness: bool) -> Alignment:
    """The student as an alignment of features as the encoders give them.

    Args:
        ground: pairs and pools.
        student: the one that was chosen.
        hubness: whether to correct its score for hubs.

    Returns:
        The alignment.
    """
    decomposition, setting = solve(student.total, student.shrinkage), student.setting
    score = score_of(ground, student).leading(len(decomposition.rho))
    found = Alignment.of(student.total, decomposition, student.shrinkage, score)
    (x, y), correction, bridged = ground.axes, None, ground.bridge(setting)
    if hubness:
        rows = ground.training.some(ground.known, MAX_HUB_ITEMS)
        X, Y = ground.training.X[rows], ground.training.Y[rows]
        X = ground.U[:MAX_HUB_ITEMS] if len(ground.U) else X
        Y = ground.V[:MAX_HUB_ITEMS] if len(ground.V) else Y
        a, b = decomposition.coordinates(student.total, X, Y)
        bank = score.left(a), score.right(b)
        if bridged is not None:
            pairs = bridged.pairs(rows, setting.kappa)
            bank = joined(bank, first_given(bridged.pools(setting.kappa, MAX_HUB_ITEMS), pairs))
        correction = HubnessCorrection.of_vectors(*bank, ground.training.seed)
    return replace(
        found,
        mean_x=x.centre + x.vectors @ found.mean_x,
        mean_y=y.centre + y.vectors @ found.mean_y,
        A=x.vectors @ found.A,
        B=y.vectors @ found.B,
        shrinkage=ground.spans.widened(SpanShrinkage(*student.shrinkage)),
        n_pairs=len(ground.training.X),
        hubness=correction,
        bridge=None if bridged is None else bridged.at(setting.kappa),
        prepare_x=ground.plain.prepare_x,
        prepare_y=ground.plain.prepare_y,
        notes=diagnostics.held_out(
            found.training_correlations,
            student.held,
            ground.training.groups,
            float(np.nanmean(student.within)),
        ),
    )
