"""A fit that also looks at unpaired items, and at the labels an encoder was trained on.

For each fold k of the true pairs: a teacher that never saw the fold scores the pools, an entropic
transport plan matches them softly, and a student is fitted to moments (1 - g) pairs_k + g plan_k;
it is the next round's teacher (`csa.core.transport`). A label bridge adds kappa Z to the scores of
the plan and to those of the alignment. The number of rounds, g, kappa, the bridge's temperature,
and whether any of this is used at all, are chosen by held-out retrieval of true pairs.
"""

import logging
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from csa.core import diagnostics
from csa.core.alignment import Alignment
from csa.core.bridge import DEFAULT_TEMPERATURE, TEMPERATURES, FittedBridge, LabelBridge
from csa.core.crossfit import CrossFit
from csa.core.held import Held
from csa.core.hubness import HubnessCorrection
from csa.core.matrices import Array, Float64
from csa.core.moments import Moments
from csa.core.pools import Axes, Pool
from csa.core.scores import NormalisedLikelihoodRatioScore, Score
from csa.core.select import (
    MAX_HUB_ITEMS,
    FoldRanks,
    best_shrinkage,
    fold_rows,
    held_out_ranks,
    raise_shrinkage,
    reciprocal_ranks,
)
from csa.core.shrinkage import Shrinkage, Spans, SpanShrinkage, scale_odds
from csa.core.solve import Decomposition, solve
from csa.core.threads import each
from csa.core.training import Compact, Training
from csa.core.transport import (
    Parts,
    average,
    hub_corrected,
    mixed,
    plan_moments,
    transport_plan,
)
from csa.errors import FeatureError

_log = logging.getLogger(__name__)

# A smaller pool of either view brings nothing: 300 photos beside 100 paired ones brought nothing.
_LEAST_POOL = 200
_MAX_ROUNDS = 5
_PATIENCE = 2
# g = N / (N + 4 n) of the true items n and the pool's N, its odds times these.
_PAIRS_COUNT = 4
_WEIGHT_ODDS = (1.0, 0.25, 4.0)
_KAPPAS = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0)
# How many standard errors, over groups, held-out retrieval must be better by: as much as keeps
# useless pools out.
_EVIDENCE = 1.0
_BANK_ITEMS = 1000
_BANK_NEIGHBOURS = 16
_UNCHECKED_ROUNDS = 3
_STAND_INS = 400
_PARTNERS = 5


@dataclass(frozen=True, eq=False)
class Unpaired:
    """What a fit may use beside its pairs.

    Attributes:
        x, y: pools of either view.
        bridge: labels of an encoder, if there are any.
    """

    x: Pool
    y: Pool
    bridge: LabelBridge | None = None


@dataclass(frozen=True, eq=False)
class Mixed(Training):
    """Training pairs that are judged by fits to more than the other folds."""

    crossfit: CrossFit | None = None

    @cached_property
    def compact(self) -> Compact:
        """The pairs as they are: they lie in few dimensions already."""
        if self.crossfit is None:
            return Compact.of(self)
        return Compact(self.X, self.Y, self.crossfit)


class Setting(NamedTuple):
    """What is chosen beside moments and shrinkage.

    Attributes:
        weight: g, share of the plan in the moments.
        kappa: weight of the bridge, in standard deviations of its cosine.
        temperature: of the bridge.
    """

    weight: float
    kappa: float
    temperature: float


# Without true pairs nothing can be chosen: what served development data best.
_UNCHECKED = Setting(weight=0.9, kappa=4.0, temperature=DEFAULT_TEMPERATURE)


@dataclass(frozen=True, eq=False)
class Student:
    """A fit to pairs and plan.

    Attributes:
        mixed: the pairs, judged by fits to the mixed moments of the other folds and their plan.
        total: mixed moments of all pairs.
        shrinkage: in the principal dimensions.
        score: from held-out folds, of its likelihood ratio.
        setting: weights and temperature.
        ranks: reciprocal rank of each group in its held-out fold, shape (groups,).
        round: number of plans before it.
    """

    mixed: Mixed
    total: Moments
    shrinkage: Shrinkage
    held: Held
    setting: Setting
    ranks: Float64
    round: int

    @property
    def value(self) -> float:
        """Held-out mean reciprocal rank over groups."""
        return float(np.nanmean(self.ranks))

    @property
    def plan_score(self) -> NormalisedLikelihoodRatioScore:
        """The score that plans are made under."""
        return NormalisedLikelihoodRatioScore.of(self.held)


