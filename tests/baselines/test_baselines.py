"""Baselines against dense references written out here."""

import numpy as np
import pytest
from factory import mixing, shared_signal
from sklearn.base import clone
from sklearn.linear_model import Ridge

import csa
from csa import baselines
from csa.baselines import ASIF, PlainCCA, Procrustes, RawCosine, RidgeMap
from csa.errors import FeatureError, InputError


def unit(M):
    return M / np.linalg.norm(M, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def views():
    X, Y = shared_signal(230, 12, 8, 5, 0.8, np.random.default_rng(0))
    return X[:150], Y[:150], X[150:], Y[150:]


@pytest.mark.parametrize("power,kept", [(8.0, 15), (1.0, 150), (2.0, 1)])
def test_asif_is_its_formula(views, monkeypatch, power, kept):
    monkeypatch.setattr(baselines.asif, "_BLOCK_SCORES", 1000)  # several blocks
    X, Y, X2, Y2 = views

    def relative(items, anchors):
        S = unit(items) @ unit(anchors).T
        for row in S:
            row[row < np.sort(row)[-kept]] = 0
        S = np.maximum(S, 0) ** power
        return S / np.linalg.norm(S, axis=1, keepdims=True)

    model = ASIF(kept=kept, power=power).fit(X, Y)
    expected = relative(X2, X) @ relative(Y2, Y).T
    np.testing.assert_allclose(model.similarity(X2, Y2), expected, atol=1e-12)
    np.testing.assert_allclose(model.score_pairs(X2, Y2), np.diag(expected), atol=1e-12)
    assert model.index_vectors(X=X2).nnz <= kept * len(X2)


def test_asif_of_an_item_unlike_all_is_zero_not_nan():
    model = ASIF(kept=2, power=8.0).fit(np.eye(4), np.eye(4))
    assert (model.similarity(-np.ones((1, 4)), np.eye(4)) == 0).all()


def test_asif_chooses_a_power(views):
    X, Y, *_ = views
    model = ASIF().fit(X, Y)
    assert model.kept_ == 15
    assert model.power_ in (1.0, 2.0, 4.0, 8.0)
    with pytest.raises(InputError, match="kept"):
        ASIF(kept=0).fit(X, Y)


def test_procrustes_finds_the_rotation():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60, 5))
    Q = mixing(5, 1, rng)
    model = Procrustes().fit(X + 3, X @ Q - 1)
    np.testing.assert_allclose(model.rotation_x_ @ model.rotation_y_.T, Q, atol=1e-10)
    np.testing.assert_allclose(model.score_pairs(X + 3, X @ Q - 1), 1.0)


def test_ridge_map_is_ridge_regression(views):
    X, Y, X2, Y2 = views
    model = RidgeMap(penalty=0.3).fit(X, Y)
    alpha = 0.3 * np.trace(np.cov(X.T, bias=True)) / X.shape[1] * len(X)
    reference = Ridge(alpha=alpha).fit(X, Y)
    expected = unit(reference.predict(X2) - Y.mean(axis=0)) @ unit(Y2 - Y.mean(axis=0)).T
    np.testing.assert_allclose(model.similarity(X2, Y2), expected, atol=1e-9)
    assert 1e-4 <= RidgeMap().fit(X, Y).penalty_ <= 100
    with pytest.raises(InputError, match="penalty"):
        RidgeMap(penalty=-1.0).fit(X, Y)


def test_plain_cca_is_the_cosine_of_canonical_coordinates(views):
    X, Y, X2, Y2 = views
    a, b = (
        csa.CSA(score="canonical", shrinkage=(0.2, 0.1), n_components=8).fit(X, Y).transform(X2, Y2)
    )
    np.testing.assert_allclose(
        PlainCCA((0.2, 0.1)).fit(X, Y).similarity(X2, Y2), unit(a) @ unit(b).T, atol=1e-12
    )
    assert all(0 <= g <= 1 for g in PlainCCA().fit(X, Y).shrinkage_)


def test_raw_cosine_needs_one_space(views):
    X, Y, *_ = views
    np.testing.assert_allclose(RawCosine().fit(X, X).similarity(X, X), unit(X) @ unit(X).T)
    with pytest.raises(FeatureError, match="X has 12 dimensions and Y 8"):
        RawCosine().fit(X, Y)


@pytest.mark.parametrize("name", [name for name in baselines.__all__ if name != "RawCosine"])
def test_all_speak_the_same_language_and_beat_chance(views, name):
    X, Y, X2, Y2 = views
    model = clone(getattr(baselines, name)()).fit(X, Y, groups=np.arange(len(X)) // 2)
    scores = model.similarity(X2, Y2)
    assert scores.shape == (80, 80)
    assert (scores.argmax(axis=1) == np.arange(80)).mean() > 0.05
    np.testing.assert_allclose(model.score_pairs(X2, Y2), np.diag(scores), atol=1e-12)
    with pytest.raises(InputError, match="neither"):
        model.index_vectors()
