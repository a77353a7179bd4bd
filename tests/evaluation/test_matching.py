"""FOSCTTM and fidelity against loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csa.evaluation.matching import fidelity, foscttm


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 15), st.integers(1, 3), st.integers(0, 99))
def test_foscttm_is_the_loop_over_queries(n, k, seed):
    rng = np.random.default_rng(seed)
    left, right = rng.integers(-2, 3, size=(n, k)), rng.integers(-2, 3, size=(n, k))  # many ties
    scores = left @ right.T
    shares = []
    for i in range(n):
        for own, others in (
            (scores[i, i], np.delete(scores[i], i)),
            (scores[i, i], np.delete(scores[:, i], i)),
        ):
            shares.append(((others > own).sum() + 0.5 * (others == own).sum()) / (n - 1))
    assert foscttm(left, right) == pytest.approx(np.mean(shares))


def test_chance_is_a_half_and_pairs_are_needed():
    rng = np.random.default_rng(0)
    assert foscttm(rng.normal(size=(800, 9)), rng.normal(size=(800, 9))) == pytest.approx(
        0.5, abs=0.03
    )
    with pytest.raises(ValueError, match="2 pairs or more"):
        foscttm(np.ones((1, 2)), np.ones((1, 2)))


def test_fidelity_is_the_median_cosine_and_ignores_lengths():
    rng = np.random.default_rng(1)
    a, b, w = rng.normal(size=(41, 5)), rng.normal(size=(41, 5)), rng.uniform(size=4)
    cosines = [
        (w * x[:4]) @ y[:4] / np.linalg.norm(w * x[:4]) / np.linalg.norm(y[:4])
        for x, y in zip(a, b, strict=True)
    ]
    assert fidelity(a, b, w) == pytest.approx(np.median(cosines))
    assert fidelity(7 * a, b / 3, w) == pytest.approx(np.median(cosines))
    assert fidelity(np.zeros((3, 5)), b[:3], w) == 0.0
    with pytest.raises(ValueError, match="needs a pair"):
        fidelity(a[:0], b[:0], w)
