"""The checks before a fit: clean data pass, every planted fault is found by its own check, and
noise alone raises no alarm.
"""

import re
from dataclasses import replace
from hashlib import sha256
from io import BytesIO

import numpy as np
import polars as pl
import pytest
from factory import shared_signal
from PIL.PngImagePlugin import PngInfo
from scipy import stats
from small_repo import SHAPES_PARAMS, draw_shape, make_shapes
from workspaces import write_params

import csa
from csa.checks.checks import admit, judge
from csa.checks.data_checks import ALIKE, SAMPLE, Anchor, check_data, check_pool
from csa.checks.drift import check_drift, check_new_pairs, check_pool_drift, shift
from csa.checks.profile import Profile
from csa.encoders.registry import load_encoder
from csa.errors import RefusedError
from csa.modalities.registry import decode_item
from csa.params.checks import ChecksParams
from csa.params.views import ViewParams
from csa.pipeline.check import looks_of
from csa.pipeline.data import PipelineData
from csa.pipeline.ingest import ingest_stage
from csa.pipeline.workspace import Workspace
from csa.results.fit import KeptProfile

VIEWS = ("image", "text")
LIMITS = ChecksParams()


class Table:
    """Features by item hash."""

    def __init__(self, features):
        self.features = features

    def rows(self, hashes):
        return np.stack([self.features[item] for item in hashes])


def clean(n=200):
    rng = np.random.default_rng(0)
    pairs = pl.DataFrame(
        {
            "group": [f"g{i}" for i in range(n)],
            "split": ["test" if i % 5 == 0 else "train" for i in range(n)],
            "image_hash": [f"i{i}" for i in range(n)],
            "text_hash": [f"t{i}" for i in range(n)],
        }
    )
    features = [
        {f"{view[0]}{i}": row for i, row in enumerate(rng.normal(size=(n, 8)).astype(np.float32))}
        for view in VIEWS
    ]
    return pairs, features


def outcomes(pairs, features, limits=LIMITS):
    found = check_data(pairs, VIEWS, tuple(map(Table, features)), Anchor("image"), limits)
    return {
        check.name: (check.outcome, round(check.value, 3))
        for check in found
        if check.outcome != "pass"
    }


def few_groups(pairs, features):
    return pairs.with_columns(
        group=pl.when(pl.col("split") == "train").then(pl.lit("g1")).otherwise(pl.col("group"))
    ), features


def repeated_pairs(pairs, features):
    train = pairs.filter(pl.col("split") == "train")
    return pl.concat([pairs, *[train] * 12]), features


def dead_image_encoder(pairs, features):
    return pairs, [
        {item: row * (int(item[1:]) % 10 > 0) for item, row in features[0].items()},
        features[1],
    ]


def constant_text_encoder(pairs, features):
    return pairs, [features[0], dict.fromkeys(features[1], features[1]["t0"])]


def leaked_images(pairs, features):
    leak = (
        pairs.filter(pl.col("split") == "train")
        .head(3)
        .with_columns(split=pl.lit("test"), group=pl.lit("other"))
    )
    return pl.concat([pairs, leak]), features


def twins_across_splits(pairs, features):
    twins = {f"i{i}": features[0][f"i{i + 1}"] * np.float32(1.001) for i in range(0, 100, 5)}
    return pairs, [features[0] | twins, features[1]]


def saved_again(pairs, features):
    """Held-out pictures that are in training too, as another file: other hash, same caption."""
    test = pairs.filter(pl.col("split") == "test").head(10)
    copies = test.with_columns(
        split=pl.lit("train"),
        image_hash="again" + pl.col("image_hash"),
        group="c" + pl.col("group"),
    )
    noise = np.random.default_rng(3).normal(0, 0.25, size=(10, 8)).astype(np.float32)
    again = {
        f"again{x}": features[0][x] + e for x, e in zip(test["image_hash"], noise, strict=True)
    }
    return pl.concat([pairs, copies]), [features[0] | again, features[1]]


def same_pixels(pairs, features):
    """Held-out pictures that are in training too, as another file and with another caption."""
    same = {f"i{i}": features[0][f"i{i + 1}"] for i in range(0, 50, 5)}
    return pairs, [features[0] | same, features[1]]


