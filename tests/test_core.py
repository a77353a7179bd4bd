"""The mathematics against oracles: hand-set spectra, identities, invariances, other libraries, degenerate input."""

import itertools

import numpy as np
import pytest
from factory import mixing, shared_signal, with_correlations
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.multivariate.cancorr import CanCorr

import csa
from csa.crossfit import CrossFit
from csa.errors import ArtifactError, FeatureError, InputError
from csa.scores import CanonicalScore, LikelihoodRatioScore
from csa.select import assign_folds
from csa.solve import solve

RHO = [0.99, 0.9, 0.7, 0.7, 0.4, 0.1]


def paper(s):
    return csa.CSA(score="canonical", shrinkage=0.0, n_components=s)


def close_moments(a, b, rtol=1e-10):
    assert a.n == b.n
    for name in ("mean_x", "mean_y", "cxx", "cyy", "cxy"):
        left, right = getattr(a, name), getattr(b, name)
        np.testing.assert_allclose(left, right, rtol=rtol, atol=rtol * np.abs(right).max(initial=1e-300))


# -- moments


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 5), st.lists(st.integers(0, 40), max_size=4), st.integers(0, 9))
def test_any_split_merges_to_the_whole_and_subtraction_undoes_it(n, p, q, cuts, seed):
    rng = np.random.default_rng(seed)
    X, Y = rng.normal(5, 2, (n, p)), rng.normal(-3, 1, (n, q))
    edges = sorted({0, n, *(min(c, n) for c in cuts)})
    parts = [csa.Moments.from_arrays(X[a:b], Y[a:b]) for a, b in itertools.pairwise(edges)]
    whole = csa.Moments.from_arrays(X, Y)
    close_moments(sum(parts[1:], start=parts[0]), whole, rtol=1e-9)
    for part in parts:
        close_moments((whole - part) + part, whole, rtol=1e-9)


def test_merge_is_associative_and_empty_is_neutral():
    rng = np.random.default_rng(0)
    a, b, c = (csa.Moments.from_arrays(rng.normal(size=(30, 3)), rng.normal(size=(30, 2))) for _ in range(3))
    close_moments((a + b) + c, a + (b + c))
    close_moments(a + csa.Moments.empty(3, 2), a, rtol=0)
    assert (a - a).n == 0


def test_moments_survive_a_large_offset():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(5000, 4)), rng.normal(size=(5000, 3))
    moved = csa.Moments.from_arrays(X + 1e6, Y - 1e6)
    np.testing.assert_allclose(moved.cxx, csa.Moments.from_arrays(X, Y).cxx, rtol=1e-7, atol=1e-6)


def test_streamed_blocks_equal_one_array_and_round_trip(tmp_path):
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(10_000, 4)).astype(np.float32), rng.normal(size=(10_000, 3)).astype(np.float32)
    streamed = csa.Moments.from_blocks((X[i : i + 999], Y[i : i + 999]) for i in range(0, len(X), 999))
    close_moments(streamed, csa.Moments.from_arrays(X, Y))
    streamed.save(tmp_path / "m.safetensors")
    close_moments(csa.Moments.load(tmp_path / "m.safetensors"), streamed, rtol=0)
    with pytest.raises(ArtifactError, match="another kind"):
        csa.load(tmp_path / "m.safetensors")


def test_more_cannot_be_subtracted_than_is_there():
    m = csa.Moments.from_arrays(np.eye(3), np.eye(3))
    with pytest.raises(FeatureError, match="cannot take 6 pairs out of 3"):
        m - (m + m)


# -- the decomposition


@pytest.mark.parametrize("condition", [1.0, 1e2, 1e4])
def test_hand_set_spectrum_is_found(condition):
    X, Y = with_correlations(400, 12, 8, RHO, np.random.default_rng(0), condition, offset=3.0)
    rho = solve(csa.Moments.from_arrays(X, Y)).rho
    np.testing.assert_allclose(rho[: len(RHO)], RHO, atol=1e-12 * max(condition, 10))
    np.testing.assert_allclose(rho[len(RHO) :], 0, atol=1e-7)


