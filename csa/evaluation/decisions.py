"""What conformal decisions are worth on held-out data: calibrated on a random half of the groups,
measured on the other half.

Which half calibrates is chance, and decides how much is covered; so it is done many times. A value
is the mean over the halvings, its interval what the central share of single halvings gave.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from csa.core.matrices import Float64
from csa.evaluation.bootstrap import interval, number_groups
from csa.evaluation.conformal import (
    Calibration,
    PairCalibration,
    PairDecisions,
    right_gaps,
    set_sizes,
)
from csa.evaluation.evaluation import Evaluation
from csa.evaluation.exchangeability import doubts
from csa.evaluation.held_out import HeldOut
from csa.params.measure import EvaluateParams
from csa.results.estimate import Estimate, Value
from csa.results.evaluation import (
    ConformalMetrics,
    EvaluationMetrics,
    ExchangeabilityMetrics,
    PairVerdictMetrics,
    SetMetrics,
    VerdictMetrics,
)

HALVINGS = 100
ALPHAS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
VERDICTS = ("match", "mismatch", "undecided", "neither")
# of hard strangers nothing is promised: they are unlike those that calibrate
_PROMISED = ("true", "strangers")
_MANY_SHARED = 0.05


@dataclass(frozen=True)
class CurvePoint:
    """What one kind of decision is worth at one promised error rate.

    Attributes:
        kind: true, strangers, a direction, or classes.
        alpha: the error rate that is promised.
        coverage, low, high: measured, with the central share of single halvings.
        size: mean share of the candidates that a set holds; of pairs, the share left undecided.
    """

    kind: str
    alpha: float
    coverage: float
    low: float
    high: float
    size: float


def curve_table(points: list[CurvePoint]) -> pl.DataFrame:
    """A calibration curve as a table: kind, alpha, coverage, low, high, size."""
    numbers = dict.fromkeys(("alpha", "coverage", "low", "high", "size"), pl.Float64)
    schema = pl.Schema({"kind": pl.String, **numbers})
    return pl.DataFrame([asdict(point) for point in points], schema=schema)


@dataclass(frozen=True, eq=False)
class Decisions:
    """Measured decisions.

    Attributes:
        metrics: at the asked-for alpha.
        curve: one point a kind of decision and alpha.
        pairs: one row a held-out pair, in order: p_match, p_mismatch and verdict, each by the half
            of the groups it is not in.
    """

    metrics: ConformalMetrics
    curve: list[CurvePoint]
    pairs: pl.DataFrame


@dataclass(frozen=True, eq=False)
class SetQueries:
    """Queries whose answers are sets of candidates.

    Attributes:
        kind: what the points of their calibration curve are called.
        left, right: index vectors of queries (n, k) and candidates (m, k).
        relevant: (query rows, candidate rows) of all right answers.
        groups: group label of each query, n of them.
        behind: gap of each query, shape (n,), where it is known already; see `right_gaps`.
    """

    kind: str
    left: Any
    right: Any
    relevant: tuple[NDArray[np.intp], NDArray[np.intp]]
    groups: Any
    behind: Float64 | None = None


def measure_decisions(
    measured: Evaluation[EvaluationMetrics], held_out: HeldOut, params: EvaluateParams
) -> Decisions:
    """Verdicts on pairs and prediction sets of retrieval.

    Args:
        measured: what `csa.evaluation.evaluation.evaluate` found.
        held_out: the held-out pairs.
        params: alpha, confidence level and seed.

    Returns:
        Metrics at alpha, the calibration curve, and a verdict on each pair.
    """
    vectors, pairs = measured.vectors, measured.pairs
    verdicts, curve = _measure_verdicts(pairs, params)
    retrieval = {}
    first, second = held_out.views
    sides = (
        (first, second, vectors.left, vectors.right),
        (second, first, vectors.right, vectors.left),
    )
    for source, (view, other, left, right) in enumerate(sides):
        direction, asking = f"{view.name}_to_{other.name}", view.asking
        relevant = held_out.relevant(source)
        gaps = measured.gaps[source]
        queries = SetQueries(direction, left[:asking], right, relevant, view.groups[:asking], gaps)
        retrieval[direction], points = measure_sets(queries, params)
        curve += points
    group = number_groups(pairs["group"])
    metrics = ConformalMetrics(
        alpha=params.alpha,
        halvings=HALVINGS,
        groups=int(group.max()) + 1,
        pairs=verdicts,
        retrieval=retrieval,
        exchangeability=_doubts(pairs, group, held_out, params),
    )
    return Decisions(metrics, curve, _judge_each_half(pairs, group, params))


def measure_sets(
    queries: SetQueries, params: EvaluateParams
) -> tuple[SetMetrics, list[CurvePoint]]:
    """Prediction sets of queries: how often they hold a right answer, and how large they are.

    Args:
        queries: with their candidates and right answers.
        params: alpha, confidence level and seed.

    Returns:
        The sets at alpha, and a point of the calibration curve for each alpha.
    """
    behind = queries.behind
    if behind is None:
        behind = right_gaps(queries.left, queries.right, queries.relevant)
    group, alphas = number_groups(queries.groups), _alphas(params)
    halves = _halvings(int(group.max()) + 1, params.seed)
    gaps = np.empty((len(halves), len(alphas)))
    covered = np.empty_like(gaps)
    for k, half in enumerate(halves):
        calibrates = half[group]
        calibration = Calibration.of(-behind[calibrates], group[calibrates])
        gaps[k] = [-calibration.threshold(alpha) for alpha in alphas]
        inside = behind[~calibrates][:, None] <= gaps[k]
        covered[k] = [_group_share(column, group[~calibrates]) for column in inside.T]
    # Sizes for the gap of a typical halving: those of all would be a hundred times the work.
    sizes = set_sizes(queries.left, queries.right, np.median(gaps, axis=0))
    candidates, at = queries.right.shape[0], alphas.index(params.alpha)
    coverage = [_over_halvings(column, params) for column in covered.T]
    metrics = SetMetrics(
        coverage=coverage[at],
        set_size=Value(float(sizes[:, at].mean())),
        median_set_size=Value(float(np.median(sizes[:, at]))),
        candidates=candidates,
    )
    return metrics, _curve(queries.kind, alphas, coverage, sizes.mean(axis=0) / candidates)


@dataclass(frozen=True, eq=False)
class _Tally:
    """What came of one kind of pair, a row a halving: the share of each verdict, and for every
    alpha how many right claims stood and how many pairs were undecided.
    """

    kind: str
    alphas: list[float]
    shares: list[list[float]] = field(default_factory=list)
    covered: list[list[float]] = field(default_factory=list)
    undecided: list[list[float]] = field(default_factory=list)

    def add(self, decided: PairDecisions, group: NDArray[np.intp]) -> None:
        """One more halving.

        Args:
            decided: on the pairs that were judged, n of them.
            group: group number of each, shape (n,).
        """
        verdicts = np.array(decided.verdicts)
        self.shares.append([_group_share(verdicts == verdict, group) for verdict in VERDICTS])
        if self.kind not in _PROMISED:
            return
        right_claim = decided.p_match if self.kind == "true" else decided.p_mismatch
        either = np.minimum(decided.p_match, decided.p_mismatch)
        self.covered.append([_group_share(right_claim > alpha, group) for alpha in self.alphas])
        self.undecided.append([_group_share(either > alpha, group) for alpha in self.alphas])

    def metrics(self, params: EvaluateParams) -> VerdictMetrics:
        """Shares of the verdicts, and the coverage at the asked-for alpha."""
        shares = [_over_halvings(column, params) for column in np.array(self.shares).T]
        at = self.alphas.index(params.alpha)
        coverage = self._coverage(params)[at] if self.covered else None
        return VerdictMetrics(**dict(zip(VERDICTS, shares, strict=True)), coverage=coverage)

    def curve(self, params: EvaluateParams) -> list[CurvePoint]:
        """A point for each alpha."""
        sizes = np.array(self.undecided).mean(axis=0)
        return _curve(self.kind, self.alphas, self._coverage(params), sizes)

    def _coverage(self, params: EvaluateParams) -> list[Estimate]:
        return [_over_halvings(column, params) for column in np.array(self.covered).T]


def _measure_verdicts(
    pairs: pl.DataFrame, params: EvaluateParams
) -> tuple[PairVerdictMetrics, list[CurvePoint]]:
    """Shares of the verdicts on true pairs, strangers and hard strangers, and the coverage of
    the first two for every alpha.
    """
    group, alphas = number_groups(pairs["group"]), _alphas(params)
    scores = _scores_by_kind(pairs)
    tallies = {kind: _Tally(kind, alphas) for kind in scores}
    for half in _halvings(int(group.max()) + 1, params.seed):
        calibrates = half[group]
        judge = PairCalibration.of(
            scores["true"][calibrates], scores["strangers"][calibrates], group[calibrates]
        )
        for kind, values in scores.items():
            judged = ~calibrates & ~np.isnan(values)
            if judged.any():
                tallies[kind].add(judge.decide(values[judged], params.alpha), group[judged])
    metrics = {kind: tally.metrics(params) for kind, tally in tallies.items() if tally.shares}
    return PairVerdictMetrics(**metrics), [
        point for kind in _PROMISED for point in tallies[kind].curve(params)
    ]


def _scores_by_kind(pairs: pl.DataFrame) -> dict[str, Float64]:
    """Scores of true pairs, strangers, and hard strangers where there are any; shapes (n,)."""
    columns = {
        "true": "score",
        "strangers": "stranger_score",
        "hard_strangers": "hard_stranger_score",
    }
    return {
        kind: pairs[column].to_numpy()
        for kind, column in columns.items()
        if pairs[column].null_count() < len(pairs)
    }


def _judge_each_half(
    pairs: pl.DataFrame, group: NDArray[np.intp], params: EvaluateParams
) -> pl.DataFrame:
    """Every pair judged by the half of the groups that it is not in."""
    score, strange = pairs["score"].to_numpy(), pairs["stranger_score"].to_numpy()
    first = halves(group, params.seed)
    p_match, p_mismatch, verdicts = (
        np.empty(len(pairs)),
        np.empty(len(pairs)),
        np.empty(len(pairs), dtype=object),
    )
    for calibrates in (first, ~first):
        if not calibrates.any():
            continue
        judge = PairCalibration.of(score[calibrates], strange[calibrates], group[calibrates])
        decided = judge.decide(score[~calibrates], params.alpha)
        p_match[~calibrates], p_mismatch[~calibrates] = decided.p_match, decided.p_mismatch
        verdicts[~calibrates] = decided.verdicts
    return pl.DataFrame(
        {"p_match": p_match, "p_mismatch": p_mismatch, "verdict": verdicts.tolist()}
    )


def _doubts(
    pairs: pl.DataFrame, group: NDArray[np.intp], held_out: HeldOut, params: EvaluateParams
) -> ExchangeabilityMetrics:
    first = halves(group, params.seed)
    score = pairs["score"].to_numpy()
    reasons = doubts(score[first], group[first], score[~first], group[~first], params.alpha)
    shared = _share_in_several_groups(held_out)
    if shared > _MANY_SHARED:
        reasons = reasons.because(
            f"{shared:.0%} of the held-out pairs have an item that another group has too: groups "
            f"are not independent"
        )
    return reasons.metrics


def _share_in_several_groups(held_out: HeldOut) -> float:
    """Share of held-out pairs one of whose items is also in a pair of another group."""
    group = number_groups(held_out.pairs["group"])
    shared = np.zeros(len(group), dtype=np.bool_)
    for view in held_out.views:
        items = np.unique(np.stack([view.of_pair, group]), axis=1)[0]
        shared |= np.bincount(items, minlength=len(view.items))[view.of_pair] > 1
    return float(shared.mean())


def halves(groups: Any, seed: int) -> NDArray[np.bool_]:
    """Whether each item's group is in the half that chooses; the other half measures.

    Args:
        groups: group label of each item, n of them.
        seed: of the choice.

    Returns:
        Shape (n,).
    """
    number = number_groups(groups)
    chosen: NDArray[np.bool_] = _halvings(int(number.max()) + 1, seed)[0][number]
    return chosen


def calibrating_groups(groups: int) -> int:
    """How many of so many groups calibrate; the others are judged."""
    return (groups + 1) // 2


def _alphas(params: EvaluateParams) -> list[float]:
    return sorted({*ALPHAS, params.alpha})


def _halvings(groups: int, seed: int) -> NDArray[np.bool_]:
    """Which groups calibrate in each halving, shape (HALVINGS, groups)."""
    rng, chosen = np.random.default_rng(seed), np.zeros((HALVINGS, groups), dtype=np.bool_)
    for row in chosen:
        row[rng.permutation(groups)[: calibrating_groups(groups)]] = True
    return chosen


def _group_share(chosen: NDArray[np.bool_], group: NDArray[np.intp]) -> float:
    return _group_mean(chosen.astype(np.float64), group)


def _group_mean(values: Float64, group: NDArray[np.intp]) -> float:
    """The mean over groups of their means: what a promise about a random item of a random group
    is about.
    """
    size = np.bincount(group)
    return float((np.bincount(group, values)[size > 0] / size[size > 0]).mean())


def _over_halvings(values: Float64, params: EvaluateParams) -> Estimate:
    return Estimate(float(values.mean()), *interval(values, params.confidence))


def _curve(
    kind: str, alphas: list[float], coverage: list[Estimate], sizes: Float64
) -> list[CurvePoint]:
    return [
        CurvePoint(kind, alpha, covered.value, covered.low, covered.high, float(size))
        for alpha, covered, size in zip(alphas, coverage, sizes, strict=True)
    ]
