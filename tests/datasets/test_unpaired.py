"""Items without a partner: where they are read from, what is left out of them."""

import hashlib

import numpy as np
import polars as pl
import pytest
from PIL import Image

from csa.datasets.unpaired import read_unpaired
from csa.errors import DataError, ParamsError
from csa.params.data import DatasetParams
from csa.params.schema import Params
from csa.params.views import ViewParams

PICTURES = ViewParams(modality="image", encoder="efficientnet-lite0")
TEXTS = ViewParams(modality="text", encoder="minilm-l6-v2")
ROWS = ViewParams(modality="array", encoder="precomputed")


def draw(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read(root, view, settings, source, pairs=None, **dataset):
    params = DatasetParams(path="set", unpaired={view: source}, **dataset)
    return read_unpaired(params, (view, settings), root, pairs)


def pairs_of(view, hashes):
    return pl.DataFrame({"split": [s for s, _ in hashes], f"{view}_hash": [h for _, h in hashes]})


def test_a_folder_gives_its_pictures_at_any_depth_less_what_is_known(tmp_path):
    names = ["a.png", "deep/b.png", "deep/er/c.jpg", "d.png"]
    hashes = {name: draw(tmp_path / "pool" / name, i) for i, name in enumerate(names)}
    draw(tmp_path / "pool" / "again.png", 0)
    (tmp_path / "pool" / "notes.md").write_text("no picture")
    pairs = pairs_of("image", [("test", hashes["d.png"]), ("train", hashes["deep/b.png"])])
    found = read(tmp_path, "image", PICTURES, "pool", pairs)
    assert found.items["image"].to_list() == ["a.png", "deep/er/c.jpg"]
    assert found.items["image_hash"].to_list() == [hashes["a.png"], hashes["deep/er/c.jpg"]]
    assert found.root == tmp_path / "pool"
    account = found.account
    assert (account["found"], account["items"]) == (5, 2)
    assert account["held-out items"] == account["items of training pairs"] == 1
    assert account["items that another repeats"] == 1
    assert account["source"]["files"] == {"total": 6, "used": 5, "set_aside": 0, "left_out": 1}


def test_held_out_items_in_the_pool_change_nothing(tmp_path):
    """The pool that a fit sees is the same whether or not held-out items were planted in it."""
    held_out = [draw(tmp_path / "pool" / f"{i}.png", i) for i in range(3)]
    for i in range(3, 9):
        draw(tmp_path / "pool" / f"{i}.png", i)
        draw(tmp_path / "clean" / f"{i}.png", i)
    pairs = pairs_of("image", [("test", item) for item in held_out])
    planted, clean = (read(tmp_path, "image", PICTURES, name, pairs) for name in ("pool", "clean"))
    assert planted.items.equals(clean.items)
    assert planted.account["held-out items"] == 3


@pytest.mark.parametrize("name", ["pool.txt", "pool.csv", "pool.jsonl", "pool.parquet"])
def test_texts_come_a_line_each_or_from_a_column(tmp_path, name):
    texts, path = ["a dog", "snow falls", "a dog", "two cats"], tmp_path / name
    frame = pl.DataFrame({"id": [1, 1, 2, 2], "text": texts, "split": ["x", "y", "z", None]})
    if name.endswith(".txt"):
        path.write_text("\n".join([*texts, "", " two cats "]), encoding="utf-8")
    else:
        writers = {"csv": frame.write_csv, "jsonl": frame.write_ndjson}
        writers.get(path.suffix[1:], frame.write_parquet)(path)
    found = read(tmp_path, "text", TEXTS, str(path))
    assert found.items["text"].to_list() == ["a dog", "snow falls", "two cats"]
    assert found.items["text_hash"][0] == hashlib.sha256(b"a dog").hexdigest()


def test_a_column_is_called_as_in_the_pairs_table_or_by_the_view(tmp_path):
    for name in ("caption", "text"):
        (tmp_path / f"{name}.csv").write_text(f"{name}\na dog\n")
        found = read(tmp_path, "text", TEXTS, f"{name}.csv", columns={"text": "caption"})
        assert found.items["text"].to_list() == ["a dog"]


def test_features_come_a_row_each(tmp_path):
    features = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.save(tmp_path / "pool.npy", features[[0, 1, 2, 1, 4]])
    found = read(tmp_path, "image", ROWS, "pool.npy")
    assert len(found.items) == 4
    assert found.items["image_hash"][0] == hashlib.sha256(features[0].tobytes()).hexdigest()


def test_unusable_and_forgotten_items_are_treated_as_everywhere(tmp_path):
    gone = draw(tmp_path / "pool" / "a.png", 0)
    draw(tmp_path / "pool" / "b.png", 1)
    (tmp_path / "pool" / "broken.png").write_bytes(b"\x89PNG no")
    (tmp_path / "exclude.csv").write_text(f"item,reason\n{gone},asked\n")
    with pytest.raises(DataError, match="1 of 3 rows are unusable"):
        read(tmp_path, "image", PICTURES, "pool")
    found = read(tmp_path, "image", PICTURES, "pool", on_error="quarantine")
    assert found.items["image"].to_list() == ["b.png"]
    assert found.quarantine["row"].to_list() == ["broken.png"]
    assert (found.account["set_aside"], found.account["forgotten"]) == (1, 1)


@pytest.mark.parametrize(
    ("settings", "source", "message"),
    [
        (PICTURES, "nowhere", "no such file or folder; correct dataset.unpaired.v"),
        (PICTURES, "empty", "no file of this modality"),
        (PICTURES, "words.txt", "are a folder or a table"),
        (TEXTS, "empty", "a file ending .txt, a text a line, or a table"),
        (TEXTS, "other.csv", "no column 'v'"),
        (ROWS, "empty", "are a file of features"),
    ],
)
def test_a_pool_that_cannot_be_read_says_why(tmp_path, settings, source, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "words.txt").write_text("a dog\n")
    (tmp_path / "other.csv").write_text("word\na dog\n")
    with pytest.raises(DataError, match=message):
        read(tmp_path, "v", settings, source)


def test_only_views_have_unpaired_items():
    with pytest.raises(ParamsError, match="which is not a view; the views are image, text"):
        Params.from_mapping({"dataset": {"unpaired": {"sound": "x"}}})
    task = {"kind": "transfer", "dataset": {"unpaired": {"image": "x"}}}
    with pytest.raises(ParamsError, match=r"nothing is fitted in tasks\.t"):
        Params.from_mapping({"tasks": {"t": task}})


def test_parameters_without_pools_are_dumped_as_ever():
    dumped = Params.from_mapping({}).dump()
    assert "labels" not in dumped["views"]["image"]
    given = Params.from_mapping(
        {
            "views": {
                "image": {"modality": "image", "encoder": "efficientnet-lite0", "labels": "none"},
                "text": {"modality": "text", "encoder": "minilm-l6-v2"},
            }
        }
    )
    assert given.dump()["views"]["image"]["labels"] == "none"
