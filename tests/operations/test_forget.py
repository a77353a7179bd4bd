"""Forgetting an item: it is nowhere any more, stays out, and the next fit is that of a data set
that never had it.
"""

import hashlib
import json
import shutil

import polars as pl
import pytest
from small_repo import SmallRepo

from csa.datasets.exclude import Excluded, read_excluded, write_excluded
from csa.datasets.ingest import ingest
from csa.errors import ArtifactError, DataError, InputError
from csa.features.cache import FeatureCache, forget_items
from csa.operations.forgetting import forgetting, forgotten
from csa.operations.opened import Project
from csa.params.schema import Params
from csa.pipeline.workspace import Workspace


def sha(content):
    return hashlib.sha256(content).hexdigest()


def test_a_cache_without_an_item_is_one_that_never_had_it(tmp_path):
    import numpy as np

    rows = {name: np.full((1, 3), i, np.float32) for i, name in enumerate("abc")}
    cache = FeatureCache(tmp_path, "one encoder")
    cache.write(["a", "b"], np.vstack([rows["a"], rows["b"]]))
    cache.write(["c"], rows["c"])
    FeatureCache(tmp_path, "another").write(["b"], rows["b"])
    assert forget_items(tmp_path, {"b", "c", "unknown"}) == 3
    left = FeatureCache(tmp_path, "one encoder")
    (kept,) = left.read(["a", "b", "c"])
    assert kept[0] == "a" and (kept[1] == 0).all()
    assert list((tmp_path / "another").glob("*.safetensors")) == []
    assert forget_items(tmp_path, {"b"}) == 0


def table(folder, rows):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pairs.csv").write_text(
        "id,first,second\n" + "".join(f"{','.join(row)}\n" for row in rows)
    )
    return Params.from_mapping(
        {
            "dataset": {"kind": "table", "path": folder.name, "table": "pairs.csv"},
            "views": {
                "first": {"modality": "text", "encoder": "e"},
                "second": {"modality": "text", "encoder": "e"},
            },
        }
    )


def test_rows_with_a_forgotten_item_were_never_there(tmp_path):
    rows = [(f"p{i}", f"first {i // 2}", f"second {i}") for i in range(60)]
    gone = {sha(b"first 3"), sha(b"second 20")}
    params = table(tmp_path / "all", [*rows, ("broken", "first 3", "")])
    write_excluded(
        tmp_path / "exclude.csv", Excluded({"p1": "dull"}, dict.fromkeys(gone, "asked for"))
    )
    assert read_excluded(tmp_path / "exclude.csv") == Excluded(
        {"p1": "dull"}, dict.fromkeys(gone, "asked for")
    )
    result = ingest(params, tmp_path, progress=False)
    (tmp_path / "exclude.csv").unlink()
    never = ingest(
        table(tmp_path / "less", [row for row in rows if row[0] not in ("p1", "p6", "p7", "p20")]),
        tmp_path,
        False,
    )
    assert result.pairs.equals(never.pairs)
    assert result.quarantine["pair_id"].to_list() == ["p1"], (
        "no trace of what is forgotten, but for an excluded pair"
    )
    assert "rows left out because an item of theirs is to be forgotten: 4" in result.notes


def test_a_list_with_items_keeps_its_other_lines_and_columns(tmp_path):
    path = tmp_path / "exclude.csv"
    path.write_text("pair_id,reason,seen by\np1,a fish,ann\n")
    assert forgotten.list_items(path, {"0" * 64: "asked for"}) and not forgotten.list_items(
        path, {"0" * 64: "again"}
    )
    assert (
        path.read_text() == f"pair_id,reason,seen by,item\np1,a fish,ann,\n,asked for,,{'0' * 64}\n"
    )
    assert read_excluded(path) == Excluded({"p1": "a fish"}, {"0" * 64: "asked for"})
    path.write_text("item\nnot-a-hash\n")
    with pytest.raises(DataError, match="line 2: item 'not-a-hash' is not a sha256"):
        read_excluded(path)


def test_the_record_is_chained_and_brings_items_back_to_the_list(tmp_path, monkeypatch):
    ws = Workspace(tmp_path, tmp_path / ".csa")
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    no_scm = True\n")
    forgotten.note(
        ws,
        {
            "items": {"a" * 64: "asked for"},
            "removed": {},
            "unreached": {"team": "no network"},
            "versions": {},
        },
    )
    assert forgotten.wanted(ws) == {"a" * 64: "asked for"}
    assert forgotten.not_yet_carried_out(ws) == {"a" * 64: "asked for"}, "a remote was not reached"
    forgotten.note(
        ws, {"items": {"a" * 64: "asked for"}, "removed": {}, "unreached": {}, "versions": {}}
    )
    assert forgotten.not_yet_carried_out(ws) == {}
    assert forgetting.carry_out(Project(ws)) == [] and list(
        read_excluded(tmp_path / "exclude.csv").items
    ) == ["a" * 64]
    file = forgotten.record_file(ws)
    file.write_text(file.read_text().replace("asked for", "nobody asked", 1))
    with pytest.raises(ArtifactError, match="was edited"):
        forgotten.wanted(ws)


