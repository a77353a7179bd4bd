"""What the default fit chooses and how: preparation, normalised likelihood ratio, hubness,
diagnostics; estimator conventions.
"""

import numpy as np
import polars as pl
import pytest
import torch
from factory import shared_signal
from scipy.stats import rankdata
from sklearn.base import clone

import csa
from csa.core.clusters import cluster_centres, distinct_rows
from csa.core.crossfit import CrossFit
from csa.core.diagnostics import null_edge
from csa.core.held import Held
from csa.core.hubness import HubnessCorrection
from csa.core.moments import Moments
from csa.core.preparation import Preparation
from csa.core.routes import decompose
from csa.core.scores import (
    CanonicalScore,
    LikelihoodRatioScore,
    NormalisedLikelihoodRatioScore,
)
from csa.core.select import choose_recipe
from csa.core.shrinkage import Shrinkage, Spans
from csa.core.training import Training, assign_folds
from csa.errors import InputError


def recall_at_1(model, X, Y):
    return (model.similarity(X, Y).argmax(axis=1) == np.arange(len(X))).mean()


def bent_signal(n, rng, captions=1):
    """Views whose shared factors are seen through a cube: linear in the signed root's direction,
    heavy-tailed as they are.
    """
    X, Y = shared_signal(n, 40, 30, 12, 2.0, rng)
    X = np.sign(X) * np.abs(X) ** 3
    if captions == 1:
        return X, Y, None
    images = np.repeat(np.arange(n), captions)
    return X[images], Y[images] + rng.normal(size=(len(images), 30)), images


# -- preparations


def test_unit_and_root_have_unit_length_and_keep_zero():
    X = np.array([[3.0, -4.0], [0.0, 0.0]])
    np.testing.assert_allclose(Preparation.fit("unit", X, 0)(X), [[0.6, -0.8], [0, 0]])
    np.testing.assert_allclose(
        Preparation.fit("root", X, 0)(X), [[np.sqrt(3 / 7), -np.sqrt(4 / 7)], [0, 0]]
    )
    assert Preparation.fit("raw", X, 0)(X) is X


def test_kernel_features_have_the_kernels_inner_products_at_the_centres():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 6))
    prepare = Preparation.fit("kernel", X, 0)
    assert 20 <= len(prepare.centres) <= 30
    centres = prepare.centres / np.linalg.norm(prepare.centres, axis=1, keepdims=True)
    at_centres = Preparation("kernel", prepare.width, centres, np.eye(len(centres)))(centres)
    on_unit = Preparation.fit("kernel", centres, 0)
    features = on_unit(X)
    # Nystroem: phi(x).phi(y) = k(x, C) K^-1 k(C, y), up to the rank cut.
    C, u = on_unit.centres, X / np.linalg.norm(X, axis=1, keepdims=True)
    k = np.exp(-on_unit.width * ((u[:, None] - C) ** 2).sum(axis=2))
    K = np.exp(-on_unit.width * ((C[:, None] - C) ** 2).sum(axis=2))
    np.testing.assert_allclose(
        features @ features.T, k @ np.linalg.pinv(K, hermitian=True, rcond=1e-7) @ k.T, atol=1e-6
    )
    np.testing.assert_allclose(np.diag(at_centres), 1.0)


def test_the_kernel_is_as_wide_as_the_median_distance_of_two_items():
    X = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [-1.0, 0.0]])  # squared distances 2, 2, 4
    assert Preparation.fit("kernel", X, 0).width == pytest.approx(0.5 / 2)
    assert Preparation.fit("kernel", X[:1], 0).width == pytest.approx(0.5)  # no two items


def test_no_such_preparation_is_one_clear_error():
    with pytest.raises(InputError, match="preparation must be one of raw, unit, root, kernel"):
        csa.CSA(preparation="log").fit(np.eye(9), np.eye(9))


def test_half_precision_features_do_not_overflow():
    X = np.full((4, 3), 300.0, dtype=np.float16)
    np.testing.assert_allclose(Preparation.fit("unit", X, 0)(X), 1 / np.sqrt(3), rtol=1e-3)


