"""Unpaired items in the whole pipeline: read, embedded once, fitted on, and gone when they are no
longer named.
"""

import copy
import hashlib
import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import yaml
from PIL import Image
from small_repo import SHAPES, SHAPES_PARAMS, SmallRepo, draw_shape
from team import run, share_through

import csa
from csa.features.shards import FeatureTable
from csa.operations.cache import sharing
from csa.pipeline.labelled import circular
from csa.pipeline.workspace import Workspace
from csa.questions.suggest import suggest
from csa.storage.container import load_tensors

MORE = ["pink", "grey", "cyan"]


def with_pools(images="pool", labels="auto"):
    params = copy.deepcopy(SHAPES_PARAMS)
    params["dataset"]["unpaired"] = {"image": images, "text": "pool.txt"}
    params["views"]["image"]["labels"] = labels
    return params


def alignment_hash(repo):
    return hashlib.sha256(repo.ws.alignment.read_bytes()).hexdigest()


def paired(repo, split):
    return pl.read_parquet(repo.ws.pairs).filter(pl.col("split") == split)


def account(repo, view):
    return json.loads((repo.ws.unpaired(view) / "account.json").read_text())


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """A project after a run without pools and one with pools in which all held-out items and a
    training item were planted.
    """
    repo = SmallRepo(tmp_path_factory.mktemp("unpaired") / "repo")
    repo.first = repo.run_here()
    repo.plain = alignment_hash(repo)
    test, train = paired(repo, "test"), paired(repo, "train")
    texts = [f"a {colour} {shape}" for colour in MORE for shape in SHAPES]
    for folder in ("pool", "clean"):
        (repo.root / folder).mkdir()
        for text in texts:
            _, colour, shape = text.split()
            draw_shape(colour, shape).save(repo.root / folder / f"{colour}-{shape}.png")
    for name in [*test["image"], train["image"][0]]:
        copied = (repo.root / "shapes" / name).read_bytes()
        (repo.root / "pool" / name.rpartition("/")[2]).write_bytes(copied)
    (repo.root / "pool.txt").write_text("\n".join([*texts, *test["text"]]))
    repo.set_params(with_pools())
    repo.summary, repo.texts = repo.run_here(), texts
    return repo


@pytest.mark.pipeline
def test_a_teammate_computes_what_is_new_alone(story, tmp_path, capfd):
    """Of a pool with one picture more, and of pairs of which one was unpaired at the owner's."""
    share_through(story.root, tmp_path / "store")
    assert sharing.push(story.ws).shared
    (story.root / ".dvc" / "config.local").unlink()
    own = shutil.ignore_patterns(".csa", "data", "dvc.lock", "cache", "tmp")
    root = shutil.copytree(story.root, tmp_path / "mate", ignore=own)
    mate = Workspace(root, root / ".csa")
    draw_shape("olive", "star").save(mate.root / "pool" / "olive-star.png")
    shutil.move(mate.root / "pool" / "pink-ring.png", mate.root / "shapes" / "images")
    with (mate.root / "shapes" / "pairs.csv").open("a") as file:
        file.write("new,images/pink-ring.png,a pink ring\n")
    plain = with_pools(labels="none")
    del plain["views"]["image"]["batch_size"]  # a default, which is in no feature
    (mate.root / "params.yaml").write_text(yaml.safe_dump(plain))
    share_through(mate.root, tmp_path / "store")
    stages = ["ingest", "unpaired@image", "embed@image"]
    assert set(run(mate, stages).values()) == {"ran"}
    for stage, computed in (("unpaired@image", 1), ("embed@image", 0)):
        costs = json.loads(mate.stage_record(stage).read_text())
        assert costs["computed"] == computed, stage
    assert len(FeatureTable.read(mate.unpaired("image")).items) == len(story.texts)
    assert "none was used" not in capfd.readouterr().err


