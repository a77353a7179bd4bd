"""Whoever can write to the shared folder cannot make a teammate's clone write elsewhere, believe
another result, or keep wrong features.
"""

import io
import json

import polars as pl
import pytest
from team import outputs, run, tree

from csa.encoders.registry import load_view_encoder
from csa.features.cache import FeatureCache

FEATURES = "data/features/image"


@pytest.mark.parametrize(
    "relpath",
    ["../../../planted.py", "../../.git/hooks/post-checkout", "../../params.yaml", "/tmp/planted"],
)
@pytest.mark.parametrize("lock", [False, True], ids=["unlocked", "locked"])
def test_a_list_of_files_writes_nowhere_else(team, tmp_path, relpath, lock):
    store = team.store_copy(tmp_path / "store")
    _, entry = store.entry(FEATURES)
    (oid,) = (out["md5"] for out in entry["outs"])
    planted = store.put(b"raise SystemExit('owned')\n")
    files = [*store.listing(oid), {"md5": planted, "relpath": relpath}]
    store.swap(FEATURES, store.put_listing(files))
    ws = team.teammate(tmp_path / "clones" / "mate", store.root, "embed@image", lock)
    before = tree(tmp_path / "clones")
    assert run(ws, ["embed@image"])["embed@image"] in ("ran", "restored")
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
    ws = team.teammate(tmp_path / "mate", store.root, "fit")
    params = ws.params_file.read_bytes()
    assert run(ws, ["fit"]) == {"fit": "ran"} and ws.params_file.read_bytes() == params
    assert outputs(ws, "fit") == team.outputs("fit")


@pytest.mark.parametrize(
    "name", ["/tmp/elsewhere", "../../foreign", "minilm-l6-v2-0000000000000000"]
)
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
    run(ws, ["embed@image"])
    assert foreign.read_bytes() == b"somebody's weights"
    encoder = load_view_encoder(team.owner.ws.params().views["image"])
    assert [path.name for path in ws.cache.iterdir()] == [encoder.fingerprint]
    assert outputs(ws, "embed@image") == team.outputs("embed@image")


def test_pictures_of_other_rows_are_not_believed(team, tmp_path):
    """Features of picture B would lie under the hash of picture A for ever."""
    store = team.store_copy(tmp_path / "store")
    file, entry = store.entry("data/pairs.parquet")
    at = next(out for out in entry["outs"] if out["path"] == "data/pairs.parquet")
    pairs = pl.read_parquet(io.BytesIO(store.read(at["md5"])))
    shifted = pairs.with_columns(pl.col("image").shift(1).fill_null(pl.col("image").last()))
    content = io.BytesIO()
    shifted.write_parquet(content)
    at["md5"] = store.put(content.getvalue())
    store.write_entry(file, entry)
    ws = team.teammate(tmp_path / "mate", store.root, "ingest")
    assert run(ws, ["ingest"]) == {"ingest": "ran"}
    assert outputs(ws, "ingest") == team.outputs("ingest")


def test_wrong_features_of_the_right_items_are_not_taken(team, tmp_path, capfd):
    store = team.store_copy(tmp_path / "store")
    swap_shard(store, lambda frame: frame.with_columns(pl.col("features").reverse()))
    ws = team.teammate(tmp_path / "mate", store.root, "embed@image")
    assert run(ws, ["embed@image"]) == {"embed@image": "ran"}
    assert "are not what the encoder gives here; none was taken" in capfd.readouterr().err
    assert outputs(ws, "embed@image") == team.outputs("embed@image")


def test_right_features_are_taken_and_none_is_computed_twice(team, tmp_path):
    ws = team.teammate(tmp_path / "mate", team.store, "embed@image")
    assert run(ws, ["embed@image"]) == {"embed@image": "ran"}
    record = json.loads(ws.stage_record("embed@image").read_text())
    assert record["computed"] == 0 and record["reused"] == 64
    assert outputs(ws, "embed@image") == team.outputs("embed@image")
    encoder = load_view_encoder(team.owner.ws.params().views["image"])
    assert len(FeatureCache(ws.cache, encoder.fingerprint).read(record_items(ws))) == 64


def test_a_good_score_beside_bad_ranks_is_not_believed(team, tmp_path):
    store = team.store_copy(tmp_path / "store")
    file, entry = store.entry("data/evaluation")
    at = next(out for out in entry["outs"] if out["path"] == "data/evaluation")
    files = store.listing(at["md5"])
    queries = next(one for one in files if one["relpath"] == "queries.parquet")
    table = pl.read_parquet(io.BytesIO(store.read(queries["md5"])))
    content = io.BytesIO()
    table.with_columns(mrr=pl.lit(1.0)).write_parquet(content)
    queries["md5"] = store.put(content.getvalue())
    at["md5"] = store.put_listing(files)
    store.write_entry(file, entry)
    ws = team.teammate(tmp_path / "mate", store.root, "evaluate")
    assert run(ws, ["evaluate"]) == {"evaluate": "ran"}
    assert outputs(ws, "evaluate") == team.outputs("evaluate")


def test_a_pipe_in_the_place_of_an_object_is_not_waited_for(team, tmp_path):
    import os

    store = team.store_copy(tmp_path / "store")
    _, entry = store.entry("data/fit.json")
    for out in entry["outs"]:
        object_file = store.root / "files" / "md5" / out["md5"][:2] / out["md5"][2:]
        object_file.unlink()
        os.mkfifo(object_file)
    ws = team.teammate(tmp_path / "mate", store.root, "fit", lock=True)
    assert run(ws, ["fit"]) == {"fit": "ran"}
    assert outputs(ws, "fit") == team.outputs("fit")


def swap_shard(store, change):
    """Put a changed table in the place of the first shard of the pictures' features."""
    _, entry = store.entry(FEATURES)
    files = store.listing(entry["outs"][0]["md5"])
    shard = next(one for one in files if one["relpath"].endswith(".parquet"))
    content = io.BytesIO()
    frame = change(pl.read_parquet(io.BytesIO(store.read(shard["md5"]))))
    frame.write_parquet(content, compression="uncompressed", statistics=False)
    shard["md5"] = store.put(content.getvalue())
    store.swap(FEATURES, store.put_listing(files))


def record_items(ws):
    return pl.read_parquet(ws.pairs)["image_hash"].unique().to_list()