def test_identities_hold_and_projected_training_pairs_correlate_by_rho():
    X, Y = with_correlations(500, 12, 8, RHO, np.random.default_rng(1), condition=50)
    m = csa.Moments.from_arrays(X, Y)
    d = solve(m)
    np.testing.assert_allclose(d.A.T @ (m.cxx / m.n) @ d.A, np.eye(8), atol=1e-9)
    np.testing.assert_allclose(d.B.T @ (m.cyy / m.n) @ d.B, np.eye(8), atol=1e-9)
    np.testing.assert_allclose(d.A.T @ (m.cxy / m.n) @ d.B, np.diag(d.rho), atol=1e-9)
    a, b = (X - m.mean_x) @ d.A, (Y - m.mean_y) @ d.B
    # Swapped singular vectors would leave rho right and these correlations wrong.
    np.testing.assert_allclose([np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(len(RHO))], RHO, atol=1e-9)


def test_agrees_with_statsmodels():
    X, Y = shared_signal(300, 10, 7, 4, 1.0, np.random.default_rng(2))
    np.testing.assert_allclose(solve(csa.Moments.from_arrays(X, Y)).rho, np.sort(CanCorr(Y, X).cancorr)[::-1], atol=1e-10)


def test_invariance_without_shrinkage():
    rng = np.random.default_rng(3)
    X, Y = shared_signal(300, 6, 5, 3, 0.7, rng)
    G, H = mixing(6, 30, rng), mixing(5, 30, rng)
    for s in (1, 3, 5):
        plain, moved = paper(s).fit(X, Y), paper(s).fit(X @ G + 4, Y @ H - 9)
        np.testing.assert_allclose(moved.canonical_correlations_, plain.canonical_correlations_, atol=1e-10)
        np.testing.assert_allclose(moved.similarity(X @ G + 4, Y @ H - 9), plain.similarity(X, Y), atol=1e-8)


def test_invariance_with_shrinkage_to_rotations_and_scale_only():
    rng = np.random.default_rng(4)
    X, Y = shared_signal(200, 6, 5, 3, 0.7, rng)
    X2, Y2 = 7 * X @ mixing(6, 1, rng), Y @ mixing(5, 1, rng) + 2
    model = csa.CSA(score="canonical", shrinkage=(0.3, 0.1), n_components=4)
    plain = model.fit(X, Y).similarity(X, Y)
    rho = model.canonical_correlations_
    np.testing.assert_allclose(model.fit(X2, Y2).similarity(X2, Y2), plain, atol=1e-9)
    bent = model.fit(X @ mixing(6, 30, rng), Y).canonical_correlations_
    assert np.abs(bent - rho).max() > 1e-3


def test_row_order_duplication_and_swapped_views_change_nothing():
    rng = np.random.default_rng(5)
    X, Y = shared_signal(120, 6, 5, 3, 0.7, rng)
    order = rng.permutation(120)
    base = paper(4).fit(X, Y).similarity(X, Y)
    np.testing.assert_allclose(paper(4).fit(X[order], Y[order]).similarity(X, Y), base, atol=1e-9)
    np.testing.assert_allclose(paper(4).fit(np.tile(X, (3, 1)), np.tile(Y, (3, 1))).similarity(X, Y), base, atol=1e-9)
    np.testing.assert_allclose(paper(4).fit(Y, X).similarity(Y, X), base.T, atol=1e-9)


def test_independent_views_show_the_null_spectrum():
    rng = np.random.default_rng(6)
    rho = solve(csa.Moments.from_arrays(rng.normal(size=(2000, 200)), rng.normal(size=(2000, 100)))).rho
    assert 0.49 < rho[0] < 0.53  # the null edge of the theory is 0.520


