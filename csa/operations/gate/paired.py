"""Challenger against champion, query by query: the gain overall by the sign-flip test over groups,
and in every slice by one paired bootstrap over groups.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from csa.core.moments import Float64
from csa.evaluation.bootstrap import group_draws, number_groups
from csa.evaluation.sign_flip import fewest_groups, interval
from csa.operations.gate.decision import Decision, Verdict
from csa.operations.gate.series import FIRST, Terms
from csa.params.gate import GateParams

# A slice is judged by its spread in units of its standard error, which fewer groups do not tell
# well enough.
_MIN_SLICE_GROUPS = 20
_SHOWN_SLICES = 10  # in the evidence; the lowest ones


@dataclass(frozen=True)
class Gains:
    """Paired differences, one a query.

    Attributes:
        gain: challenger minus champion.
        group: number of each query's group, from 0.
        way: number of its direction, from 0.
    """

    gain: Float64
    group: NDArray[np.intp]
    way: NDArray[np.intp]

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return int(self.group.max()) + 1

    def of_groups(self) -> tuple[Float64, Float64]:
        """What each group adds to the mean gain, directions alike, and its weight in it, each of
        shape (groups,)."""
        queries = np.bincount(self.way)
        weight = 1 / (len(queries) * queries[self.way])
        sums, weights = (np.bincount(self.group, one) for one in (self.gain * weight, weight))
        return sums.astype(np.float64), weights.astype(np.float64)

    def resampled(self, members: NDArray[np.bool_], draws: Float64) -> tuple[float, Float64]:
        """The mean gain of some queries, directions alike, and the same in every resample of
        groups.

        Args:
            members: which queries, shape (queries,).
            draws: how often each group is drawn, shape (rounds, groups).

        Returns:
            The mean gain, and that of every resample, shape (rounds,).
        """
        means, rounds = [], []
        for way in np.unique(self.way[members]):
            here = members & (self.way == way)
            gain, group, n_groups = self.gain[here], self.group[here], draws.shape[1]
            sums, counts = (
                np.bincount(group, gain, n_groups),
                np.bincount(group, minlength=n_groups),
            )
            means.append(gain.mean())
            rounds.append((draws @ sums) / np.maximum(draws @ counts, 1))
        return float(np.mean(means)), np.mean(rounds, axis=0)


def decide(
    challenger: pl.DataFrame,
    champion: pl.DataFrame,
    gate: GateParams,
    slices: pl.DataFrame | None = None,
    terms: Terms = FIRST,
) -> Decision:
    """Compare two alignments query by query.

    The gain is the mean difference of `gate.metric`, averaged over both directions; its interval
    comes from flipping the signs of groups (`csa.evaluation.sign_flip`), at the level that is left
    for this challenger (`csa.operations.gate.series`). The challenger wins when the lower bound
    exceeds `gate.margin`, unless it is worse in a slice: when the upper bound of a slice's gain,
    by a bootstrap over groups at the level of `gate.confidence`, lies below
    -`gate.slice_margin`. The slices' bounds hold all at once: they come from the largest
    standardised deviation of any slice in each resample (the single-step max-t correction of
    Westfall & Young 1993), which allows for the number of slices and for their overlap. A tie keeps
    the champion, unless it must go: then any challenger that is not surely worse, overall or in a
    slice, takes its place.

    Args:
        challenger, champion: per-query tables (direction, query, group and the metric columns).
        gate: metric, margins, confidence, and how many subsets and resamples are drawn.
        slices: (direction, query, slice), a row for each slice that a query is in; see
            `csa.operations.gate.slices`.
        terms: which challenger of the series it is, and whether the champion must go.

    Returns:
        The verdict, with its reason and numbers.
    """
    key = ["direction", "query", "group"]
    both = challenger.select(*key, pl.col(gate.metric).alias("new")).join(
        champion.select(*key, pl.col(gate.metric).alias("old")),
        on=key,
        how="inner",
        maintain_order="left",
    )
    if not len(both) == len(challenger) == len(champion):
        return Decision(
            "keep",
            f"not comparable: challenger and champion share {len(both)} queries of "
            f"{len(challenger)} and {len(champion)}; "
            "a comparison needs the same ones",
        )
    gain = both["new"].to_numpy() - both["old"].to_numpy()
    if not np.isfinite(gain).all():
        return Decision(
            "keep",
            f"not comparable: {gate.metric} is not a number for {np.sum(~np.isfinite(gain))} "
            f"queries",
        )
    gains = Gains(gain, number_groups(both["group"]), number_groups(both["direction"]))
    overall = _judge(gains, gate, terms)
    if slices is None or slices.is_empty() or not gain.any():
        return overall
    queries = both.select("direction", "query").with_row_index("row")
    return _judge_slices(overall, gains, queries.join(slices, on=["direction", "query"]), gate)


def _judge(gains: Gains, gate: GateParams, terms: Terms) -> Decision:
    """The decision on all queries together."""
    queries, must_go = len(gains.gain), terms.must_go
    verdict: Verdict = "keep" if must_go is None else "promote"
    because = "" if must_go is None else f"; {must_go}"
    if not gains.gain.any():
        return Decision(
            verdict,
            f"a tie: {gate.metric} is the same for all {queries:,} queries{because}",
            0.0,
            0.0,
            0.0,
        )
    level, (sums, weights) = terms.level(gate.confidence), gains.of_groups()
    gain = float(sums.sum())
    needed = fewest_groups(level.alpha)
    if gains.groups < needed:
        return Decision(
            "keep",
            f"only {gains.groups} held-out groups: all of them agree by chance once in "
            f"{2**gains.groups:,} times, and {level.alpha:.2g} is allowed; hold out at least "
            f"{needed} groups{level.said}",
            gain,
            -1.0,
            1.0,
        )
    low, high = interval(sums, weights, level.alpha, gate.bootstrap, gate.seed)
    numbers = (
        f"{gate.metric} {gain:+.4f}, {level.confidence} interval [{low:+.4f}, {high:+.4f}] "
        f"over {queries:,} queries, margin {gate.margin:g}{level.said}"
    )
    if low > gate.margin:
        return Decision("promote", f"better: {numbers}", gain, low, high)
    if high < 0:
        return Decision("keep", f"worse: {numbers}{because}", gain, low, high)
    return Decision(
        verdict,
        f"{'not clearly better' if must_go is None else 'not surely worse'}: {numbers}{because}",
        gain,
        low,
        high,
    )


def _judge_slices(
    overall: Decision, gains: Gains, rows: pl.DataFrame, gate: GateParams
) -> Decision:
    """The overall decision with the slices as evidence; a promotion falls when a slice is worse
    than allowed. `rows` has a row for each slice that a query, by its number, is in.
    """
    names, values, errors, deviations, skipped = [], [], [], [], 0
    draws = group_draws(gains.groups, gate.bootstrap, gate.seed)
    for (name,), part in rows.sort("slice").group_by("slice", maintain_order=True):
        members = np.zeros(len(gains.gain), dtype=bool)
        members[part["row"].to_numpy()] = True
        if len(np.unique(gains.group[members])) < _MIN_SLICE_GROUPS:
            skipped += 1
            continue
        value, rounds = gains.resampled(members, draws)
        error = float(rounds.std())
        names.append(str(name))
        values.append(value)
        errors.append(error)
        deviations.append((value - rounds) / error if error > 0 else np.zeros(len(rounds)))
    evidence: dict[str, Any] = {"slices_compared": len(names), "slices_too_small": skipped}
    if not names:
        return Decision(
            overall.verdict, overall.reason, overall.gain, overall.low, overall.high, evidence
        )
    # One-sided, as the promotion is: the same share of chance for a slice to be called worse as for
    # a gain to be called one.
    critical = float(np.quantile(np.max(deviations, axis=0), (1 + gate.confidence) / 2))
    bounds = np.array(values) + critical * np.array(errors)
    lowest = np.argsort(bounds, kind="stable")
    evidence["slices"] = [
        {"slice": names[s], "gain": round(values[s], 6), "at_most": round(float(bounds[s]), 6)}
        for s in lowest[:_SHOWN_SLICES]
    ]
    worst = lowest[0]
    if overall.verdict == "keep" or bounds[worst] >= -gate.slice_margin:
        return Decision(
            overall.verdict, overall.reason, overall.gain, overall.low, overall.high, evidence
        )
    reason = (
        f"worse on {names[worst]}: {gate.metric} {values[worst]:+.4f}, at most "
        f"{bounds[worst]:+.4f} with all {len(names)} slices "
        f"allowed for, slice margin {gate.slice_margin:g}; overall {overall.reason}"
    )
    return Decision("keep", reason, overall.gain, overall.low, overall.high, evidence)
