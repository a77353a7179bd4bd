"""Pairs, pools and an encoder's labels in one space, and fits there that held-out folds judge."""

from dataclasses import dataclass, replace
from typing import NamedTuple

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
from csa.core.select import MAX_HUB_ITEMS, fold_rows, reciprocal_ranks
from csa.core.shrinkage import Shrinkage, Spans, SpanShrinkage
from csa.core.solve import solve
from csa.core.threads import each
from csa.core.training import Training
from csa.core.transport import (
    Parts,
    average,
    hub_corrected,
    mixed,
    plan_moments,
    transport_plan,
)

# A smaller pool of either view brings nothing: 300 photos beside 100 paired ones brought nothing.
LEAST_POOL = 200
_KAPPAS = (1.0, 2.0, 3.0, 4.0, 6.0)
# How many standard errors, over groups, the best of these must be better by than none: the best of
# fifteen useless ones is better than none by one or two.
_EVIDENCE = 2.0
# Items of either pool that say what is a hub, and among which held-out pairs are searched for.
_BANK_ITEMS = 500
_BANK_NEIGHBOURS = 16

Vectors = tuple[Array, Array]
"""Index vectors of items of the first view and of the second."""


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

    @property
    def temperature(self) -> float:
        """The bridge's temperature, or what it starts from."""
        given = "auto" if self.bridge is None else self.bridge.temperature
        return DEFAULT_TEMPERATURE if isinstance(given, str) else float(given)

    def views(self, X: Array, Y: Array) -> tuple[Array, Array]:
        """Features of both views, the one with the bridge's head first.

        Args:
            X, Y: features of either view.

        Returns:
            (X, Y) or (Y, X).
        """
        return (Y, X) if self.bridge is not None and self.bridge.view == "y" else (X, Y)


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


@dataclass(frozen=True, eq=False)
class Student:
    """A fit to pairs and plan.

    Attributes:
        crossfit: the true pairs' folds, judged by fits to the mixed moments of the other folds and
            their plan.
        total: mixed moments of all pairs.
        shrinkage: in the principal dimensions.
        setting: weights and temperature.
        among: reciprocal rank of each group's held-out pairs among their fold and the pools, shape
            (groups,).
        within: the same among their fold alone.
        turn: number of plans before it.
    """

    crossfit: CrossFit
    total: Moments
    shrinkage: Shrinkage
    setting: Setting
    among: Float64
    within: Float64
    turn: int

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
    def held(self) -> Held:
        """What held-out folds of true pairs say."""
        return self.crossfit.measure(self.shrinkage)