@pytest.mark.pipeline
def test_pools_are_stages_and_a_held_out_item_is_in_none(story):
    ran = {stage["stage"] for stage in story.summary["stages"] if stage["status"] == "ran"}
    assert {"unpaired@image", "unpaired@text", "fit"} <= ran
    test = paired(story, "test")
    for view, known in (("image", 1), ("text", 0)):
        found = account(story, view)
        items = pl.read_parquet(story.ws.unpaired(view) / "items.parquet")
        assert not set(items[f"{view}_hash"]) & set(test[f"{view}_hash"])
        assert found["held-out items"] == len(test)
        assert found["items of training pairs"] == known
        assert len(items) == found["items"] == len(story.texts)
    header, tensors = load_tensors(story.ws.labels("image"), "labels")
    assert len(header["names"]) == 1000
    assert tensors["label_features"].shape == (1000, 384)
    fit = json.loads(story.ws.fit_report.read_text())
    assert fit["unpaired"]["items"] == [len(story.texts)] * 2
    checks = {one["name"]: one for one in json.loads(story.ws.checks.read_text())}
    assert "unpaired_near_duplicates" in checks


@pytest.mark.pipeline
def test_the_plan_counts_the_pools(story):
    plan = json.loads(story.run("plan", "--json").stdout)
    assert plan["stages"]["unpaired@image"] == plan["stages"]["fit"] == "up to date"
    pools = {one["view"]: one for one in plan["views"] if one["view"].startswith("unpaired ")}
    assert set(pools) == {"unpaired image", "unpaired text"}
    found = account(story, "image")
    assert pools["unpaired image"]["items"] == found["found"]
    assert pools["unpaired image"]["missing"] == 0


@pytest.mark.pipeline
def test_what_to_label_next_are_files_and_texts_of_the_pool(story, tmp_path):
    table = tmp_path / "next.csv"
    done = story.run("suggest-pairs", "image", "--count", "5", "--csv", str(table))
    assert done.returncode == 0, done.stderr
    first, *lines, last = done.stdout.splitlines()
    count, known = len(story.texts), len(paired(story, "train"))
    assert first.startswith(f"5 of {count} unpaired image items, the most telling first")
    assert f"beside {known} that have a partner" in first and last == f"table: {table}"
    written = pl.read_csv(table, infer_schema=False)
    assert written.columns == ["id", "image", "text"] and set(written["text"]) == {""}
    hashes = [
        hashlib.sha256((story.root / path).read_bytes()).hexdigest() for path in written["image"]
    ]
    assert written["id"].to_list() == hashes and len(set(hashes)) == 5
    shown = [line.split(maxsplit=2) for line in lines]
    assert shown == [
        [str(rank), item[:12], path] for rank, (item, path, _) in enumerate(written.rows(), 1)
    ]
    more = json.loads(story.run("suggest-pairs", "image", "-n", "999", "--json").stdout)
    assert len(more["items"]) == more["pool"] == more["looked_at"] == count
    assert [item["id"] for item in more["items"][:5]] == hashes
    texts = json.loads(story.run("suggest-pairs", "text", "--json").stdout)["items"]
    assert len(texts) == 20 and {item["text"] for item in texts} <= set(story.texts)
    done = story.run("suggest-pairs", "sound")
    assert done.returncode == 2 and "it has image, text" in done.stderr
    odd = tmp_path / "p[1]"  # no pattern of files
    for folder in ("data", "pool"):
        shutil.copytree(story.root / folder, odd / folder)
    shutil.copy(story.root / "params.yaml", odd)
    ws = Workspace(odd, odd / ".csa")
    assert suggest(ws, "image", 5).items["id"].to_list() == hashes
    ws.unpaired_items("image").write_bytes(b"PAR1")
    with pytest.raises(csa.CSAError, match="damaged"):
        suggest(ws, "image", 5)


