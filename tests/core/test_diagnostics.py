"""Diagnostics against numbers worked out by hand: each limit from both sides."""

import numpy as np
import pytest

from csa.core.diagnostics import held_out, in_sample, null_edge, training_correlations
from csa.core.held import Held, effective_dimension, mutual_information
from csa.core.moments import Moments
from csa.core.solve import Decomposition


def signal(weights, groups=100):
    """Whether held-out weights show a signal; z of the first s components is sum(w) sqrt(n / s)."""
    w = np.array(weights)
    return held_out(np.ones(len(w)), Held.unscaled(w), groups, None)["shared_signal"]


@pytest.mark.parametrize(
    ("weights", "shown"),
    [
        ([0.31], True),  # z = 3.1 of the only component
        ([0.29], False),
        ([0.31, 0, 0, 0, 0], True),  # of the first alone
        ([0.22, 0.22], True),  # z = 3.11 of two, which is all there are
        ([0.22, 0.22, 0, 0], True),
        ([0.2, 0.2], False),
        ([0.17, 0.17, 0.17, 0.17], True),  # z = 3.4 of four, which is all there are
        ([0.14, 0.14, 0.14, 0.14], False),
        ([0.12, 0.12, 0.12, 0.12, 0.12, 0.12, 0.12, 0.12], False),  # eight are not asked
    ],
)
def test_one_two_or_four_components_beyond_three_standard_errors_are_a_signal(weights, shown):
    assert signal(weights) is shown


def test_more_groups_tell_weaker_signals():
    assert signal([0.05], groups=3601) and not signal([0.05], groups=3599)


def test_the_gap_is_the_mean_of_what_the_training_pairs_flatter_by():
    held = Held(np.array([0.5, 0.25]), np.ones(2), np.ones(2))
    notes = held_out(np.array([0.9, 0.45, 0.4]), held, 50, 0.25)
    assert notes["overfit_gap"] == pytest.approx((0.4 + 0.2) / 2)
    assert notes["held_out_mrr"] == 0.25
    assert notes["mutual_information_nats"] == pytest.approx(-0.5 * (np.log(0.75) + np.log(0.9375)))
    assert notes["effective_dimension"] == pytest.approx(0.3125**2 / (0.0625 + 0.25**4))


def test_information_and_effective_dimension_at_their_ends():
    assert mutual_information(np.zeros(3)) == 0 and effective_dimension(np.zeros(3)) == 0.0
    assert effective_dimension(np.full(7, 0.3)) == pytest.approx(7)
    assert effective_dimension(np.full(2, 0.01)) == pytest.approx(2)


@pytest.mark.parametrize(("n", "p", "q"), [(1000, 100, 300), (500, 240, 10), (101, 60, 40)])
def test_the_null_edge_is_wachters(n, p, q):
    c, d = p / n, q / n
    # cos^2 of the difference of two angles: another way to write it
    angle = np.arccos(np.sqrt(c)) - np.arcsin(np.sqrt(d))
    assert null_edge(n, p, q) == pytest.approx(np.cos(angle), abs=1e-12)


def test_the_null_edge_is_judged_with_its_scatter_and_only_where_there_is_one():
    n, p, q = 1000, 100, 50
    limit = null_edge(n, p, q) * (1 + 2 * n ** (-2 / 3))
    for rho, shown in ((limit + 1e-6, True), (limit - 1e-6, False)):
        notes = in_sample(np.array([rho, 0.1]), (n, p, q), unshrunk=True)
        assert notes == {"null_edge": null_edge(n, p, q), "shared_signal": shown}
    assert in_sample(np.array([0.9]), (n, p, q), unshrunk=False) == {}
    assert in_sample(np.array([0.9]), (150, p, q), unshrunk=True) == {}
    assert in_sample(np.array([0.9]), (151, p, q), unshrunk=True) != {}


def test_a_direction_without_variance_correlates_with_nothing():
    X = np.array([[1.0, 0.0], [-1.0, 0.0], [2.0, 0.0], [-2.0, 0.0]])
    moments = Moments.from_arrays(X, X)
    one = Decomposition(np.eye(2), np.eye(2), np.ones(2))
    assert training_correlations(one, moments).tolist() == [1.0, 0.0]
    turned = Decomposition(np.eye(2), -np.eye(2), np.ones(2))
    assert training_correlations(turned, moments).tolist() == [0.0, 0.0]
    tiny = Moments.from_arrays(0.1 * X, 0.1 * X)
    assert training_correlations(one, tiny)[0] == pytest.approx(1.0)
