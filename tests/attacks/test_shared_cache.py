"""Whoever can write to the shared folder cannot make a teammate's clone write elsewhere, believe
another result, or keep wrong features.
"""

import io
import json
import os
import shutil
from itertools import pairwise

import polars as pl
import pytest
import yaml
from dvc_objects.fs.local import LocalFileSystem
from team import outputs, run, tree

from csa.encoders.registry import load_view_encoder
from csa.errors import ArtifactError
from csa.features.cache import FeatureCache
from csa.operations.cache import objects, seeding
from csa.operations.cache.objects import Made
from csa.operations.cache.restoring import restore
from csa.operations.cache.structure import files_of
from csa.operations.forgetting import purge
from csa.operations.opened import Project

FEATURES = "data/features/image"


PLACES = [
    "../../../planted.py",
    "../../.git/hooks/post-checkout",
    "../../params.yaml",
    "/tmp/planted",
]


@pytest.mark.parametrize(
    "name", [*PLACES, "a\\b", "a//b", "./a", "a/../b", ".git/hooks/x", "index.json/x", "new.py", ""]
)
@pytest.mark.parametrize("command", ["python -m csa.pipeline embed image", "their own"])
def test_a_list_of_files_is_read_before_anything_is_written(name, command):
    def listing(*names):
        return json.dumps([{"md5": f"{at:032x}", "relpath": one} for at, one in enumerate(names)])

    good = ["index.json", f"{1:016x}.parquet"]
    assert list(files_of(command, FEATURES, listing(*good).encode())) == good
    if command == "their own" and name == "new.py":
        return  # what a stage of one's own writes nobody else knows
    with pytest.raises(ArtifactError, match=r"the list of files|which its stage would not write"):
        files_of(command, FEATURES, listing(*good, name).encode())


@pytest.mark.parametrize(
    "content",
    [b"", b"[", b"{}x", b'[{"relpath": "a"}]', b'[["a", "b"]]', b"[" * 100_000],
    ids=["empty", "open", "more", "half", "lists", "deep"],
)
def test_a_list_of_files_that_is_none_is_refused(content):
    with pytest.raises(ArtifactError, match="the list of files"):
        files_of("their own", FEATURES, content)


def test_a_list_of_files_writes_nowhere_else(team, tmp_path):
    store = team.store_copy(tmp_path / "store")
    _, entry = store.entry(FEATURES)
    (oid,) = (out["md5"] for out in entry["outs"])
    planted = store.put(b"raise SystemExit('owned')\n")
    files = [*store.listing(oid), *({"md5": planted, "relpath": name} for name in PLACES)]
    store.swap(FEATURES, store.put_listing(files))
    ws = team.teammate(tmp_path / "clones" / "mate", store.root, "embed@image")
    before = tree(tmp_path / "clones")
    assert run(ws, ["embed@image"]) == {"embed@image": "ran"}
    assert outputs(ws, "embed@image") == team.outputs("embed@image")
    made = {f"mate/{name}" for name in team.outputs("embed@image")}
    after = tree(tmp_path / "clones")
    assert after.keys() - before.keys() <= {*made, "mate/dvc.lock"}
    assert {name for name in before if after[name] != before[name]} <= {"mate/dvc.lock"}


def test_an_entry_writes_no_other_output_and_makes_no_program(team, tmp_path):
    store = team.store_copy(tmp_path / "store")
    file, entry = store.entry("data/fit.json")
    planted = store.put(b"#!/bin/sh\ntouch owned\n")
    entry["outs"][0] |= {"path": "params.yaml", "md5": planted, "isexec": True}
    store.write_entry(file, entry)
    nothing_comes(team.teammate(tmp_path / "mate", store.root, "fit"), "fit")


