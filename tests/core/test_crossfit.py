"""Cross-fitting: folds, previews and honest weights."""

import numpy as np
import pytest
from factory import shared_signal

import csa
from csa.core.crossfit import CrossFit
from csa.core.training import assign_folds
from csa.errors import FeatureError, InputError


def paper(s):
    return csa.CSA(score="canonical", shrinkage=0.0, n_components=s)


def test_folds_never_split_a_group_and_are_even():
    groups = np.repeat(np.arange(57), 5)
    fold = assign_folds(groups, 5, seed=3)
    assert all(len(set(fold[groups == g])) == 1 for g in range(57))
    assert np.bincount(fold).max() - np.bincount(fold).min() <= 5
    with pytest.raises(FeatureError, match="at least 2 groups"):
        assign_folds(np.zeros(9), 5, 0)


@pytest.mark.parametrize("p,q", [(12, 5), (5, 12)])
@pytest.mark.parametrize("shrinkage", [(0.01, 0.01), (0.9, 0.05), (0.1, 0.8)])
def test_the_preview_of_small_views_is_the_measurement(p, q, shrinkage):
    X, Y = shared_signal(100, p, q, 3, 1.0, np.random.default_rng(0))
    fold = np.arange(100) % 4
    crossfit = CrossFit([csa.Moments.from_arrays(X[fold == k], Y[fold == k]) for k in range(4)])
    exact, preview = crossfit.measure(shrinkage), crossfit.preview(shrinkage)
    for name in ("weights", "scale_a", "scale_b"):
        np.testing.assert_allclose(
            getattr(preview, name), getattr(exact, name), rtol=1e-7, atol=1e-9
        )


def test_cross_fitted_weights_are_honest_where_in_sample_correlations_are_not():
    rng = np.random.default_rng(1)
    X, Y = rng.normal(size=(150, 40)), rng.normal(size=(150, 30))
    model = csa.CSA(score="likelihood_ratio", shrinkage=0.01).fit(X, Y)
    assert model.canonical_correlations_[0] > 0.7
    assert model.weights_.max() < 0.3


def test_auto_beats_the_published_method_on_few_pairs():
    rng = np.random.default_rng(2)
    X, Y = shared_signal(1100, 60, 40, 12, 3.0, rng)
    train, test = slice(0, 100), slice(100, None)

    def recall(model):
        scores = model.fit(X[train], Y[train]).similarity(X[test], Y[test])
        return (
            (scores.argsort(axis=1)[:, ::-1][:, :10] == np.arange(1000)[:, None]).any(axis=1).mean()
        )

    assert recall(csa.CSA()) > 2 * max(recall(paper(s)) for s in (1, 3, 10, 20, 40))


def test_fit_on_moments_equals_fit_on_features():
    rng = np.random.default_rng(3)
    X, Y = shared_signal(200, 8, 6, 3, 1.0, rng)
    whole = csa.Moments.from_arrays(X, Y)
    np.testing.assert_array_equal(
        paper(4).fit_moments(whole).similarity(X, Y), paper(4).fit(X, Y).similarity(X, Y)
    )
    fold = assign_folds(np.arange(200), 5, 0)
    parts = [csa.Moments.from_arrays(X[fold == k], Y[fold == k]) for k in range(5)]
    by_features = csa.CSA(score="likelihood_ratio").fit(X, Y)
    np.testing.assert_allclose(
        csa.CSA().fit_moments(whole, folds=parts).similarity(X, Y), by_features.similarity(X, Y)
    )
    with pytest.raises(InputError, match="cannot be cross-fitted"):
        csa.CSA().fit_moments(whole)