class Ground:
    """Pairs, pools and bridge, in the principal dimensions of either view.

    Args:
        training: pairs with features as the encoders gave them.
        unpaired: pools and bridge.
        plain: the fit without them, whose preparation is used.
        named: a score that was asked for by name; None for the normalised likelihood ratio.
    """

    def __init__(
        self, training: Training, unpaired: Unpaired, plain: Alignment, named: Score | None
    ):
        self.plain, self.named, self.raw = plain, named, training
        prepared = training.prepared(plain.prepare_x, plain.prepare_y)
        U, V = plain.prepare_x(unpaired.x.items), plain.prepare_y(unpaired.y.items)
        self.axes = Axes.of(prepared.X, U), Axes.of(prepared.Y, V)
        self.spans = Spans(self.axes[0].ratio, self.axes[1].ratio)
        self.training = replace(
            prepared, X=self.axes[0](prepared.X), Y=self.axes[1](prepared.Y), dimensions=None
        )
        self.U, self.V = self.axes[0](U), self.axes[1](V)
        self.folds = Moments.of_folds(self.training.X, self.training.Y, training.fold)
        total = sum(self.folds[1:], start=self.folds[0])
        self.complements = [total - fold for fold in self.folds]
        self.total = total
        self.rows = [fold_rows(training, k) for k in range(len(self.folds))]
        self.bridges = self._bridges(unpaired)

    @property
    def both(self) -> bool:
        """Whether there are enough items of both views for a plan."""
        return min(len(self.U), len(self.V)) >= _LEAST_POOL

    def _bridges(self, unpaired: Unpaired) -> "dict[float, _Bridged]":
        head = unpaired.bridge
        if head is None:
            return {}
        given = head.temperature
        temperatures = TEMPERATURES if isinstance(given, str) else (float(given),)
        some = np.sort(np.concatenate(self.rows))
        X, Y = self.raw.X[some], self.raw.Y[some]
        own, other = (X, Y) if head.view == "x" else (Y, X)
        pool, other_pool = (
            (unpaired.x.items, unpaired.y.items)
            if head.view == "x"
            else (unpaired.y.items, unpaired.x.items)
        )
        logits, pool_logits = head.logits(own), head.logits(pool)
        crowd = other_pool if len(other_pool) else other
        return {
            T: _Bridged.of(head, T, (some, logits, other), (pool_logits, other_pool), crowd)
            for T in temperatures
        }

    def student(self, plans: list[Moments], weight: float, turn: int) -> Student:
        """The student of plans for each fold, as yet without a bridge and unjudged.

        Args:
            plans: moments of each fold's plan; none for pairs alone.
            weight: g.
            turn: number of the round.

        Returns:
            The student.
        """
        complements = (
            [mixed(c, plan, weight) for c, plan in zip(self.complements, plans, strict=True)]
            if plans
            else self.complements
        )
        total = mixed(self.total, average(plans), weight) if plans else self.total
        t = self.training
        pairs = Mixed(
            t.X, t.Y, t.group, t.fold, t.seed, None, CrossFit(self.folds, complements=complements)
        )
        shrinkage, _ = raise_shrinkage(
            pairs, best_shrinkage(pairs), NormalisedLikelihoodRatioScore.of
        )
        held = pairs.compact.crossfit.measure(shrinkage)
        start = Setting(weight, 0.0, DEFAULT_TEMPERATURE)
        return Student(pairs, total, shrinkage, held, start, np.full(t.groups, np.nan), turn)

    def judged(self, student: Student, before: Student | None) -> Student:
        """The student with the kappa and the temperature that its held-out folds prefer.

        Args:
            student: a fit to pairs and plan.
            before: its teacher, which has chosen the temperature; None in round 0.

        Returns:
            The student with its setting and its ranks.
        """
        settings = [student.setting] + [
            student.setting._replace(kappa=kappa, temperature=T)
            for T in self.bridges
            for kappa in _KAPPAS
            if kappa
        ]
        if before is not None and before.setting.kappa and self.bridges:
            near = before.setting.temperature
            settings = [s for s in settings if not s.kappa or s.temperature == near]
        ranks = self.judge(student, settings)
        best = int(np.argmax(np.nanmean(ranks, axis=1)))
        return replace(student, setting=settings[best], ranks=ranks[best])

    def score(self, student: Student) -> Score:
        """The score that the alignment will have."""
        if self.named is not None:
            return self.named.with_weights(student.held)
        return student.plan_score

    def judge(self, student: Student, settings: list[Setting]) -> Float64:
        """Held-out reciprocal ranks of each group, with the pools as hub bank.

        Args:
            student: a fit to pairs and plan.
            settings: of the bridge.

        Returns:
            Shape (settings, groups).
        """
        decompositions = student.mixed.compact.crossfit.decompositions(student.shrinkage)
        score = self.score(student)

        def in_fold(k: int) -> FoldRanks:
            rows = self.rows[k]
            view = _View(
                self,
                student.mixed.compact.crossfit.complements[k],
                decompositions[k],
                score.leading(len(decompositions[k].rho)),
            )
            left, right = view.vectors(self.training.X[rows], self.training.Y[rows])
            bank = view.bank(k)
            group = self.training.group[rows]
            found = np.empty((len(settings), 2, len(rows)))
            for i, setting in enumerate(settings):
                bridged = self.bridges.get(setting.temperature)
                if bridged is None or not setting.kappa:
                    a, b, hubs = left, right, bank
                else:
                    e, o = bridged.pairs(rows)
                    a, b = np.hstack([left, setting.kappa * e]), np.hstack([right, o])
                    hubs = self._joined(bank, bridged, setting.kappa, k)
                correction = HubnessCorrection(*hubs, neighbours=_BANK_NEIGHBOURS)
                found[i] = reciprocal_ranks(correction.left(a), correction.right(b), group)
            return FoldRanks(rows, found)

        return by_group(each(in_fold, range(len(self.folds))), self.training)

    def _joined(
        self, bank: tuple[Float64, Float64], bridged: "_Bridged", kappa: float, k: int
    ) -> tuple[Float64, Float64]:
        outside = self.outside(k)
        e, o = bridged.pairs(outside)
        e = bridged.pool_left[: len(bank[0])] if len(self.U) else e
        o = bridged.pool_right[: len(bank[1])] if len(self.V) else o
        return np.hstack([bank[0], kappa * e]), np.hstack([bank[1], o])

    def outside(self, k: int) -> NDArray[np.intp]:
        """Rows of pairs outside a fold, some of them."""
        rows = np.concatenate([rows for j, rows in enumerate(self.rows) if j != k])
        return self.training.some(np.sort(rows), _BANK_ITEMS)

    def plans(self, teacher: Student, setting: Setting, turn: int) -> list[Moments]:
        """Moments of the plan of each fold's teacher.

        Args:
            teacher: the student of the round before.
            setting: of the bridge in the plan.
            turn: number of the round, which says what parts of large pools meet.

        Returns:
            One for each fold.
        """
        crossfit = teacher.mixed.compact.crossfit
        decompositions, score = crossfit.decompositions(teacher.shrinkage), teacher.plan_score
        parts = Parts.of(len(self.U), len(self.V))

        def plan(k: int) -> Moments:
            view = _View(
                self,
                crossfit.complements[k],
                decompositions[k],
                score.leading(len(decompositions[k].rho)),
            )
            left, right = view.vectors(self.U, self.V)
            bridged = self.bridges.get(setting.temperature)
            if bridged is not None and setting.kappa:
                left = np.hstack([left, setting.kappa * bridged.pool_left])
                right = np.hstack([right, bridged.pool_right])
            met = [
                plan_moments(transport_plan(hub_corrected(left[i], right[j])), self.U[i], self.V[j])
                for i, j in parts.meetings(turn)
            ]
            return sum(met[1:], start=met[0])

        return each(plan, range(len(decompositions)))

    def alignment(self, student: Student, hubness: bool) -> Alignment:
        """The student as an alignment of features as the encoders give them.

        Args:
            student: the one that was chosen.
            hubness: whether to correct its score for hubs.

        Returns:
            The alignment.
        """
        decomposition = solve(student.total, student.shrinkage)
        score = self.score(student).leading(len(decomposition.rho))
        found = Alignment.of(student.total, decomposition, student.shrinkage, score)
        x, y = self.axes
        correction, bridge = None, self._fitted_bridge(student.setting)
        if hubness:
            view = _View(self, student.total, decomposition, score)
            correction = HubnessCorrection.of_vectors(
                *view.whole_bank(student.setting), self.training.seed
            )
        return replace(
            found,
            mean_x=x.centre + x.vectors @ found.mean_x,
            mean_y=y.centre + y.vectors @ found.mean_y,
            A=x.vectors @ found.A,
            B=y.vectors @ found.B,
            shrinkage=self.spans.widened(SpanShrinkage(*student.shrinkage)),
            n_pairs=len(self.training.X),
            hubness=correction,
            bridge=bridge,
            prepare_x=self.plain.prepare_x,
            prepare_y=self.plain.prepare_y,
            notes=diagnostics.held_out(
                found.training_correlations, student.held, self.training.groups, student.value
            ),
        )

    def _fitted_bridge(self, setting: Setting) -> FittedBridge | None:
        bridged = self.bridges.get(setting.temperature)
        if bridged is None or not setting.kappa:
            return None
        return replace(bridged.fitted, weight=bridged.fitted.weight * setting.kappa)