def test_every_cluster_centre_is_the_mean_of_those_nearest_to_it_when_clusters_are_clear():
    rng = np.random.default_rng(0)
    truth = 100 * np.eye(4)
    points = np.repeat(truth, 25, axis=0) + rng.normal(size=(100, 4))
    centres = cluster_centres(points, 30, seed=1)
    nearest = ((points[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    assert all(len(set(np.flatnonzero(nearest == c) // 25)) <= 1 for c in range(len(centres)))
    assert np.abs(centres - truth[centres.argmax(axis=1)]).max() < 4


def test_no_item_is_a_cluster_centre():
    rng = np.random.default_rng(0)
    for n in (1, 2, 3, 50):
        points = rng.normal(size=(n, 4))
        centres = cluster_centres(points, n, seed=1)
        assert len(centres)
        if n > 1:
            assert np.abs(points[:, None] - centres).sum(axis=2).min() > 1e-9


def test_repeated_rows_count_once():
    X = np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0], [-0.5, 0.0]])
    assert distinct_rows(X).tolist() == [0, 1, 3]


# -- fewer dimensions


@pytest.mark.parametrize("shrinkage", [Shrinkage(0.3, 0.1), Shrinkage(0.9, 0.6)])
def test_the_span_of_few_items_gives_the_fit_of_the_whole_space(shrinkage):
    rng = np.random.default_rng(1)
    X, Y = shared_signal(30, 60, 50, 4, 1.0, rng)
    training = Training.of(X, Y, np.arange(30), 3, 0)
    assert training.compact.X.shape[1] == 29
    whole = CrossFit(Moments.of_folds(X, Y, training.fold)).measure(shrinkage)
    spanned = training.compact.crossfit.measure(shrinkage)
    r = min(len(whole.weights), len(spanned.weights))
    for name in ("weights", "scale_a", "scale_b"):
        np.testing.assert_allclose(
            getattr(spanned, name)[:r], getattr(whole, name)[:r], rtol=1e-6, atol=1e-6
        )


def test_shrinkage_translates_there_and_back():
    spans = Spans(3.0, 1.4)
    narrow = spans.narrowed(Shrinkage(0.2, 0.7))
    np.testing.assert_allclose(narrow, (0.25 / 3 / (1 + 0.25 / 3), 7 / 3 / 1.4 / (1 + 7 / 3 / 1.4)))
    np.testing.assert_allclose(spans.widened(narrow), (0.2, 0.7))
    np.testing.assert_allclose(spans.narrowed(spans.widened(narrow)), narrow)


def test_a_sample_keeps_groups_whole():
    groups = np.repeat(np.arange(100), 5)
    training = Training.of(np.eye(500), np.eye(500), groups, 5, 0)
    part = training.sample(100)
    assert len(part.X) == 100
    assert (np.bincount(part.group) == 5).all()
    assert all(len(set(part.fold[part.group == g])) == 1 for g in range(20))


# -- scores


def test_normalised_ratio_ignores_length_and_agrees_with_the_plain_one_at_the_expected_length():
    rng = np.random.default_rng(0)
    w = np.array([0.9, 0.5, 0.2])
    a, b = rng.normal(size=(5, 3)), rng.normal(size=(7, 3))
    normalised, plain = (
        kind(w, np.ones(3), np.ones(3))
        for kind in (NormalisedLikelihoodRatioScore, LikelihoodRatioScore)
    )
    lengths = (
        np.sqrt((w**2).sum() / (w**2 * a**2).sum(axis=1)),
        np.sqrt((w**2).sum() / (w**2 * b**2).sum(axis=1)),
    )
    expected = plain.left(a * lengths[0][:, None]) @ plain.right(b * lengths[1][:, None]).T
    np.testing.assert_allclose(normalised.left(a) @ normalised.right(b).T, expected)
    np.testing.assert_allclose(normalised.left(7 * a), normalised.left(a))
    assert np.isfinite(normalised.left(np.zeros((1, 3)))).all()


def test_ratio_weights_descend_and_never_exceed_what_was_measured():
    held = Held(np.array([0.8, 0.3, 0.5, 0.0, 0.1, 1e-4]), np.ones(6), np.ones(6))
    weights = LikelihoodRatioScore.of(held).weights
    np.testing.assert_allclose(weights, [0.8, 0.4, 0.4, 0.05, 0.05, 0.0])


def test_hubness_correction_is_its_formula():
    rng = np.random.default_rng(0)
    base = CanonicalScore(np.array([0.9, 0.5, 0.2]))
    a, b, bank_a, bank_b = (rng.normal(size=(n, 3)) for n in (5, 6, 20, 30))
    correction = HubnessCorrection(
        base.left(bank_a), base.right(bank_b), strength=0.3, neighbours=4
    )
    plain = base.left(a) @ base.right(b).T
    of_a = np.sort(base.left(a) @ base.right(bank_b).T, axis=1)[:, -4:].mean(axis=1)
    of_b = np.sort(base.left(bank_a) @ base.right(b).T, axis=0)[-4:].mean(axis=0)
    np.testing.assert_allclose(
        correction.left(base.left(a)) @ correction.right(base.right(b)).T,
        plain - 0.3 * (of_a[:, None] + of_b),
    )


def test_an_item_near_every_query_is_taken_down():
    base = CanonicalScore(np.ones(2))
    queries = np.array([[1.0, 0.1], [1.0, -0.1], [1.0, 0.2], [1.0, -0.2]])
    hub, rare = np.array([[1.0, 0.0]]), np.array([[-1.0, 0.0]])
    gallery = np.vstack([hub, rare])
    correction = HubnessCorrection(base.left(queries), base.right(rare), strength=0.5, neighbours=4)
    plain, corrected = (
        base.left(queries) @ base.right(gallery).T,
        correction.left(base.left(queries)) @ correction.right(base.right(gallery)).T,
    )
    gap = (plain - corrected)[:, 0] - (plain - corrected)[:, 1]
    assert (gap > 0.9).all()  # the hub lost about 0.5, the rare item gained as much


# -- what the default chooses


def test_the_recipe_bends_features_that_need_it():
    rng = np.random.default_rng(0)
    X, Y, _ = bent_signal(400, rng)
    recipe, tried = choose_recipe(Training.of(X, Y, np.arange(400), 5, 0))
    assert tried[0].preparation == ("raw", "raw") and recipe.held_out_mrr in [
        trial.held_out_mrr for trial in tried
    ]
    assert recipe.prepare_x.name == "root"
    assert recipe.prepare_y.name in ("raw", "unit")


def test_the_default_is_no_worse_than_fixed_choices_where_each_of_them_would_do():
    rng = np.random.default_rng(3)
    X, Y, _ = bent_signal(1200, rng)
    train, test = slice(0, 300), slice(300, None)
    fixed = [
        csa.CSA(score="likelihood_ratio"),
        csa.CSA(score="canonical"),
        csa.CSA(score="canonical", shrinkage=0.0),
    ]
    values = [
        recall_at_1(model.fit(X[train], Y[train]), X[test], Y[test])
        for model in [csa.CSA(), *fixed]
    ]
    assert values[0] > max(values[1:]) - 0.02


@pytest.mark.parametrize("n", [20, 50])
def test_few_pairs_with_little_signal_are_at_least_chance(n):
    rng = np.random.default_rng(n)
    X, Y = shared_signal(n + 500, 80, 60, 5, 4.0, rng)
    model = csa.CSA().fit(X[:n], Y[:n])
    scores = model.similarity(X[n:], Y[n:])
    assert np.isfinite(scores).all()
    ranks = rankdata(-scores, axis=1)[np.arange(500), np.arange(500)]
    assert ranks.mean() < 250


def test_independent_views_are_told_to_share_nothing():
    rng = np.random.default_rng(0)
    model = csa.CSA().fit(rng.normal(size=(300, 30)), rng.normal(size=(300, 20)))
    assert model.alignment_.notes["shared_signal"] is False
    assert "no shared signal" in str(model.alignment_)
    scores = model.similarity(rng.normal(size=(400, 30)), rng.normal(size=(400, 20)))
    ranks = rankdata(-scores, axis=1)[np.arange(400), np.arange(400)]
    assert abs(ranks.mean() - 200.5) < 25


def test_a_shared_signal_is_seen_and_measured():
    rng = np.random.default_rng(0)
    notes = csa.CSA().fit(*shared_signal(300, 30, 20, 5, 1.0, rng)).alignment_.notes
    assert notes["shared_signal"] is True
    assert notes["mutual_information_nats"] > 1
    assert 1 < notes["effective_dimension"] < 20
    assert notes["overfit_gap"] > 0
    assert 0 < notes["held_out_mrr"] <= 1


@pytest.mark.parametrize("signal", [True, False])
def test_without_folds_the_null_edge_decides(signal):
    rng = np.random.default_rng(5)
    X, Y = rng.normal(size=(2000, 200)), rng.normal(size=(2000, 100))
    if signal:
        Y[:, 0] += 2 * X[:, 0]
    notes = csa.CSA(score="canonical", shrinkage=0.0, n_components=5).fit(X, Y).alignment_.notes
    assert notes["null_edge"] == pytest.approx(0.520, abs=5e-4)
    assert notes["shared_signal"] is signal


def test_the_null_edge_is_one_where_there_are_too_few_pairs():
    assert null_edge(100, 60, 40) == 1.0


def test_groups_keep_an_image_from_being_its_own_answer():
    rng = np.random.default_rng(2)
    X, Y, images = bent_signal(60, rng, captions=5)
    grouped, split = csa.CSA().fit(X, Y, groups=images), csa.CSA().fit(X, Y)
    assert split.weights_.sum() > 1.2 * grouped.weights_.sum()  # leaking folds flatter
    assert (np.bincount(assign_folds(images, 5, 0)) == 60).all()


def test_a_named_score_takes_features_as_they_are_and_nothing_off():
    rng = np.random.default_rng(0)
    X, Y, _ = bent_signal(200, rng)
    model = csa.CSA(score="likelihood_ratio").fit(X, Y)
    assert model.alignment_.prepare_x.name == model.alignment_.prepare_y.name == "raw"
    assert not model.alignment_.hubness_corrected


def test_a_recipe_by_hand_is_followed():
    rng = np.random.default_rng(0)
    X, Y = shared_signal(120, 10, 8, 4, 1.0, rng)
    hand = csa.CSA(
        score="canonical", shrinkage=0.2, n_components=3, preparation=("root", "unit"), hubness=True
    ).fit(X, Y)
    alignment = hand.alignment_
    x, y = Preparation.fit("root", X, 0)(X), Preparation.fit("unit", Y, 0)(Y)
    moments, decomposition = decompose(x, y, (0.2, 0.2))
    np.testing.assert_allclose(alignment.transform(X=X), (x - moments.mean_x) @ decomposition.A)
    assert alignment.hubness_corrected
    np.testing.assert_allclose(hand.weights_, decomposition.rho[:3])
    with pytest.raises(InputError, match="only moments were given"):
        csa.CSA(preparation="unit").fit_moments(Moments.from_arrays(X, Y))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"score": "normalised_likelihood_ratio", "preparation": ("root", "unit"), "hubness": True},
        {"score": "canonical"},
        {"score": "canonical", "shrinkage": 0.1, "n_components": 4},
        {"score": "canonical", "shrinkage": 0.0},
    ],
)
def test_a_fits_choices_give_the_same_fit_again_without_a_search(monkeypatch, settings):
    X, Y, images = bent_signal(200, np.random.default_rng(4), captions=2)
    chosen = csa.CSA(**settings).fit(X, Y, groups=images).alignment_
    choices = chosen.choices()
    if settings.get("score") != "canonical":
        assert choices["shrinkage"] != "auto" != choices["preparation"]
        monkeypatch.setattr("csa.core.fitting.choose_recipe", None)  # a search would fail
    again = csa.CSA(**choices).fit(X, Y, groups=images).alignment_
    # With all fixed by hand moments come of one pass, and not as the sum of the folds' moments.
    rounding = 1e-9 if settings.get("shrinkage") == 0.0 else 0.0
    np.testing.assert_allclose(
        again.similarity(X, Y), chosen.similarity(X, Y), rtol=0, atol=rounding
    )
    assert again.choices() == choices


