"""Exact search and ranks against the whole score matrix."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csa.core import search
from csa.core.search import best_ranks, top_k


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 9),
    st.integers(1, 60),
    st.integers(1, 4),
    st.integers(0, 12),
    st.integers(1, 700),
    st.integers(0, 99),
)
def test_top_k_is_a_stable_sort_of_all_scores(n, m, d, k, block, seed):
    rng = np.random.default_rng(seed)
    left, right = (
        rng.integers(-2, 3, (n, d)).astype(float),
        rng.integers(-2, 3, (m, d)).astype(float),
    )
    search._BLOCK_SCORES, kept = block, search._BLOCK_SCORES
    try:
        rows, values = top_k(left, right, k)
    finally:
        search._BLOCK_SCORES = kept
    expected = np.argsort(-(left @ right.T), axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(values, np.take_along_axis(left @ right.T, expected, axis=1))


@pytest.mark.parametrize("k", [1, 10, 150])
@pytest.mark.parametrize("order", ["random", "ascending", "descending", "all equal"])
def test_large_galleries_take_the_bounded_way_and_find_the_same(k, order):
    rng = np.random.default_rng(0)
    left, right = (
        rng.integers(-3, 4, (7, 5)).astype(np.float32),
        rng.integers(-3, 4, (20_011, 5)).astype(np.float32),
    )
    if order != "random":
        right = right[np.argsort(right @ left[0])]
        right = {"ascending": right, "descending": right[::-1], "all equal": np.ones_like(right)}[
            order
        ]
    rows, values = top_k(left, right, k)
    np.testing.assert_array_equal(rows, np.argsort(-(left @ right.T), axis=1, kind="stable")[:, :k])
    assert values.dtype == np.float32


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 150),
    st.integers(1, 5),
    st.integers(1, 700),
    st.integers(0, 99),
)
def test_ranks_count_every_irrelevant_row_that_scores_as_high(n, m, relevant, block, seed):
    rng = np.random.default_rng(seed)
    left, right = (
        rng.integers(-2, 3, (n, 3)).astype(float),
        rng.integers(-2, 3, (m, 3)).astype(float),
    )
    pairs = np.array([(i, j) for i in range(n) for j in rng.permutation(m)[:relevant]])[
        rng.permutation(n * min(relevant, m))
    ]
    search._BLOCK_SCORES, kept = block, search._BLOCK_SCORES
    try:
        ranks = best_ranks(left, right, (pairs[:, 0], pairs[:, 1]))
    finally:
        search._BLOCK_SCORES = kept
    scores = left @ right.T
    for i in range(n):
        own = set(pairs[pairs[:, 0] == i, 1])
        best = max(scores[i, j] for j in own)
        assert ranks[i] == 1 + sum(scores[i, j] >= best for j in range(m) if j not in own)


def test_a_copy_of_the_true_item_anywhere_in_the_gallery_is_a_tie_also_in_float32():
    rng = np.random.default_rng(1)
    left, right = (
        rng.normal(size=(300, 250)).astype(np.float32),
        rng.normal(size=(3000, 250)).astype(np.float32),
    )
    true = rng.integers(0, 1000, 300)
    alone = best_ranks(left, right, (np.arange(300), true))
    copies = best_ranks(
        left, np.vstack([right, right[:777], right, right[:1000]]), (np.arange(300), true)
    )
    scores = left @ right.T
    above = (scores > scores[np.arange(300), true][:, None]).sum(axis=1)
    np.testing.assert_array_equal(alone, above + 1)
    # Every row is there twice or more often now, and each copy of the true one counts against it.
    assert (copies >= 2 * above + 1 + 2).all()