class Ground:
    """Pairs, pools and bridge, in the principal dimensions of either view.

    Args:
        training: pairs with features as the encoders gave them.
        unpaired: pools and bridge.
        plain: the fit without them, whose preparation is used.
        named: a score that was asked for by name; None for the normalised likelihood ratio.

    Attributes:
        U, V: the pools.
        training: the pairs.
        temperatures: of the bridge that can be chosen; none without a bridge.
    """

    def __init__(
        self, training: Training, unpaired: Unpaired, plain: Alignment, named: Score | None
    ):
        self._plain, self._named = plain, named
        prepared = training.prepared(plain.prepare_x, plain.prepare_y)
        U, V = plain.prepare_x(unpaired.x.items), plain.prepare_y(unpaired.y.items)
        self._axes = Axes.of(prepared.X, U), Axes.of(prepared.Y, V)
        self._spans = Spans(self._axes[0].ratio, self._axes[1].ratio)
        self.training = replace(
            prepared, X=self._axes[0](prepared.X), Y=self._axes[1](prepared.Y), dimensions=None
        )
        self.U, self.V = self._axes[0](U), self._axes[1](V)
        self._folds = Moments.of_folds(self.training.X, self.training.Y, training.fold)
        self._pairs = CrossFit(self._folds)
        self._rows = [fold_rows(training, k) for k in range(len(self._folds))]
        self._known = np.sort(np.concatenate(self._rows))
        self._bridges = self._all_bridges(training, unpaired)
        self.temperatures = tuple(self._bridges)

    @property
    def both(self) -> bool:
        """Whether there are enough items of both views for a plan."""
        return min(len(self.U), len(self.V)) >= LEAST_POOL

    def _all_bridges(self, training: Training, unpaired: Unpaired) -> "dict[float, Bridged]":
        head = unpaired.bridge
        if head is None:
            return {}
        given = head.temperature
        temperatures = TEMPERATURES if isinstance(given, str) else (float(given),)
        own, other = unpaired.views(training.X[self._known], training.Y[self._known])
        pool, other_pool = unpaired.views(unpaired.x.items, unpaired.y.items)
        logits, pool_logits = head.logits(own), head.logits(pool)
        crowd = other_pool if len(other_pool) else other
        return {
            T: Bridged.of(head, T, (self._known, logits, other), (pool_logits, other_pool), crowd)
            for T in temperatures
        }

    # Fits.

    def alone(self, setting: Setting) -> Student:
        """The student of the pairs alone, under the shrinkage that carries most information."""
        crossfit = self._pairs
        return self._unjudged(crossfit, crossfit.total, crossfit.best_shrinkage(), setting, 0)

    def taught(
        self,
        plans: list[Moments],
        teacher: Student,
        weight: float,
        shrinkage: Shrinkage | None = None,
    ) -> Student:
        """The student of pairs and plans.

        Args:
            plans: moments of each fold's plan.
            teacher: that the plans are of.
            weight: g.
            shrinkage: that it is made under; by default what carries most information.

        Returns:
            The student; its ranks are not known yet.
        """
        complements = [
            mixed(pairs, plan, weight)
            for pairs, plan in zip(self._pairs.complements, plans, strict=True)
        ]
        total = mixed(self._pairs.total, average(plans), weight)
        setting = teacher.setting._replace(weight=weight)
        crossfit = CrossFit(self._folds, complements=complements)
        shrinkage = shrinkage or crossfit.best_shrinkage()
        return self._unjudged(crossfit, total, shrinkage, setting, teacher.turn + 1)

    def _unjudged(
        self,
        crossfit: CrossFit,
        total: Moments,
        shrinkage: Shrinkage,
        setting: Setting,
        turn: int,
    ) -> Student:
        unknown = np.full(self.training.groups, np.nan)
        return Student(crossfit, total, shrinkage, setting, unknown, unknown, turn)

    def plans(self, teacher: Student) -> list[Moments]:
        """Moments of the plan of each fold's teacher, which never saw the fold."""
        crossfit, setting = teacher.crossfit, teacher.setting
        decompositions = crossfit.decompositions(teacher.shrinkage)
        whole, bridged = NormalisedLikelihoodRatioScore.of(teacher.held), self._bridge(setting)
        parts = Parts.of(len(self.U), len(self.V))

        def plan(k: int) -> Moments:
            score = whole.leading(len(decompositions[k].rho))
            a, b = decompositions[k].coordinates(crossfit.complements[k], self.U, self.V)
            left, right = score.left(a), score.right(b)
            if bridged is not None:
                left, right = _joined((left, right), bridged.pools(setting.kappa))
            met = [
                plan_moments(transport_plan(hub_corrected(left[i], right[j])), self.U[i], self.V[j])
                for i, j in parts.meetings(teacher.turn)
            ]
            return sum(met[1:], start=met[0])

        return each(plan, range(len(decompositions)))

    # What held-out folds say.

    def without(self) -> Student:
        """The fit without pools and bridge, judged as they are."""
        shrinkage = Shrinkage(*self._spans.narrowed(self._plain.shrinkage))
        student = self._unjudged(
            self._pairs, self._pairs.total, shrinkage, Setting(0.0, 0.0, DEFAULT_TEMPERATURE), 0
        )
        score = self._plain.score.with_weights(student.held)
        bank = "pairs" if self._plain.hubness_corrected else "none"
        among, within = self._ranks(student, score, [student.setting], bank)
        return replace(student, among=among[0], within=within[0])

    def judged(self, student: Student) -> Student:
        """The student with its ranks."""
        among, within = self._ranks(student, self._score(student), [student.setting], "pools")
        return replace(student, among=among[0], within=within[0])

    def bridged(
        self, student: Student, temperatures: tuple[float, ...], trusted: bool = False
    ) -> Student:
        """The student with the kappa and temperature that its held-out folds prefer.

        Args:
            student: a fit to pairs and plan.
            temperatures: to choose from.
            trusted: whether the bridge has shown its worth before: the fit has learned from it
                since, so that it need not show it again.

        Returns:
            The student, judged.
        """
        settings = [student.setting._replace(kappa=0.0)] + [
            student.setting._replace(kappa=kappa, temperature=T)
            for T in temperatures
            for kappa in _KAPPAS
        ]
        among, within = self._ranks(student, self._score(student), settings, "pools")
        ranks = judged_by(among, within)
        best = int(np.argmax(np.nanmean(np.log(ranks), axis=1)))
        best = best if trusted or exceeds(ranks[best], ranks[0], _EVIDENCE) else 0
        return replace(student, setting=settings[best], among=among[best], within=within[best])

    def _score(self, student: Student) -> Score:
        """The score that the alignment will have."""
        if self._named is not None:
            return self._named.with_weights(student.held)
        return NormalisedLikelihoodRatioScore.of(student.held)

    def _ranks(
        self, student: Student, whole: Score, settings: list[Setting], bank: str
    ) -> tuple[Float64, Float64]:
        """Reciprocal ranks of each group among fold and pools, and among the fold alone, shape
        (settings, groups) each; NaN for a group none of whose pairs was looked at.
        """
        crossfit = student.crossfit
        decompositions, t = crossfit.decompositions(student.shrinkage), self.training

        def in_fold(k: int) -> Float64:
            rows, outside = self._rows[k], self._outside(k)
            score = whole.leading(len(decompositions[k].rho))

            def vectors(X: Array, Y: Array) -> Vectors:
                a, b = decompositions[k].coordinates(crossfit.complements[k], X, Y)
                return score.left(a), score.right(b)

            pairs, others = vectors(t.X[rows], t.Y[rows]), vectors(t.X[outside], t.Y[outside])
            pools = vectors(self.U[:_BANK_ITEMS], self.V[:_BANK_ITEMS])
            found = np.empty((len(settings), 2, len(rows)))
            for i, setting in enumerate(settings):
                bridged, sets = self._bridge(setting), (pairs, others, pools)
                if bridged is not None:
                    kappa = setting.kappa
                    sets = (
                        _joined(pairs, bridged.pairs(rows, kappa)),
                        _joined(others, bridged.pairs(outside, kappa)),
                        _joined(pools, bridged.pools(kappa, _BANK_ITEMS)),
                    )
                found[i] = _fold_ranks(sets, t.group[rows], bank)
            return found

        folds = np.concatenate(each(in_fold, range(len(self._rows))), axis=2)
        group = t.group[np.concatenate(self._rows)]
        seen = np.bincount(group, minlength=t.groups)
        with np.errstate(invalid="ignore"):
            among, within = (
                np.array([np.bincount(group, line, t.groups) / seen for line in folds[:, kind]])
                for kind in (0, 1)
            )
        return among, within

    def _outside(self, k: int) -> NDArray[np.intp]:
        """Rows of pairs outside a fold, some of them."""
        rows = np.concatenate([rows for j, rows in enumerate(self._rows) if j != k])
        return self.training.some(np.sort(rows), _BANK_ITEMS)

    def _bridge(self, setting: Setting) -> "Bridged | None":
        return self._bridges.get(setting.temperature) if setting.kappa else None

    # What is kept.

    def alignment(self, student: Student, hubness: bool) -> Alignment:
        """The student as an alignment of features as the encoders give them.

        Args:
            student: the one that was chosen.
            hubness: whether to correct its score for hubs.

        Returns:
            The alignment.
        """
        decomposition, setting = solve(student.total, student.shrinkage), student.setting
        score = self._score(student).leading(len(decomposition.rho))
        found = Alignment.of(student.total, decomposition, student.shrinkage, score)
        (x, y), correction, bridged = self._axes, None, self._bridge(setting)
        if hubness:
            rows = self.training.some(self._known, MAX_HUB_ITEMS)
            X, Y = self.training.X[rows], self.training.Y[rows]
            X = self.U[:MAX_HUB_ITEMS] if len(self.U) else X
            Y = self.V[:MAX_HUB_ITEMS] if len(self.V) else Y
            a, b = decomposition.coordinates(student.total, X, Y)
            bank = score.left(a), score.right(b)
            if bridged is not None:
                pairs = bridged.pairs(rows, setting.kappa)
                bank = _joined(
                    bank, _first_given(bridged.pools(setting.kappa, MAX_HUB_ITEMS), pairs)
                )
            correction = HubnessCorrection.of_vectors(*bank, self.training.seed)
        return replace(
            found,
            mean_x=x.centre + x.vectors @ found.mean_x,
            mean_y=y.centre + y.vectors @ found.mean_y,
            A=x.vectors @ found.A,
            B=y.vectors @ found.B,
            shrinkage=self._spans.widened(SpanShrinkage(*student.shrinkage)),
            n_pairs=len(self.training.X),
            hubness=correction,
            bridge=None if bridged is None else bridged.at(setting.kappa),
            prepare_x=self._plain.prepare_x,
            prepare_y=self._plain.prepare_y,
            notes=diagnostics.held_out(
                found.training_correlations,
                student.held,
                self.training.groups,
                float(np.nanmean(student.within)),
            ),
        )


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
        hubs = _first_given(pools, others) if bank == "pools" else others
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


