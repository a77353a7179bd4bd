"""Three views and more: the joint decomposition against its algebra, and retrieval with what
happens to be there.
"""

import numpy as np
import pytest
from scipy import linalg
from sklearn.base import clone

import csa
from csa.core.moments import Moments
from csa.core.solve import solve
from csa.errors import FeatureError, InputError
from csa.multiview.block_moments import BlockMoments
from csa.multiview.joint import joint_solve

NAMES = ("image", "text", "sound")


def three_views(n=400, noise=0.8, widths=(9, 7, 5), shared=4, seed=0):
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(n, shared))
    return [
        Z @ rng.normal(size=(shared, d)) + noise * rng.normal(size=(n, d)) + rng.normal(size=d)
        for d in widths
    ]


def named(views, rows=slice(None)):
    return {name: view[rows].copy() for name, view in zip(NAMES, views, strict=True)}


# The joint decomposition


@pytest.mark.parametrize("shrinkage", [(0.0, 0.0), (0.3, 0.05)])
def test_two_views_are_canonical_correlation_analysis(shrinkage):
    X, Y, _ = three_views()
    joint = joint_solve(BlockMoments.from_arrays([X, Y]), shrinkage, ("X", "Y"))
    pair = solve(Moments.from_arrays(X, Y), shrinkage)
    np.testing.assert_allclose(joint.rho, pair.rho, atol=1e-10)
    for mine, theirs in zip(joint.projections, (pair.A, pair.B), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-8)


def test_it_solves_the_generalised_eigenproblem():
    views, shrinkage = three_views(noise=2.5), (0.1, 0.0, 0.4)
    found = joint_solve(BlockMoments.from_arrays(views), shrinkage, NAMES)
    centred = [X - X.mean(axis=0) for X in views]
    S = np.hstack(centred).T @ np.hstack(centred) / len(views[0])
    blocks = [X.T @ X / len(X) for X in centred]
    shrunk = [
        (1 - g) * B + g * np.trace(B) / len(B) * np.eye(len(B))
        for B, g in zip(blocks, shrinkage, strict=True)
    ]
    D = linalg.block_diag(*shrunk)
    C = S - linalg.block_diag(*blocks)  # between views only
    A = np.vstack(found.projections)
    np.testing.assert_allclose(C @ A, D @ A * (2 * found.rho), atol=1e-9)  # (m - 1) rho
    np.testing.assert_allclose(A.T @ D @ A, 3 * np.eye(A.shape[1]), atol=1e-9)
    largest = linalg.eigh(C, D, eigvals_only=True)[::-1]
    np.testing.assert_allclose(found.rho, largest[largest > 1e-9] / 2, atol=1e-10)


def test_without_shrinkage_it_is_maxvar():
    """The components are the eigenvectors of the sum of the views' projectors (Kettenring 1971;
    Carroll 1968).
    """
    views = three_views(n=60)
    found = joint_solve(BlockMoments.from_arrays(views), (0.0,) * 3, NAMES)
    bases = [np.linalg.qr(X - X.mean(axis=0))[0] for X in views]
    values = np.linalg.eigvalsh(sum(Q @ Q.T for Q in bases))[::-1]
    np.testing.assert_allclose(1 + 2 * found.rho, values[: len(found.rho)], atol=1e-10)


def test_a_view_that_is_an_invertible_map_of_itself_changes_nothing():
    views = three_views()
    rng = np.random.default_rng(9)
    mapped = [X @ (rng.normal(size=(X.shape[1],) * 2) + 3 * np.eye(X.shape[1])) + 5 for X in views]
    first, second = (
        joint_solve(BlockMoments.from_arrays(v), (0.0,) * 3, NAMES) for v in (views, mapped)
    )
    np.testing.assert_allclose(first.rho, second.rho, atol=1e-9)


def test_signs_are_fixed_and_order_of_rows_does_not_matter():
    views = three_views()
    order = np.random.default_rng(3).permutation(len(views[0]))
    first = joint_solve(BlockMoments.from_arrays(views), (0.2,) * 3, NAMES)
    second = joint_solve(BlockMoments.from_arrays([X[order] for X in views]), (0.2,) * 3, NAMES)
    for A, B in zip(first.projections, second.projections, strict=True):
        np.testing.assert_allclose(A, B, atol=1e-8)
    A = first.projections[0]
    assert (A[np.abs(A).argmax(axis=0), np.arange(A.shape[1])] > 0).all()


