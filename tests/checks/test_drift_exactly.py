"""Drift to the last constant: shifts by hand, and the lower bound of new pairs by the binomial."""

import numpy as np
import pytest
from scipy.stats import binom

import csa
from csa.checks.drift import check_drift, check_new_pairs, check_pool_drift, shift
from csa.checks.profile import Profile
from csa.params.checks import ChecksParams

LIMITS = ChecksParams()


def profile(groups, mean, spread=1.0):
    """Both views with the same mean; the covariance of the second is `spread` times one."""
    r = len(mean)
    return Profile(groups, np.array([mean, mean]), np.array([np.eye(r), spread * np.eye(r)]))


def test_shifts_are_what_the_formulas_say():
    before, now = profile(100, [0.0, 0.0]), profile(300, [0.6, 0.8], spread=4.0)
    noise = 1 / 100 + 1 / 300
    means, covariances = shift(before, now)
    assert means == pytest.approx(np.sqrt(1 / 2 - noise))
    assert covariances[0] == 0
    divergence = (2 * 4 - 2 - 2 * np.log(4)) / (2 * 2)
    assert covariances[1] == pytest.approx(divergence - 3 / 4 * noise, rel=1e-6)
    assert max(map(np.max, shift(before, before))) == 0
    wide = profile(300, [0.6, 0.8, 9.0], spread=4.0)
    assert np.array_equal(shift(before, wide), shift(before, now)), "coordinates both have"


def test_drift_names_the_view_that_moved_more_and_counts_only_losses():
    before = profile(100, [0.0, 0.0])
    moved = Profile(90, np.array([[0.0, 0.0], [0.6, 0.8]]), before.covariance)
    lost, mean, covariance = check_drift(before, moved, ("image", "text"), LIMITS)
    assert lost.value == pytest.approx(0.1) and "90 training groups" in lost.said
    assert mean.value == shift(before, moved)[0][1] and "means of text" in mean.said
    assert "standard deviations" in mean.said and "nats a component" in covariance.said
    grown = check_drift(before, profile(150, [0.0, 0.0]), ("image", "text"), LIMITS)
    assert grown[0].value == 0


@pytest.mark.parametrize(("groups", "r"), [(9, 1), (19, 1), (20, 2), (319, 31), (400, 32)])
def test_a_profile_has_one_coordinate_for_ten_groups_and_at_most_32(groups, r):
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(800, 40))
    X, Y = Z + 0.1 * rng.normal(size=Z.shape), Z
    alignment = csa.CSA(score="canonical", shrinkage=0.1).fit(X, Y).alignment_
    group = np.arange(800) % groups
    found = Profile.of(alignment, X, Y, group)
    assert found.groups == groups and found.mean.shape == (2, r)
    assert found.covariance.shape == (2, r, r)
    coordinates = alignment.transform(X=X)[:, :r]
    means = np.stack([coordinates[group == g].mean(axis=0) for g in range(groups)])
    apart = means - means.mean(axis=0)
    assert found.mean[0] == pytest.approx(means.mean(axis=0))
    assert found.covariance[0] == pytest.approx(apart.T @ apart / groups)


def test_new_pairs_are_mismatched_by_the_lower_end_of_the_interval():
    true, new = np.arange(1.0, 40.0), np.full(40, 30.0)
    # 39 true groups: a score as low as the lowest has p = 2/40, which is ruled out
    new[:10] = 1.0
    new[10:15] = 2.0
    check = check_new_pairs(true, np.arange(39), new, np.arange(40), LIMITS)
    low = check.value * 0.95 + 0.05
    assert binom.sf(9, 40, low) == pytest.approx(0.05)
    assert "finds 10 mismatched" in check.said
    none = check_new_pairs(true, np.arange(39), np.full(40, 30.0), np.arange(40), LIMITS)
    assert none.value == 0
    halves = check_new_pairs(true, np.arange(39), new, np.arange(40) // 2, LIMITS)
    assert "of 20 new groups the champion finds 5 mismatched" in halves.said


@pytest.mark.parametrize(("known", "new"), [(19, 20), (20, 19), (20, 20)])
def test_fewer_than_twenty_groups_of_either_kind_say_nothing(known, new):
    check = check_new_pairs(np.ones(known), np.arange(known), np.ones(new), np.arange(new), LIMITS)
    assert (check is None) == (min(known, new) < 20)


@pytest.mark.parametrize(("items", "view"), [(9, 0), (45, 1), (800, 0), (800, 1)])
def test_a_profile_of_a_pool_is_that_of_its_items_in_its_view(items, view):
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(800, 40))
    X, Y = Z + 0.1 * rng.normal(size=Z.shape), Z @ rng.normal(size=(40, 40))
    alignment = csa.CSA(score="canonical", shrinkage=0.1).fit(X, Y).alignment_
    pool = rng.normal(size=(items, 40)) + 0.3
    found = Profile.of_pool(alignment, pool, view)
    r = max(1, min(32, items // 10))
    coordinates = alignment.transform(**{"XY"[view]: pool})[:, :r]
    assert found.groups == items and found.mean.shape == (1, r)
    assert found.mean[0] == pytest.approx(coordinates.mean(axis=0))
    assert found.covariance[0] == pytest.approx(np.atleast_2d(np.cov(coordinates.T, bias=True)))


def test_drift_of_a_pool_names_its_view_and_has_limits_of_its_own():
    before = Profile(100, np.zeros((1, 2)), np.eye(2)[None])
    now = Profile(80, np.array([[0.6, 0.8]]), 4 * np.eye(2)[None])
    lost, mean, covariance = check_pool_drift(before, now, "text", LIMITS)
    noise = 1 / 100 + 1 / 80
    assert lost.value == pytest.approx(0.2)
    assert lost.said == "80 unpaired text items, the champion had 100"
    assert mean.value == pytest.approx(np.sqrt(1 / 2 - noise))
    assert mean.said.startswith("the means of unpaired text coordinates moved by")
    divergence = (2 * 4 - 2 - 2 * np.log(4)) / (2 * 2)
    assert covariance.value == pytest.approx(divergence - 3 / 4 * noise, rel=1e-6)
    limits = ChecksParams(
        lost_unpaired=[0.3, None],
        unpaired_mean_shift=[0.9, 0.95],
        unpaired_covariance_shift=[0.1, 0.5],
        mean_shift=[0.0, 0.0],
    )
    outcomes = [check.outcome for check in check_pool_drift(before, now, "text", limits)]
    assert outcomes == ["pass", "pass", "refuse"]
    names = [check.name for check in (lost, mean, covariance)]
    assert names == ["lost_unpaired", "unpaired_mean_shift", "unpaired_covariance_shift"]
    assert {check.outcome for check in (lost, mean, covariance)} == {"warn"}
