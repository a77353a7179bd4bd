"""The gate promotes at most 2.5 % of equal challengers and 5 % of series of them, at the power that
the percentile bootstrap had.

    python -m benchmarks.gate equal          false promotions by groups and kinds of results
    python -m benchmarks.gate rules          four intervals beside each other: size and power
    python -m benchmarks.gate series         20, 50 and 100 equal challengers of one champion
    csa run flickr8k --data PATH && python -m benchmarks.gate flickr8k [WORKSPACE]

Equal models are two draws of one distribution: each query's rank, given how hard its group is. The
fourth part takes the gains of pairs of models that were fitted to random halves of the training
photos, group by group, and resamples groups. Parts add to benchmarks/results/gate.json.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from scipy import stats

import csa
from benchmarks.measure import RESULTS, SEED, record
from csa.core.matrices import Float64
from csa.evaluation.bootstrap import group_draws
from csa.evaluation.retrieval import rank_queries
from csa.evaluation.sign_flip import lower_bound
from csa.evaluation.vectors import HeldOutVectors
from csa.operations.gate.decision import Decision
from csa.operations.gate.paired import Gains, decide
from csa.operations.gate.series import Terms
from csa.params.gate import GateParams
from csa.pipeline.recipes import existing_workspace
from csa.questions.sweep import SweepData, fit_subset

GROUPS = (5, 6, 8, 10, 20, 50, 100, 300, 1000)
SERIES = (20, 50, 100)
GAIN = 0.023
ALPHA = 0.025
ROUNDS = GateParams().bootstrap
WAYS = ("image_to_text", "text_to_image")
Bounds = Callable[[Gains], float]


@dataclass(frozen=True)
class Kind:
    """What results are like.

    Args:
        pairs: (fewest, most) pairs a group.
        changed: share of queries that two models rank differently at all.
        metric: that is compared.
    """

    pairs: tuple[int, int]
    changed: float
    metric: Literal["mrr", "recall_at_1"] = "mrr"


KINDS = {
    "1 pair a group": Kind((1, 1), 1.0),
    "5 pairs a group": Kind((5, 5), 1.0),
    "1 to 5 pairs a group": Kind((1, 5), 1.0),
    "1 to 5 pairs, 90 % ties": Kind((1, 5), 0.1),
    "recall at 1, 80 % ties": Kind((1, 1), 0.2, "recall_at_1"),
}
HALF_TIES = Kind((1, 5), 0.5)


class Population:
    """Held-out queries of one set, and equal models on them."""

    def __init__(self, kind: Kind, groups: int, rng: np.random.Generator):
        self.kind, self.rng = kind, rng
        pairs = rng.integers(kind.pairs[0], kind.pairs[1] + 1, size=groups)
        # an image of several texts is one query, as in the pipeline
        self.group = np.concatenate([np.arange(groups), np.repeat(np.arange(groups), pairs)])
        self.way = np.repeat([0, 1], [groups, len(self.group) - groups])
        self.hard = rng.normal(1.0, 1.2, size=groups)[self.group]
        self.common = self._ranks()

    def model(self) -> Float64:
        """The metric of one model for each query; any two are exchangeable."""
        changed = self.rng.random(len(self.group)) < self.kind.changed
        ranks = np.where(changed, self._ranks(), self.common)
        values: Float64 = 1 / ranks if self.kind.metric == "mrr" else 1.0 * (ranks == 1)
        return values

    def gains(self, gain: Float64) -> Gains:
        """As the gate has them."""
        return Gains(gain, self.group, self.way)

    def decision(self, new: Float64, old: Float64) -> Decision:
        """Of the gate itself."""
        frame = pl.DataFrame(
            {
                "direction": np.array(WAYS)[self.way],
                "query": [f"q{i}" for i in range(len(self.group))],
                "group": [f"g{g:04d}" for g in self.group],
            }
        )
        challenger, champion = (
            frame.with_columns(pl.Series(self.kind.metric, values)) for values in (new, old)
        )
        return decide(challenger, champion, GateParams(metric=self.kind.metric))

    def _ranks(self) -> Float64:
        # a model's luck with a group, and with each of its queries
        luck = self.rng.normal(size=int(self.group.max()) + 1)[self.group]
        own = self.rng.normal(size=len(self.group))
        ranks: Float64 = 1 + np.floor(np.exp(self.hard + 0.5 * luck + 0.9 * own - 1))
        return ranks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["equal", "rules", "series", "flickr8k"])
    parser.add_argument("workspace", nargs="?", default="flickr8k")
    asked = parser.parse_args()
    work = {"equal": equal, "rules": rules, "series": series}
    found = work[asked.part]() if asked.part in work else flickr8k(asked.workspace)
    path = RESULTS / "gate.json"
    known = json.loads(path.read_text()).get("parts", {}) if path.exists() else {}
    record("gate", {"parts": known | {asked.part: found}})


def share(hits: int, trials: int) -> dict[str, float]:
    """In per cent, with its standard error."""
    rate = hits / trials
    error = (max(rate, 1 / trials) * (1 - rate) / trials) ** 0.5
    return {"percent": round(100 * rate, 2), "error": round(100 * error, 2), "trials": trials}


def equal() -> dict[str, Any]:
    """How often the gate promotes an equal challenger."""
    found: dict[str, Any] = {}
    for name, kind in KINDS.items():
        for groups in GROUPS:
            trials = 4000 if groups <= 100 else 2000
            hits = sum(_promotes(one) for one in _populations(kind, groups, trials))
            found.setdefault(name, {})[str(groups)] = share(hits, trials)
    return found


def _promotes(one: Population) -> bool:
    old, new = one.model(), one.model()
    clears = _may_clear(one.gains(new - old)) and sign_flip(one.gains(new - old)) > 0
    if clears:
        assert one.decision(new, old).verdict == "promote"
    return clears


def _may_clear(gains: Gains) -> bool:
    """No bound at 5.4 % or less clears 0 where the gain is below the root of the sum of squares:
    more than 7/128 of all flips look better (Oleszkiewicz 1996).
    """
    sums, _ = gains.of_groups()
    return bool(sums.sum() >= np.sqrt((sums**2).sum()) > 0)


def _populations(kind: Kind, groups: int, trials: int) -> Iterator[Population]:
    for trial in range(trials):
        yield Population(kind, groups, np.random.default_rng([SEED, groups, trial]))


def series() -> dict[str, Any]:
    """How often one of many equal challengers is promoted, counted and not counted."""
    kind, most, found = KINDS["1 to 5 pairs a group"], max(SERIES), {}
    for groups, trials in ((20, 500), (100, 500), (300, 300)):
        first = {"counted": np.full(trials, np.inf), "not counted": np.full(trials, np.inf)}
        for trial, one in enumerate(_populations(kind, groups, trials)):
            old = one.model()
            for number in range(1, most + 1):
                gains = one.gains(one.model() - old)
                if not _may_clear(gains):
                    continue
                for name, terms in (("not counted", Terms()), ("counted", Terms(number))):
                    alpha = terms.level(1 - 2 * ALPHA).alpha
                    if lower_bound(*gains.of_groups(), alpha, ROUNDS, SEED) > 0:
                        first[name][trial] = min(first[name][trial], number)
                    else:
                        break  # what the laxer rule keeps the other keeps too
                if first["counted"][trial] <= number:
                    break
        found[str(groups)] = {
            str(tries): {
                name: share(int((at <= tries).sum()), trials) for name, at in first.items()
            }
            for tries in SERIES
        }
    return found


def rules() -> dict[str, Any]:
    """Size and power of four lower bounds on the same samples."""
    found: dict[str, Any] = {}
    for name in ("1 to 5 pairs a group", "1 to 5 pairs, 90 % ties"):
        for groups in GROUPS:
            trials = 1000 if groups <= 100 else 400
            samples = (
                one.gains(one.model() - one.model())
                for one in _populations(KINDS[name], groups, trials)
            )
            found.setdefault(name, {})[str(groups)] = _hits(samples, trials, 0.0)
    samples = (one.gains(one.model() - one.model()) for one in _populations(HALF_TIES, 300, 2000))
    found["power at 300 groups for +0.023"] = _hits(samples, 2000, GAIN)
    return found


def _hits(samples: Iterator[Gains], trials: int, power_at: float) -> dict[str, Any]:
    """How often each bound clears 0, all gains raised by `power_at`."""
    hits = dict.fromkeys(RULES, 0)
    for sample in samples:
        raised = Gains(sample.gain + power_at, sample.group, sample.way)
        if raised.of_groups()[0].sum() > 0:
            for name, bound in RULES.items():
                hits[name] += bound(raised) > 0
    return {name: share(n, trials) for name, n in hits.items()}


def percentile_bootstrap(sample: Gains) -> float:
    """The gate's interval before."""
    groups, rounds = int(sample.group.max()) + 1, []
    draws = group_draws(groups, 1000, SEED)
    for way in np.unique(sample.way):
        here = sample.way == way
        sums = np.bincount(sample.group[here], sample.gain[here], groups)
        counts = np.bincount(sample.group[here], minlength=groups)
        rounds.append(draws @ sums / np.maximum(draws @ counts, 1))
    return float(np.quantile(np.mean(rounds, axis=0), ALPHA))