@pytest.mark.parametrize("name", ["/tmp/elsewhere", "../../foreign"])
def test_the_name_of_an_encoder_opens_no_other_cache(team, tmp_path, name):
    store = team.store_copy(tmp_path / "store")
    _, entry = store.entry(FEATURES)
    files = store.listing(entry["outs"][0]["md5"])
    index = next(one for one in files if one["relpath"] == "index.json")
    changed = json.loads(store.read(index["md5"])) | {"fingerprint": name}
    index["md5"] = store.put(json.dumps(changed, indent=2).encode())
    store.swap(FEATURES, store.put_listing(files))
    ws = team.teammate(tmp_path / "mate", store.root, "embed@image")
    foreign = tmp_path / "mate" / ".csa" / "foreign" / "precious.safetensors"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"somebody's weights")
    seeding.from_the_team(Project(ws), "embed@image")
    assert foreign.read_bytes() == b"somebody's weights"
    encoder = load_view_encoder(team.owner.ws.params().views["image"])
    assert [path.name for path in ws.cache.iterdir()] == [encoder.fingerprint]


def test_pictures_of_other_rows_are_not_believed(team, tmp_path):
    """Features of picture B would lie under the hash of picture A for ever."""
    store = team.store_copy(tmp_path / "store")
    file, entry = store.entry("data/pairs.parquet")
    at = next(out for out in entry["outs"] if out["path"] == "data/pairs.parquet")
    pairs = pl.read_parquet(io.BytesIO(store.read(at["md5"])))
    shifted = pairs.with_columns(pl.col("image").shift(1).fill_null(pl.col("image").last()))
    at["md5"] = store.put(as_parquet(shifted))
    store.write_entry(file, entry)
    nothing_comes(team.teammate(tmp_path / "mate", store.root, "ingest"), "ingest")


def test_wrong_features_of_the_right_items_are_not_taken(team, tmp_path, capfd):
    store = team.store_copy(tmp_path / "store")
    swap_shard(store, lambda frame: frame.with_columns(pl.col("features").reverse()))
    ws = team.teammate(tmp_path / "mate", store.root, "embed@image")
    seeding.from_the_team(Project(ws), "embed@image")
    assert "differ from what the encoder gives here; none was used" in capfd.readouterr().err
    assert not known_features(team, ws)


def test_right_features_are_taken_and_none_is_computed_twice(team, tmp_path, capfd):
    ws = team.teammate(tmp_path / "mate", team.store, "embed@image")
    assert run(ws, ["embed@image"]) == {"embed@image": "ran"}
    assert "team has a result of embed@image for these inputs" in capfd.readouterr().err
    record = json.loads(ws.stage_record("embed@image").read_text())
    assert record["computed"] == 0 and record["reused"] == 64
    assert outputs(ws, "embed@image") == team.outputs("embed@image")
    assert len(known_features(team, ws)) == 64


def test_a_good_score_beside_bad_ranks_is_not_believed(team, tmp_path):
    store = team.store_copy(tmp_path / "store")
    file, entry = store.entry("data/evaluation")
    at = next(out for out in entry["outs"] if out["path"] == "data/evaluation")
    files = store.listing(at["md5"])
    queries = next(one for one in files if one["relpath"] == "queries.parquet")
    table = pl.read_parquet(io.BytesIO(store.read(queries["md5"])))
    queries["md5"] = store.put(as_parquet(table.with_columns(mrr=pl.lit(1.0))))
    at["md5"] = store.put_listing(files)
    store.write_entry(file, entry)
    nothing_comes(team.teammate(tmp_path / "mate", store.root, "evaluate"), "evaluate")


def test_a_pipe_in_the_place_of_an_object_is_not_waited_for(team, tmp_path):
    store = team.store_copy(tmp_path / "store")
    _, entry = store.entry("data/fit.json")
    for out in entry["outs"]:
        object_file = store.root / "files" / "md5" / out["md5"][:2] / out["md5"][2:]
        object_file.unlink()
        os.mkfifo(object_file)
    nothing_comes(team.teammate(tmp_path / "mate", store.root, "fit", lock=True), "fit")


