"""Zero-shot classes, conformal decisions, out-of-context captions, and what CSA is measured
beside: oracles, planted failures.
"""

import numpy as np
import polars as pl
import pytest
import tiny_models
import torch
from PIL import Image

from csa.errors import DataError, FeatureError, InputError
from csa.evaluation.classification import (
    Classes,
    classify,
    mean_by_class,
    per_class,
    prompts_of,
    protocol_of,
    summarise_classes,
)
from csa.evaluation.conformal import (
    Calibration,
    PairCalibration,
    fewest_groups,
    right_gaps,
    set_sizes,
)
from csa.evaluation.contenders import contenders, tower_views
from csa.evaluation.exchangeability import doubts
from csa.evaluation.out_of_context import Detector, Similarities, evaluate_out_of_context
from csa.features.embed import Items
from csa.features.embedder import Embedder
from csa.params.data import DatasetParams
from csa.params.fit import FitParams
from csa.params.measure import EvaluateParams, PromptParams
from csa.params.schema import Params
from csa.params.views import ViewParams
from csa.pipeline.labelled import held_out_labelled, transfer_labelled
from csa.results.evaluation import AskedPrompts

PARAMS = EvaluateParams(bootstrap=200)
VIEWS = Params().views


class Dot:
    """Items are compared by the inner product of their features."""

    def index_vectors(self, X=None, Y=None):
        return X, Y


# Classification.


def test_prompts_are_templates_times_names():
    label = "great white shark, white shark, man-eater"
    assert prompts_of(label, PromptParams()) == [f"An image of {label}."]
    two = PromptParams(templates=["a {label}", "{label}!"], names="first")
    assert prompts_of(label, two) == ["a great white shark", "great white shark!"]
    assert (
        len(prompts_of(label, PromptParams(templates=["a {label}", "{label}!"], names="each"))) == 6
    )
    with pytest.raises(ValueError, match=r"has no \{label\}"):
        PromptParams(templates=["a photo"])


def test_a_class_is_the_mean_of_its_prompts():
    features = np.arange(12, dtype=np.float32).reshape(6, 2)
    assert mean_by_class(features, [1, 3, 2]).tolist() == [[0, 1], [4, 5], [9, 10]]


def test_the_protocol_follows_from_where_labels_occur():
    assert protocol_of({"a", "b"}, {"a", "b"}) == ("in_domain", ["a", "b"], 2)
    assert protocol_of({"a", "b", "c"}, {"b"}) == ("in_domain", ["a", "b", "c"], 1)
    assert protocol_of({"a"}, {"c", "b"}) == ("unseen_classes", ["b", "c"], 0)
    assert protocol_of({"a"}, {"a", "b"}) == ("partly_unseen", ["a", "b"], 1)


def classes(features, labels="abc", protocol="in_domain"):
    return Classes(
        list(labels[: len(features)]),
        np.asarray(features, dtype=float),
        protocol,
        len(features),
        AskedPrompts(["{label}"], "whole"),
    )


@pytest.mark.parametrize("images_first", [True, False])
def test_images_go_to_the_most_similar_class_and_ties_count_against(images_first):
    images = np.array([[1.0, 0], [0, 1], [1, 1], [2, 1]])
    found = classify(
        Dot(), images, ["a", "a", "b", "c"], classes([[1, 0], [0, 1], [-1, -1]]), images_first
    )
    assert found["predicted"].to_list() == ["a", "b", "a", "a"]
    assert found["rank"].to_list() == [1, 2, 2, 3] and found["top_1"].to_list() == [1, 0, 0, 0]
    with pytest.raises(DataError, match="not among the classes, such as 'z'"):
        classify(
            Dot(), images, ["a", "a", "b", "z"], classes([[1, 0], [0, 1], [-1, -1]]), images_first
        )


