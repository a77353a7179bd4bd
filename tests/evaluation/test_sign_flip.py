"""The sign-flip interval against all flips, written out one by one."""

from itertools import product

import numpy as np
import pytest

from csa.evaluation import sign_flip
from csa.evaluation.sign_flip import fewest_groups, interval, lower_bound, p_value


def by_all_flips(sums, weights, hypothesis):
    """The share of all flips whose total is at least the measured one."""
    differences = sums - hypothesis * weights
    flips = np.array(list(product([1, -1], repeat=len(sums)))) @ differences
    return np.mean(flips >= differences.sum() - 1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_the_bound_is_where_all_flips_stop_refusing(seed):
    rng = np.random.default_rng(seed)
    groups = int(rng.integers(6, 11))
    sums = rng.normal(0.1, 0.4, size=groups) * rng.integers(0, 2, size=groups)
    weights = rng.uniform(0.1, 1.0, size=groups)
    for alpha in (0.025, 0.1, 0.2):
        low, high = interval(sums, weights, alpha, 1000, 0)
        for step in (-1e-9, -1e-6, -0.05, -0.5):
            assert by_all_flips(sums, weights, low + step) <= alpha
            assert by_all_flips(-sums, weights, -high + step) <= alpha
        for step in (1e-9, 1e-6, 0.05, 0.5):
            assert by_all_flips(sums, weights, low + step) > alpha
            assert by_all_flips(-sums, weights, -high + step) > alpha


def test_below_the_fewest_groups_nothing_is_known():
    assert [fewest_groups(alpha) for alpha in (0.5, 0.25, 0.05, 1 / 32, 0.025)] == [1, 2, 5, 5, 6]
    assert interval(np.ones(5), np.ones(5), 0.025, 1000, 0) == (-np.inf, np.inf)
    assert interval(np.ones(6), np.ones(6), 0.025, 1000, 0) == (1.0, 1.0)


def test_equal_differences_leave_no_doubt_however_rounded():
    for groups in (10, 40):  # looked at, and drawn
        weights = np.full(groups, 1 / groups)
        assert interval(0.0625 * weights, weights, 0.025, 1000, 0) == (0.0625, 0.0625)
    half = np.array([1.0] * 20 + [0.0] * 20) / 40
    assert lower_bound(half - half, np.full(40, 1 / 40), 0.025, 1000, 0) == 0.0


@pytest.mark.parametrize("alpha", [0.1, 0.025, 0.001])
def test_drawn_subsets_give_the_bound_of_all_of_them(alpha, monkeypatch):
    rng = np.random.default_rng(5)
    weights = rng.integers(2, 7, size=16) / 64
    few = rng.normal(0.2, 1.0, size=16) * (rng.random(16) < 0.7)
    for sums in (weights * few, weights * np.sign(few)):
        exact = lower_bound(sums, weights, alpha, 0, 0)
        with monkeypatch.context() as patch:
            patch.setattr(sign_flip, "EXACT_GROUPS", 3)
            drawn = [lower_bound(sums, weights, alpha, 4000, seed) for seed in range(9)]
        error = float(np.sqrt(((sums - sums.sum() * weights / weights.sum()) ** 2).sum()))
        assert abs(np.median(drawn) - exact) < 0.1 * error / weights.sum()


def test_blocks_of_draws_change_nothing_but_memory(monkeypatch):
    rng = np.random.default_rng(1)
    sums, weights = rng.normal(size=50), np.ones(50)
    whole = lower_bound(sums, weights, 0.025, 1000, 0)
    monkeypatch.setattr(sign_flip, "_BLOCK", 5000)
    assert lower_bound(sums, weights, 0.025, 1000, 0) == whole


@pytest.mark.parametrize("seed", range(12))
def test_the_p_value_is_the_share_of_flips_and_agrees_with_the_bound(seed):
    rng = np.random.default_rng(seed)
    groups = int(rng.integers(6, 11))
    weights = rng.uniform(0.1, 1.0, size=groups)
    sums = weights * rng.normal(rng.choice([-0.3, 0.0, 0.5, 2.0]), 1.0, size=groups)
    p = p_value(sums, weights, 1000, 0)
    assert p == pytest.approx(by_all_flips(sums, weights, 0))
    for alpha in (0.025, 0.1, 0.2):
        assert (lower_bound(sums, weights, alpha, 1000, 0) > 0) == (p <= alpha)


@pytest.mark.parametrize("gain", [-0.5, 0.0, 0.3, 0.6, 0.9])
def test_drawn_subsets_give_the_p_value_of_all_of_them(gain, monkeypatch):
    rng = np.random.default_rng(5)
    weights = rng.integers(2, 7, size=16) / 64
    sums = weights * rng.normal(gain, 1.0, size=16)
    exact = p_value(sums, weights, 0, 0)
    monkeypatch.setattr(sign_flip, "EXACT_GROUPS", 3)
    drawn = [p_value(sums, weights, 4000, seed) for seed in range(9)]
    assert drawn == pytest.approx([exact] * 9, rel=0.25)


def test_no_difference_at_all_is_no_evidence():
    for groups in (10, 40):
        weights = np.full(groups, 1 / groups)
        assert p_value(0 * weights, weights, 1000, 0) == 1.0
        assert p_value(-weights, weights, 1000, 0) == 1.0
    assert p_value(np.ones(10), np.ones(10), 1000, 0) == 2.0**-10