@dataclass(frozen=True, eq=False)
class _View:
    """Index vectors under one fit of a ground."""

    ground: Ground
    moments: Moments
    decomposition: Decomposition
    score: Score

    def vectors(self, X: Array, Y: Array) -> tuple[Float64, Float64]:
        a, b = self.decomposition.coordinates(self.moments, X, Y)
        return self.score.left(a), self.score.right(b)

    def bank(self, k: int) -> tuple[Float64, Float64]:
        """Items whose highest scores say what is a hub: the pools, or else other folds' pairs."""
        ground = self.ground
        outside = ground.outside(k)
        X = ground.U[:_BANK_ITEMS] if len(ground.U) else ground.training.X[outside]
        Y = ground.V[:_BANK_ITEMS] if len(ground.V) else ground.training.Y[outside]
        return self.vectors(X, Y)

    def whole_bank(self, setting: Setting) -> tuple[Float64, Float64]:
        ground = self.ground
        some = np.sort(np.concatenate(ground.rows))
        rows = ground.training.some(some, MAX_HUB_ITEMS)
        X = ground.U[:MAX_HUB_ITEMS] if len(ground.U) else ground.training.X[rows]
        Y = ground.V[:MAX_HUB_ITEMS] if len(ground.V) else ground.training.Y[rows]
        left, right = self.vectors(X, Y)
        bridged = ground.bridges.get(setting.temperature)
        if bridged is None or not setting.kappa:
            return left, right
        e, o = bridged.pairs(rows)
        e = bridged.pool_left[: len(X)] if len(ground.U) else e
        o = bridged.pool_right[: len(Y)] if len(ground.V) else o
        return np.hstack([left, setting.kappa * e]), np.hstack([right, o])


