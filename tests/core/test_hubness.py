"""The hubness correction: its centres, its blocks, its file."""

import numpy as np
import pytest

from csa.core.hubness import HubnessCorrection
from csa.core.scores import SCORES, CanonicalScore, LikelihoodRatioScore


@pytest.mark.parametrize(("items", "centres"), [(1, 1), (2, 1), (3, 1)])
def test_few_items_have_one_centre_and_it_is_their_mean(items, centres):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(items, 2)), rng.normal(size=(items, 2))
    score = LikelihoodRatioScore(
        np.array([0.8, 0.4]), *(np.maximum(v.std(axis=0), 1) for v in (a, b))
    )
    correction = HubnessCorrection.of(score, a, b, seed=0)
    assert len(correction.hubs_left) == len(correction.hubs_right) == centres
    if items > 1:
        spread = a.std(axis=0)
        expected = score.left(a * score.scale_a / spread).mean(axis=0)
        np.testing.assert_allclose(correction.hubs_left[0], expected)


def test_centres_are_half_the_distinct_items_or_fewer():
    rng = np.random.default_rng(0)
    a = np.repeat(rng.normal(size=(40, 2)), 3, axis=0)
    correction = HubnessCorrection.of(CanonicalScore(np.array([0.8, 0.4])), a, a, seed=0)
    assert 5 < len(correction.hubs_left) <= 20


@pytest.mark.parametrize("kind", SCORES.values(), ids=SCORES)
def test_centres_do_not_see_how_long_overfitted_coordinates_are(kind):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 30, 3))
    tensors = {
        "weights": np.array([0.8, 0.5, 0.2]),
        "scale_a": np.array([0.9, 0.7, 0.5]),
        "scale_b": np.array([0.8, 0.8, 0.6]),
    }
    score = kind.of_tensors(tensors)
    one = HubnessCorrection.of(score, a, b, seed=0)
    other = HubnessCorrection.of(score, a * np.array([3.0, 0.2, 5.0]), 4 * b, seed=0)
    np.testing.assert_allclose(one.hubs_left, other.hubs_left)
    np.testing.assert_allclose(one.hubs_right, other.hubs_right)


def test_a_constant_coordinate_is_no_hub():
    a = np.column_stack([np.arange(8.0), np.full(8, 5.0)])
    score = LikelihoodRatioScore(np.array([0.8, 0.4]), np.ones(2), np.ones(2))
    correction = HubnessCorrection.of(score, a, a, seed=0)
    np.testing.assert_array_equal(correction.hubs_left[:, 1], 0.0)


def test_blocks_of_items_are_corrected_as_all_at_once(monkeypatch):
    rng = np.random.default_rng(2)
    vectors, hubs = rng.normal(size=(23, 4)), rng.normal(size=(6, 4))
    correction = HubnessCorrection(hubs, hubs, strength=0.4, neighbours=9)  # more than there are
    whole = correction.left(vectors)
    np.testing.assert_allclose(whole[:, 4], -0.4 * (vectors @ hubs.T).mean(axis=1))
    monkeypatch.setattr("csa.core.hubness._BLOCK_ROWS", 5)
    np.testing.assert_allclose(correction.left(vectors), whole)
    again = HubnessCorrection.of_tensors(correction.settings(), correction.tensors())
    np.testing.assert_array_equal(again.right(vectors), correction.right(vectors))