def student_t(sample: Gains) -> float:
    """Groups as independent observations of a ratio, t with one degree of freedom less."""
    sums, weights = sample.of_groups()
    gain, n = sums.sum(), len(sums)
    error = np.sqrt(n / (n - 1) * ((sums - gain * weights) ** 2).sum())
    return float(gain - stats.t.ppf(1 - ALPHA, n - 1) * error)


def bootstrap_t(sample: Gains) -> float:
    """Studentised bootstrap over groups."""
    sums, weights = sample.of_groups()
    gain, n = sums.sum(), len(sums)
    draws = group_draws(n, 1000, SEED)
    means = draws @ sums / (draws @ weights)

    def error(counts: Float64, mean: Float64) -> Float64:
        spread = counts @ sums**2 - 2 * mean * (counts @ (sums * weights))
        spread += mean**2 * (counts @ weights**2)
        scaled: Float64 = np.sqrt(np.maximum(spread, 0)) / (counts @ weights)
        return scaled

    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.nan_to_num((means - gain) / error(draws, means), nan=0.0)
    own = error(np.ones((1, n)), np.array([gain]))[0]
    return float(gain - np.quantile(t, 1 - ALPHA, method="lower") * own)


def sign_flip(sample: Gains) -> float:
    """The gate's interval."""
    return lower_bound(*sample.of_groups(), ALPHA, ROUNDS, SEED)


