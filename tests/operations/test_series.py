"""Chance cannot fool the gate: equal models of few groups, and series of challengers."""

from itertools import pairwise, product

import numpy as np
import polars as pl
import pytest
from workspaces import a_run_of, gate, no_reevaluation, queries_table, reranked, run_once

from csa.evaluation.bootstrap import group_draws
from csa.evaluation.bootstrap import interval as percentile
from csa.evaluation.sign_flip import lower_bound
from csa.operations.gate.paired import decide
from csa.operations.gate.series import (
    FIRST,
    Level,
    Terms,
    held_out_sketch,
    number_in_series,
)
from csa.operations.ledger import moves
from csa.operations.opened import Project
from csa.operations.registry.registering import register
from csa.params.gate import GateParams

pytestmark = pytest.mark.usefixtures("local_registry")

GATE = GateParams()


def few_groups(groups):
    """One query a group and direction; a champion and its metric 0.5 everywhere."""
    n = 2 * groups
    return pl.DataFrame(
        {
            "direction": ["image_to_text", "text_to_image"] * groups,
            "query": [f"q{i}" for i in range(n)],
            "group": [f"g{i // 2}" for i in range(n)],
            "mrr": [0.5] * n,
        }
    )


def promoted_share(differences):
    """How often a challenger with these differences, of either sign, is promoted: by the gate, and
    by the percentile bootstrap that it had before. Of all signs, so without simulation error.
    """
    groups = len(differences)
    old = few_groups(groups)
    draws = group_draws(groups, GATE.bootstrap, GATE.seed)
    by_gate = by_bootstrap = 0
    for signs in product([1, -1], repeat=groups):
        gain = np.array(signs) * differences
        if gain.sum() > 0:
            new = old.with_columns(mrr=0.5 + pl.Series(np.repeat(gain, 2)))
            by_gate += decide(new, old, GATE).verdict == "promote"
            by_bootstrap += percentile(draws @ gain / groups, GATE.confidence)[0] > 0
    return by_gate / 2**groups, by_bootstrap / 2**groups


@pytest.mark.parametrize("groups", [5, 6, 8, 9])
@pytest.mark.parametrize("kind", ["alike", "spread", "ties"])
def test_equal_models_of_few_groups_are_promoted_at_most_so_often(groups, kind):
    sizes = np.random.default_rng(groups).exponential(0.1, size=groups)
    if kind == "alike":
        sizes[:] = 0.1
    elif kind == "ties":
        sizes[::3] = 0.0
    now, before = promoted_share(sizes)
    assert now <= 0.025, "exactly, not about"
    if kind == "spread":
        assert before > 0.025, "the old interval would fail here"


def test_five_groups_can_show_nothing_and_the_reason_says_so():
    old = few_groups(5)
    decision = decide(old.with_columns(mrr=pl.lit(0.9)), old, GATE)
    assert (decision.verdict, decision.low, decision.high) == ("keep", -1.0, 1.0)
    assert decision.reason == (
        "only 5 held-out groups: all of them agree by chance once in 32 times, and 0.025 is "
        "allowed; hold out at least 6 groups"
    )
    six = few_groups(6)
    assert decide(six.with_columns(mrr=pl.lit(0.9)), six, GATE).verdict == "promote"
    later = decide(six.with_columns(mrr=pl.lit(0.9)), six, GATE, terms=Terms(3))
    assert later.verdict == "keep" and "hold out at least 8 groups; it is the 3rd" in later.reason


def test_the_interval_shown_agrees_with_the_decision():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        old = queries_table(n=int(rng.integers(6, 60)), seed=seed, group_size=1)
        new = old.with_columns(mrr=pl.col("mrr") + pl.Series(rng.normal(0.03, 0.1, len(old))))
        for terms in (FIRST, Terms(4)):
            decision = decide(new, old, GATE, terms=terms)
            assert (decision.verdict == "promote") == (decision.low > 0)
            assert decision.low <= decision.gain <= decision.high


def test_all_levels_together_are_what_two_sides_are_allowed():
    levels = [Terms(k).level(0.95) for k in range(1, 1001)]
    assert levels[0] == Level(pytest.approx(0.025)) and levels[0].said == ""
    assert sum(level.alpha for level in levels) == pytest.approx(0.05 * (1 - 1 / 1001))
    assert all(a.alpha > b.alpha for a, b in pairwise(levels))
    assert levels[6].said == (
        "; it is the 7th challenger on these pairs, so it is judged more strictly, and new "
        "held-out pairs would be a fresh start"
    )
    assert Terms(7, "it was fitted on forgotten items").level(0.95) == levels[0]


