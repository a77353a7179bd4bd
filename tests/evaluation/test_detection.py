"""Detection measures against scikit-learn and by hand; hard strangers; the two retrieval
protocols.
"""

import numpy as np
import polars as pl
import pytest
from lookups import Dot, Features
from scipy import sparse
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from csa.evaluation.conformal import right_gaps
from csa.evaluation.detection import Ranked, detection_estimates
from csa.evaluation.held_out import HeldOut
from csa.evaluation.mismatch import nearest_strangers, score_held_out_pairs, summarise_mismatch
from csa.evaluation.retrieval import rank_queries, relevant_positions, summarise, summarise_paper
from csa.evaluation.vectors import HeldOutVectors
from csa.params.measure import EvaluateParams
from csa.results.evaluation import KnownCounts

PARAMS = EvaluateParams(bootstrap=100)


def held_out(groups, first, second, X, Y, **columns):
    pairs = pl.DataFrame(
        {
            "pair_id": [f"p{i}" for i in range(len(groups))],
            "group": groups,
            "split": ["test"] * len(groups),
        }
        | {"image": first, "image_hash": first, "text": second, "text_hash": second}
        | columns
    )
    return HeldOut.of(pairs, ("image", "text"), (Features(X), Features(Y)))


@pytest.mark.parametrize("levels", [3, 10, 10_000])
@pytest.mark.parametrize("weighted", [False, True])
def test_detection_measures_are_those_of_scikit_learn(levels, weighted):
    rng = np.random.default_rng(levels)
    positive, negative = (
        rng.integers(2, levels + 2, 70).astype(float),
        rng.integers(0, levels, 110).astype(float),
    )
    weight = rng.integers(0, 4, 180).astype(float) if weighted else np.ones(180)
    y, score = np.repeat([1, 0], [70, 110]), np.concatenate([positive, negative])
    ranked, own = Ranked.of(positive, negative), (weight[:70], weight[70:])
    assert ranked.auc(*own) == pytest.approx(
        roc_auc_score(y, score, sample_weight=weight), abs=1e-12
    )
    kept = weight > 0
    expected = average_precision_score(y[kept], score[kept], sample_weight=weight[kept])
    assert ranked.average_precision(*own) == pytest.approx(expected, abs=1e-12)
    fpr, tpr, _ = roc_curve(y, score, sample_weight=weight, drop_intermediate=False)
    assert ranked.false_positive_rate(*own) == pytest.approx(
        fpr[tpr >= 0.95 - 1e-12].min(), abs=1e-12
    )


def test_equal_scores_say_nothing():
    ranked = Ranked.of(np.zeros(5), np.zeros(15))
    assert (ranked.auc(), ranked.average_precision(), ranked.false_positive_rate()) == (
        0.5,
        0.25,
        1.0,
    )


def test_intervals_hold_the_value_and_resample_groups():
    rng = np.random.default_rng(0)
    positive, negative = rng.normal(1, 1, 40), rng.normal(0, 1, 60)
    group = np.arange(100) % 20
    once = detection_estimates(positive, negative, group[:40], group[40:], PARAMS)
    repeated = detection_estimates(
        *(np.repeat(v, 5) for v in (positive, negative, group[:40], group[40:])), PARAMS
    )
    for value, again in zip(once.all, repeated.all, strict=True):
        assert value.low <= value.value <= value.high
        assert again.as_dict() == pytest.approx(value.as_dict())


