"""Moments that teams publish: their sum is that of all pairs, and so is the fit."""

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from factory import shared_signal

import csa
from csa.cli import main
from csa.datasets.groups import split_fraction
from csa.datasets.pairs_table import write_pairs
from csa.errors import ArtifactError, FeatureError, InputError
from csa.features.shards import FeatureTable
from csa.params.schema import Params
from csa.pipeline.workspace import Workspace
from csa.questions.merge import FOLDS, PublishedMoments, merge
from csa.storage.files import write_json

N, P, Q = 600, 12, 9


class Array:
    """What `write_shards` needs of an encoder."""

    fingerprint, description = "e", {"encoder": "e"}


def team(root, rows, X, Y, encoder="e"):
    """A workspace with a part of the pairs, every tenth of them held out."""
    import yaml

    from csa.features.shards import write_shards

    ws = Workspace(root, root / ".csa")
    root.mkdir()
    (root / "dvc.yaml").write_text("stages: {}\n")
    ws.params_file.write_text(yaml.safe_dump(Params.from_mapping({}).dump()))
    hashes = {
        view: [f"{view[0].encode().hex()}{i:062x}" for i in rows] for view in ("image", "text")
    }
    write_pairs(
        pl.DataFrame(
            {
                "pair_id": [f"p{i}" for i in rows],
                "group": [f"g{i // 2}" for i in rows],
                "split": ["test" if i // 2 % 10 == 0 else "train" for i in rows],
                "label": pl.Series([None] * len(rows), dtype=pl.String),
                **{view: [f"{view} {i}" for i in rows] for view in hashes},
                **{f"{view}_hash": values for view, values in hashes.items()},
            }
        ),
        ws.pairs,
    )
    Array.fingerprint = encoder
    for view, values in (("image", X), ("text", Y)):
        write_shards(ws.features(view), hashes[view], values[rows].astype(np.float32), Array)
    return ws


@pytest.fixture
def pairs():
    return shared_signal(N, P, Q, 4, 0.5, np.random.default_rng(3))


def test_the_fit_on_the_sum_of_teams_is_the_fit_on_all_pairs(tmp_path, pairs):
    parts = [range(0, 250), range(250, 600)]
    teams = [team(tmp_path / f"t{k}", list(part), *pairs) for k, part in enumerate(parts)]
    files = []
    for ws in teams:
        files.append(ws.root / "moments.safetensors")
        PublishedMoments.of_workspace(ws).save(files[-1])
    merged = merge(tuple(files), tmp_path / "merged.safetensors", teams[0])

    train = [i for i in range(N) if i // 2 % 10]
    x, y = (view[train].astype(np.float32) for view in pairs)
    fold = np.array([int(FOLDS * split_fraction(f"g{i // 2}", 0)) for i in train])
    folds = csa.Moments.of_folds(x, y, fold, precision="float64")
    whole = csa.CSA(score="likelihood_ratio").fit_moments(
        csa.Moments.from_arrays(x, y, precision="float64"), folds
    )
    loaded = csa.load(tmp_path / "merged.safetensors")
    assert loaded.n_pairs == len(train) == sum(file["pairs"] for file in merged.files)
    np.testing.assert_allclose(merged.model.shrinkage_, whole.shrinkage_, rtol=1e-6)
    np.testing.assert_allclose(
        loaded.canonical_correlations, whole.canonical_correlations_, atol=1e-10
    )
    np.testing.assert_allclose(
        loaded.similarity(x[:50], y[:50]), whole.similarity(x[:50], y[:50]), atol=1e-6
    )
    assert merged.retrieval["merged"]["image_to_text"].recall_at_1.value > 0.1
    assert "pairs in" in str(merged) and "R@1" in str(merged)


def test_moments_hold_no_item_and_come_back_bit_for_bit(tmp_path, pairs):
    ws = team(tmp_path / "t", list(range(N)), *pairs)
    published = PublishedMoments.of_workspace(ws)
    published.save(tmp_path / "m")
    again = PublishedMoments.load(tmp_path / "m")
    for a, b in zip(published.folds, again.folds, strict=True):
        assert a.n == b.n and np.array_equal(a.cxy, b.cxy)
    content = (tmp_path / "m").read_bytes()
    features = FeatureTable.read(ws.features("image"))
    assert features.items[0].encode() not in content and b"image 1" not in content


def test_what_cannot_be_merged_is_refused_and_nothing_is_written(tmp_path, pairs):
    one = team(tmp_path / "one", list(range(300)), *pairs)
    other = team(tmp_path / "other", list(range(300, N)), *pairs, encoder="another")
    for ws in (one, other):
        PublishedMoments.of_workspace(ws).save(ws.root / "m")
    out = tmp_path / "merged"
    with pytest.raises(InputError, match="must use the same"):
        merge((one.root / "m", other.root / "m"), out, None)
    with pytest.raises(InputError, match="given twice"):
        merge((one.root / "m", one.root / "m"), out, None)
    (tmp_path / "copy").write_bytes((one.root / "m").read_bytes())
    with pytest.raises(InputError, match="given twice"):
        merge((one.root / "m", tmp_path / "copy"), out, None)
    with pytest.raises(InputError, match="name the right one with -w"):
        merge((other.root / "m",), out, one)
    csa.Moments.from_arrays(*pairs).save(tmp_path / "total")
    with pytest.raises(ArtifactError, match="another kind"):
        merge((tmp_path / "total",), out, None)
    assert not out.exists()
    few = team(tmp_path / "few", list(range(10)), *pairs)
    with pytest.raises(FeatureError, match="nearly give the features away"):
        PublishedMoments.of_workspace(few)


def test_the_commands(tmp_path, pairs, monkeypatch):
    ws = team(tmp_path / "t", list(range(N)), *pairs)
    write_json(ws.state / "x.json", {})
    monkeypatch.chdir(ws.root)
    done = CliRunner().invoke(main, ["moments", "m.safetensors"])
    assert done.exit_code == 0 and "moments of 540 training pairs in 270 groups" in done.output, (
        done.output
    )
    done = CliRunner().invoke(main, ["merge", "m.safetensors", "--out", "a.safetensors"])
    assert done.exit_code == 0 and "540 pairs in 270 groups from m.safetensors" in done.output, (
        done.output
    )
    assert csa.load(ws.root / "a.safetensors").n_pairs == 540
    done = CliRunner().invoke(main, ["merge", "gone", "--out", "b"])
    assert done.exit_code == 2 and not (ws.root / "b").exists()
