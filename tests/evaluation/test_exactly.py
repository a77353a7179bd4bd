"""Measures on numbers small enough to count by hand: every constant and every comparison."""

import numpy as np
import polars as pl
import pytest

from csa.evaluation.bootstrap import group_means, interval, mean_estimate
from csa.evaluation.conformal import (
    Calibration,
    PairDecisions,
    fewest_groups,
    right_gaps,
    set_sizes,
)
from csa.evaluation.decisions import (
    ALPHAS,
    HALVINGS,
    SetQueries,
    _Tally,
    calibrating_groups,
    curve_table,
    halves,
    measure_sets,
)
from csa.evaluation.detection import Ranked
from csa.evaluation.exchangeability import doubts, familiarity
from csa.evaluation.retrieval import summarise, summarise_paper
from csa.params.measure import EvaluateParams

PARAMS = EvaluateParams(bootstrap=100, alpha=0.25)


def test_an_interval_is_the_central_part_of_the_draws():
    draws = np.arange(101.0)
    assert interval(draws, 0.9) == pytest.approx((5, 95))
    assert interval(draws, 0.5) == pytest.approx((25, 75))


def test_a_mean_weighs_every_query_and_its_draws_every_group():
    values, group = np.array([1.0, 0.0, 0.0, 1.0]), np.array([0, 0, 0, 1])
    only_one, only_other = np.array([[2.0, 0.0]]), np.array([[0.0, 2.0]])
    assert mean_estimate(values, group, only_one, 0.9).low == pytest.approx(1 / 3)
    assert mean_estimate(values, group, only_other, 0.9).low == 1.0
    assert mean_estimate(values, group, np.ones((1, 2)), 0.9).value == 0.5
    means = group_means(np.array([[1.0], [3.0], [5.0]]), np.array([7, 7, 2]))
    assert means.tolist() == [[5.0], [2.0]]


@pytest.mark.parametrize(
    ("alpha", "groups"), [(0.05, 19), (0.1, 9), (0.2, 4), (0.3, 3), (0.5, 1), (0.9, 1)]
)
def test_so_many_groups_can_rule_something_out(alpha, groups):
    assert fewest_groups(alpha) == groups
    scores = np.arange(float(groups))
    assert Calibration.of(scores, np.arange(groups)).p_value(np.array([-1.0]))[0] <= alpha


def test_half_of_the_groups_calibrates_the_larger_half_where_they_are_odd():
    assert [calibrating_groups(n) for n in (1, 2, 3, 4, 5)] == [1, 1, 2, 2, 3]
    groups = np.repeat(np.arange(5), 3)
    chosen = halves(groups, 0)
    assert len(np.unique(groups[chosen])) == 3 and chosen.reshape(5, 3).std(axis=1).max() == 0


def test_gaps_and_sizes_count_what_is_as_near_as_the_gap():
    left, right = np.eye(2), np.array([[1.0, 0.0], [0.5, 0.0], [0.0, 1.0]])
    relevant = (np.array([0, 0, 1]), np.array([1, 2, 2]))
    assert right_gaps(left, right, relevant).tolist() == [0.5, 0.0]
    assert set_sizes(left, right, np.array([0.0, 0.5, 1.0, np.inf])).tolist() == [
        [1, 2, 3, 3],
        [1, 1, 3, 3],
    ]


def test_sets_of_queries_that_are_always_right_hold_one_candidate():
    eye, n = np.eye(20), np.arange(20)
    sets, curve = measure_sets(SetQueries("a_to_b", eye, eye, (n, n), n), PARAMS)
    assert sets.coverage.as_dict() == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert (sets.set_size.value, sets.median_set_size.value, sets.candidates) == (1.0, 1.0, 20)
    assert [point.alpha for point in curve] == sorted({*ALPHAS, 0.25})
    table = curve_table(curve)
    assert table.columns == ["kind", "alpha", "coverage", "low", "high", "size"]
    assert set(table["kind"]) == {"a_to_b"} and set(table["coverage"]) == {1.0}
    # ten groups calibrate, so below 1/11 nothing is ruled out and a set holds all
    sizes = dict(table.select("alpha", "size").rows())
    assert sizes[0.05] == 1.0 and sizes[0.1] == 1 / 20 and HALVINGS == 100
    assert curve_table([]).schema == table.schema


