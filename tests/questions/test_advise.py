"""Which encoders align best: neighbours against brute force, planted answers, and real
candidates through the cache.
"""

import json

import numpy as np
import pytest
import tiny_models
import yaml
from click.testing import CliRunner
from factory import shared_signal
from small_repo import SHAPES_PARAMS, make_shapes

from csa.cli import main as cli
from csa.errors import FeatureError, InputError
from csa.params.schema import Params
from csa.pipeline.workspace import Workspace
from csa.questions.advise import Advice, advise, named_candidates, rank_pairings
from csa.questions.neighbours import mutual_neighbours


def test_neighbours_by_brute_force():
    X, Y = shared_signal(50, 6, 5, 3, 1.0, np.random.default_rng(0))
    sets = []
    for features in (X, Y):
        Z = features - features.mean(axis=0)
        Z /= np.linalg.norm(Z, axis=1, keepdims=True)
        sets.append(
            [set(sorted(set(range(50)) - {i}, key=lambda j: -(Z[i] @ Z[j]))[:7]) for i in range(50)]
        )
    expected = np.mean([len(a & b) / 7 for a, b in zip(*sets, strict=True)])
    found = mutual_neighbours(X, Y, k=7)
    assert found.value == pytest.approx(expected)
    assert found.p_value == pytest.approx(1 / 201) and found.z > 5
    assert found.null_mean == pytest.approx(7 / 49, abs=0.01)


def test_neighbours_of_independent_views_are_chance_and_of_rotated_ones_the_same():
    rng = np.random.default_rng(1)
    p_values = [
        mutual_neighbours(rng.normal(size=(80, 6)), rng.normal(size=(80, 4)), seed=s).p_value
        for s in range(40)
    ]
    assert 0.35 < np.mean(p_values) < 0.65  # as uniform ones
    X = rng.normal(size=(80, 6))
    assert mutual_neighbours(X, 5 * X @ np.linalg.qr(rng.normal(size=(6, 6)))[0] + 3).value == 1.0
    with pytest.raises(FeatureError, match="at least 12 items"):
        mutual_neighbours(X[:11], X[:11])


@pytest.fixture(scope="module")
def planted():
    """Two views; the second has a good candidate, its twin, a poor one and one that knows
    nothing.
    """
    rng = np.random.default_rng(2)
    X, Y = shared_signal(300, 20, 15, 6, 0.6, rng)
    twin = Y @ np.linalg.qr(rng.normal(size=(15, 15)))[0] + 0.01 * rng.normal(size=Y.shape)
    poor = Y + 3 * np.abs(Y).mean() * rng.normal(size=Y.shape)
    return {"x": X}, {"good": Y, "twin": twin, "poor": poor, "nothing": rng.normal(size=Y.shape)}


def test_planted_candidates_are_ranked_and_ties_are_called_ties(planted):
    found = rank_pairings(*planted)
    assert {pairing.encoders[1] for pairing in found[:2]} == {"good", "twin"}
    assert [pairing.encoders[1] for pairing in found[2:]] == ["poor", "nothing"]
    assert [pairing.tied for pairing in found] == [True, True, False, False]
    assert found[0].nats > found[2].nats > found[3].nats
    assert found[3].neighbours.p_value > 0.01 > found[2].neighbours.p_value
    verdict = Advice(("a", "b"), 300, found, 0, 0).verdict
    assert "cannot tell it from x with " in verdict and "poor" not in verdict
    alone = Advice(("a", "b"), 300, [found[0], *found[2:]], 0, 0).verdict
    assert alone.endswith("is the best of the 3 on 300 pairs")


def test_no_shared_signal_is_said_so():
    rng = np.random.default_rng(3)
    views = [
        {"a": rng.normal(size=(200, 8)), "b": rng.normal(size=(200, 8))},
        {"c": rng.normal(size=(200, 8))},
    ]
    assert (
        "no pairing shows a shared signal"
        in Advice(("a", "b"), 200, rank_pairings(*views), 0, 0).verdict
    )