def classes(pairs, features):
    """The same with captions that are names of classes, which say nothing of copies."""
    pairs, features = saved_again(pairs, features)
    number = pl.col("image_hash").str.extract(r"(\d+)").cast(pl.Int64)
    return pairs.with_columns(text_hash="t" + (number % 20).cast(pl.String)), features


def shared_captions(pairs, features):
    """Ten captions of held-out pictures are those of other training pictures."""
    swap = {f"t{i}": f"t{i + 1}" for i in range(0, 50, 5)}
    return pairs.with_columns(text_hash=pl.col("text_hash").replace(swap)), features


def test_clean_data_pass():
    assert outcomes(*clean()) == {}


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        (few_groups, {"fewest_groups": ("refuse", 1.0)}),
        (repeated_pairs, {"duplicate_pairs": ("refuse", 0.923)}),
        (dead_image_encoder, {"dead_features": ("refuse", 0.1)}),
        (constant_text_encoder, {"repeated_features": ("refuse", 0.995)}),
        (leaked_images, {"leakage": ("refuse", 0.07)}),
        (saved_again, {"copied_items": ("refuse", 0.25)}),
        (same_pixels, {"copied_items": ("refuse", 0.25), "near_duplicates": ("warn", 0.25)}),
        (classes, {}),
        (shared_captions, {}),
        (twins_across_splits, {"near_duplicates": ("warn", 0.5)}),
    ],
)
def test_each_fault_is_found_by_its_own_check(fault, found):
    assert outcomes(*fault(*clean())) == found


def test_the_same_pixels_in_another_file_have_the_very_features(tmp_path):
    encoder = load_encoder(ViewParams(modality="image", encoder="efficientnet-lite0", batch_size=2))
    picture, note = draw_shape("red", "star", size=64), PngInfo()
    note.add_text("Comment", "saved again")
    picture.save(tmp_path / "a.png")
    picture.save(tmp_path / "b.png", pnginfo=note)
    picture.save(tmp_path / "c.bmp")
    files = sorted(tmp_path.iterdir())
    assert len({file.read_bytes() for file in files}) == 3
    items = [decode_item("image", BytesIO(file.read_bytes()), file.name, 10**8) for file in files]
    rows = dict(zip(("i0", "i1", "i2"), encoder.encode(items), strict=True))
    pairs, (images, texts) = clean()
    others = np.random.default_rng(0).normal(size=(len(images), len(rows["i0"])))
    images = dict(zip(images, others.astype(np.float32), strict=True)) | rows
    (found,) = (
        check
        for check in check_data(
            pairs, VIEWS, (Table(images), Table(texts)), Anchor("image"), LIMITS
        )
        if check.name == "copied_items"
    )
    assert found.said.startswith(
        "1 of 40 held-out image items are copies of training items: 1 have the very features of one"
    )


def rewritten(pairs, features):
    """Held-out pictures that were saved again for training, with captions of their own."""
    pairs, features = saved_again(pairs, features)
    copies = pl.col("image_hash").str.starts_with("again")
    new = pl.concat_str(pl.lit("new"), "text_hash")
    pairs = pairs.with_columns(text_hash=pl.when(copies).then(new).otherwise("text_hash"))
    texts = features[1] | {f"new{text}": -row for text, row in features[1].items()}
    return pairs, [features[0], texts]


@pytest.mark.parametrize(("change", "found"), [(0.5, ("refuse", 0.25)), (0.7, None), (None, None)])
def test_a_picture_saved_again_is_a_copy_whatever_is_said_of_it(change, found):
    pairs, features = rewritten(*clean())
    rng = np.random.default_rng(0)
    looks = {f"i{i}": rng.standard_normal(768).astype(np.float32) for i in range(200)}
    if change is None:  # no file of theirs is there any more
        looks = {item: np.zeros_like(look) for item, look in looks.items()}
    again = {f"again{item}": look.copy() for item, look in looks.items()}
    for look in again.values():
        look[5] += change or 0
    asked = []

    def looked_at(items):
        asked.extend(items)
        return np.stack([(looks | again)[item] for item in items])

    anchor = Anchor("image", looked_at)
    checks = check_data(pairs, VIEWS, tuple(map(Table, features)), anchor, LIMITS)
    (copies,) = (check for check in checks if check.name == "copied_items")
    assert (copies.outcome, copies.value) == (found or ("pass", 0.0))
    assert f"{10 if found else 0} look like the nearest" in copies.said
    assert 20 <= len(asked) < 80  # those that are near, and their nearest ones