@pytest.mark.pipeline
def test_near_twins_of_held_out_items_refuse_where_a_limit_says_so_and_the_remedy_helps(story):
    """The same pixels in other files are no equal items, so nothing else leaves them out."""
    test, twins = paired(story, "test"), story.root / "twins"
    shutil.copytree(story.root / "clean", twins)
    for name in test["image"]:
        twin = Image.open(story.root / "shapes" / name)
        twin.save(twins / name.rpartition("/")[2], compress_level=1)
    params = with_pools("twins")
    params["checks"] = {"unpaired_near_duplicates": [0.05, 0.5]}
    story.set_params(params)
    done = story.run("repro", "check", module="dvc")
    assert done.returncode != 0
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("csa: refused: ")]
    n = len(test)
    assert f"unpaired_near_duplicates: {n} of {n} held-out image items have a near-twin" in said
    assert "the limit is 0.5" in said
    plain = story.run("run")
    assert plain.returncode == 1 and said in plain.stderr
    params["checks"] = {said.rpartition("checks.")[2].split()[0]: [0.05, None]}
    story.set_params(params)
    done = story.run("repro", "check", module="dvc")
    assert done.returncode == 0, done.stderr
    found = json.loads(story.ws.checks.read_text())
    outcomes = [one["outcome"] for one in found if one["name"] == "unpaired_near_duplicates"]
    assert outcomes == ["warn", "pass"], "of the pictures and of the texts"


@pytest.mark.pipeline
def test_planted_held_out_items_change_nothing_and_a_new_picture_costs_one(story):
    with_planted = alignment_hash(story)
    story.set_params(with_pools("clean"))
    done = story.run("repro", "fit", module="dvc")
    assert done.returncode == 0, done.stderr
    assert alignment_hash(story) == with_planted
    assert story.stage_record("unpaired@image")["computed"] == 0
    draw_shape("olive", "star").save(story.root / "clean" / "olive-star.png")
    done = story.run("repro", "unpaired@image", module="dvc")
    assert done.returncode == 0, done.stderr
    record = story.stage_record("unpaired@image")
    assert (record["computed"], record["reused"]) == (1, len(story.texts))


@pytest.mark.pipeline
def test_lineage_knows_what_was_unpaired_and_forgetting_reaches_it(story):
    text = story.texts[0]
    model = json.loads(story.run("lineage", story.summary["run_id"], "--json").stdout)
    assert model["data"]["unpaired"] == {"image": len(story.texts), "text": len(story.texts)}
    fit = json.loads((story.ws.runs / story.summary["run_id"] / "fit.json").read_text())
    assert model["labels"] == (fit["unpaired"].get("label_names", []))
    item = json.loads(story.run("lineage", text, "--item", "--json").stdout)
    assert item["found_as"] == ["text"]
    assert [(row["training"], row["held_out"], row["unpaired"]) for row in item["runs"]] == [
        (0, 0, 1)
    ]
    done = story.run("forget", text, "--reason", "asked for", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["versions"].keys() == {"shapes"}
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    for path in story.ws.data.rglob("*.parquet"):
        assert sha256.encode() not in path.read_bytes()
    story.run("repro", "unpaired@text", module="dvc")
    left = pl.read_parquet(story.ws.unpaired_items("text"))
    assert len(left) == len(story.texts) - 1 and account(story, "text")["forgotten"] == 1


@pytest.mark.pipeline
def test_what_is_no_longer_named_is_gone_and_the_model_as_it_was(story):
    story.set_params(SHAPES_PARAMS)
    again = story.run_here()
    assert alignment_hash(story) == story.plain
    assert again["run_id"] == story.first["run_id"]
    assert not story.ws.unpaired("image").parent.exists()
    done = story.run("suggest-pairs", "image")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "names no items of such a view; it has none" in done.stderr


def test_classes_that_the_labels_named_are_not_measured():
    rng = np.random.default_rng(0)
    plain = csa.CSA(score="canonical", shrinkage=0.1).fit(
        rng.normal(size=(20, 3)), rng.normal(size=(20, 3))
    )
    seen = {"unpaired": {"label_names": ["tench, Tinca tinca", "great white shark"]}}
    told = replace(plain.alignment_, notes=seen)

    def asked(*labels):
        return SimpleNamespace(labels=list(labels), image_view="image")

    assert circular(plain.alignment_, asked("tench", "dog")) is None
    assert circular(told, asked("dog", "shark")) is None
    for label in ("tinca_tinca", "Great-White Shark", "tench, Tinca tinca"):
        assert "1 of 2 classes" in circular(told, asked("dog", label))