# -- the file


@pytest.mark.parametrize(
    "settings",
    [{}, {"preparation": "kernel", "hubness": True, "score": "normalised_likelihood_ratio"}],
)
@pytest.mark.parametrize("seed", range(6))
def test_every_recipe_survives_its_file_to_the_last_bit_and_takes_no_item_along(
    tmp_path, settings, seed
):
    rng = np.random.default_rng(seed)
    X, Y = (view.astype(np.float32) for view in shared_signal(240, 12, 9, 4, 1.0, rng))
    model = csa.CSA(**settings).fit(X, Y)
    model.save(tmp_path / "a.safetensors")
    again = csa.load(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(again.similarity(X, Y), model.similarity(X, Y))
    again.save(tmp_path / "b.safetensors")
    content = (tmp_path / "a.safetensors").read_bytes()
    assert (tmp_path / "b.safetensors").read_bytes() == content
    assert str(again) == str(model.alignment_)
    for view in (X, Y):
        unit = view / np.linalg.norm(view, axis=1, keepdims=True)
        for rows in (view, view.astype(np.float64), unit, unit.astype(np.float64)):
            assert not any(row.tobytes() in content for row in rows)


# -- conventions


def test_scikit_learn_clones_it():
    model = csa.CSA(score="canonical", shrinkage=(0.1, 0.2), folds=3)
    copy = clone(model)
    assert copy is not model
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "alignment_")
    assert copy.set_params(folds=4).folds == 4
    assert repr(model) == "CSA(score='canonical', shrinkage=(0.1, 0.2), folds=3)"
    assert repr(csa.CSA()) == "CSA()"
    with pytest.raises(InputError, match="CSA has no parameter 'fold'; it has score"):
        model.set_params(fold=3)