RULES: dict[str, Bounds] = {
    "percentile bootstrap (before)": percentile_bootstrap,
    "bootstrap-t": bootstrap_t,
    "Student's t": student_t,
    "sign flips (now)": sign_flip,
}


def _fixed_fit() -> csa.CSA:
    return csa.CSA(score="likelihood_ratio", shrinkage=0.3)


def flickr8k(workspace: str) -> dict[str, Any]:
    """Gains of models of random halves on real photos: made equal by taking their mean off, or by
    exchanging the models in random groups; then raised by 0.023.
    """
    data = SweepData.of(existing_workspace(workspace))
    tables = []
    for seed in range(6):
        model, _, _ = fit_subset(_fixed_fit, data, data.groups // 2, 0.0, seed)
        tables.append(rank_queries(HeldOutVectors.of(model, data.held_out), data.held_out))
    pairs = [
        Gains(
            tables[a]["mrr"].to_numpy() - tables[b]["mrr"].to_numpy(),
            np.unique(tables[a]["group"].to_numpy(), return_inverse=True)[1],
            np.unique(tables[a]["direction"].to_numpy(), return_inverse=True)[1],
        )
        for a, b in ((0, 1), (2, 3), (4, 5))
    ]
    sums = [pair.of_groups()[0] for pair in pairs]
    found: dict[str, Any] = {
        "held-out groups": len(sums[0]),
        "ties": round(float(np.mean([np.mean(pair.gain == 0) for pair in pairs])), 3),
        "gains": [round(float(one.sum()), 4) for one in sums],
        "spread of groups": [round(float(one.std() * len(one)), 4) for one in sums],
    }
    for groups in GROUPS:
        trials = 1000 if groups <= 100 else 400
        for name, swapped in (("mean taken off", False), ("exchanged", True)):
            samples = _resampled(pairs, groups, trials, swapped)
            found.setdefault(name, {})[str(groups)] = _hits(samples, trials, 0.0)
    found["power at 300 groups for +0.023"] = _hits(_resampled(pairs, 300, 2000, False), 2000, GAIN)
    return found


def _resampled(pairs: list[Gains], groups: int, trials: int, swapped: bool) -> Iterator[Gains]:
    for trial in range(trials):
        rng = np.random.default_rng([SEED, groups, trial])
        pair = pairs[trial % len(pairs)]
        of_group = np.argsort(pair.group, kind="stable")
        ends = np.concatenate([[0], np.cumsum(np.bincount(pair.group))])
        chosen = rng.integers(len(ends) - 1, size=groups)
        rows = [of_group[ends[g] : ends[g + 1]] for g in chosen]
        group = np.repeat(np.arange(groups), [len(part) for part in rows])
        every = np.concatenate(rows)
        sign = rng.choice([-1.0, 1.0], size=groups)[group] if swapped else 1.0
        off = 0.0 if swapped else pair.of_groups()[0].sum()
        yield Gains(sign * (pair.gain[every] - off), group, pair.way[every])


if __name__ == "__main__":
    main()
