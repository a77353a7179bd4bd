"""A fit that also looks at unpaired items, and at the labels an encoder was trained on.

For each fold k of the true pairs: a teacher that never saw the fold scores the pools, an entropic
transport plan matches them softly, and a student is fitted to moments (1 - g) pairs_k + g plan_k;
it is the next round's teacher (`csa.core.transport`). The whole fit's plan is the mean of the
folds'. A label bridge adds kappa Z to the scores of the plan and to those of the alignment. The
number of rounds, g, shrinkage, kappa, the bridge's temperature, and whether any of this is used at
all, are chosen by held-out retrieval of true pairs.
"""

import logging
from dataclasses import replace
from typing import Any

import numpy as np

from csa.core.alignment import Alignment
from csa.core.bridge import DEFAULT_TEMPERATURE
from csa.core.bridged import Bridged
from csa.core.ground import LEAST_POOL, Ground, Setting, Unpaired
from csa.core.judge import exceeds, judged, with_bridge, without
from csa.core.scores import Score
from csa.core.shrinkage import Shrinkage, climb, scale_odds
from csa.core.student import Student, alignment_of, alone, plans_of, taught
from csa.core.training import Training
from csa.core.transport import Parts, scores_of, transport_plan
from csa.errors import FeatureError

_log = logging.getLogger(__name__)

_MAX_ROUNDS = 5
_PATIENCE = 2
# g = N / (N + 4 n) of the true items n and the pool's N, its odds times these.
_PAIRS_COUNT = 4
_OTHER_WEIGHTS = (0.25, 4.0)
# Steps in the log-odds of both shrinkages.
_RAISES = ((1.0, 1.0), (1.0, 0.0), (0.0, 1.0))
_MOST_LOG_ODDS = 6.0
# How many standard errors, over groups, held-out retrieval must be better by, where the best of
# many rounds is compared.
_EVIDENCE = 2.0
# The same for a weight other than the usual one, which could harm no more than that does.
_LIGHT_EVIDENCE = 1.0
# Without true pairs nothing can be chosen: what served development data best.
_UNCHECKED = Setting(weight=0.9, kappa=4.0, temperature=DEFAULT_TEMPERATURE)
_UNCHECKED_ROUNDS = 3
_STAND_INS = 400
_PARTNERS = 5


def fit_unpaired(
    training: Training, unpaired: Unpaired, plain: Alignment, named: Score | None, hubness: bool
) -> tuple[Alignment, list[dict[str, Any]]]:
    """The fit with unpaired items where true pairs say that it is better, else the fit as it was.

    Args:
        training: pairs with features as the encoders gave them.
        unpaired: pools and bridge.
        plain: the fit without them.
        named: a score that was asked for by name, as the plain fit has it.
        hubness: whether to correct the score for hubs.

    Returns:
        The alignment, and the rounds that were tried.
    """
    ground = Ground(training, unpaired, plain, named)
    plain_student, students = without(ground), rounds(ground)
    best = max(students, key=lambda student: student.value)
    used = is_better(best, plain_student)
    found = alignment_of(ground, best, hubness) if used else plain
    account = _account(unpaired, best if used else None)
    account |= {"held_out": best.value, "held_out_without": plain_student.value}
    return (
        replace(found, notes={**found.notes, "unpaired": account}),
        [_trial(student) for student in students],
    )


def rounds(ground: Ground) -> list[Student]:
    """Students round by round, the pairs alone first, for as long as held-out folds gain.

    Args:
        ground: pairs and pools.

    Returns:
        At most six students, judged.
    """
    first = _climbed(ground, alone(ground, Setting(0.0, 0.0, DEFAULT_TEMPERATURE)))
    students = [with_bridge(ground, first, ground.temperatures)]
    if not ground.both:
        return students
    size = min(len(ground.U), len(ground.V))
    usual = size / (size + _PAIRS_COUNT * ground.training.groups)
    for turn in range(_MAX_ROUNDS):
        students.append(_next(ground, students[-1], usual))
        last = students[-1]
        _log.info(
            "round %d: held-out rank %.3f at weight %.2f", turn + 1, last.value, last.setting.weight
        )
        leader = max(range(len(students)), key=lambda i: (students[i].value, -i))
        if turn + 1 - leader >= _PATIENCE:
            break
    return students


def _next(ground: Ground, teacher: Student, usual: float) -> Student:
    """The next round's student: shrinkage at the usual weight, then other weights, then kappa."""
    plans = plans_of(ground, teacher)
    best = _climbed(ground, taught(ground, plans, teacher, usual))
    for odds in _OTHER_WEIGHTS:
        other = judged(
            ground, taught(ground, plans, teacher, scale_odds(usual, odds), best.shrinkage)
        )
        if exceeds(other.ranks, best.ranks, _LIGHT_EVIDENCE):
            best = other
    return with_bridge(ground, best, ground.temperatures) if ground.temperatures else best


