"""Cross-fitting: folds, previews and honest weights."""

import numpy as np
import pytest
from factory import shared_signal

import csa
from csa.core.crossfit import CrossFit, projected_moments
from csa.core.shrinkage import Shrinkage, share_of
from csa.core.solve import solve
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


@pytest.mark.parametrize("seed", range(6))
def test_the_best_shrinkage_has_no_better_one_beside_it(seed):
    rng = np.random.default_rng(seed)
    X, Y = shared_signal(80, 10 + 3 * seed, 25 - 3 * seed, 4, 2.0, rng)
    crossfit = CrossFit(csa.Moments.of_folds(X, Y, np.arange(80) % 4))
    best = crossfit.best_shrinkage()

    def worth(x, y):
        at = Shrinkage(share_of(x), share_of(y))
        return crossfit.preview(at).mutual_information

    x, y = (np.log(g / (1 - g)) for g in best)
    around = [(x + 0.75, y), (x - 0.75, y), (x, y + 0.75), (x, y - 0.75)]
    inside = [point for point in around if max(map(abs, point)) <= 10]
    assert worth(x, y) >= max(worth(*point) for point in inside) - 1e-9
    coarse = [(u, v) for u in (-4.0, -1.0, 2.0) for v in (-4.0, -1.0, 2.0)]
    assert worth(x, y) >= max(worth(*point) for point in coarse) - 1e-9


def test_held_out_variance_has_a_floor_and_correlations_a_ceiling():
    X = np.random.default_rng(0).normal(size=(60, 3))
    same = csa.Moments.from_arrays(X, X)
    held = CrossFit([same, same]).measure(Shrinkage(0.0, 0.0))
    np.testing.assert_allclose(held.weights, 0.999)
    np.testing.assert_allclose((held.scale_a, held.scale_b), 1.0)
    constant = csa.Moments(60, same.mean_x, same.mean_y, 0 * same.cxx, same.cyy, 0 * same.cxy)
    decomposition = CrossFit([same, same]).decompositions(Shrinkage(0.0, 0.0))[0]
    a2, b2, ab = projected_moments(decomposition, constant, same)
    np.testing.assert_allclose([a2, b2, ab], [np.zeros(3), np.ones(3), np.zeros(3)], atol=1e-9)


def test_projected_moments_are_those_of_the_projected_pairs():
    rng = np.random.default_rng(0)
    X, Y = shared_signal(90, 6, 5, 3, 1.0, rng)
    fit, out = csa.Moments.from_arrays(X[:60], Y[:60]), csa.Moments.from_arrays(X[60:], Y[60:])
    decomposition = solve(fit, (0.1, 0.2))
    a, b = decomposition.coordinates(fit, X[60:], Y[60:])
    np.testing.assert_allclose(
        projected_moments(decomposition, out, fit),
        [(a**2).mean(axis=0), (b**2).mean(axis=0), (a * b).mean(axis=0)],
    )
