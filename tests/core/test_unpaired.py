"""Unpaired items and label bridges in a fit: what they bring, what they must not change."""

from dataclasses import replace

import numpy as np
import pytest

import csa
from csa.core.alignment import Alignment
from csa.core.bridge import FittedBridge, _within
from csa.core.ground import Ground, Setting, Unpaired
from csa.core.judge import exceeds, judged
from csa.core.pools import Pool
from csa.core.solve import solve
from csa.core.student import Student, alignment_of, alone, plans_of, score_of, taught
from csa.core.training import Training
from csa.core.unpaired import is_better
from csa.errors import FeatureError, InputError

CLASSES, P, Q = 12, 16, 14


@pytest.fixture(scope="module")
def world():
    """Items of twelve classes in two views, with class vectors as texts of the labels."""
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(CLASSES, P)), rng.normal(size=(CLASSES, Q))
    bend_x, bend_y = rng.normal(size=(4, P)), rng.normal(size=(4, Q))

    def draw(count):
        label, inner = rng.integers(CLASSES, size=count), rng.laplace(size=(count, 4))
        X = 1.5 * first[label] + 0.6 * inner @ bend_x + 0.8 * rng.normal(size=(count, P))
        Y = 1.5 * second[label] + 0.6 * inner @ bend_y + 0.8 * rng.normal(size=(count, Q))
        return X, Y, label

    pairs, test = draw(24), draw(300)
    U, _, label = draw(400)
    _, V, _ = draw(400)
    bridge = csa.LabelBridge.from_labelled(U, label, second)
    return pairs, test, U, V, bridge


def reciprocal_rank(model, test):
    scores = model.similarity(test[0], test[1])
    own = np.diag(scores)[:, None]
    return (1 / (scores >= own).sum(axis=1)).mean()


@pytest.fixture(scope="module")
def plain(world):
    (X, Y, _), *_ = world
    return csa.CSA().fit(X, Y)


@pytest.fixture(scope="module")
def bridged(world):
    (X, Y, _), _, U, V, bridge = world
    return csa.CSA().fit(X, Y, unpaired_x=U, unpaired_y=V, bridge=bridge)


def test_a_bridge_finds_what_few_pairs_cannot(world, plain, bridged):
    test = world[1]
    assert bridged.alignment_.notes["unpaired"]["used"]
    assert bridged.alignment_.notes["unpaired"]["labels"] > 0
    assert reciprocal_rank(bridged, test) > 1.2 * reciprocal_rank(plain, test)
    assert not bridged.alignment_.in_nats
    assert "without a partner" in str(bridged.alignment_)


