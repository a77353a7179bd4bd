"""A recipe on other pairs is the fit of those pairs."""

import numpy as np
import pytest
from factory import shared_signal

import csa
from csa.core.crossfit import CrossFit
from csa.core.hubness import HubnessCorrection
from csa.core.moments import Moments
from csa.core.refit import Refit
from csa.core.training import Training


def pairs():
    return shared_signal(120, 8, 6, 3, 1.0, np.random.default_rng(0))


def test_without_a_fold_is_the_published_fit_of_the_other_folds():
    X, Y = pairs()
    model = csa.CSA(score="canonical", shrinkage=0.1, n_components=3)
    refit = Refit(model.fit(X, Y).alignment_, Training.of(X, Y, np.arange(120), 4, 0))
    kept = np.arange(120) < 100
    fitted = refit.on(kept)
    assert fitted.folds == 4
    for k in range(4):
        rest = kept & (refit.fold != k)
        expected = model.fit(X[rest], Y[rest]).similarity(X, Y)
        without = fitted.without(k)
        np.testing.assert_allclose(without.similarity(X, Y), expected, atol=1e-9)
        assert without.n_pairs == rest.sum() and without.notes == {}
    expected = model.fit(X[kept], Y[kept]).similarity(X, Y)
    np.testing.assert_allclose(fitted.whole().similarity(X, Y), expected, atol=1e-9)


@pytest.mark.parametrize("score", ["likelihood_ratio", "canonical"])
def test_weights_and_hub_centres_are_those_of_the_pairs_that_stay(score):
    X, Y = pairs()
    model = csa.CSA(score=score, hubness=True).fit(X, Y)
    training = Training.of(X, Y, np.arange(120), 4, 0)
    fitted = Refit(model.alignment_, training).on(np.ones(120, dtype=bool))
    folds = Moments.of_folds(X, Y, training.fold)
    held = CrossFit(folds).measure(model.shrinkage_)
    without = fitted.without(2)
    expected = model.alignment_.score.with_weights(held)
    np.testing.assert_allclose(without.score.weights, expected.weights)
    rest = training.fold != 2
    a, b = without.transform(X[rest], Y[rest])
    exact = HubnessCorrection.of(without.score, a, b, 0)
    np.testing.assert_allclose(without.hubness.hubs_left, exact.hubs_left)
    np.testing.assert_allclose(without.hubness.hubs_right, exact.hubs_right)
