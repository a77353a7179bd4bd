"""The mathematics against oracles: hand-set spectra, identities, invariances, other libraries,
degenerate input.
"""

import numpy as np
import pytest
from factory import shared_signal
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import csa
from csa.core.scores import CanonicalScore, LikelihoodRatioScore
from csa.errors import ArtifactError, FeatureError, InputError
from csa.storage.container import load_tensors, save_tensors


def paper(s):
    return csa.CSA(score="canonical", shrinkage=0.0, n_components=s)


# -- scores


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 8), st.integers(1, 8), st.integers(0, 9))
def test_canonical_score_is_the_papers_formula_item_by_item(r, n, m, seed):
    rng = np.random.default_rng(seed)
    a, b, w = rng.normal(size=(n, r)), rng.normal(size=(m, r)), np.sort(rng.uniform(size=r))[::-1]
    a[0] = 0
    score = CanonicalScore(w)
    fast = score.left(a) @ score.right(b).T
    for i in range(n):
        for j in range(m):
            norms = np.linalg.norm(a[i]) * np.linalg.norm(b[j])
            assert fast[i, j] == pytest.approx(
                (w * a[i] * b[j]).sum() / norms if norms else 0.0, abs=1e-12
            )
    assert (np.abs(fast) <= w[0] + 1e-12).all()


def test_one_component_gives_the_sign_and_equal_weights_the_cosine():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 4)), rng.normal(size=(6, 4))
    one = CanonicalScore(np.array([0.8]))
    np.testing.assert_allclose(
        one.left(a) @ one.right(b).T, 0.8 * np.sign(np.outer(a[:, 0], b[:, 0]))
    )
    cosine = (a @ b.T) / np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    equal = CanonicalScore(np.ones(4))
    np.testing.assert_allclose(equal.left(a) @ equal.right(b).T, cosine)


def test_likelihood_ratio_is_what_scipy_says():
    rng = np.random.default_rng(0)
    w = np.array([0.9, 0.5, 0.0, 0.2])
    scale_a, scale_b = rng.uniform(0.5, 2, 4), rng.uniform(0.5, 2, 4)
    a, b = rng.normal(size=(3, 4)), rng.normal(size=(4, 4))
    score = LikelihoodRatioScore(w, scale_a, scale_b)
    fast = score.left(a) @ score.right(b).T
    for i in range(3):
        for j in range(4):
            expected = 0.0
            for k in range(4):
                pair = [a[i, k] / scale_a[k], b[j, k] / scale_b[k]]
                joint = stats.multivariate_normal([0, 0], [[1, w[k]], [w[k], 1]]).logpdf(pair)
                expected += joint - stats.norm.logpdf(pair).sum()
            assert fast[i, j] == pytest.approx(expected, abs=1e-10)


# -- the estimator and its file