def test_fit_changes_no_parameter_and_is_repeatable():
    rng = np.random.default_rng(0)
    X, Y = shared_signal(80, 7, 5, 3, 1.0, rng)
    model = csa.CSA()
    before = dict(model.get_params())
    first = model.fit(X, Y).similarity(X, Y)
    assert model.get_params() == before
    np.testing.assert_array_equal(model.fit(X, Y).similarity(X, Y), first)


def test_frames_and_tensors_are_features_too():
    rng = np.random.default_rng(0)
    X, Y = shared_signal(80, 7, 5, 3, 1.0, rng)
    expected = csa.CSA().fit(X, Y).similarity(X, Y)
    pandas = pytest.importorskip("pandas")
    for make in (pl.DataFrame, pandas.DataFrame, torch.from_numpy):
        np.testing.assert_allclose(
            csa.CSA().fit(make(X), make(Y)).similarity(make(X), make(Y)), expected
        )


def test_the_summary_reads_well_as_text_and_html():
    rng = np.random.default_rng(0)
    alignment = csa.CSA().fit(*shared_signal(80, 7, 5, 3, 1.0, rng)).alignment_
    assert "pairs      80" in str(alignment)
    html = alignment._repr_html_()
    assert html.startswith("<table>")
    assert html.count("<tr>") == len(alignment.facts())


def test_training_correlations_are_those_of_the_projected_pairs():
    X, Y = shared_signal(300, 20, 15, 4, 1.0, np.random.default_rng(0))
    for shrinkage in (0.0, (0.4, 0.7)):
        model = csa.CSA(score="canonical", shrinkage=shrinkage, n_components=5).fit(X, Y)
        a, b = model.transform(X, Y)
        expected = [np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(a.shape[1])]
        np.testing.assert_allclose(model.alignment_.training_correlations, expected, atol=1e-9)
    published = csa.CSA(score="canonical", shrinkage=0.0, n_components=5).fit(X, Y)
    np.testing.assert_allclose(
        published.alignment_.training_correlations, published.canonical_correlations_, atol=1e-9
    )