def test_the_check_stage_looks_at_pictures(tmp_path):
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    make_shapes(tmp_path / "shapes")
    ws = Workspace(tmp_path, tmp_path / ".csa")
    write_params(ws, SHAPES_PARAMS)
    ingest_stage(ws)
    data = PipelineData(ws)
    first, second = data.pairs.filter(pl.col("image").is_first_distinct()).rows(named=True)[:2]
    looks = looks_of(data, "image")
    look = looks([first["image_hash"], second["image_hash"]])
    assert np.abs(look[0] - look[1]).max() > ALIKE
    (tmp_path / "shapes" / first["image"]).unlink()
    assert not looks([first["image_hash"]]).any() and looks([second["image_hash"]]).any()
    assert looks_of(data, "text") is None


def test_a_caption_of_both_splits_counts_once():
    pairs, features = shared_captions(*clean())
    found = check_data(pairs, VIEWS, tuple(map(Table, features)), Anchor("image"), LIMITS)
    said = [check.said for check in found if check.name == "repeated_features"]
    assert said[1] == "0 of 190 text items have the very features of another"


def test_a_refusal_names_number_limit_and_remedy():
    said = "3 of 43 held-out groups are in training pairs too"
    checks = [judge("leakage", 0.07, ChecksParams(leakage=[None, 0.0]), said)]
    with pytest.raises(RefusedError, match=r"leakage: 3 of 43 .* limit is 0; .* checks\.leakage"):
        admit(checks)
    admit([judge("leakage", 0.07, ChecksParams(leakage=[0.0, None]), "")])


def test_every_check_has_a_parameter_that_its_remedy_names_and_every_parameter_a_check():
    pairs, features = clean()
    tables = tuple(map(Table, features))
    both = Profile(100, np.zeros((2, 1)), np.ones((2, 1, 1)))
    pool = Profile(100, np.zeros((1, 1)), np.ones((1, 1, 1)))
    scores, groups = np.arange(30.0), np.arange(30)
    never = ChecksParams(**{name: [None, None] for name in ChecksParams.model_fields})
    checks = [
        *check_data(pairs, VIEWS, tables, Anchor("image"), never),
        check_pool("image", ["i0"], tables[0], np.ones((3, 8), np.float32), never),
        *check_drift(both, both, VIEWS, never),
        *check_pool_drift(pool, pool, "image", never),
        check_new_pairs(scores, groups, scores, groups, never),
    ]
    admit(checks)  # no limit applies
    named = set()
    for check in checks:
        with pytest.raises(RefusedError) as refused:
            admit([replace(check, refuse=0.0, outcome="refuse")])
        named |= set(re.findall(r"checks\.(\w+)", str(refused.value)))
    assert named == set(ChecksParams.model_fields)


def fitted(n, seed=0):
    rng = np.random.default_rng(seed)
    X, Y = shared_signal(n, 12, 10, 4, 0.5, rng)
    return csa.CSA(score="likelihood_ratio", shrinkage=0.1).fit(X, Y).alignment_, X, Y


def test_fresh_samples_of_the_same_source_hardly_move():
    alignment, X, Y = fitted(2000)
    worst = np.zeros(2)
    for seed in range(20):
        half = np.random.default_rng(seed).random(2000) < 0.5
        profiles = [
            Profile.of(alignment, X[part], Y[part], np.arange(part.sum())) for part in (half, ~half)
        ]
        worst = np.maximum(worst, [values.max() for values in shift(*profiles)])
    assert worst[0] < 0.1 and worst[1] < 0.05, "half of what is warned about"