def test_a_series_of_equal_challengers_is_rarely_promoted():
    """100 series of 30 challengers of one champion that are as good as it is."""
    promoted = {"counted": 0, "not counted": 0}
    weights = np.full(12, 1 / 12)
    for seed in range(100):
        rng = np.random.default_rng(seed)
        champion, challengers = rng.normal(0, 0.1, 12), rng.normal(0, 0.1, (30, 12))
        for name, counted in (("counted", True), ("not counted", False)):
            levels = [Terms(k if counted else 1).level(0.95).alpha for k in range(1, 31)]
            promoted[name] += any(
                lower_bound((one - champion) / 12, weights, alpha, 0, 0) > 0
                for one, alpha in zip(challengers, levels, strict=True)
            )
    assert promoted["counted"] <= 5 < 10 < promoted["not counted"], promoted


def number(decision):
    return decision.evidence["number"]


def test_the_ledger_counts_the_challengers_of_a_champion(tmp_path):
    root, table = tmp_path / "repo", queries_table()

    def challenger(seed, of=table):
        return reranked(of, pl.Series(np.random.default_rng(seed).integers(-1, 2, size=len(of))))

    run_once(root, table)
    second = [run_once(root, challenger(seed)) for seed in range(3)]
    assert [number(one.decision) for one in second] == [1, 2, 3]
    assert "it is the 3rd challenger on these pairs" in second[2].decision.reason
    assert "challenger on these pairs" not in second[0].decision.reason
    # drawing other subsets is the same question
    before = second[2].ws.ledger.read_bytes()
    for change in ({"seed": 7}, {"bootstrap": 500}):
        again = run_once(root, challenger(2), gate=change)
        assert again.decision == second[2].decision
        assert again.ws.ledger.read_bytes() == before
    # another metric is another try, and so is the same metric of another model; the model that
    # was there before keeps its number
    assert number(run_once(root, challenger(2), gate={"metric": "recall_at_1"}).decision) == 4
    assert number(run_once(root, challenger(3)).decision) == 5
    stricter = run_once(root, challenger(1), gate={"margin": 0.01})
    assert number(stricter.decision) == 2

    # the same model by another name
    project, run = a_run_of(root, challenger(1), evaluate={"seed": 3})
    version = register(project.registry, run).version
    assert number(gate(project, run, version, no_reevaluation)) == 2

    # a new champion begins a new series, going back to the old one goes on with its own
    moves.promote(project, 2, "let it be")
    assert number(run_once(root, challenger(4)).decision) == 1
    moves.rollback(Project(project.ws), 1, "back")
    assert number(run_once(root, challenger(5)).decision) == 6


def test_other_pairs_are_a_fresh_start_and_a_few_more_are_not(tmp_path):
    root, table = tmp_path / "repo", queries_table(n=80)
    run_once(root, table)
    old = run_once(root, reranked(table))
    assert number(old.decision) == 1
    grown = queries_table(n=84)
    more = run_once(root, grown, lambda alignment: reranked(grown, -1))
    assert number(more.decision) == 2
    other = queries_table(n=90).with_columns(query=pl.col("query").str.reverse())
    fresh = run_once(root, other, lambda alignment: reranked(other, -1))
    assert number(fresh.decision) == 1


def test_half_of_the_items_make_the_same_pairs():
    def line(items, champion="c", gain=0.0, challenger="x"):
        table = pl.DataFrame({"a_hash": [f"i{i}" for i in items], "b_hash": "b", "split": "test"})
        return {
            "gain": gain,
            "gate": {"metric": "mrr"},
            "evidence": {
                "evaluation_id": str(items),
                "held_out": held_out_sketch(table, ("a", "b")),
                "champion": {"alignment_sha256": champion},
                "challenger": {"alignment_sha256": challenger},
            },
        }

    now = line(range(100), challenger="new")["evidence"]

    def number_after(*lines):
        return number_in_series(list(lines), now, "mrr")

    assert len(now["held_out"]) == 32
    assert number_after(line(range(110))) == number_after(line(range(20, 100))) == 2
    assert number_after(line(range(80, 180))) == number_after(line(range(100, 200))) == 1
    assert number_after(line(range(100), champion="other")) == 1
    assert number_after(line(range(100), gain=None)) == 1, "it was not compared"
    assert number_after({"gate": "by hand", "verdict": "promote"}) == 1
    earlier = line(range(100))
    del earlier["evidence"]["held_out"]  # a line of an earlier version
    assert number_after(earlier) == 2