def test_a_fit_with_a_bridge_is_one_file(world, bridged, tmp_path):
    X, Y, _ = world[1]
    bridged.save(tmp_path / "a.safetensors")
    again = csa.load(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(again.similarity(X, Y), bridged.similarity(X, Y))
    again.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    left, right = again.index_vectors(X[:5], Y[:5])
    np.testing.assert_allclose(np.diag(left @ right.T), again.score_pairs(X[:5], Y[:5]), atol=1e-9)
    assert again.transform(X=X[:3]).shape == (3, len(again.canonical_correlations))


def test_order_of_the_pools_and_paired_items_in_them_change_nothing(world):
    (X, Y, _), test, U, V, _ = world
    rng = np.random.default_rng(1)
    one = csa.CSA().fit(X, Y, unpaired_x=U, unpaired_y=V)
    planted_x, planted_y = np.vstack([X[:9], U]), np.vstack([V, Y[5:]])
    other = csa.CSA().fit(
        X, Y, unpaired_x=rng.permutation(planted_x), unpaired_y=rng.permutation(planted_y)
    )
    np.testing.assert_array_equal(
        one.similarity(test[0], test[1]), other.similarity(test[0], test[1])
    )
    assert other.alignment_.notes["unpaired"]["left_out"] == [9, len(Y) - 5]


def test_rows_of_the_pools_carry_no_partners(world):
    """Held-out pairs in the pools, row beside row, fit as they do when one side is shuffled."""
    (X, Y, _), (test_x, test_y, _), U, V, _ = world
    pools = np.vstack([U, test_x]), np.vstack([V, test_y])
    beside = csa.CSA().fit(X, Y, unpaired_x=pools[0], unpaired_y=pools[1])
    apart = csa.CSA().fit(
        X, Y, unpaired_x=pools[0], unpaired_y=np.random.default_rng(2).permutation(pools[1])
    )
    np.testing.assert_array_equal(
        beside.similarity(test_x, test_y), apart.similarity(test_x, test_y)
    )


def foreign(rng, d):
    return rng.normal(size=(400, d)) * 5 + 20


@pytest.mark.parametrize("case", ["fifty items", "noise from elsewhere", "one view of noise"])
def test_a_useless_pool_leaves_the_fit_as_it_was(case, world, plain):
    (X, Y, _), test, _, V, _ = world
    rng = np.random.default_rng(3)
    pools = {
        "fifty items": {"unpaired_x": rng.normal(size=(50, P)), "unpaired_y": V[:50]},
        "noise from elsewhere": {"unpaired_x": foreign(rng, P), "unpaired_y": foreign(rng, Q)},
        "one view of noise": {"unpaired_y": foreign(rng, Q)},
    }[case]
    model = csa.CSA().fit(X, Y, **pools)
    assert not model.alignment_.notes["unpaired"]["used"]
    np.testing.assert_array_equal(
        model.similarity(test[0], test[1]), plain.similarity(test[0], test[1])
    )
    assert "the fit is as it was" in str(model.alignment_)


def test_a_pool_that_is_half_noise_does_no_harm(world, plain):
    (X, Y, _), test, U, V, _ = world
    rng = np.random.default_rng(4)
    model = csa.CSA().fit(
        X,
        Y,
        unpaired_x=np.vstack([U, foreign(rng, P)]),
        unpaired_y=np.vstack([V, foreign(rng, Q)]),
    )
    assert reciprocal_rank(model, test) > 0.9 * reciprocal_rank(plain, test)


def test_a_bridge_of_wrong_labels_is_not_used(world, plain):
    (X, Y, _), test, *_ = world
    rng = np.random.default_rng(5)
    wrong = csa.LabelBridge(
        rng.normal(size=(CLASSES, P)), np.zeros(CLASSES), rng.normal(size=(CLASSES, Q))
    )
    model = csa.CSA().fit(X, Y, bridge=wrong)
    assert model.alignment_.bridge is None or reciprocal_rank(model, test) > 0.9 * reciprocal_rank(
        plain, test
    )


def test_no_pair_at_all_is_a_fit_that_says_so(world, plain):
    _, test, U, V, bridge = world
    model = csa.CSA().fit(None, None, unpaired_x=U, unpaired_y=V, bridge=bridge)
    assert model.alignment_.n_pairs == 0
    assert not model.alignment_.notes["unpaired"]["checked_on_true_pairs"]
    assert "nothing was checked on a true pair" in str(model.alignment_)
    chance = (1 / np.arange(1, 301)).mean()
    assert reciprocal_rank(model, test) > 3 * chance


def test_a_bridge_of_the_second_view_is_the_same_bridge_seen_from_there(world):
    _, (X, Y, _), _, _, bridge = world
    turned = csa.LabelBridge(bridge.weights, bridge.bias, bridge.label_features, view="y")
    means = bridge.places(X, 2.0).mean(axis=0), Y.mean(axis=0)
    one, other = (FittedBridge(head, 2.0, 3.0, *means) for head in (bridge, turned))
    np.testing.assert_allclose(
        one.left(X) @ one.right(Y).T, (other.left(Y) @ other.right(X).T).T, atol=1e-12
    )


def test_places_are_the_formula(world):
    _, (X, _, _), _, _, bridge = world
    for x, place in zip(X[:5], bridge.places(X[:5], 2.0), strict=True):
        weight = np.exp((bridge.weights.astype(float) @ x + bridge.bias) / 2)
        expected = sum(w * t for w, t in zip(weight, bridge.label_features, strict=True))
        np.testing.assert_allclose(place, expected / weight.sum(), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(bridge.label_features, axis=1), 1, atol=1e-6)


def test_a_head_from_labelled_items_tells_the_classes(world):
    (X, _, label), _, _, _, bridge = world
    assert (bridge.logits(X).argmax(axis=1) == label).mean() > 0.9


def test_two_labels_make_a_head_and_the_first_may_be_the_last_row():
    rng = np.random.default_rng(3)
    X = np.vstack([rng.normal(size=(20, 3)) + 4, rng.normal(size=(20, 3)) - 4])
    bridge = csa.LabelBridge.from_labelled(X, np.repeat([0, 2], 20), np.eye(3))
    assert (bridge.logits(X).argmax(axis=1) == np.repeat([0, 1], 20)).all()
    assert bridge.label_features.shape == (2, 3)


@pytest.mark.parametrize(("n", "most"), [(3, 1), (40, 0.6), (4000, 0.02)])
def test_the_covariance_within_labels_is_shrunk_towards_its_mean_eigenvalue(n, most):
    residuals = np.random.default_rng(n).normal(size=(n, 8)) * np.arange(1, 9)
    plain = residuals.T @ residuals / n
    shrunk = _within(residuals)
    assert np.trace(shrunk) == pytest.approx(np.trace(plain))
    values, before = np.linalg.eigvalsh(shrunk), np.linalg.eigvalsh(plain)
    mean = np.trace(plain) / 8
    share = 1 - (values - mean) / (before - mean)
    assert np.ptp(share) < 1e-9, "all by the same share"
    assert most / 20 < share[0] <= most, "and by less, the more items there are"


def ground_of(world, seed=0):
    (X, Y, _), _, U, V, bridge = world
    training = Training.of(X, Y, np.arange(len(X)), 4, seed)
    plain = csa.CSA().fit(X, Y).alignment_
    pools = Unpaired(Pool.of(U, X, "unpaired_x", 0), Pool.of(V, Y, "unpaired_y", 0), bridge)
    return Ground(training, pools, plain, None)


def test_no_weight_of_the_plan_is_the_fit_to_the_pairs_in_the_same_space(world):
    ground = ground_of(world)
    teacher = alone(ground, Setting(0.0, 0.0, 2.0))
    student = taught(ground, plans_of(ground, teacher), teacher, 0.0)
    teacher, student = (judged(ground, fit) for fit in (teacher, student))
    X, Y, _ = world[1]
    np.testing.assert_allclose(
        alignment_of(ground, student, False).similarity(X, Y),
        alignment_of(ground, teacher, False).similarity(X, Y),
        atol=1e-10,
    )


def test_an_alignment_scores_the_encoders_features_as_the_fit_scores_its_own_coordinates(world):
    (X, Y, _), *_ = world
    ground = ground_of(world)
    student = judged(ground, alone(ground, Setting(0.0, 0.0, 2.0)))
    decomposition = solve(student.total, student.shrinkage)
    score = score_of(ground, student).leading(len(decomposition.rho))
    inside = Alignment.of(student.total, decomposition, student.shrinkage, score)
    assert min(np.abs(mean).max() for mean in (inside.mean_x, inside.mean_y)) > 0.01
    np.testing.assert_allclose(
        alignment_of(ground, student, False).similarity(X, Y),
        inside.similarity(ground.training.X, ground.training.Y),
        atol=1e-6,
    )


def test_a_fold_is_not_in_the_plans_of_its_teachers(world):
    """Other partners for the pairs of fold 0 leave fold 0's plans as they are, round by round, and
    move the others.
    """
    (X, Y, label), *rest = world
    ground = ground_of(world)
    inside = np.flatnonzero(ground.training.fold == 0)
    mixed_up = Y.copy()
    mixed_up[inside] = Y[np.roll(inside, 1)]
    grounds = ground, ground_of(((X, mixed_up, label), *rest))
    setting = Setting(0.0, 3.0, 2.0)
    shrinkage = alone(ground, setting).shrinkage
    teachers = [replace(alone(g, setting), shrinkage=shrinkage) for g in grounds]
    for _ in range(3):
        plans = [plans_of(g, teacher) for g, teacher in zip(grounds, teachers, strict=True)]
        one, two = ([plan.cxy / plan.n for plan in several] for several in plans)
        np.testing.assert_allclose(one[0], two[0], atol=1e-4)
        assert max(np.abs(a - b).max() for a, b in zip(one[1:], two[1:], strict=True)) > 0.01
        teachers = [
            taught(g, several, teacher, 0.8, shrinkage)
            for g, several, teacher in zip(grounds, plans, teachers, strict=True)
        ]


def test_better_means_by_more_than_its_error_and_not_worse_in_the_fold():
    rng = np.random.default_rng(6)
    base = rng.uniform(0.1, 1, size=50)
    assert exceeds(2 * base, base, 2.0) and not exceeds(base, base, 0.0)
    noise = rng.normal(size=50)
    above = base * np.exp(noise - noise.mean() + 1.5 * noise.std(ddof=1) / np.sqrt(50))
    assert exceeds(above, base, 1.4) and not exceeds(above, base, 1.6)
    assert not exceeds(base[:1] + 1, base[:1], 0.0)

    def student(among, within):
        return Student(None, None, None, Setting(0, 0, 2), among=among, within=within)

    assert is_better(student(base + 0.1, base), student(base, base))
    assert not is_better(student(base + 0.1, base - 0.01), student(base, base))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1.0, 2.0]], [0.0], [[1.0]]), "2 labels or more"),
        ((np.eye(3), [0.0, 0.0], np.eye(3)), "one bias"),
        ((np.eye(3), np.zeros(3), np.eye(3), 0.0), "above 0"),
        ((np.eye(3), np.zeros(3), np.eye(3), "warm"), "above 0"),
        ((np.eye(3), np.zeros(3), np.eye(3), "auto", "z"), "'x' or 'y'"),
    ],
)
def test_a_bridge_that_cannot_be_says_why(arguments, message):
    with pytest.raises(InputError, match=message):
        csa.LabelBridge(*arguments)