def _climbed(ground: Ground, student: Student) -> Student:
    """The student under more shrinkage, for as long as held-out pairs are found better."""
    tried: dict[Shrinkage, Student] = {}

    def value(shrinkage: Shrinkage) -> float:
        tried[shrinkage] = judged(ground, replace(student, shrinkage=shrinkage))
        return tried[shrinkage].value

    best, _ = climb(student.shrinkage, value, _raised)
    return tried[best]


def _raised(shrinkage: Shrinkage) -> list[Shrinkage]:
    most = scale_odds(0.5, float(np.exp(_MOST_LOG_ODDS)))
    near = (shrinkage.raised(*steps) for steps in _RAISES)
    return [at for at in near if max(at) <= most]


def is_better(student: Student, than: Student) -> bool:
    """Whether a student finds held-out true pairs better by more than chance, and not worse in
    their fold alone, where no pool is looked at.

    Args:
        student: judged.
        than: judged on the same pairs.

    Returns:
        Whether both hold.
    """
    within = np.nanmean(student.within - than.within)
    return exceeds(student.ranks, than.ranks, _EVIDENCE) and bool(within >= 0)


def stand_ins(unpaired: Unpaired, folds: int, seed: int) -> Training:
    """Pairs that stand in for true ones: the items of the first view of whose mass the bridge's
    plan gives most to five partners, with these partners.

    Args:
        unpaired: pools of both views and a bridge.
        folds: of the cross-fitting.
        seed: of the folds.

    Returns:
        Pairs with features as the encoders gave them, a group an item.

    Raises:
        FeatureError: fewer than 2 items.
    """
    head = unpaired.bridge
    if head is None or min(len(unpaired.x), len(unpaired.y)) < LEAST_POOL:
        raise FeatureError(
            f"a fit without pairs needs a bridge and {LEAST_POOL} unpaired items of either view; "
            f"got {'no bridge' if head is None else 'a bridge'}, {len(unpaired.x)} and "
            f"{len(unpaired.y)} items"
        )
    X, Y = unpaired.x.items, unpaired.y.items
    own, other = unpaired.views(X, Y)
    nothing = (np.zeros(0, np.intp), head.logits(own[:0]), other[:0])
    bridged = Bridged.of(head, unpaired.temperature, nothing, (head.logits(own), other), other)
    mass, partners = np.zeros(len(X)), np.zeros((len(X), _PARTNERS), np.intp)
    for i, j in Parts.of(len(X), len(Y)).meetings(0):
        left, right = bridged.pools(_UNCHECKED.kappa)
        plan = transport_plan(scores_of(left[i], right[j]))
        best = np.argsort(-plan, axis=1, kind="stable")[:, :_PARTNERS]
        partners[i] = j[best]
        mass[i] = np.take_along_axis(plan, best, axis=1).sum(axis=1) / plan.sum(axis=1)
    count = min(_STAND_INS, len(X) // 2)
    rows = np.sort(np.argsort(-mass, kind="stable")[:count])
    first, second = np.repeat(rows, _PARTNERS), partners[rows].ravel()
    return Training.of(X[first], Y[second], first, folds, seed)


def fit_without_pairs(
    training: Training, unpaired: Unpaired, plain: Alignment, named: Score | None, hubness: bool
) -> Alignment:
    """The fit without any true pair: three rounds from the pairs that stand in, with the weights
    that served development data best. Nothing of it is checked on a true pair.

    Args:
        training: from `stand_ins`.
        unpaired: pools of both views and a bridge.
        plain: the fit to the pairs that stand in.
        named: a score that was asked for by name.
        hubness: whether to correct the score for hubs.

    Returns:
        The alignment; it says that it counts no pair.
    """
    ground = Ground(training, unpaired, plain, named)
    setting = _UNCHECKED._replace(temperature=unpaired.temperature)
    student = _climbed(ground, alone(ground, setting))
    for _ in range(_UNCHECKED_ROUNDS):
        student = _climbed(
            ground, taught(ground, plans_of(ground, student), student, setting.weight)
        )
    account = {**_account(unpaired, student), "checked_on_true_pairs": False}
    notes = {"unpaired": account, "stand_ins": training.groups}
    return replace(alignment_of(ground, student, hubness), notes=notes, n_pairs=0)


def _trial(student: Student) -> dict[str, Any]:
    return {
        "round": student.turn,
        **student.setting._asdict(),
        "shrinkage": list(student.shrinkage),
        "held_out": student.value,
    }


def _account(unpaired: Unpaired, best: Student | None) -> dict[str, Any]:
    return {
        "items": [len(unpaired.x), len(unpaired.y)],
        "left_out": [unpaired.x.paired, unpaired.y.paired],
        "used": best is not None,
        "round": best.turn if best else 0,
        "weight": best.setting.weight if best else 0.0,
        "labels": best.setting.kappa if best else 0.0,
        "temperature": best.setting.temperature if best and best.setting.kappa else None,
        "learned_from_labels": best is not None and best.learned_from_labels,
        "checked_on_true_pairs": True,
    }