@dataclass(frozen=True, eq=False)
class _Bridged:
    """A bridge at one temperature, with its dimensions of some pairs and of the pools.

    Attributes:
        fitted: at weight 1 / standard deviation of the cosine among items.
        rows: of the pairs that it knows, ascending.
        left, right: of these pairs.
        pool_left, pool_right: of the pools.
    """

    fitted: FittedBridge
    rows: NDArray[np.intp]
    left: Float64
    right: Float64
    pool_left: Float64
    pool_right: Float64

    @classmethod
    def of(
        cls,
        head: LabelBridge,
        temperature: float,
        pairs: tuple[NDArray[np.intp], Float64, Array],
        pools: tuple[Float64, Array],
        crowd: Array,
    ) -> "_Bridged":
        rows, logits, other = pairs
        place, pool_place = head.mixture(logits, temperature), head.mixture(pools[0], temperature)
        places = pool_place if len(pool_place) else place
        fitted = FittedBridge(
            head, temperature, 1.0, places.mean(axis=0), crowd.mean(axis=0, dtype=np.float64)
        )
        spread = _spread(fitted.placed(places), fitted.other(crowd))
        fitted = replace(fitted, weight=1 / spread)
        vectors = [
            (fitted.placed(place), fitted.other(other)),
            (fitted.placed(pool_place), fitted.other(pools[1])),
        ]
        if head.view == "y":
            vectors = [(o, e) for e, o in vectors]
        return cls(fitted, rows, *vectors[0], *vectors[1])

    def pairs(self, rows: NDArray[np.intp]) -> tuple[Float64, Float64]:
        at = np.searchsorted(self.rows, rows)
        return self.left[at], self.right[at]