def test_block_moments_merge_and_subtract():
    views = three_views()
    whole = BlockMoments.from_arrays(views)
    parts = BlockMoments.of_folds(views, np.arange(len(views[0])) % 3)
    merged = parts[0] + parts[1] + parts[2]
    rest = BlockMoments.from_arrays([X[np.arange(len(X)) % 3 != 1] for X in views])
    for found, expected in ((merged, whole), (whole - parts[1], rest)):
        assert found.n == expected.n
        for v in range(3):
            np.testing.assert_allclose(found.mean(v), expected.mean(v), rtol=1e-10)
            for w in range(3):
                np.testing.assert_allclose(
                    found.scatter(v, w), expected.scatter(v, w), rtol=1e-9, atol=1e-8
                )
    np.testing.assert_allclose(whole.scatter(0, 2), whole.scatter(2, 0).T)
    with pytest.raises(FeatureError, match="do not combine"):
        whole + BlockMoments.from_arrays(views[:2])


def test_degenerate_views():
    X, Y, Z = three_views()
    doubled = np.hstack([Y, Y])  # rank cut
    found = joint_solve(BlockMoments.from_arrays([X, doubled, Z]), (0.0,) * 3, NAMES)
    expected = joint_solve(BlockMoments.from_arrays([X, Y, Z]), (0.0,) * 3, NAMES)
    np.testing.assert_allclose(found.rho, expected.rho, atol=1e-8)
    few = joint_solve(BlockMoments.from_arrays([X[:5], Y[:5], Z[:5]]), (0.1,) * 3, NAMES)
    assert np.isfinite(np.vstack(few.projections)).all() and (few.rho <= 1).all()
    with pytest.raises(FeatureError, match="text is constant"):
        joint_solve(BlockMoments.from_arrays([X, np.ones_like(Y), Z]), (0.1,) * 3, NAMES)
    with pytest.raises(FeatureError, match="at least 2 items"):
        joint_solve(BlockMoments.from_arrays([X[:1], Y[:1], Z[:1]]), (0.1,) * 3, NAMES)
    with pytest.raises(InputError, match="two views"):
        BlockMoments.from_arrays([X])
    with pytest.raises(FeatureError, match="rows"):
        BlockMoments.from_arrays([X, Y[:-1]])


# Retrieval


@pytest.fixture(scope="module", params=["GCCA", "AnyToAny", "AnyToAny as published"])
def fitted(request):
    views = three_views(n=700, noise=1.0, widths=(20, 15, 12), shared=6)
    models = {
        "GCCA": csa.GCCA(),
        "AnyToAny": csa.AnyToAny(csa=csa.CSA(score="likelihood_ratio")),
        "AnyToAny as published": csa.AnyToAny(
            "cdf", calibration=0.2, csa=csa.CSA(score="likelihood_ratio")
        ),
    }
    return models[request.param].fit(named(views, slice(500))), named(views, slice(500, None))


def hits(scores):
    return (scores.argmax(axis=1) == np.arange(len(scores))).mean()


def some(views, *names):
    return {name: views[name] for name in names}


def test_two_views_ask_better_than_one(fitted):
    model, test = fitted
    gallery = some(test, "text")
    one, other = (hits(model.similarity(some(test, name), gallery)) for name in ("image", "sound"))
    both = hits(model.similarity(some(test, "image", "sound"), gallery))
    # Log-odds that are added up count twice what two views say alike; the joint fit does not.
    assert both > (max(one, other) if isinstance(model, csa.GCCA) else min(one, other)) > 0.2


def test_missing_views_fall_back_on_what_is_there(fitted):
    model, test = fitted
    gallery = some(test, "text")
    queries = {name: view.copy() for name, view in some(test, "image", "sound").items()}
    queries["image"][:100], queries["sound"][100:] = np.nan, np.nan
    scores = model.similarity(queries, gallery)
    np.testing.assert_allclose(
        scores[:100], model.similarity(some(test, "sound"), gallery)[:100], atol=1e-9
    )
    np.testing.assert_allclose(
        scores[100:], model.similarity(some(test, "image"), gallery)[100:], atol=1e-9
    )


def test_a_gallery_may_lack_views_too(fitted):
    model, test = fitted
    gallery = {name: view.copy() for name, view in some(test, "text", "sound").items()}
    gallery["sound"][::2], gallery["text"][1::4] = np.nan, np.nan
    assert hits(model.similarity(some(test, "image"), gallery)) > 0.15