@pytest.mark.parametrize(
    "settings_",
    [{}, {"score": "canonical"}, {"score": "canonical", "shrinkage": 0.0, "n_components": 3}],
)
def test_saved_alignment_is_the_same_to_the_last_bit(tmp_path, settings_):
    rng = np.random.default_rng(4)
    X, Y = shared_signal(80, 7, 5, 3, 1.0, rng)
    model = csa.CSA(**settings_).fit(X, Y)
    model.save(tmp_path / "a.safetensors")
    first = (tmp_path / "a.safetensors").read_bytes()
    again = csa.load(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(again.similarity(X, Y), model.similarity(X, Y))
    again.save(tmp_path / "b.safetensors")
    assert (tmp_path / "b.safetensors").read_bytes() == first
    assert len(first) < 20_000  # nothing of the training data's size
    assert list(tmp_path.glob(".*")) == []


def test_score_pairs_is_the_diagonal_and_one_view_alone_transforms():
    rng = np.random.default_rng(5)
    X, Y = shared_signal(60, 7, 5, 3, 1.0, rng)
    model = csa.CSA().fit(X, Y)
    np.testing.assert_allclose(model.score_pairs(X, Y), np.diag(model.similarity(X, Y)), atol=1e-9)
    assert model.transform(X=X[:3]).shape == (3, len(model.canonical_correlations_))
    a, b = model.transform(X, Y)
    assert len(a) == len(b) == 60


@pytest.mark.parametrize(
    "X,Y,message",
    [
        (np.full((20, 3), np.nan), np.eye(20), "NaN or infinite, the first at row 0, column 0"),
        (np.eye(20), np.full((20, 2), np.inf), "Y has 40 values"),
        (np.eye(20), np.eye(19), "X has 20 rows and Y has 19"),
        (np.ones((20, 3)), np.eye(20), "X is constant"),
        (np.full((20, 3), 0.1, np.float32), np.eye(20), "X is constant"),
        (np.eye(1), np.eye(1), "at least 2"),
        (np.zeros((0, 3)), np.zeros((0, 2)), "at least 2"),
        (np.zeros(5), np.eye(5), "must be a matrix"),
        (np.array([["a"]]), np.eye(1), "real numbers"),
        (np.eye(20) * 1j, np.eye(20), "real numbers"),
        (np.zeros((20, 0)), np.eye(20), "0 dimensions"),
    ],
)
@pytest.mark.parametrize(
    "settings_", [{}, {"score": "canonical", "shrinkage": 0.0, "n_components": 2}]
)
def test_unusable_features_are_one_clear_error(X, Y, message, settings_):
    with pytest.raises(ValueError, match=message) as caught:
        csa.CSA(**settings_).fit(X, Y)
    assert isinstance(caught.value, csa.CSAError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "settings_",
    [
        {"score": "cosine"},
        {"shrinkage": 2},
        {"shrinkage": "big"},
        {"n_components": 0},
        {"folds": 1},
        {"shrinkage": (0.1, 0.1, 0.1)},
    ],
)
def test_unusable_parameters_are_one_clear_error(settings_):
    with pytest.raises(InputError):
        csa.CSA(**settings_).fit(np.eye(20), np.eye(20))


def test_features_of_another_encoder_are_refused():
    rng = np.random.default_rng(6)
    model = csa.CSA().fit(*shared_signal(60, 7, 5, 3, 1.0, rng))
    with pytest.raises(FeatureError, match="X has 6 dimensions, expected 7"):
        model.transform(X=np.zeros((2, 6)))


@pytest.mark.parametrize("content", [b"", b"junk" * 100, None])
def test_a_damaged_file_is_one_clear_error(tmp_path, content):
    path = tmp_path / "a.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArtifactError):
        csa.load(path)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_few_pairs_still_give_a_defined_result(n):
    rng = np.random.default_rng(7)
    X, Y = rng.normal(size=(n, 6)), rng.normal(size=(n, 4))
    model = paper(2).fit(X, Y)
    assert np.isfinite(model.similarity(X, Y)).all()
    assert (model.canonical_correlations_ <= 1).all()
    if n > 3:
        assert np.isfinite(csa.CSA().fit(X, Y).similarity(X, Y)).all()


def test_a_constant_view_is_named_with_all_its_rows():
    with pytest.raises(FeatureError, match="Y is constant over its 50 rows"):
        csa.CSA().fit(np.random.default_rng(0).normal(size=(50, 3)), np.ones((50, 2)))


def test_an_alignment_of_another_version_is_said_to_be_one(tmp_path):
    X, Y = np.random.default_rng(0).normal(size=(2, 40, 3))
    csa.CSA(score="canonical", shrinkage=0.1, n_components=2).fit(X, Y).save(
        tmp_path / "a.safetensors"
    )
    header, tensors = load_tensors(tmp_path / "a.safetensors", "alignment")
    del tensors["training_correlations"]
    save_tensors(tmp_path / "b.safetensors", "alignment", header, tensors)
    with pytest.raises(ArtifactError, match="another version of csa; fit it again"):
        csa.load(tmp_path / "b.safetensors")
    header, tensors = load_tensors(tmp_path / "a.safetensors", "alignment")
    save_tensors(tmp_path / "c.safetensors", "alignment", {**header, "score": "toy"}, tensors)
    with pytest.raises(
        ArtifactError, match="its score is 'toy', but this csa knows normalised_likelihood"
    ):
        csa.load(tmp_path / "c.safetensors")