@pytest.fixture
def ws(tmp_path, monkeypatch):
    """A workspace that was never run, and candidates on disk."""
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    make_shapes(tmp_path / "shapes")
    params = {
        **SHAPES_PARAMS,
        "dataset": {"kind": "table", "path": "shapes", "split": {"test": 0.1}},
    }
    (tmp_path / "params.yaml").write_text(
        yaml.safe_dump(Params.from_mapping(params).dump(), sort_keys=False)
    )
    for make in (tiny_models.vit, tiny_models.bert):
        (tmp_path / make.__name__).mkdir()
        make(tmp_path / make.__name__)
    monkeypatch.chdir(tmp_path)
    return Workspace(tmp_path, tmp_path / ".csa")


def test_only_what_is_new_is_embedded_and_a_run_finds_it_in_the_cache(ws):
    candidates = (
        "image=vit:layer=-2",
        "text=minilm-l6-v2",
        "text=bert",
        "text=bert:layer=1,pooling=cls",
    )
    first = advise(ws, candidates, 60)
    assert first.computed == 4 * first.pairs and first.reused == 0
    again = advise(ws, candidates, 60)
    assert again.computed == 0 and again.reused == first.computed
    assert again.as_dict()["pairings"] == first.as_dict()["pairings"]
    assert {pairing.encoders for pairing in first.pairings} == {
        ("vit:layer=-2", text) for text in ("minilm-l6-v2", "bert", "bert:layer=1,pooling=cls")
    }
    assert not ws.data.exists()


def test_the_command(ws):
    done = CliRunner().invoke(cli, ["advise", "--view", "image=vit", "--sample", "60"])
    assert done.exit_code == 0, done.output
    assert "vit" in done.stdout and "minilm-l6-v2" in done.stdout and "no choice" in done.stdout
    done = CliRunner().invoke(cli, ["advise", "--view", "image=vit", "--sample", "60", "--json"])
    assert json.loads(done.stdout)["pairings"][0]["encoders"] == ["vit", "minilm-l6-v2"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("image", "expected VIEW=ENCODER"),
        ("sound=x", "a view of image, text"),
        ("image=vit:depth=3", "unknown setting 'depth=3'"),
        ("image=vit:layer=deep", "whole number"),
        ("image=vit:pooling=most", "not settings of a view"),
    ],
)
def test_candidates_that_cannot_be_are_one_clear_line(asked, message):
    with pytest.raises(InputError, match=message):
        named_candidates(Params.from_mapping({}), (asked,))


def test_a_path_with_a_colon_is_a_path():
    found = named_candidates(
        Params.from_mapping({}),
        ("image=/models/v1:2/vit", "image=/a:b:layer=-3", "image=/c:layer=0/-1"),
    )
    assert [settings.encoder for settings in found["image"].values()] == [
        "/models/v1:2/vit",
        "/a:b",
        "/c",
    ]
    assert [settings.layer for settings in found["image"].values()] == [-1, -3, (0, -1)]
    assert found["text"] == {"minilm-l6-v2": Params.from_mapping({}).views["text"]}


def test_encoders_joined_by_a_plus_stand_side_by_side(tmp_path):
    odd = tmp_path / "a+b"
    odd.mkdir()
    asked = ("image=efficientnet-lite0+/models/vit:augment=flip", f"image={odd}")
    together, folder = named_candidates(Params.from_mapping({}), asked)["image"].values()
    assert [part.encoder for part in together.parts] == ["efficientnet-lite0", "/models/vit"]
    assert [part.augment for part in together.parts] == ["flip", "flip"]
    assert folder.encoder_names == str(odd)


def test_too_small_a_sample(ws):
    with pytest.raises(InputError, match="at least 50"):
        advise(ws, (), 20)
    rows = [row.split(",") for row in (ws.root / "shapes" / "pairs.csv").read_text().splitlines()]
    (ws.root / "shapes" / "pairs.csv").write_text(
        "\n".join(",".join(row) for row in rows[:40]) + "\n"
    )
    with pytest.raises(InputError, match="training pairs of different groups"):
        advise(ws, (), 60)