def test_a_summary_counts_images_and_classes():
    images = np.array([[1.0, 0]] * 6 + [[0, 1.0]] * 2)
    found = classify(Dot(), images, ["a"] * 6 + ["a", "b"], classes([[1, 0], [0, 1]]), True)
    summary = summarise_classes(found, np.arange(8), classes([[1, 0], [0, 1]]), PARAMS)
    assert summary.top_1.value == pytest.approx(7 / 8) and summary.protocol == "in_domain"
    assert summary.mean_class_top_1.value == pytest.approx((6 / 7 + 1) / 2)
    assert summary.chance.top_1.value == 0.5 and summary.chance.top_5.value == 1
    assert summary.top_1.low < 7 / 8 <= summary.top_1.high
    table = per_class(found)
    assert table["label"].to_list() == ["a", "b"], "the worst first"
    assert table.row(0, named=True)["confused_with"] == "b" and table.row(0, named=True)[
        "confused"
    ] == pytest.approx(1 / 7)


def labelled_pairs(**columns):
    n = 6
    return pl.DataFrame(
        {
            "pair_id": [f"p{i}" for i in range(n)],
            "group": [f"g{i}" for i in range(n)],
            "split": ["train", "train", "test", "test", "test", "test"],
            "label": ["cat", "dog", "cat", "dog", "fox", None],
            "image": [f"{i}.png" for i in range(n)],
            "image_hash": [f"i{i}" for i in range(n)],
        }
        | columns
    )


def test_what_is_labelled_is_found_and_named():
    found = held_out_labelled(labelled_pairs(), VIEWS, DatasetParams(), PromptParams())
    assert (found.protocol, found.labels, found.seen, len(found.images)) == (
        "partly_unseen",
        ["cat", "dog", "fox"],
        2,
        3,
    )
    assert found.prompts[0] == ["An image of cat."]
    own = held_out_labelled(
        labelled_pairs(), VIEWS, DatasetParams(kind="imagefolder"), PromptParams()
    )
    assert own.prompts[0] == ["a photo of a cat"], "the template the alignment was fitted with"
    nothing = labelled_pairs(label=pl.Series([None] * 6, dtype=pl.String))
    assert held_out_labelled(nothing, VIEWS, DatasetParams(), PromptParams()) is None
    assert transfer_labelled(labelled_pairs(), VIEWS, PromptParams(), "t").protocol == "transfer"
    with pytest.raises(DataError, match="task 't': 0 classes"):
        transfer_labelled(nothing, VIEWS, PromptParams(), "t")


# Conformal decisions.


def test_p_values_are_those_of_split_conformal_prediction():
    calibration = Calibration.of(np.array([3.0, 1.0, 2.0]), np.arange(3))
    assert calibration.p_value(np.array([0.5, 1.0, 2.5, 9.0])).tolist() == [1 / 4, 2 / 4, 3 / 4, 1]
    assert calibration.threshold(0.2) == -np.inf, "three groups can rule nothing out at 0.2"
    grouped = Calibration.of(np.array([1.0, 2.0, 3.0, 3.0, 3.0]), np.array([0, 0, 1, 1, 1]))
    assert grouped.groups == 2 and grouped.p_value(np.array([1.0])).tolist() == [(1 + 0.5) / 3], (
        "a group weighs one"
    )


@pytest.mark.parametrize("size", [1, 5])
def test_what_is_promised_is_covered_also_with_groups_that_are_alike(size):
    rng, alpha, covered = np.random.default_rng(0), 0.1, []
    for _ in range(300):
        groups = rng.normal(size=200)
        scores = np.repeat(groups, size) + 0.1 * rng.normal(size=200 * size)
        group = np.repeat(np.arange(200), size)
        known = group < 100
        threshold = Calibration.of(scores[known], group[known]).threshold(alpha)
        covered.append((scores[~known] >= threshold).mean())
    assert np.mean(covered) == pytest.approx(
        1 - alpha, abs=4 * np.std(covered) / np.sqrt(300) + 0.01
    )
    assert np.mean(covered) >= 1 - alpha - 3 * np.std(covered) / np.sqrt(300)