def test_swapping_sides_transposes(fitted):
    model, test = fitted
    forward = model.similarity(some(test, "image", "sound"), some(test, "text"))
    np.testing.assert_allclose(
        model.similarity(some(test, "text"), some(test, "image", "sound")).T, forward, atol=1e-9
    )


def test_wrong_use_is_one_clear_line(fitted):
    model, test = fitted
    with pytest.raises(InputError, match="unknown view 'smell'"):
        model.similarity({"smell": test["text"]}, some(test, "text"))
    with pytest.raises(InputError, match=r"both sides|no pair of views"):
        model.similarity(some(test, "text"), some(test, "text"))
    with pytest.raises(InputError, match="not fitted"):
        clone(model).similarity(some(test, "text"), some(test, "image"))
    with pytest.raises(InputError, match="by view"):
        model.similarity(test["text"], some(test, "image"))
    with pytest.raises(FeatureError, match="different numbers of rows"):
        model.similarity({"image": test["image"], "sound": test["sound"][:-1]}, some(test, "text"))
    broken = {"image": test["image"].copy()}
    broken["image"][3, 2] = np.nan
    with pytest.raises(FeatureError, match="image has 1 values"):
        model.similarity(broken, some(test, "text"))
    empty = {name: np.full_like(test[name], np.nan) for name in ("image", "sound")}
    with pytest.raises(InputError, match=r"no view at all|no pair of views"):
        model.similarity(empty, some(test, "text"))
    with pytest.raises(InputError, match="two views"):
        clone(model).fit({"image": test["image"]})
    with pytest.raises(InputError, match="one label per item"):
        clone(model).fit(test, groups=[1, 2])


def test_parameters_out_of_range(fitted):
    test = fitted[1]
    for model in (
        csa.GCCA(shrinkage=1.5),
        csa.GCCA(shrinkage={"image": 0.1}),
        csa.GCCA(shrinkage="much"),
        csa.GCCA(preparation="boiled"),
        csa.AnyToAny("median"),
        csa.AnyToAny(calibration=2.0),
    ):
        with pytest.raises(InputError):
            model.fit(test)


def test_items_that_lack_a_view_are_used_where_they_can_be():
    views = named(three_views(n=300))
    views["sound"][:250] = np.nan
    model = csa.AnyToAny(csa=csa.CSA(score="likelihood_ratio")).fit(views)
    assert model.pairs_["image", "text"].alignment.n_pairs == 300
    assert model.pairs_["image", "sound"].alignment.n_pairs == 50
    views["sound"][:] = np.nan
    assert list(csa.AnyToAny(csa=csa.CSA(score="likelihood_ratio")).fit(views).pairs_) == [
        ("image", "text")
    ]
    views["text"][:] = np.nan
    with pytest.raises(FeatureError, match="nothing can be aligned"):
        csa.AnyToAny().fit(views)


def test_a_group_is_not_split_and_does_not_count_as_strangers():
    views = named([np.repeat(X, 3, axis=0) for X in three_views(n=150)])
    groups = np.repeat(np.arange(150), 3)
    model = csa.GCCA(folds=3).fit(views, groups)
    assert np.isfinite(model.similarity(some(views, "image"), some(views, "text"))).all()
    with pytest.raises(FeatureError, match="at least 2 groups"):
        csa.GCCA().fit(views, np.zeros(450))


def test_calibrated_log_odds_are_those_of_true_pairs():
    """Of pairs with log-odds around 0, half are true where as many true pairs as strangers are
    drawn.
    """
    views = named(three_views(n=1500, noise=2.0))
    train, test = (
        {name: X[part] for name, X in views.items()} for part in (slice(1000), slice(1000, None))
    )
    model = csa.AnyToAny(csa=csa.CSA(score="likelihood_ratio")).fit(train)
    pair = model.pairs_["image", "text"]
    scores = pair.alignment.similarity(test["image"], test["text"])
    true = pair.log_odds(np.diag(scores))
    strange = pair.log_odds(np.diag(np.roll(scores, 1, axis=1)))
    near = [np.abs(values) < 1 for values in (true, strange)]
    assert near[0].sum() / (near[0].sum() + near[1].sum()) == pytest.approx(0.5, abs=0.12)
    assert (np.diff(pair.probability(np.linspace(-9, 9, 50))) >= 0).all()