def everything_that_names(repo, store, *, hashes, words):
    """Files under the repository and the remote that hold one of the hashes or the words, less
    the data set and code.
    """
    found = set()
    for folder in (repo.root / ".csa", repo.root / ".dvc", repo.root / "data", store):
        for file in folder.rglob("*"):
            if not file.is_file():
                continue
            content = file.read_bytes()
            if file.suffix == ".parquet" or content[:4] == b"PAR1":
                frame = pl.read_parquet(file)
                values = {
                    value
                    for column in frame.iter_columns()
                    if column.dtype == pl.String
                    for value in column
                }
                hit = bool(values & {*hashes, *words})
            else:
                hit = any(name.encode() in content for name in (*hashes, *words))
            if hit:
                found.add(str(file.relative_to(repo.root.parent)))
    return found


@pytest.mark.pipeline
def test_after_forgetting_the_fit_is_that_of_data_that_never_had_the_items(tmp_path):
    repo, never = (SmallRepo(tmp_path / name) for name in ("repo", "never"))
    store = tmp_path / "store"
    assert repo.run("remote", "add", "team", str(store), "--local").returncode == 0
    before = repo.run_here()
    train = pl.read_parquet(repo.ws.pairs).filter(pl.col("split") == "train")
    image, text = train["image"][0], train["text"][1]
    hashes = [train["image_hash"][0], train["text_hash"][1]]
    (repo.ws.state / "indexes" / "main").mkdir(parents=True)
    (repo.ws.state / "indexes" / "main" / "as-of-csa-serve.faiss").write_text(text)
    assert len(everything_that_names(repo, store, hashes=hashes, words=[text])) > 10

    mlflow = repo.ws.state / "mlflow" / "artifacts"
    shown = [*mlflow.glob("*/artifacts/report.html"), *mlflow.rglob("sheet_*.png")]
    refused = repo.run("forget", "no such thing", "--reason", "x", "--yes")
    assert refused.returncode == 2 and "no item that a run or workspace knows" in refused.stderr
    assert repo.run("forget", image, "--reason", "x").returncode == 1, "asks, and nobody answers"
    done = repo.run("forget", image, text, "--reason", "asked for", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (
        said["removed"]["item cache"] == 2
        and said["removed"]["cache"] > 5
        and said["removed"]["team"] > 5
    )
    assert said["versions"] == {"shapes": ["1 challenger champion"]} and said["unreached"] == {}
    assert said["removed"]["reports"] >= len(shown) > 0, "they show the items"
    assert not any(file.exists() for file in shown)
    left = everything_that_names(repo, store, hashes=hashes, words=[text])
    allowed = (
        "repo/.csa/runs/",
        "repo/.csa/items/",
        "repo/.csa/metrics.duckdb",
        "repo/.csa/mlflow/",
        "repo/.csa/forgotten.jsonl",
    )
    assert all(name.startswith(allowed) for name in left), left
    assert not [name for name in left if text.encode() in (tmp_path / name).read_bytes()]

    after = repo.run_here()
    assert after["features"]["image"]["computed"] == 0, "the others' features were kept"
    assert (
        after["run_id"] != before["run_id"]
        and after["metrics"]["pairs"]["train"] == before["metrics"]["pairs"]["train"] - 2
    )
    never.write_table(
        [row for row in never.table() if image != row["image"] and text != row["text"]]
    )
    never.run_here()
    for artifact in ("alignment", "moments", "pairs", "metrics"):
        assert (
            getattr(repo.ws, artifact).read_bytes() == getattr(never.ws, artifact).read_bytes()
        ), artifact
    assert not [
        name
        for name in everything_that_names(repo, store, hashes=hashes, words=[text])
        if not name.startswith(allowed)
    ]

    # as a teammate's git pull does
    shutil.copy(repo.root / "exclude.csv", never.root / "exclude.csv")
    told = never.run("run", "--json")
    assert told.returncode == 0 and "exclude.csv names 2 items to forget" in told.stderr
    assert json.loads(told.stdout)["run_id"] == after["run_id"]


def test_what_nobody_knows_or_is_a_pairs_id_is_not_forgotten(tmp_path, monkeypatch):
    from workspaces import make_workspace

    ws = make_workspace(tmp_path)
    with pytest.raises(InputError, match="a typo"):
        forgetting.find(Project(ws), ("an unknown text",))
    pairs = pl.read_parquet(ws.pairs)
    found = forgetting.find(Project(ws), (pairs["text"][0], "f" * 64))
    assert found == {pairs["text"][0]: [pairs["text_hash"][0]], "f" * 64: ["f" * 64]}