def _spread(e: Float64, o: Float64) -> float:
    """Standard deviation of the inner products of all rows of e with all rows of o."""
    square = np.einsum("ij,ij->", e.T @ e / len(e), o.T @ o / len(o))
    mean = e.mean(axis=0) @ o.mean(axis=0)
    return float(np.sqrt(max(square - mean**2, np.finfo(np.float64).tiny)))


def by_group(folds: list[FoldRanks], training: Training) -> Float64:
    """Mean reciprocal rank of each group over its pairs and both directions.

    Args:
        folds: reciprocal ranks in each fold.
        training: the pairs.

    Returns:
        Shape (scores, groups); NaN for a group none of whose pairs was looked at.
    """
    rows = np.concatenate([fold.rows for fold in folds])
    values = np.concatenate([fold.reciprocal.mean(axis=1) for fold in folds], axis=1)
    group, count = training.group[rows], training.groups
    seen = np.bincount(group, minlength=count)
    with np.errstate(invalid="ignore"):
        means: Float64 = np.array([np.bincount(group, line, count) / seen for line in values])
    return means


def baseline(training: Training, plain: Alignment) -> Float64:
    """Held-out reciprocal rank of each group under the fit without unpaired items.

    Args:
        training: pairs with features as the encoders gave them, and the dimensions of the choice.
        plain: the fit.

    Returns:
        Shape (groups,).
    """
    prepared = training.prepared(plain.prepare_x, plain.prepare_y)
    score = plain.score.with_weights(prepared.compact.crossfit.measure(plain.shrinkage))
    folds = held_out_ranks(prepared, plain.shrinkage, [score], plain.hubness_corrected)
    return by_group(folds, training)[0]


def is_better(ranks: Float64, than: Float64) -> bool:
    """Whether held-out ranks are better by more than chance, group by group.

    Args:
        ranks: reciprocal ranks of each group, shape (groups,); NaN where unknown.
        than: of the same groups, shape (groups,).

    Returns:
        Whether the mean difference exceeds its standard error.
    """
    difference = (ranks - than)[np.isfinite(ranks) & np.isfinite(than)]
    if len(difference) < 2:
        return False
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    return bool(difference.mean() > _EVIDENCE * error)


def climb_rounds(ground: Ground) -> list[Student]:
    """Students round by round, the pairs alone first, for as long as held-out folds gain.

    Args:
        ground: pairs and pools.

    Returns:
        At most six students.
    """
    students = [ground.judged(ground.student([], 0.0, 0), None)]
    if not ground.both:
        return students
    size = min(len(ground.U), len(ground.V))
    usual = size / (size + _PAIRS_COUNT * ground.training.groups)
    for turn in range(_MAX_ROUNDS):
        teacher = students[-1]
        plans = ground.plans(teacher, teacher.setting, turn)
        tried = [
            ground.judged(ground.student(plans, scale_odds(usual, odds), turn + 1), teacher)
            for odds in _WEIGHT_ODDS
        ]
        best = tried[0]
        for other in tried[1:]:
            best = other if is_better(other.ranks, best.ranks) else best
        students.append(best)
        _log.info(
            "round %d: held-out MRR %.3f at weight %.2f", turn + 1, best.value, best.setting.weight
        )
        leader = max(range(len(students)), key=lambda i: (students[i].value, -i))
        if turn + 1 - leader >= _PATIENCE:
            break
    return students


