"""Plans between pools: their margins, their moments, and the order of a pool."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csa.core.moments import Moments
from csa.core.pools import Axes, Pool
from csa.core.transport import (
    Parts,
    average,
    in_order,
    mixed,
    plan_moments,
    transport_plan,
)
from csa.errors import FeatureError

SIZES = st.integers(2, 12)


@settings(max_examples=30, deadline=None)
@given(SIZES, SIZES, st.integers(0, 99))
def test_a_plan_has_uniform_margins_and_is_the_scaled_kernel(n, m, seed):
    scores = np.random.default_rng(seed).normal(size=(n, m)).astype(np.float32)
    plan = transport_plan(scores.copy(), rounds=200)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / m, rtol=1e-4)
    np.testing.assert_allclose(plan.sum(axis=1), 1 / n, rtol=1e-3)
    ratio = np.log(plan.astype(np.float64)) - scores  # log u_i + log v_j: of rank one, additive
    additive = ratio - ratio.mean(axis=0) - ratio.mean(axis=1)[:, None] + ratio.mean()
    np.testing.assert_allclose(additive, 0, atol=1e-4)


def test_a_plan_of_extreme_scores_stays_finite():
    scores = np.array([[500.0, -500.0], [-500.0, -500.0], [400.0, -900.0]], np.float32)
    plan = transport_plan(scores)
    assert np.isfinite(plan).all() and (plan >= 0).all()
    assert plan.sum() == pytest.approx(1, rel=1e-4) or plan.sum() < 1


def test_the_plan_of_a_strong_permutation_is_that_permutation():
    order = np.random.default_rng(0).permutation(9)
    plan = transport_plan((20 * np.eye(9)[order]).astype(np.float32))
    np.testing.assert_allclose(plan, np.eye(9)[order] / 9, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(SIZES, SIZES, st.integers(1, 4), st.integers(1, 4), st.integers(0, 99))
def test_moments_of_a_plan_are_the_sums_over_all_its_pairs(n, m, p, q, seed):
    rng = np.random.default_rng(seed)
    plan = rng.uniform(0.1, 1, size=(n, m)).astype(np.float32)
    U, V = rng.normal(size=(n, p)), rng.normal(size=(m, q)) + 3
    found = plan_moments(plan, U, V)
    share = plan.astype(np.float64) / plan.sum(dtype=np.float64)
    mean_x = sum(share[i, j] * U[i] for i in range(n) for j in range(m))
    mean_y = sum(share[i, j] * V[j] for i in range(n) for j in range(m))
    sums = [np.zeros((p, p)), np.zeros((q, q)), np.zeros((p, q))]
    for i in range(n):
        for j in range(m):
            x, y = U[i] - mean_x, V[j] - mean_y
            sums[0] += share[i, j] * np.outer(x, x)
            sums[1] += share[i, j] * np.outer(y, y)
            sums[2] += share[i, j] * np.outer(x, y)
    np.testing.assert_allclose(found.mean_x, mean_x, atol=1e-6)
    np.testing.assert_allclose(found.mean_y, mean_y, atol=1e-6)
    for ours, theirs in zip((found.cxx, found.cyy, found.cxy), sums, strict=True):
        np.testing.assert_allclose(ours / n, theirs, atol=1e-5)


def test_moments_of_the_plan_that_pairs_rows_are_those_of_the_pairs():
    rng = np.random.default_rng(1)
    U, V = rng.normal(size=(30, 4)), rng.normal(size=(30, 3))
    found, pairs = plan_moments(np.eye(30, dtype=np.float32), U, V), Moments.from_arrays(U, V)
    for part in ("mean_x", "mean_y", "cxx", "cyy", "cxy"):
        np.testing.assert_allclose(getattr(found, part), getattr(pairs, part), atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 30), st.integers(2, 30), st.integers(0, 99))
def test_mixing_by_the_share_of_items_is_addition(n, m, seed):
    rng = np.random.default_rng(seed)
    first, second = (
        Moments.from_arrays(rng.normal(size=(k, 3)), rng.normal(size=(k, 2))) for k in (n, m)
    )
    both, ours = first + second, mixed(first, second, m / (n + m))
    for part in ("mean_x", "mean_y", "cxx", "cyy", "cxy"):
        np.testing.assert_allclose(getattr(ours, part), getattr(both, part), atol=1e-10)
    assert ours.n == both.n


def test_no_weight_gives_the_pairs_themselves_and_all_of_it_the_plan():
    rng = np.random.default_rng(2)
    pairs, pool = (Moments.from_arrays(rng.normal(size=(9, 3)), rng.normal(size=(9, 2))),) * 2
    assert mixed(pairs, pool, 0.0) is pairs
    np.testing.assert_allclose(mixed(pairs, pool, 1.0).cxy / 18, pool.cxy / 9)
    same = average([pool, pool])
    assert same.n == 9
    np.testing.assert_allclose(same.cxx, pool.cxx)


def test_what_is_added_to_rows_and_columns_does_not_move_the_plan():
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(40, 50)).astype(np.float32)
    moved = scores + rng.normal(size=(40, 1)) + rng.normal(size=50)
    plans = [transport_plan(s.astype(np.float32), rounds=300) for s in (scores, moved)]
    np.testing.assert_allclose(*plans, rtol=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 20))
def test_parts_are_small_cover_both_pools_and_all_meet_in_turn(n, m, largest):
    parts = Parts.of(n, m, largest)
    count = len(parts.left)
    for side, size in ((parts.left, n), (parts.right, m)):
        assert max(map(len, side)) <= largest
        assert sorted(np.concatenate(side).tolist()) == list(range(size))
    met = {
        (i[0], j[0]) for turn in range(count) for i, j in parts.meetings(turn) if len(i) and len(j)
    }
    assert len(met) == sum(map(bool, map(len, parts.left))) * sum(map(bool, map(len, parts.right)))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 20), st.integers(0, 99))
def test_a_pool_does_not_depend_on_its_order_and_holds_no_paired_item(n, seed):
    rng = np.random.default_rng(seed)
    pool, pairs = rng.normal(size=(n, 3)), rng.normal(size=(4, 3))
    given_ = np.vstack([pool, pairs[1:3]])
    one = Pool.of(given_, pairs, "unpaired_x", 0)
    other = Pool.of(given_[rng.permutation(n + 2)], pairs, "unpaired_x", 0)
    np.testing.assert_array_equal(one.items, other.items)
    assert (len(one), one.paired) == (n, 2)
    assert sorted(map(tuple, one.items)) == sorted(map(tuple, pool))


def test_items_are_ordered_by_what_they_are():
    rows = np.random.default_rng(5).normal(size=(20, 2))
    shuffled = rows[np.random.default_rng(6).permutation(20)]
    np.testing.assert_array_equal(rows[in_order(rows)], shuffled[in_order(shuffled)])


def test_axes_keep_inner_products_and_refuse_what_does_not_vary():
    rng = np.random.default_rng(7)
    X, U = rng.normal(size=(5, 6)), rng.normal(size=(40, 6))
    axes = Axes.of(X, U)
    centred = X - axes.centre
    np.testing.assert_allclose(axes(X) @ axes(X).T, centred @ centred.T, atol=1e-10)
    assert axes.ratio == pytest.approx(1)
    assert Axes.of(X, U, 2).vectors.shape == (6, 2) and Axes.of(X, U, 2).ratio > 1
    with pytest.raises(FeatureError, match="constant over pairs and pool"):
        Axes.of(np.ones((3, 2)), np.ones((4, 2)))