def test_retrieval_is_summarised_by_the_columns_of_its_protocol():
    columns = {
        "direction": ["a_to_b"] * 4,
        "group": list("wxyz"),
        "rank": [1, 2, 6, 11],
        "recall_at_1": [1.0, 0, 0, 0],
        "recall_at_5": [1.0, 1, 0, 0],
        "recall_at_10": [1.0, 1, 1, 0],
        "mrr": [1.0, 0.5, 0.25, 0.25],
        "average_precision": [0.5, 0.5, 0.5, 0.1],
        "precision_at_5": [0.4, 0.2, 0.0, 0.0],
        "average_precision_at_r": [0.4, 0.0, 0.0, 0.0],
    }
    queries = pl.DataFrame(columns)
    standard = summarise(queries, PARAMS)["a_to_b"]
    assert [value.value for value in standard.recalls.values()] == [0.25, 0.5, 0.75]
    assert (standard.mrr.value, standard.map.value, standard.median_rank.value) == (0.5, 0.4, 4.0)
    paper = summarise_paper(queries, PARAMS)["a_to_b"]
    assert paper.precision_at_1.value == 0.25
    assert paper.precision_at_5.value == pytest.approx(0.15) and paper.map.value == 0.1


def test_false_alarms_are_counted_at_the_threshold_that_finds_enough():
    ranked = Ranked.of(np.arange(1.0, 21.0), np.array([0.5, 1.5, 2.0, 30.0]))
    # the 19 highest of 20 are 95 %: from 2.0 up, which flags 2.0 and 30.0
    assert ranked.false_positive_rate() == 0.5
    assert ranked.false_positive_rate(found_share=0.96) == 0.75
    assert ranked.false_positive_rate(found_share=1.0) == 0.75
    assert ranked.false_positive_rate(found_share=0.9) == 0.25


@pytest.mark.parametrize(("size", "doubtful"), [(5, False), (6, True)])
def test_a_group_of_more_than_a_fifth_is_doubted(size, doubtful):
    group = np.concatenate([np.zeros(size, dtype=int), np.arange(1, 21)])
    scores = np.linspace(0, 1, len(group))
    assert bool(doubts(scores, group, scores, group, 0.1).reasons) == doubtful


def test_doubts_say_when_too_few_groups_calibrate_and_are_written_with_their_numbers():
    nine, eight = np.linspace(0, 1, 9), np.linspace(0, 1, 8)
    assert not doubts(nine, np.arange(9), nine, np.arange(9), 0.1).reasons
    few = doubts(eight, np.arange(8), eight, np.arange(8), 0.1)
    said = (
        "there are only 8 groups to calibrate on, so no p-value can be below 0.11 and nothing can "
        "be rejected"
    )
    assert few.reasons == (said,)
    written = few.because("another").metrics
    assert written.doubtful and written.reasons == [*few.reasons, "another"]
    assert (written.ks.value, written.ks_p_value.value) == (0.0, 1.0)


def test_familiarity_is_the_cosine_of_the_nearest():
    training = np.array([[2.0, 0.0], [0.0, 3.0]])
    items = np.array([[3.0, 4.0], [-1.0, 0.0]])
    assert familiarity(items, training) == pytest.approx([0.8, 0.0])


def test_a_claim_stands_above_alpha_and_not_at_it():
    tally = _Tally("true", [0.2, 0.5])
    decided = PairDecisions(np.array([0.2, 0.6, 0.5]), np.array([0.5, 0.2, 0.5]), 0.2)
    assert decided.verdicts == ["mismatch", "match", "undecided"]
    tally.add(decided, np.arange(3))
    assert tally.covered == [[pytest.approx(2 / 3), pytest.approx(1 / 3)]]
    assert tally.undecided == [[pytest.approx(1 / 3), 0.0]]