def fit_unpaired(
    training: Training,
    unpaired: Unpaired,
    plain: Alignment,
    named: Score | None,
    hubness: bool,
) -> tuple[Alignment, dict[str, Any]]:
    """The fit with unpaired items where true pairs say that it is better, else the fit as it was.

    Args:
        training: pairs with features as the encoders gave them.
        unpaired: pools and bridge.
        plain: the fit without them.
        named: a score that was asked for by name, as the plain fit has it.
        hubness: whether to correct the score for hubs.

    Returns:
        The alignment, and what was tried.
    """
    ground = Ground(training, unpaired, plain, named)
    without = baseline(training, plain)
    students = climb_rounds(ground)
    best = max(students, key=lambda student: student.value)
    used = is_better(best.ranks, without)
    found = ground.alignment(best, hubness) if used else plain
    account = _account(unpaired, best if used else None)
    account["held_out_mrr_without"] = float(np.nanmean(without))
    account["rounds"] = [_trial(student) for student in students]
    return replace(found, notes={**found.notes, "unpaired": account}), account


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
    if head is None or min(len(unpaired.x), len(unpaired.y)) < _LEAST_POOL:
        raise FeatureError(
            f"a fit without pairs needs a bridge and {_LEAST_POOL} unpaired items of either view; "
            f"got {'no bridge' if head is None else 'a bridge'}, {len(unpaired.x)} and "
            f"{len(unpaired.y)} items"
        )
    X, Y = unpaired.x.items, unpaired.y.items
    own, other = (X, Y) if head.view == "x" else (Y, X)
    nothing = (np.zeros(0, np.intp), head.logits(own[:0]), other[:0])
    bridged = _Bridged.of(head, _temperature(head), nothing, (head.logits(own), other), other)
    mass, partners = np.zeros(len(X)), np.zeros((len(X), _PARTNERS), np.intp)
    for i, j in Parts.of(len(X), len(Y)).meetings(0):
        left, right = _UNCHECKED.kappa * bridged.pool_left[i], bridged.pool_right[j]
        plan = transport_plan(hub_corrected(left, right))
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
    head = unpaired.bridge
    setting = _UNCHECKED if head is None else _UNCHECKED._replace(temperature=_temperature(head))
    student = replace(ground.student([], 0.0, 0), setting=setting)
    for turn in range(_UNCHECKED_ROUNDS):
        plans = ground.plans(student, setting, turn)
        student = replace(ground.student(plans, setting.weight, turn + 1), setting=setting)
    account = {**_account(unpaired, student), "checked_on_true_pairs": False}
    notes = {"unpaired": account, "stand_ins": training.groups}
    return replace(ground.alignment(student, hubness), notes=notes, n_pairs=0)


def _temperature(head: LabelBridge) -> float:
    given = head.temperature
    return DEFAULT_TEMPERATURE if isinstance(given, str) else float(given)


def _trial(student: Student) -> dict[str, Any]:
    return {
        "round": student.round,
        **student.setting._asdict(),
        "shrinkage": list(student.shrinkage),
        "held_out_mrr": student.value,
    }


def _account(unpaired: Unpaired, best: Student | None) -> dict[str, Any]:
    return {
        "items": [len(unpaired.x), len(unpaired.y)],
        "left_out": [unpaired.x.paired, unpaired.y.paired],
        "used": best is not None,
        "round": best.round if best else 0,
        "weight": best.setting.weight if best else 0.0,
        "labels": best.setting.kappa if best else 0.0,
        "checked_on_true_pairs": True,
    }