def test_labels_that_are_no_rows_are_refused():
    for labels in ([0, 0, 0], [0, 1, 3], [-1, 0, 1], [0.0, 1.0, 1.0]):
        with pytest.raises(InputError, match="label_of must"):
            csa.LabelBridge.from_labelled(np.eye(3), labels, np.eye(3))


def test_what_cannot_be_fitted_says_why(world):
    (X, Y, _), _, U, V, bridge = world
    fit = csa.CSA().fit
    with pytest.raises(InputError, match="both X and Y"):
        fit(X, None, unpaired_x=U)
    with pytest.raises(InputError, match="needs unpaired_x, unpaired_y and a bridge"):
        fit(None, None, unpaired_x=U, unpaired_y=V)
    with pytest.raises(FeatureError, match="200 unpaired items"):
        fit(None, None, unpaired_x=U[:60], unpaired_y=V, bridge=bridge)
    with pytest.raises(InputError, match="view='y'"):
        fit(Y, X, bridge=bridge)
    with pytest.raises(FeatureError, match="unpaired_x has"):
        fit(X, Y, unpaired_x=V)
    with pytest.raises(InputError, match="leave it on 'auto'"):
        csa.CSA(score="canonical", shrinkage=0.1).fit(X, Y, unpaired_x=U, unpaired_y=V)


@pytest.mark.parametrize("score", ["likelihood_ratio", "canonical"])
def test_a_named_score_stays_that_score(score, world):
    (X, Y, _), _, U, V, _ = world
    model = csa.CSA(score=score).fit(X, Y, unpaired_x=U, unpaired_y=V)
    assert model.score_ == score
    assert not model.alignment_.hubness_corrected