def test_a_hard_stranger_is_the_nearest_item_of_another_group():
    rng = np.random.default_rng(1)
    Y = {f"t{i}": rng.normal(size=4) for i in range(30)}
    groups = [f"g{i // 3}" for i in range(30)]
    data = held_out(
        groups,
        [f"i{i // 3}" for i in range(30)],
        list(Y),
        {f"i{i}": rng.normal(size=4) for i in range(10)},
        Y,
    )
    nearest = nearest_strangers(data.views[1], np.arange(30) // 3)
    unit = np.stack(list(Y.values()))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    for i in range(30):
        others = [j for j in range(30) if j // 3 != i // 3]
        assert nearest[i] == max(others, key=lambda j: unit[i] @ unit[j])


def test_an_item_of_two_groups_is_a_stranger_to_neither():
    texts = ["shared", "shared", "a", "b", "c"]
    Y = {"shared": [1.0, 0.0], "a": [1.0, 0.01], "b": [1.0, 0.02], "c": [0.9, 0.5]}
    X = {f"i{k}": [1.0, float(k)] for k in range(5)}
    data = held_out(["g0", "g1", "g0", "g1", "g2"], list(X), texts, X, Y)
    pairs = score_held_out_pairs(HeldOutVectors.of(Dot(), data), data, 0)
    assert pairs["hard_stranger"].to_list() == ["p4", "p4", "p3", "p2", "p3"]
    assert pairs["hard_stranger_score"][0] == pytest.approx(np.dot(X["i0"], Y["c"]))


def test_known_errors_are_measured_and_unknown_ones_left_out():
    rng = np.random.default_rng(2)
    n = 40
    X = {f"i{k}": rng.normal(size=3) for k in range(n)}
    wrong = np.arange(n) % 4 == 0
    Y = {f"t{k}": X[f"i{k}"] * (-1 if wrong[k] else 1) for k in range(n)}
    known = [None if k == 1 else bool(wrong[k]) for k in range(n)]
    data = held_out([f"g{k}" for k in range(n)], list(X), list(Y), X, Y, mislabelled=known)
    found = summarise_mismatch(
        score_held_out_pairs(HeldOutVectors.of(Dot(), data), data, 0), PARAMS
    )
    assert found.known.auc.value == found.known.average_precision.value == 1.0
    assert found.known.fpr_at_95_tpr.value == 0.0
    assert found.known.pairs == KnownCounts(wrong=10, right=29)
    assert found.random.auc.value < 1.0


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_positions_count_ties_against_the_query(form):
    rng = np.random.default_rng(3)
    left, right = (rng.integers(0, 3, size=(n, 4)).astype(float) for n in (20, 35))
    relevant = np.nonzero(rng.random((20, 35)) < 0.2)
    relevant = (
        np.concatenate([relevant[0], np.arange(20)]),
        np.concatenate([relevant[1], np.zeros(20, dtype=int)]),
    )
    pairs = np.unique(np.stack(relevant), axis=1)
    positions, gaps = relevant_positions(form(left), form(right), (pairs[0], pairs[1]))
    assert gaps.tolist() == right_gaps(left, right, (pairs[0], pairs[1])).tolist()
    scores = left @ right.T
    for query in range(20):
        own = pairs[1][pairs[0] == query]
        irrelevant = np.setdiff1d(np.arange(35), own)
        order = sorted([*irrelevant, *own], key=lambda j: (-scores[query, j], j in own))
        assert positions[query].tolist() == [k for k, j in enumerate(order, start=1) if j in own]


def test_average_precision_is_scikit_learns_and_the_papers_stops_at_r():
    rng = np.random.default_rng(4)
    X = {f"i{k}": rng.normal(size=6) for k in range(12)}
    Y = {f"t{k}": X[f"i{k // 3}"] + rng.normal(size=6) for k in range(36)}
    data = held_out(
        [f"g{k // 3}" for k in range(36)], [f"i{k // 3}" for k in range(36)], list(Y), X, Y
    )
    queries = rank_queries(HeldOutVectors.of(Dot(), data), data)
    scores = np.stack(list(X.values())) @ np.stack(list(Y.values())).T
    for k, row in enumerate(
        queries.filter(pl.col("direction") == "image_to_text").iter_rows(named=True)
    ):
        right = np.arange(36) // 3 == k
        assert row["average_precision"] == pytest.approx(average_precision_score(right, scores[k]))
        hit = right[np.argsort(-scores[k])]
        assert row["precision_at_5"] == hit[:5].mean()
        precision = np.cumsum(hit) / np.arange(1, 37)
        assert row["average_precision_at_r"] == pytest.approx((precision[:3] * hit[:3]).sum() / 3)
    standard, paper = summarise(queries, PARAMS), summarise_paper(queries, PARAMS)
    assert paper["image_to_text"].precision_at_1 == standard["image_to_text"].recall_at_1
    assert paper["image_to_text"].map.value < standard["image_to_text"].map.value
    assert paper["text_to_image"].precision_at_5.value <= 0.2