def test_an_entry_that_is_endless_when_written_out_is_none():
    """YAML's references: a few bytes say ten lists of ten lists, and so on."""
    levels = [f"  {b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in pairwise("abcdefghij")]
    text = "cmd: x\nouts:\n- z: &a [x]\n" + "".join(levels)
    with pytest.raises(ValueError, match="fields that it may not have"):
        Made.of(yaml.load(text, yaml.CSafeLoader))


def test_a_link_in_the_place_of_a_folder_leads_nowhere(team, tmp_path):
    shared = team.store_copy(tmp_path / "store")
    store = objects.Store(LocalFileSystem(), str(shared.root))
    assert list(store.entries()) and list(store.objects())
    for name in ("runs", "files"):
        shutil.move(shared.root / name, tmp_path / name)
        (shared.root / name).symlink_to(tmp_path / name)
    assert not list(store.entries()) and not list(store.objects())


def test_an_object_fills_no_disk(team, tmp_path, capfd):
    """A file of a terabyte, which takes no room where it lies."""
    store = team.store_copy(tmp_path / "store")
    _, entry = store.entry("data/fit.json")
    for out in entry["outs"]:
        store.overwrite(out["md5"], b"")
        os.truncate(store.root / "files" / "md5" / out["md5"][:2] / out["md5"][2:], 1 << 40)
    ws = team.teammate(tmp_path / "mate", store.root, "fit", lock=True)
    nothing_comes(ws, "fit")
    assert "arrived damaged from team; computing fit here" in capfd.readouterr().err

    file, entry = store.entry(FEATURES)
    entry["outs"][0]["size"] = 1 << 60
    store.write_entry(file, entry)
    ws = team.teammate(tmp_path / "other", store.root, "embed@image")
    seeding.from_the_team(Project(ws), "embed@image")
    assert "an entry says that its outputs have 1,152,921,504" in capfd.readouterr().err
    assert not known_features(team, ws)


def test_whoever_plants_many_entries_costs_a_teammate_a_few_tries(team, tmp_path, capfd):
    store = team.store_copy(tmp_path / "store")
    file, entry = store.entry(FEATURES)
    for number in range(9):
        planted = store.put_listing([{"md5": f"{number:032x}", "relpath": "../x"}])
        entry["outs"][0]["md5"] = planted
        file.with_name(f"{number:064x}").write_text(yaml.safe_dump(entry))
    file.unlink()
    ws = team.teammate(tmp_path / "mate", store.root, "embed@image")
    seeding.from_the_team(Project(ws), "embed@image")
    said = capfd.readouterr().err
    assert said.count("which lies outside it") == 3
    assert "no more features of image from the team are tried" in said


def test_who_forgets_waits_for_no_pipe(team, tmp_path):
    store = team.store_copy(tmp_path / "store")
    ws = team.teammate(tmp_path / "mate", store.root)
    pipe = store.root / "files" / "md5" / "ab" / f"{0:030x}"
    pipe.parent.mkdir(exist_ok=True)
    os.mkfifo(pipe)
    bomb = io.BytesIO()
    rows = pl.repeat("a" * 64, 4_500_000, eager=True).alias("item")
    rows.to_frame().with_columns(features=0.0).write_parquet(bomb, compression="zstd")
    store.put(bomb.getvalue())
    store.put(b"PAR1 and no more")
    assert purge.look_again(ws, {"b" * 64}) is None


def nothing_comes(ws, stage):
    """The stage is to be computed, and nothing was written before."""
    before = tree(ws.root)
    assert restore(ws, stage).status == "missing" and tree(ws.root) == before


def known_features(team, ws):
    encoder = load_view_encoder(team.owner.ws.params().views["image"])
    items = pl.read_parquet(ws.pairs)["image_hash"].unique().to_list()
    return dict(FeatureCache(ws.cache, encoder.fingerprint).read(items))


def as_parquet(frame):
    content = io.BytesIO()
    frame.write_parquet(content, compression="uncompressed", statistics=False)
    return content.getvalue()


def swap_shard(store, change):
    """Put a changed table in the place of the first shard of the pictures' features."""
    _, entry = store.entry(FEATURES)
    files = store.listing(entry["outs"][0]["md5"])
    shard = next(one for one in files if one["relpath"].endswith(".parquet"))
    frame = change(pl.read_parquet(io.BytesIO(store.read(shard["md5"]))))
    shard["md5"] = store.put(as_parquet(frame))
    store.swap(FEATURES, store.put_listing(files))