def test_thresholds_and_p_values_agree():
    rng = np.random.default_rng(1)
    scores, group = rng.normal(size=300), rng.integers(0, 60, size=300)
    calibration = Calibration.of(scores, group)
    tried = rng.normal(size=500)
    for alpha in (0.02, 0.1, 0.4):
        assert (
            (tried >= calibration.threshold(alpha)) == (calibration.p_value(tried) > alpha)
        ).all()


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.1, 0.15, 0.3, 0.49])
def test_so_many_groups_and_no_fewer_can_rule_something_out(alpha):
    can = [
        n
        for n in range(1, 150)
        if Calibration.of(np.arange(float(n)), np.arange(n)).threshold(alpha) > -np.inf
    ]
    assert can == list(range(fewest_groups(alpha), 150))


def test_verdicts():
    judge = PairCalibration.of(np.linspace(5, 15, 99), np.linspace(-15, 0, 99), np.arange(99))
    decided = judge.decide(np.array([12.0, -9.0, 2.5]), 0.1)
    assert decided.verdicts == ["match", "mismatch", "neither"]
    overlapping = PairCalibration.of(np.linspace(0, 10, 99), np.linspace(-2, 8, 99), np.arange(99))
    assert overlapping.decide(np.array([4.0]), 0.1).verdicts == ["undecided"]


def test_sets_hold_what_is_near_the_best():
    left, right = np.eye(3), np.array([[1.0, 0.2, 0.0], [0.8, 1.0, 0.1], [0.0, 0.9, 0.3]])
    relevant = (np.array([0, 1, 2]), np.array([1, 1, 0]))
    assert right_gaps(left, right, relevant) == pytest.approx([0.2, 0.0, 0.3])
    assert set_sizes(left, right, np.array([0.0, 0.15, np.inf])).tolist() == [
        [1, 1, 3],
        [1, 2, 3],
        [1, 1, 3],
    ]


def test_doubts_are_raised_when_planted_and_not_otherwise():
    rng = np.random.default_rng(2)
    group = np.repeat(np.arange(200), 2)
    raised = 0
    for _ in range(40):
        raised += bool(
            doubts(rng.normal(size=400), group, rng.normal(size=400), group, 0.1).reasons
        )
    assert raised <= 3
    moved = doubts(rng.normal(size=400), group, rng.normal(size=400) - 1, group, 0.1)
    assert any("Kolmogorov-Smirnov" in reason for reason in moved.reasons)
    few = doubts(rng.normal(size=5), np.arange(5), rng.normal(size=5), np.arange(5), 0.1)
    assert any("nothing can be rejected" in reason for reason in few.reasons)
    lopsided = np.r_[np.zeros(200, dtype=int), np.arange(1, 201)]
    scores = rng.normal(size=400)
    assert any(
        "one group holds 50%" in reason
        for reason in doubts(scores, lopsided, scores, lopsided, 0.1).reasons
    )


# Out of context.


def similarities(n, rng, apart=2.0):
    out = rng.random(n) < 0.5
    captions, image = (rng.normal(size=n) - apart * out for _ in range(2))
    return Similarities(captions, image, out, np.arange(n))


def test_the_rule_calls_out_what_is_low_in_both():
    rows = Similarities(
        np.array([0.0, 0, 1, 1]),
        np.array([0.0, 1, 0, 1]),
        np.array([True, False, False, False]),
        np.arange(4),
    )
    detector = Detector.choose(rows)
    assert detector.rule(rows).tolist() == [True, False, False, False]
    assert (detector.t_captions, detector.t_image) == (0.0, 0.0)