def _first_given(first: Vectors, second: Vectors) -> Vectors:
    """View by view the first, or the second where the first has no items."""
    left, right = (a if len(a) else b for a, b in zip(first, second, strict=True))
    return left, right


def _joined(vectors: Vectors, more: Vectors) -> Vectors:
    return np.hstack([vectors[0], more[0]]), np.hstack([vectors[1], more[1]])


@dataclass(frozen=True, eq=False)
class Bridged:
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
    ) -> "Bridged":
        """A bridge at one temperature.

        Args:
            head: the bridge.
            temperature: T.
            pairs: some pairs' rows, logits and features of the other view.
            pools: logits of its own view's pool, and the other view's pool.
            crowd: items of the other view whose mean is taken off.

        Returns:
            The bridge, its cosine at unit standard deviation.
        """
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

    def pairs(self, rows: NDArray[np.intp], kappa: float) -> Vectors:
        """Dimensions of either view of some of the pairs that it knows.

        Args:
            rows: of the pairs.
            kappa: weight.

        Returns:
            Index dimensions of both views.
        """
        at = np.searchsorted(self.rows, rows)
        return kappa * self.left[at], self.right[at]

    def pools(self, kappa: float, most: int | None = None) -> Vectors:
        """Dimensions of the pools' first items.

        Args:
            kappa: weight.
            most: number of items; None for all.

        Returns:
            Index dimensions of both views.
        """
        return kappa * self.pool_left[:most], self.pool_right[:most]

    def at(self, kappa: float) -> FittedBridge:
        """What stands beside a score at a weight."""
        return replace(self.fitted, weight=self.fitted.weight * kappa)


def _spread(e: Float64, o: Float64) -> float:
    """Standard deviation of the inner products of all rows of e with all rows of o."""
    square = np.einsum("ij,ij->", e.T @ e / len(e), o.T @ o / len(o))
    mean = e.mean(axis=0) @ o.mean(axis=0)
    return float(np.sqrt(max(square - mean**2, np.finfo(np.float64).tiny)))