def test_moved_means_and_covariances_are_measured_in_their_units():
    alignment, X, Y = fitted(2000)
    group = np.arange(2000)
    before = Profile.of(alignment, X, Y, group)
    a = alignment.transform(X=X)
    # one unit in every coordinate
    step = np.linalg.lstsq(a - a.mean(axis=0), X - X.mean(axis=0), rcond=None)[0].sum(axis=0)
    means, covariances = shift(before, Profile.of(alignment, X + step, Y, group))
    assert (
        means[0] == pytest.approx(1 / a.std(axis=0).mean(), rel=0.2)
        and means[1] == 0
        and covariances.max() == 0
    )
    wide = X.mean(axis=0) + 2 * (X - X.mean(axis=0))
    means, covariances = shift(before, Profile.of(alignment, wide, Y, group))
    assert (
        covariances[0] == pytest.approx((4 - 1 - np.log(4)) / 2, rel=0.02) and covariances[1] == 0
    )
    found = {
        c.name: c.outcome
        for c in check_drift(before, Profile.of(alignment, wide, Y, group), VIEWS, LIMITS)
    }
    assert found == {"lost_groups": "pass", "mean_shift": "pass", "covariance_shift": "refuse"}


def test_a_shift_is_what_is_beyond_the_noise_of_two_samples():
    before = Profile(50, np.zeros((2, 2)), np.stack([np.eye(2)] * 2))
    covariance = np.stack([np.diag([2.0, 0.5]), np.eye(2)])
    now = Profile(200, np.array([[0.6, -0.8], [0.1, 0.1]]), covariance)
    means, covariances = shift(before, now)
    noise = 1 / 50 + 1 / 200
    assert means[0] == pytest.approx(np.sqrt(1.0 / 2 - noise), rel=1e-6)
    assert means[1] == 0.0  # 0.02 / 2 is less than the noise
    # trace - r - log det = 2.5 - 2 - 0 nats in 2 r parts
    assert covariances[0] == pytest.approx(0.5 / 4 - 3 / 4 * noise, rel=1e-6)
    assert covariances[1] == 0.0
    narrow = Profile(200, now.mean[:, :1], now.covariance[:, :1, :1])
    assert shift(before, narrow)[0][0] == pytest.approx(np.sqrt(0.36 - noise), rel=1e-6)


def test_lost_groups_are_a_share_of_the_champions():
    def lost(before, now):
        profiles = [Profile(n, np.zeros((2, 1)), np.ones((2, 1, 1))) for n in (before, now)]
        return check_drift(*profiles, VIEWS, LIMITS)[0].value

    assert [lost(80, 60), lost(80, 80), lost(80, 200)] == [0.25, 0.0, 0.0]


def test_a_profile_has_a_coordinate_for_every_ten_groups():
    alignment, X, Y = fitted(2000)
    widths = {
        groups: Profile.of(alignment, X, Y, np.arange(2000) % groups).mean.shape[1]
        for groups in (5, 39, 40, 2000)
    }
    assert widths == {5: 1, 39: 3, 40: 4, 2000: 10}


