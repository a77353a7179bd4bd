"""The canonical decomposition against oracles: hand-set spectra, identities, invariances, other
libraries, every route.
"""

import numpy as np
import pytest
from factory import (
    STRUCTURES,
    adversarial,
    correlations_by_qr,
    mixing,
    shared_signal,
    with_correlations,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg
from sklearn.cross_decomposition import CCA
from statsmodels.multivariate.cancorr import CanCorr

import csa
from csa.core.routes import _thin_factors, _triangular_factors, decompose
from csa.core.solve import Factors, solve
from csa.errors import FeatureError

RHO = [0.99, 0.9, 0.7, 0.7, 0.4, 0.1]


def paper(s):
    return csa.CSA(score="canonical", shrinkage=0.0, n_components=s)


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
    np.testing.assert_allclose(
        [np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(len(RHO))], RHO, atol=1e-9
    )


def test_agrees_with_statsmodels():
    X, Y = shared_signal(300, 10, 7, 4, 1.0, np.random.default_rng(2))
    np.testing.assert_allclose(
        solve(csa.Moments.from_arrays(X, Y)).rho, np.sort(CanCorr(Y, X).cancorr)[::-1], atol=1e-10
    )


def test_invariance_without_shrinkage():
    rng = np.random.default_rng(3)
    X, Y = shared_signal(300, 6, 5, 3, 0.7, rng)
    G, H = mixing(6, 30, rng), mixing(5, 30, rng)
    for s in (1, 3, 5):
        plain, moved = paper(s).fit(X, Y), paper(s).fit(X @ G + 4, Y @ H - 9)
        np.testing.assert_allclose(
            moved.canonical_correlations_, plain.canonical_correlations_, atol=1e-10
        )
        np.testing.assert_allclose(
            moved.similarity(X @ G + 4, Y @ H - 9), plain.similarity(X, Y), atol=1e-8
        )


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
    np.testing.assert_allclose(
        paper(4).fit(np.tile(X, (3, 1)), np.tile(Y, (3, 1))).similarity(X, Y), base, atol=1e-9
    )
    np.testing.assert_allclose(paper(4).fit(Y, X).similarity(Y, X), base.T, atol=1e-9)


def test_independent_views_show_the_null_spectrum():
    rng = np.random.default_rng(6)
    rho = solve(
        csa.Moments.from_arrays(rng.normal(size=(2000, 200)), rng.normal(size=(2000, 100)))
    ).rho
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


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("condition", [1, 1e3, 1e6])
@pytest.mark.parametrize("n", [130, 1000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_features_of_any_structure_give_the_correlations_of_a_qr(structure, condition, n, dtype):
    X, Y = adversarial(structure, n, 60, 40, condition, np.random.default_rng(2), dtype)
    d = decompose(X, Y)[1]
    worst = max(
        np.linalg.cond(Z - Z.mean(axis=0)) for Z in (X.astype(np.float64), Y.astype(np.float64))
    )
    if dtype == np.float64 or worst < 3e6:
        np.testing.assert_allclose(d.rho, correlations_by_qr(X, Y), atol=1e-5)
    else:  # float32 features cannot be told from singular ones
        assert ((d.rho >= 0) & (d.rho <= 1)).all()


@pytest.mark.parametrize("shrinkage", [(0.0, 0.0), (0.2, 0.4), (0.9, 1e-3)])
def test_all_routes_give_one_result(shrinkage):
    X, Y = adversarial("signal everywhere", 300, 12, 9, 30, np.random.default_rng(3))
    moments, d = decompose(X, Y, shrinkage)
    for factors in (
        Factors.of(moments),
        _thin_factors(X, Y, moments),
        _triangular_factors(X, Y, moments),
    ):
        other = factors.solve(shrinkage)
        for name in ("A", "B", "rho"):
            wanted = getattr(d, name)
            np.testing.assert_allclose(
                getattr(other, name), wanted, atol=1e-8 * np.abs(wanted).max()
            )


@settings(max_examples=40, deadline=None)
@given(
    st.integers(2, 25),
    st.integers(1, 12),
    st.integers(1, 12),
    st.sampled_from([0.0, 0.1, 1.0]),
    st.integers(0, 9),
)
def test_any_shape_gives_a_bounded_result_that_whitens_its_own_moments(n, p, q, g, seed):
    rng = np.random.default_rng(seed)
    X, Y = rng.normal(size=(n, p)), rng.normal(size=(n, q))
    moments, d = decompose(X, Y, (g, g))
    assert d.A.shape == (p, len(d.rho))
    assert d.B.shape == (q, len(d.rho))
    assert ((d.rho >= 0) & (d.rho <= 1)).all()
    assert (np.diff(d.rho) <= 1e-12).all()
    for C, A in ((moments.cxx / n, d.A), (moments.cyy / n, d.B)):
        S = (1 - g) * C + g * np.trace(C) / len(C) * np.eye(len(C))
        np.testing.assert_allclose(A.T @ S @ A, np.eye(len(d.rho)), atol=1e-7)
    # Shrinkage lowers the largest variances, so that "correlations" can pass 1; they are reported
    # as 1.
    np.testing.assert_allclose(
        np.clip(d.A.T @ (moments.cxy / n) @ d.B, -1, 1), np.diag(d.rho), atol=1e-7
    )


@pytest.mark.parametrize("shrinkage", [(0.0, 0.0), (0.3, 0.3)])
def test_fewer_pairs_than_dimensions_agree_between_features_and_moments(shrinkage):
    X, Y = shared_signal(30, 80, 50, 3, 0.5, np.random.default_rng(4))
    moments, dual = decompose(X, Y, shrinkage)
    primal = solve(moments, shrinkage)
    assert len(dual.rho) == 29
    np.testing.assert_allclose(dual.rho, primal.rho, atol=1e-8)
    if shrinkage != (0.0, 0.0):  # without, every correlation is 1 and any rotation is right
        np.testing.assert_allclose(dual.A, primal.A, atol=1e-7 * np.abs(dual.A).max())


def test_signs_do_not_depend_on_row_order_or_route():
    rng = np.random.default_rng(5)
    X, Y = shared_signal(200, 9, 6, 4, 0.5, rng)
    order = rng.permutation(200)
    a, b = decompose(X, Y)[1], decompose(X[order], Y[order])[1]
    np.testing.assert_allclose(a.A, b.A, atol=1e-9)
    np.testing.assert_allclose(a.B, b.B, atol=1e-9)


def test_a_failing_svd_falls_back(monkeypatch):
    X, Y = shared_signal(200, 9, 6, 2, 0.5, np.random.default_rng(6))
    # two columns twice: the singular value decomposition's case
    moments = csa.Moments.from_arrays(X, np.hstack([Y, Y[:, :2]]))
    expected = solve(moments)
    svd = linalg.svd

    def stubborn(*args, **kwargs):
        if kwargs["lapack_driver"] == "gesdd":
            raise linalg.LinAlgError("SVD did not converge")
        return svd(*args, **kwargs)

    monkeypatch.setattr(linalg, "svd", stubborn)
    again = solve(moments)
    np.testing.assert_allclose(again.rho, expected.rho, atol=1e-10)
    np.testing.assert_allclose(decompose(X[:8], Y[:8])[1].rho, 1, atol=1e-9)


def test_agrees_with_scikit_learn():
    X, Y = shared_signal(400, 6, 5, 3, 1.0, np.random.default_rng(7))
    a, b = CCA(n_components=3, max_iter=5000, tol=1e-12).fit(X, Y).transform(X, Y)
    theirs = [np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(3)]
    np.testing.assert_allclose(solve(csa.Moments.from_arrays(X, Y)).rho[:3], theirs, atol=1e-3)


def test_agrees_with_cca_zoo():
    linear = pytest.importorskip("cca_zoo.linear")
    X, Y = shared_signal(400, 6, 5, 3, 1.0, np.random.default_rng(7))
    a, b = linear.CCA(n_components=3).fit([X, Y]).transform([X, Y])
    theirs = [abs(np.corrcoef(a[:, i], b[:, i])[0, 1]) for i in range(3)]
    np.testing.assert_allclose(solve(csa.Moments.from_arrays(X, Y)).rho[:3], theirs, atol=1e-6)


def test_too_few_pairs_and_constant_views_are_one_error_on_every_route():
    for X, Y in (
        (np.ones((1, 3)), np.ones((1, 2))),
        (np.full((4, 9), 0.1), np.eye(4)),
        (np.eye(40)[:, :3], np.full((40, 2), 0.1)),
    ):
        with pytest.raises(FeatureError, match=r"at least 2 pairs|is constant"):
            decompose(X, Y)
        with pytest.raises(FeatureError, match=r"at least 2 pairs|is constant"):
            solve(csa.Moments.from_arrays(X, Y), (0.1, 0.1))
