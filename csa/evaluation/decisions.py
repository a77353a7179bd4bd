"""What conformal decisions are worth on held-out data: calibrated on a random half of the groups,
measured on the other half.

Which half calibrates is chance, and decides how much is covered; so it is done many times. A value
is the mean over the halvings, its interval what the central share of single halvings gave.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from csa.core.matrices import Float64
from csa.evaluation.bootstrap import Estimate, interval, number_groups
from csa.evaluation.conformal import Calibration, PairCalibration, right_gaps, set_sizes
from csa.evaluation.exchangeability import doubts
from csa.evaluation.held_out import HeldOut
from csa.evaluation.vectors import HeldOutVectors
from csa.params.measure import EvaluateParams

HALVINGS = 100
ALPHAS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
CURVE = pl.Schema(
    {"kind": pl.String, **dict.fromkeys(("alpha", "coverage", "low", "high", "size"), pl.Float64)}
)
"""Columns of a calibration curve, see `Decisions`."""
VERDICTS = ("match", "mismatch", "undecided", "neither")
_MANY_SHARED = 0.05


@dataclass(frozen=True, eq=False)
class Decisions:
    """Measured decisions.

    Attributes:
        metrics: at the asked-for alpha, JSON-able.
        curve: one row a kind of decision and alpha: kind, alpha, coverage, low, high, size (mean
            share of the candidates that a set holds; of pairs, the share left undecided).
        pairs: one row a held-out pair, in order: p_match, p_mismatch and verdict, each by the half
            of the groups it is not in.
    """

    metrics: dict[str, Any]
    curve: pl.DataFrame
    pairs: pl.DataFrame


def measure_decisions(
    vectors: HeldOutVectors, held_out: HeldOut, pairs: pl.DataFrame, params: EvaluateParams
) -> Decisions:
    """Verdicts on pairs and prediction sets of retrieval.

    Args:
        vectors: index vectors of the held-out items.
        held_out: the held-out pairs.
        pairs: their scores, from `csa.tasks.mismatch.score_held_out_pairs`.
        params: alpha, confidence level and seed.
    """
    of_pairs, curve = _measure_verdicts(pairs, params)
    retrieval = {}
    first, second = held_out.views
    sides = (
        (first, second, vectors.left, vectors.right),
        (second, first, vectors.right, vectors.left),
    )
    for queries, gallery, left, right in sides:
        kind = f"{queries.name}_to_{gallery.name}"
        retrieval[kind], rows = measure_sets(
            left, right, (queries.of_pair, gallery.of_pair), queries.groups, params
        )
        curve += [{"kind": kind, **row} for row in rows]
    group = number_groups(pairs["group"])
    metrics = {
        "alpha": params.alpha,
        "halvings": HALVINGS,
        "groups": int(group.max()) + 1,
        "pairs": of_pairs,
        "retrieval": retrieval,
        "exchangeability": _doubts(pairs, group, held_out, params),
    }
    return Decisions(
        metrics, pl.DataFrame(curve, schema=CURVE), _judge_each_half(pairs, group, params)
    )


def measure_sets(
    left: Any,
    right: Any,
    relevant: tuple[NDArray[np.intp], NDArray[np.intp]],
    groups: Any,
    params: EvaluateParams,
) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """Prediction sets of queries: how often they hold a right answer, and how large they are.

    Args:
        left, right: index vectors of queries (n, k) and candidates (m, k).
        relevant: (query rows, candidate rows) of all right answers.
        groups: group label of each query, n of them.
        params: alpha, confidence level and seed.

    Returns:
        coverage and set_size at alpha, candidates; and a row for each alpha: alpha, coverage, low,
        high, size.
    """
    behind, group, alphas = (
        right_gaps(left, right, relevant),
        number_groups(groups),
        _alphas(params),
    )
    halves = _halvings(int(group.max()) + 1, params.seed)
    gaps = np.empty((len(halves), len(alphas)))
    covered = np.empty_like(gaps)
    for k, half in enumerate(halves):
        calibrates = half[group]
        calibration = Calibration.of(-behind[calibrates], group[calibrates])
        gaps[k] = [-calibration.threshold(alpha) for alpha in alphas]
        inside = behind[~calibrates][:, None] <= gaps[k]
        covered[k] = [
            _group_mean(column, group[~calibrates]) for column in inside.T.astype(np.float64)
        ]
    # Sizes for the gap of a typical halving: those of all would be a hundred times the work.
    sizes = set_sizes(left, right, np.median(gaps, axis=0))
    rows = []
    for k, alpha in enumerate(alphas):
        estimate = _over_halvings(covered[:, k], params)
        size = float(sizes[:, k].mean())
        rows.append({"alpha": alpha, **_coverage(estimate), "size": size / right.shape[0]})
    at = alphas.index(params.alpha)
    return {
        "coverage": _over_halvings(covered[:, at], params).as_dict(),
        "set_size": {"value": float(sizes[:, at].mean())},
        "median_set_size": {"value": float(np.median(sizes[:, at]))},
        "candidates": right.shape[0],
    }, rows


def _measure_verdicts(
    pairs: pl.DataFrame, params: EvaluateParams
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Shares of the verdicts on true pairs, strangers and hard strangers, and the coverage of
    the first two for every alpha.
    """
    group, alphas = number_groups(pairs["group"]), _alphas(params)
    scores = {
        kind: pairs[column].to_numpy()
        for kind, column in (
            ("true", "score"),
            ("strangers", "stranger_score"),
            ("hard_strangers", "hard_stranger_score"),
        )
        if pairs[column].null_count() < len(pairs)
    }
    shares: dict[str, list[list[float]]] = {kind: [] for kind in scores}
    covered: dict[str, list[list[float]]] = {"true": [], "strangers": []}
    open_: dict[str, list[list[float]]] = {"true": [], "strangers": []}
    for half in _halvings(int(group.max()) + 1, params.seed):
        calibrates = half[group]
        judge = PairCalibration.of(
            scores["true"][calibrates], scores["strangers"][calibrates], group[calibrates]
        )
        for kind, values in scores.items():
            judged = ~calibrates & ~np.isnan(values)
            if not judged.any():
                continue
            decided, mine = judge.decide(values[judged], params.alpha), group[judged]
            verdicts = np.array(decided.verdicts)
            shares[kind].append(
                [
                    _group_mean((verdicts == verdict).astype(np.float64), mine)
                    for verdict in VERDICTS
                ]
            )
            # of hard strangers nothing is promised: they are unlike those that calibrate
            if kind in covered:
                p = decided.p_match if kind == "true" else decided.p_mismatch
                both = np.minimum(decided.p_match, decided.p_mismatch)
                covered[kind].append(
                    [_group_mean((p > alpha).astype(np.float64), mine) for alpha in alphas]
                )
                open_[kind].append(
                    [_group_mean((both > alpha).astype(np.float64), mine) for alpha in alphas]
                )
    metrics: dict[str, Any] = {
        kind: {
            verdict: _over_halvings(np.array(found)[:, k], params).as_dict()
            for k, verdict in enumerate(VERDICTS)
        }
        for kind, found in shares.items()
        if found
    }
    rows = []
    for kind, found in covered.items():
        estimates = [_over_halvings(column, params) for column in np.array(found).T]
        metrics[kind]["coverage"] = estimates[alphas.index(params.alpha)].as_dict()
        sizes = np.array(open_[kind]).mean(axis=0)
        for alpha, estimate, size in zip(alphas, estimates, sizes, strict=True):
            rows.append({"kind": kind, "alpha": alpha, **_coverage(estimate), "size": float(size)})
    return metrics, rows


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
) -> dict[str, Any]:
    first = halves(group, params.seed)
    score = pairs["score"].to_numpy()
    found = doubts(score[first], group[first], score[~first], group[~first], params.alpha)
    shared = _share_in_several_groups(held_out, group)
    if shared > _MANY_SHARED:
        found = found.because(
            f"{shared:.0%} of the held-out pairs have an item that another group has too: groups "
            f"are not independent"
        )
    return found.as_dict()


def _share_in_several_groups(held_out: HeldOut, group: NDArray[np.intp]) -> float:
    """Share of held-out pairs one of whose items is also in a pair of another group."""
    shared = np.zeros(len(group), dtype=np.bool_)
    for view in held_out.views:
        items = np.unique(np.stack([view.of_pair, group]), axis=1)[0]
        shared |= np.bincount(items, minlength=len(view.items))[view.of_pair] > 1
    return float(shared.mean())


def halves(groups: Any, seed: int) -> NDArray[np.bool_]:
    """Whether each item's group is in the half that chooses; the other half measures."""
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


def _group_mean(values: Float64, group: NDArray[np.intp]) -> float:
    """The mean over groups of their means: what a promise about a random item of a random group
    is about.
    """
    size = np.bincount(group)
    return float((np.bincount(group, values)[size > 0] / size[size > 0]).mean())


def _over_halvings(values: Float64, params: EvaluateParams) -> Estimate:
    return Estimate(float(values.mean()), *interval(values, params.confidence))


def _coverage(estimate: Estimate) -> dict[str, float]:
    return {"coverage": estimate.value, "low": estimate.low, "high": estimate.high}