def test_a_profile_survives_json():
    alignment, X, Y = fitted(400)
    profile = Profile.of(alignment, X, Y, np.arange(400) // 2)
    again = Profile.of_record(KeptProfile.of(profile.record.as_dict(), "profile"))
    assert (
        again.groups == 200
        and (again.covariance == profile.covariance).all()
        and max(map(np.max, shift(again, profile))) == 0
    )


@pytest.mark.parametrize(("wrong", "outcome"), [(0.0, "pass"), (0.15, "warn"), (0.6, "refuse")])
def test_mismatched_new_pairs_are_found_and_true_ones_are_not(wrong, outcome):
    rng = np.random.default_rng(1)
    X, Y = shared_signal(3200, 12, 10, 4, 0.5, rng)
    alignment = csa.CSA(score="likelihood_ratio", shrinkage=0.1).fit(X[1200:], Y[1200:]).alignment_
    scores = alignment.score_pairs(X[:600], Y[:600])
    bad = rng.permutation(600)[: int(wrong * 600)] + 600
    partner = np.arange(1200)
    partner[bad] = np.roll(bad, 1)
    new = alignment.score_pairs(X[600:1200], Y[partner[600:]])
    check = check_new_pairs(scores, np.arange(600), new, np.arange(600), LIMITS)
    assert check.outcome == outcome and check.value <= wrong


def test_too_few_new_groups_are_not_judged():
    scores = np.arange(100.0)
    assert check_new_pairs(scores, np.arange(100), scores[:40], np.arange(40) % 10, LIMITS) is None
    true, few, enough = np.arange(100), np.arange(40) % 19, np.arange(40) % 20
    assert check_new_pairs(scores, true, scores[:40], few, LIMITS) is None
    assert check_new_pairs(scores, true % 19, scores[:40], enough, LIMITS) is None
    assert check_new_pairs(scores, true % 20, scores[:40], enough, LIMITS) is not None


def test_what_is_mismatched_beyond_chance_is_counted():
    true = np.arange(99.0)  # a p-value of 0.05 is the fifth lowest of a hundred
    new = np.repeat([3.5, 50.0], [10, 20])
    check = check_new_pairs(true, np.arange(99), new, np.arange(30), LIMITS)
    low = stats.beta.ppf(0.05, 10, 21)
    assert check.value == pytest.approx((low - 0.05) / 0.95)
    assert check_new_pairs(true, np.arange(99), new + 1.0, np.arange(30), LIMITS).value == 0.0


def many_held_out(copied):
    """More held-out items than are compared, of which some are training items saved again."""
    n, rng = 2 * SAMPLE, np.random.default_rng(3)
    known = rng.normal(size=(500, 8)).astype(np.float32)
    new = rng.normal(size=(n, 8)).astype(np.float32)
    again = rng.random(n) < copied
    new[again] = known[rng.integers(500, size=again.sum())] * np.float32(1.0001)
    items = [sha256(f"held out {i}".encode()).hexdigest() for i in range(n)]
    trained = [sha256(f"trained {i}".encode()).hexdigest() for i in range(500)]
    features = dict(zip(trained + items, np.concatenate([known, new]), strict=True))
    return items, trained, features, again


def test_of_many_held_out_items_a_sample_is_compared_and_its_interval_said():
    items, trained, features, again = many_held_out(0.1)
    pairs = pl.DataFrame(
        {
            "group": trained + items,
            "split": ["train"] * 500 + ["test"] * len(items),
            "image_hash": trained + items,
            "text_hash": trained + items,
        }
    )
    (found,) = (
        check
        for check in check_data(
            pairs, VIEWS, (Table(features), Table(features)), Anchor("image"), LIMITS
        )
        if check.name == "near_duplicates"
    )
    asked = set(sorted(items)[:SAMPLE])
    near = sum(copy for item, copy in zip(items, again, strict=True) if item in asked)
    assert found.outcome == "warn" and found.value == near / SAMPLE
    low, high = stats.binomtest(near, SAMPLE).proportion_ci(0.95)
    assert low < again.mean() < high
    assert found.said.endswith(
        f"; they are a sample, and of all {len(items):,} the share lies between {low:.1%} and "
        f"{high:.1%} (95% interval)"
    )
    shuffled = pairs.sample(fraction=1, shuffle=True, seed=1)
    assert found in check_data(
        shuffled, VIEWS, (Table(features), Table(features)), Anchor("image"), LIMITS
    )


@pytest.mark.parametrize("n", [SAMPLE, SAMPLE + 1])
def test_near_twins_in_a_pool_are_counted_exactly_where_all_are_looked_at(n):
    items, _, features, _ = many_held_out(0)
    held_out = items[:n]
    pool = np.concatenate(
        [
            np.stack([features[item] for item in items[n : n + 700]]),
            np.stack([features[item] for item in sorted(held_out)[:30]]),
        ]
    )
    found = check_pool("image", held_out, Table(features), pool, LIMITS)
    assert found.value == 30 / SAMPLE and ("they are a sample" in found.said) == (n > SAMPLE)
    for limits, outcome in (
        (ChecksParams(near_duplicates=[0.0, 0.0]), "pass"),
        (ChecksParams(unpaired_near_duplicates=[0.0, 0.0]), "refuse"),
    ):
        again = check_pool("image", held_out, Table(features), pool, limits)
        assert again.outcome == outcome, "its limits are its own"