def test_spikes_rise_as_theory_says():
    rng = np.random.default_rng(7)
    tops = []
    for _ in range(5):
        X, Y = rng.normal(size=(2000, 200)), rng.normal(size=(2000, 100))
        for i, r in enumerate((0.9, 0.7)):
            Y[:, i] = r * X[:, i] + np.sqrt(1 - r**2) * Y[:, i]
        tops.append(solve(csa.Moments.from_arrays(X, Y)).rho[:2])
    np.testing.assert_allclose(np.mean(tops, axis=0), [0.9158, 0.7544], atol=0.01)


@pytest.mark.parametrize("p,q,rank", [(8, 6, 2), (30, 5, 5), (5, 30, 3)])
def test_rank_deficient_views_keep_rho_within_bounds(p, q, rank):
    rng = np.random.default_rng(8)
    X, Y = rng.normal(size=(200, rank)) @ rng.normal(size=(rank, p)), rng.normal(size=(200, q))
    for shrinkage in ((0.0, 0.0), (0.2, 0.5)):
        d = solve(csa.Moments.from_arrays(X.astype(np.float32), Y), shrinkage)
        assert len(d.rho) <= min(p, q)
        assert ((d.rho >= 0) & (d.rho <= 1)).all()
        assert np.isfinite(d.A).all()
        assert np.isfinite(d.B).all()


def test_two_distinct_captions_are_one_direction():
    rng = np.random.default_rng(9)
    label = np.arange(100) % 2
    X, Y = rng.normal(size=(100, 4)) + 3 * label[:, None], rng.normal(size=(2, 6))[label]
    d = solve(csa.Moments.from_arrays(X, Y))
    assert len(d.rho) == 1
    assert 0.5 < d.rho[0] <= 1


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
            assert fast[i, j] == pytest.approx((w * a[i] * b[j]).sum() / norms if norms else 0.0, abs=1e-12)
    assert (np.abs(fast) <= w[0] + 1e-12).all()


def test_one_component_gives_the_sign_and_equal_weights_the_cosine():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 4)), rng.normal(size=(6, 4))
    one = CanonicalScore(np.array([0.8]))
    np.testing.assert_allclose(one.left(a) @ one.right(b).T, 0.8 * np.sign(np.outer(a[:, 0], b[:, 0])))
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


# -- cross-fitting


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
        np.testing.assert_allclose(getattr(preview, name), getattr(exact, name), rtol=1e-7, atol=1e-9)


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
        return (scores.argsort(axis=1)[:, ::-1][:, :10] == np.arange(1000)[:, None]).any(axis=1).mean()

    assert recall(csa.CSA()) > 2 * max(recall(paper(s)) for s in (1, 3, 10, 20, 40))


def test_fit_on_moments_equals_fit_on_features():
    rng = np.random.default_rng(3)
    X, Y = shared_signal(200, 8, 6, 3, 1.0, rng)
    whole = csa.Moments.from_arrays(X, Y)
    np.testing.assert_array_equal(paper(4).fit_moments(whole).similarity(X, Y), paper(4).fit(X, Y).similarity(X, Y))
    fold = assign_folds(np.arange(200), 5, 0)
    parts = [csa.Moments.from_arrays(X[fold == k], Y[fold == k]) for k in range(5)]
    by_features = csa.CSA(score="likelihood_ratio").fit(X, Y)
    np.testing.assert_allclose(csa.CSA().fit_moments(whole, folds=parts).similarity(X, Y), by_features.similarity(X, Y))
    with pytest.raises(InputError, match="cannot be cross-fitted"):
        csa.CSA().fit_moments(whole)


# -- the estimator and its file


@pytest.mark.parametrize("settings_", [{}, {"score": "canonical"}, {"score": "canonical", "shrinkage": 0.0, "n_components": 3}])
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
@pytest.mark.parametrize("settings_", [{}, {"score": "canonical", "shrinkage": 0.0, "n_components": 2}])
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