def test_thresholds_come_from_the_validation_half_alone():
    rng = np.random.default_rng(3)
    rows = similarities(400, rng)
    metrics, table, detector = evaluate_out_of_context(rows, PARAMS)
    test = (table["part"] == "test").to_numpy()
    scrambled = Similarities(
        np.where(test, rng.permutation(rows.captions), rows.captions),
        rows.image,
        rows.out,
        rows.group,
    )
    again = evaluate_out_of_context(scrambled, PARAMS)[2]
    assert (again.t_captions, again.t_image, again.cut) == (
        detector.t_captions,
        detector.t_image,
        detector.cut,
    )
    assert metrics.rows.validation + metrics.rows.test == 400 == len(table)
    called = table.filter(pl.col("part") == "test")
    assert metrics.paper.accuracy.value == pytest.approx(
        (called["called_out"] == called["out"]).mean()
    )
    assert metrics.discriminant.auc.value > metrics.image_alone.auc.value > 0.85
    nothing = evaluate_out_of_context(similarities(400, rng, apart=0.0), PARAMS)[0]
    assert nothing.discriminant.auc.low < 0.5 < nothing.discriminant.auc.high
    with pytest.raises(DataError, match="no threshold can be chosen"):
        Detector.choose(
            Similarities(rows.captions, rows.image, np.zeros(400, dtype=bool), rows.group)
        )


# What CSA is measured beside.


def test_baselines_are_fitted_on_the_training_pairs_when_asked_for():
    rng, asked = np.random.default_rng(4), []
    Z = rng.normal(size=(120, 3))
    X, Y = Z @ rng.normal(size=(3, 8)), Z @ rng.normal(size=(3, 8))

    def train():
        asked.append(True)
        return X, Y, np.arange(120)

    assert list(contenders(EvaluateParams(), FitParams(), VIEWS, train)) == [] and not asked
    names = ["asif", "procrustes", "ridge_map", "plain_cca", "canonical_published", "raw_cosine"]
    made = list(contenders(EvaluateParams(baselines=names), FitParams(folds=3), VIEWS, train))
    assert [one.name for one in made] == names and all(one.own for one in made) and len(asked) == 1
    for one in made[2:5]:
        assert (one.model.similarity(X, Y).argmax(axis=1) == np.arange(120)).mean() > 0.5, one.name
    with pytest.raises(FeatureError):
        list(
            contenders(
                EvaluateParams(baselines=["raw_cosine"]),
                FitParams(),
                VIEWS,
                lambda: (X, Y[:, :5], np.arange(120)),
            )
        )


def test_a_model_of_two_towers_takes_its_own_features_and_no_fit(tmp_path):
    torch.manual_seed(0)
    (tmp_path / "clip").mkdir()
    folder = str(tiny_models.clip(tmp_path / "clip"))
    params = EvaluateParams(multimodal={"clip": {"encoder": folder, "batch_size": 4}})
    (clip,) = contenders(params, FitParams(), VIEWS, lambda: pytest.fail("nothing is fitted"))
    assert clip.name == "clip" and not clip.own
    embedder, rng = Embedder(tmp_path / "cache"), np.random.default_rng(0)
    pictures = [
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)) for _ in range(3)
    ]
    X = embedder.items(
        clip.views["image"],
        Items([(f"{i:064x}", str(i)) for i in range(3)], lambda i: pictures[int(i)], "images"),
    )
    Y = embedder.texts(clip.views["text"], ["a red dog", "the cat", "a red dog"], "texts")
    scores = clip.model.similarity(X.features, Y)
    norms = np.linalg.norm(X.features, axis=1)[:, None] * np.linalg.norm(Y, axis=1)
    assert (
        scores == pytest.approx(X.features @ Y.T / norms, abs=1e-6)
        and (scores[:, 0] == scores[:, 2]).all()
    )
    audio = {"sound": ViewParams(modality="audio", encoder=folder), "text": VIEWS["text"]}
    with pytest.raises(InputError, match="view 'sound' is of modality audio"):
        tower_views(params.multimodal["clip"], audio, "clip")
