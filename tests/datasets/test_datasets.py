"""Readers, the checks of every row, groups, splits, and loading items again."""

import hashlib
import json
import os
import zipfile

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import save_file

from csa.datasets.building import Building
from csa.datasets.groups import split_fraction
from csa.datasets.ingest import ingest
from csa.datasets.items import item_loader
from csa.datasets.pairs import build_pairs
from csa.datasets.pairs_table import read_pairs, write_pairs
from csa.datasets.roots import dataset_root
from csa.datasets.rows import RawPair
from csa.errors import ArtifactError, DataError, InputError
from csa.params.data import DatasetParams
from csa.params.schema import Params
from csa.params.views import ViewParams

N = 30
TEXT = ViewParams(modality="text", encoder="minilm-l6-v2")
ARRAY = ViewParams(modality="array", encoder="precomputed")


def params(path="set", views=None, **dataset):
    mapping = {"dataset": {"path": str(path), **dataset}}
    if views:
        encoders = {"image": "efficientnet-lite0", "text": "minilm-l6-v2", "array": "precomputed"}
        mapping["views"] = {
            name: {"modality": kind, "encoder": encoders[kind]} for name, kind in views.items()
        }
    return Params.from_mapping(mapping)


def draw(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path):
    """A data set folder with images 0.png ... and no table yet."""
    for i in range(N):
        draw(tmp_path / "set" / "images" / f"{i}.png", i)
    return tmp_path / "set"


def table(folder, rows=None, header="id,image,text", name="pairs.csv"):
    rows = rows if rows is not None else [f"p{i},images/{i}.png,caption {i}" for i in range(N)]
    (folder / name).write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return rows


def read(folder, **dataset):
    return ingest(params(**dataset), folder.parent, progress=False)


def refused(folder, match, **dataset):
    with pytest.raises(DataError, match=match) as caught:
        read(folder, **dataset)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# The pairs table


def test_columns_order_and_hashes(folder):
    table(folder)
    pairs = read(folder).pairs
    assert pairs.columns == [
        "pair_id",
        "group",
        "split",
        "label",
        "image",
        "image_hash",
        "text",
        "text_hash",
    ]
    assert set(pairs.dtypes) == {pl.String}
    assert pairs["pair_id"].to_list() == [f"p{i}" for i in range(N)]
    row = pairs.row(3, named=True)
    assert row["image"] == "images/3.png"
    assert row["image_hash"] == hashlib.sha256((folder / "images/3.png").read_bytes()).hexdigest()
    assert row["text_hash"] == hashlib.sha256(b"caption 3").hexdigest()
    assert row["group"] == row["image_hash"]
    assert row["label"] is None


def test_parquet_is_deterministic_and_comes_back(folder, tmp_path):
    table(folder)
    for name in ("a", "b"):
        write_pairs(read(folder).pairs, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert read_pairs(tmp_path / "a").equals(read(folder).pairs)
    assert str(tmp_path).encode() not in (tmp_path / "a").read_bytes()


def test_read_pairs_of_missing_damaged_or_other_files(tmp_path):
    with pytest.raises(ArtifactError, match="no such file"):
        read_pairs(tmp_path / "none")
    (tmp_path / "damaged").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(ArtifactError, match="damaged"):
        read_pairs(tmp_path / "damaged")
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "other")
    with pytest.raises(ArtifactError, match="not a pairs table"):
        read_pairs(tmp_path / "other")


# Rows at fault


def faulty(folder):
    """Five unusable rows among sound ones."""
    whole = (folder / "images/1.png").read_bytes()
    (folder / "images/1.png").write_bytes(whole[: len(whole) // 2])
    (folder / "images/2.png").write_text("no image")
    rows = table(folder)
    rows[0] = "p0,images/none.png,caption 0"
    rows[3] = "p3,images/3.png,   "
    rows[4] = ",images/4.png,caption 4"
    table(folder, rows)


def test_refuse_counts_and_names_the_first_three(folder):
    faulty(folder)
    message = refused(folder, "5 of 30 rows are unusable")
    assert "row 1 (id p0): image: images/none.png: no such image file" in message
    assert "row 2 (id p1): image: images/1.png: the image cannot be decoded" in message
    assert "row 3 (id p2): image: images/2.png: not an image" in message
    assert "row 4" not in message
    assert "and 2 more" in message
    assert "dataset.on_error: quarantine" in message


def test_quarantine_sets_aside_with_reason_and_values(folder):
    faulty(folder)
    result = read(folder, on_error="quarantine")
    assert len(result.pairs) == N - 5
    aside = result.quarantine
    assert aside.columns == ["row", "pair_id", "reason", "image", "text"]
    assert aside["row"].to_list() == [f"row {i}" for i in range(1, 6)]
    assert aside["reason"].to_list()[3:] == ["text: the text is empty", "no id"]
    assert aside["image"].to_list()[0] == "images/none.png"
    assert str(folder) not in str(aside.rows())
    assert any("5 of 30 rows were set aside" in note for note in result.notes)


def test_nothing_in_quarantine_when_all_is_sound(folder):
    table(folder)
    assert read(folder, on_error="quarantine").quarantine.shape == (0, 5)


def test_a_bomb_is_a_fault_of_its_row(folder):
    table(folder)
    draw(folder / "images/0.png", 0)
    refused(
        folder,
        r"30 of 30 rows.*8 x 8 = 64 pixels, more than dataset.max_image_pixels \(63\)",
        max_image_pixels=63,
    )


@pytest.mark.parametrize(
    "path",
    [
        "../secret.png",
        "images/../../secret.png",
        "/etc/passwd",
        "images/link.png",
        "out/secret.png",
    ],
)
def test_no_path_climbs_out(folder, path):
    draw(folder.parent / "secret.png", 99)
    (folder / "images/link.png").symlink_to(folder.parent / "secret.png")
    (folder / "out").symlink_to(folder.parent)
    rows = table(folder)
    table(folder, [f"p0,{path},caption 0", *rows[1:]])
    refused(folder, r"1 of 30 rows.*row 1 .*(leads out|not a path relative)")


def test_links_and_dots_inside_are_fine(folder):
    (folder / "images/link.png").symlink_to(folder / "images/0.png")
    rows = table(folder)
    table(folder, ["p0,images/link.png,a", "p1,images/../images/1.png,b", *rows[2:]])
    assert len(read(folder).pairs) == N


@pytest.mark.parametrize("on_error", ["refuse", "quarantine"])
def test_duplicate_ids_are_always_fatal(folder, on_error):
    rows = table(folder)
    table(folder, [*rows, "p7,images/1.png,again"])
    refused(folder, "duplicate pair ids, 1 in all: 'p7' at row 8 and row 31", on_error=on_error)


def test_identical_pairs_are_not(folder):
    rows = table(folder)
    table(folder, [*rows, "other,images/7.png,caption 7"])
    pairs = read(folder).pairs
    assert len(pairs) == N + 1
    assert pairs["group"][7] == pairs["group"][N]


def test_half_a_surrogate_pair(folder):
    lines = [
        json.dumps({"image": f"images/{i}.png", "text": "\ud800" if i == 0 else f"t{i}"})
        for i in range(N)
    ]
    (folder / "t.jsonl").write_text("\n".join(lines))
    refused(folder, r"row 1 .*'\\ud800'.* is not valid Unicode")
    aside = read(folder, on_error="quarantine").quarantine
    assert aside["row"].to_list() == ["row 1"] and aside["text"].to_list() == ["\\ud800"]


def test_too_few_and_none_held_out(folder):
    rows = table(
        folder,
        header="id,image,text,split",
        rows=[f"p{i},images/{i}.png,t{i},{'train' if i < 9 else 'test'}" for i in range(N)],
    )
    refused(folder, "only 9 pairs to train on; at least 10")
    table(
        folder, header="id,image,text,split", rows=[row.replace(",test", ",train") for row in rows]
    )
    refused(folder, "no pair is held out")
    table(folder, rows=[])
    refused(folder, "only 0 pairs")


def test_a_view_that_is_always_the_same(folder):
    table(folder, [f"p{i},images/{i}.png,the same" for i in range(N)])
    refused(folder, "view 'text': every text is the same in all .* training pairs")


# Groups and splits


def test_given_splits_and_their_names(folder):
    names = [
        "train",
        "TRAIN",
        "training",
        "train",
        "test",
        "val",
        "Dev",
        "valid",
        "validation",
        "train",
    ]
    table(
        folder,
        header="id,image,text,split",
        rows=[f"p{i},images/{i}.png,t{i},{names[i % 10]}" for i in range(N)],
    )
    assert read(folder).pairs["split"].to_list()[:10] == ["train"] * 4 + ["test"] * 5 + ["train"]


def test_unknown_splits_are_named(folder):
    table(
        folder,
        header="id,image,text,split",
        rows=[f"p{i},images/{i}.png,t{i},{'holdout' if i == 4 else 'train'}" for i in range(N)],
    )
    refused(folder, "1 unknown split names: 'holdout' at row 5; use train")


def test_a_group_in_two_given_splits_is_a_leak(folder):
    rows = [f"p{i},images/{i}.png,t{i},{'test' if i % 5 == 0 else 'train'},g{i}" for i in range(N)]
    rows[6] = "p6,images/6.png,t6,train,g5"
    table(folder, header="id,image,text,split,group", rows=rows)
    refused(
        folder,
        "leak between splits: row 6 is given to test and row 7 to train.*'g5'",
        on_error="quarantine",
    )


def test_the_same_image_in_two_given_splits_is_a_leak(folder):
    (folder / "images/6.png").write_bytes((folder / "images/5.png").read_bytes())
    rows = [f"p{i},images/{i}.png,t{i},{'test' if i % 5 == 0 else 'train'},g{i}" for i in range(N)]
    table(folder, header="id,image,text,split,group", rows=rows)
    refused(folder, "leak between splits: row 6 .* row 7 .*hold the same item")


def test_groups_that_share_an_image_become_one(folder):
    for copy, original in ((6, 5), (9, 6), (20, 11)):
        (folder / f"images/{copy}.png").write_bytes(
            (folder / f"images/{original}.png").read_bytes()
        )
    table(
        folder,
        header="id,image,text,group",
        rows=[f"p{i},images/{i}.png,t{i},g{i}" for i in range(N)],
    )
    result = read(folder)
    groups = result.pairs["group"].to_list()
    assert [groups[i] for i in (5, 6, 9)] == ["g5"] * 3
    assert [groups[i] for i in (11, 20)] == ["g11"] * 2
    assert result.pairs.group_by("group").agg(pl.col("split").n_unique())["split"].max() == 1
    assert any("both hold the same image: 3" in note for note in result.notes)


def test_a_given_split_counts_for_the_whole_group(folder):
    rows = [f"p{i},images/{i}.png,t{i},{'test' if i % 6 == 0 else ''},g{i // 2}" for i in range(N)]
    table(folder, header="id,image,text,split,group", rows=rows)
    splits = read(folder).pairs["split"].to_list()
    assert all(splits[i] == splits[i + 1] == "test" for i in range(0, N, 6))


def test_captions_of_one_image_stay_together(folder):
    table(folder, header="image,text", rows=[f"images/{i % 15}.png,caption {i}" for i in range(60)])
    pairs = read(folder).pairs
    assert pairs["pair_id"].to_list()[:2] == ["1", "2"]
    assert pairs["group"].n_unique() == 15
    assert pairs.group_by("image").agg(pl.col("split").n_unique())["split"].max() == 1


def test_captions_of_one_image_stay_together_when_texts_come_first(folder):
    table(folder, header="image,text", rows=[f"images/{i % 15}.png,caption {i}" for i in range(60)])
    pairs = read(folder, views={"text": "text", "image": "image"}).pairs
    assert pairs.columns[4:] == ["text", "text_hash", "image", "image_hash"]
    assert pairs["group"].to_list() == pairs["image_hash"].to_list()


def test_equal_captions_of_different_images_join_nothing(folder):
    table(folder, [f"p{i},images/{i}.png,caption {i % 2}" for i in range(N)])
    assert read(folder).pairs["group"].n_unique() == N


def raw(names):
    return [
        RawPair(f"row {i}", name, {"a": f"first {name}", "b": f"second {name}"})
        for i, name in enumerate(names)
    ]


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10**6),
    st.lists(st.text("xyz", min_size=6, max_size=9), min_size=1, max_size=20, unique=True),
    st.randoms(),
)
def test_growth_and_order_move_no_pair(tmp_path_factory, seed, extra, dice):
    root = tmp_path_factory.getbasetemp()
    dataset = DatasetParams(split={"test": 0.3, "seed": seed})
    names = [str(i) for i in range(60)]
    grown = names + extra
    dice.shuffle(grown)
    views = {"a": TEXT, "b": TEXT}
    before, after = (
        build_pairs(raw(order), Building(views, dataset, root, progress=False)).pairs
        for order in (names, grown)
    )
    splits = dict(after.select("pair_id", "split").rows())
    assert all(splits[name] == split for name, split in before.select("pair_id", "split").rows())


def test_split_fraction_is_fixed_and_even():
    digest = hashlib.sha256(b"7:some group").hexdigest()
    assert split_fraction("some group", 7) == int(digest[:16], 16) / 2**64
    share = np.mean([split_fraction(f"group {i}", 0) < 0.2 for i in range(5000)])
    assert abs(share - 0.2) < 0.02


# table


@pytest.mark.parametrize(("name", "separator"), [("t.csv", ","), ("t.tsv", "\t")])
def test_separated_text_as_it_is_found(folder, name, separator):
    header = separator.join(["image", "text"])
    texts = [
        "NA",
        "007",
        "1.50",
        "null",
        '"a, quoted\ttext, with ""quotes"""',
        '"two\r\nlines"',
        "crème brûlée",
        "a\u2028b",
    ]
    rows = [
        separator.join([f"images/{i}.png", texts[i] if i < len(texts) else f"t{i}"])
        for i in range(N)
    ]
    (folder / name).write_bytes(b"\xef\xbb\xbf" + "\r\n".join([header, *rows, "", ""]).encode())
    found = read(folder).pairs["text"].to_list()
    assert found[:8] == [
        "NA",
        "007",
        "1.50",
        "null",
        'a, quoted\ttext, with "quotes"',
        "two\r\nlines",
        "crème brûlée",
        "a\u2028b",
    ]
    assert len(found) == N


def test_jsonl_and_parquet_and_mapped_columns(folder):
    records = [
        {"file": f"images/{i}.png", "alt": i, "class": None if i else "x", "unused": 1.5}
        for i in range(N)
    ]
    (folder / "t.jsonl").write_text("\n".join(map(json.dumps, records)) + "\n\n")
    pl.DataFrame(records).with_columns(tags=pl.lit([["a"]])).write_parquet(folder / "t.parquet")
    mapped = {"columns": {"image": "file", "text": "alt", "label": "class"}}
    for name in ("t.jsonl", "t.parquet"):
        pairs = read(folder, table=name, **mapped).pairs
        assert pairs["text"].to_list() == [str(i) for i in range(N)]
        assert pairs["label"].to_list()[:2] == ["x", None]


def test_a_null_is_a_fault(folder):
    (folder / "t.jsonl").write_text(
        "\n".join(
            json.dumps({"image": f"images/{i}.png", "text": f"t{i}" if i else None})
            for i in range(N)
        )
    )
    refused(folder, r"row 1 \(id 1\): text: nothing there \(null\)")


def test_unknown_columns_list_the_tables_own_and_the_nearest(folder):
    table(folder, header="id,image,caption")
    refused(folder, "no column 'text' for 'text'; the columns are id, image, caption")
    refused(
        folder,
        "no column 'captoin' for 'text'.*did you mean 'caption'",
        columns={"text": "captoin"},
    )
    refused(
        folder,
        "dataset.columns names 'grup'.*did you mean 'group'",
        columns={"grup": "id", "text": "caption"},
    )
    assert len(read(folder, columns={"text": "caption"}).pairs) == N


def test_the_table_is_a_file_or_in_a_folder(folder):
    table(folder, name="only.csv")
    assert len(read(folder).pairs) == N
    by_file = params(path="set/only.csv")
    assert dataset_root(by_file.dataset, folder.parent) == folder
    assert len(ingest(by_file, folder.parent, progress=False).pairs) == N
    table(folder, name="second.csv")
    refused(folder, "cannot tell which table to read .there are only.csv, second.csv")
    refused(folder, "no such table; correct dataset.table", table="none.csv")
    refused(folder, "leads out", table="../x.csv")
    table(folder)
    assert len(read(folder).pairs) == N
    refused(folder, "no such data set", path="elsewhere")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "the table is empty"),
        (b"id,id,text\n", "two columns are called 'id'"),
        (b"image,text\nimages/0.png,a,b\n", "line 2 has 3 cells but the header has 2"),
        (b'image,text\nimages/0.png,"open\n', "line 2 cannot be read"),
        (
            b"image,text\nimages/0.png,caf\xe9\n",
            r"not UTF-8 at line 2 \(byte 0xe9\); save it as UTF-8",
        ),
    ],
)
def test_damaged_csv(folder, content, match):
    (folder / "pairs.csv").write_bytes(content)
    refused(folder, match)


def test_damaged_jsonl_and_parquet(folder):
    (folder / "t.jsonl").write_text('{"image": "a"}\n{"image": \n')
    refused(folder, "line 2 is not JSON", table="t.jsonl")
    (folder / "t.jsonl").write_text('["a"]\n')
    refused(folder, "line 1 is no JSON object", table="t.jsonl")
    (folder / "t.jsonl").write_text('{"image": "a", "text": ["b", "c"]}\n')
    refused(folder, "line 1, 'text' holds a list", table="t.jsonl")
    (folder / "t.parquet").write_bytes(b"no parquet")
    refused(folder, "not readable as Parquet", table="t.parquet")


# arrays


def features(n=N, d=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


BOTH = {
    "views": {"x": "array", "y": "array"},
    "kind": "arrays",
    "arrays": {"x": "x.npy", "y": "y.npy"},
}


@pytest.fixture
def arrays(tmp_path):
    (tmp_path / "set").mkdir()
    np.save(tmp_path / "set/x.npy", features(seed=1))
    np.save(tmp_path / "set/y.npy", features(d=6, seed=2))
    return tmp_path / "set"


def test_arrays_with_groups_and_labels(arrays):
    (arrays / "groups.txt").write_text("".join(f"g{i // 3}\r\n" for i in range(N)))
    (arrays / "labels.txt").write_text("\n".join("cat" for _ in range(N)))
    pairs = read(arrays, **BOTH, columns={"group": "groups.txt", "label": "labels.txt"}).pairs
    row = pairs.row(5, named=True)
    assert (row["pair_id"], row["group"], row["label"], row["x"], row["y"]) == (
        "5",
        "g1",
        "cat",
        "x.npy#5",
        "y.npy#5",
    )
    assert row["x_hash"] == hashlib.sha256(features(seed=1)[5].astype("<f4").tobytes()).hexdigest()
    (arrays / "groups.txt").write_text("g\n")
    refused(
        arrays,
        "groups.txt has 1 lines but the arrays have 30 rows",
        **BOTH,
        columns={"group": "groups.txt"},
    )
    refused(arrays, "names 'groups'", **BOTH, columns={"groups": "groups.txt"})


def test_every_array_format_gives_the_same_rows(arrays):
    values = features(seed=1)
    np.savez(arrays / "x.npz", features=values)
    save_file({"features": values}, arrays / "x.safetensors")
    pl.DataFrame({"f": values.tolist()}, schema={"f": pl.List(pl.Float32)}).write_parquet(
        arrays / "lists.parquet"
    )
    pl.DataFrame({"f": values}, schema={"f": pl.Array(pl.Float32, 4)}).write_parquet(
        arrays / "fixed.parquet"
    )
    pl.DataFrame(values).write_parquet(arrays / "columns.parquet")
    np.save(arrays / "doubles.npy", np.asfortranarray(values.astype(np.float64)))
    expected = read(arrays, **BOTH).pairs["x_hash"]
    for name in (
        "x.npz",
        "x.safetensors",
        "lists.parquet",
        "fixed.parquet",
        "columns.parquet",
        "doubles.npy",
    ):
        dataset = BOTH | {"arrays": {"x": name, "y": "y.npy"}}
        assert read(arrays, **dataset).pairs["x_hash"].equals(expected), name
        row = item_loader(ARRAY, arrays, 1)(f"{name}#7")
        assert row.dtype == np.float32
        np.testing.assert_array_equal(row, values[7])


def test_nan_infinite_and_zero_rows(arrays):
    values = features().astype(np.float64)
    values[2, 1], values[4, 0], values[6, 3], values[8] = np.nan, np.inf, 1e300, 0
    np.save(arrays / "x.npy", values)
    refused(
        arrays,
        r"4 of 30 rows are unusable: row 2 \(id 2\): x: 1 of 4 values are NaN or infinite; row 4 "
        r".*; row 6",
        **BOTH,
    )
    reasons = read(arrays, **BOTH, on_error="quarantine").quarantine["reason"].to_list()
    assert reasons[3] == "x: all 4 values are zero"


def test_constant_features(arrays):
    np.save(arrays / "y.npy", np.tile(np.arange(1, 7, dtype=np.float32), (N, 1)))
    refused(arrays, "view 'y': every column is constant in all .* training pairs", **BOTH)


def test_counts_that_differ(arrays, folder):
    np.save(arrays / "y.npy", features(n=29))
    refused(arrays, "y.npy has 29 rows but x.npy has 30", **BOTH)
    table(folder, header="image", rows=[f"images/{i}.png" for i in range(N)])
    refused(
        folder,
        "y.npy has 29 rows but table pairs.csv has 30",
        views={"image": "image", "y": "array"},
        arrays={"y": "y.npy"},
    )


def test_a_table_with_an_array_beside_it(arrays, folder):
    table(folder, header="image", rows=[f"images/{i}.png" for i in range(N)])
    pairs = read(folder, views={"image": "image", "y": "array"}, arrays={"y": "y.npy"}).pairs
    assert pairs["y"][29] == "y.npy#29"


def test_views_and_arrays_must_match(arrays):
    refused(
        arrays,
        "view 'y' is of modality array, but dataset.arrays names no file",
        **(BOTH | {"arrays": {"x": "x.npy"}}),
    )
    refused(
        arrays,
        "dataset.arrays has 'z', which is not a view",
        **(BOTH | {"arrays": {"x": "x.npy", "y": "y.npy", "z": "y.npy"}}),
    )
    refused(
        arrays,
        "lacks y",
        **(BOTH | {"views": {"x": "array", "y": "text"}, "arrays": {"x": "x.npy"}}),
    )


def test_unusable_array_files(arrays):
    def refused_x(name, match):
        refused(arrays, match, **(BOTH | {"arrays": {"x": name, "y": "y.npy"}}))

    refused_x("none.npy", "none.npy: no such features file")
    refused_x("x.csv", "features cannot be read from .csv files")
    refused_x("../x.npy", "leads out")
    np.save(arrays / "flat.npy", np.arange(5.0))
    refused_x("flat.npy", r"shape \(5,\)")
    np.save(arrays / "words.npy", np.array([["a"]]))
    refused_x("words.npy", "expected real numbers")
    np.save(arrays / "objects.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    refused_x("objects.npy", "cannot be read|not readable as Parquet")
    (arrays / "cut.npy").write_bytes((arrays / "x.npy").read_bytes()[:200])
    refused_x("cut.npy", "cannot be read|not readable as Parquet")
    for name in ("bad.npz", "bad.safetensors", "bad.parquet"):
        (arrays / name).write_bytes(b"PK\x03\x04 no such thing")
        refused_x(name, "cannot be read|not readable as Parquet")
    np.savez(arrays / "two.npz", a=features(), b=features())
    refused_x("two.npz", r"it holds 2 arrays \(a, b\)")
    assert zipfile.is_zipfile(arrays / "two.npz")
    pl.DataFrame({"f": [[1.0], [1.0, 2.0]]}).write_parquet(arrays / "ragged.parquet")
    refused_x("ragged.parquet", "every row needs the same number")


# flickr


FLICKR = {"kind": "flickr"}


def test_kaggle_layout_with_bare_commas_quotes_bom_and_crlf(folder):
    captions = [
        "A dog , red",
        '"A dog , running"',
        'He said "hi" , twice',
        '"She said ""hi"" , once"',
        '"Hi" is what "he" said',
    ]
    lines = [f"{i}.png,{captions[k]}" for i in range(N) for k in range(5)]
    (folder / "captions.txt").write_bytes(
        b"\xef\xbb\xbf" + "\r\n".join(["image,caption", *lines, ""]).encode()
    )
    pairs = read(folder, **FLICKR).pairs
    assert pairs["text"].to_list()[:5] == [
        "A dog , red",
        "A dog , running",
        'He said "hi" , twice',
        'She said "hi" , once',
        '"Hi" is what "he" said',
    ]
    assert pairs["pair_id"].to_list()[4:6] == ["0.png#4", "1.png#0"]
    assert pairs["image"][5] == "images/1.png"
    assert pairs["group"][5] == "1.png"


@pytest.mark.parametrize("name", ["Flickr8k.token.txt", "results_20130124.token", "captions.txt"])
def test_token_layout(folder, name):
    (folder / "images").rename(folder / "Images")
    (folder / name).write_text(
        "".join(f"{i}.png#{k}\tA dog , number {k}\n" for i in range(N) for k in (1, 0))
    )
    pairs = read(folder, **FLICKR).pairs
    assert pairs.row(0, named=True)["pair_id"] == "0.png#1"
    assert pairs.row(0, named=True)["image"] == "Images/0.png"
    assert pairs.row(1, named=True)["text"] == "A dog , number 0"


def flickr_splits(folder, **files):
    (folder / "captions.txt").write_text(
        "image,caption\n" + "".join(f"{i}.png,caption {i}\n" for i in range(N))
    )
    for kind, images in files.items():
        (folder / f"Flickr_8k.{kind}Images.txt").write_text("".join(f"{i}.png\r\n" for i in images))


def test_dev_is_held_out_and_test_left_untouched(folder):
    flickr_splits(folder, train=range(15), dev=range(15, 20), test=range(20, 28))
    result = read(folder, **FLICKR)
    assert result.pairs["split"].to_list() == ["train"] * 15 + ["test"] * 5
    assert any(
        "devImages.txt are held out; those of Flickr_8k.testImages.txt are left untouched" in note
        for note in result.notes
    )
    assert any("10 images were left out" in note for note in result.notes)


def test_test_is_held_out_without_dev(folder):
    flickr_splits(folder, train=range(15), test=range(20, 28))
    assert read(folder, **FLICKR).pairs["split"].to_list() == ["train"] * 15 + ["test"] * 8


def test_flickr_faults(folder):
    refused(folder, "no captions; expected one of captions.txt", **FLICKR)
    flickr_splits(folder, train=range(15), dev=range(14, 20))
    refused(folder, "image '14.png' is also in the training split", **FLICKR)
    flickr_splits(folder, train=range(15), dev=range(15, 20))
    (folder / "images/3.png").unlink()
    refused(
        folder,
        r"1 of 20 rows .*line 5 of captions.txt \(id 3.png#0\): image: images/3.png: no such "
        r"image file",
        **FLICKR,
    )
    assert len(read(folder, **FLICKR, on_error="quarantine").pairs) == 19
    (folder / "captions.txt").write_text("3.png no tab\n")
    refused(folder, "line 1 is '3.png no tab'; expected name.jpg#0<TAB>caption", **FLICKR)
    refused(folder, "dataset.columns is not for dataset.kind flickr", **FLICKR, columns={"id": "x"})
    refused(folder, "pairs images with texts", **FLICKR, views={"a": "text", "b": "text"})


# imagefolder


FOLDERS = {"kind": "imagefolder"}


@pytest.fixture
def classes(tmp_path):
    for i, name in enumerate(["n01", "great_white_shark", "n03"]):
        for k in range(10):
            draw(tmp_path / "set" / name / f"{k}.{'JPEG' if k else 'png'}", 10 * i + k)
    (tmp_path / "set/n01/readme.txt").write_text("no image")
    (tmp_path / "set/n01/.hidden.png").write_text("no image")
    return tmp_path / "set"


def test_class_folders(classes):
    pairs = read(classes, **FOLDERS, template="this is {label}!").pairs
    assert len(pairs) == 30
    row = pairs.row(0, named=True)
    assert (row["image"], row["label"], row["text"]) == (
        "great_white_shark/0.png",
        "great white shark",
        "this is great white shark!",
    )
    assert row["group"] == "great_white_shark/0.png"
    with pytest.raises(InputError, match=r"dataset\.template.*'this is it' has no \{label\}"):
        read(classes, **FOLDERS, template="this is it")


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "classes.tsv",
            [
                "wnid\tindex\tlabel",
                "n01\t0\ttench, a fish",
                "great_white_shark\t1\tshark",
                "n03\t2\tray",
            ],
        ),
        (
            "classes.csv",
            ["label,folder", '"tench, a fish",n01', "shark,great_white_shark", "ray,n03"],
        ),
        ("classes.txt", ["n01\ttench, a fish", "great_white_shark\tshark", "n03\tray"]),
    ],
)
def test_class_names(classes, name, lines):
    (classes / name).write_text("\n".join(lines) + "\n")
    assert set(read(classes, **FOLDERS).pairs["label"]) == {"tench, a fish", "shark", "ray"}
    assert "a photo of a tench, a fish" in read(classes, **FOLDERS).pairs["text"].to_list()
    (classes / name).write_text("\n".join(lines[:-1]) + "\n")
    refused(classes, "the class file does not name folder 'n03'", **FOLDERS)


def test_classes_called_by_wordnet_ids(classes):
    for i, name in enumerate(["n01", "great_white_shark", "n03"]):
        (classes / name).rename(classes / f"n0000000{i}")
    (note,) = read(classes, **FOLDERS).notes
    assert "n00000000" in note and "put classes.tsv (folder, label) into" in note
    (classes / "classes.tsv").write_text(
        "wnid\tlabel\nn00000000\ttench\nn00000001\tshark\nn00000002\tray\n"
    )
    assert read(classes, **FOLDERS).notes == ()


def test_split_folders(classes):
    for split in ("train", "val"):
        (classes / split).mkdir()
    (classes / "n01").rename(classes / "train/n01")
    (classes / "great_white_shark").rename(classes / "train/shark")
    (classes / "n03").rename(classes / "val/n01")
    assert read(classes, **FOLDERS).pairs["split"].to_list() == ["train"] * 20 + ["test"] * 10


def test_a_file_name_in_another_encoding(classes):
    (classes / "n01/1.JPEG").rename(classes / "n01" / os.fsdecode(b"caf\xe9.JPEG"))
    refused(classes, r"n01/caf\\udce9.JPEG.* is not valid Unicode", **FOLDERS)


def test_one_split_folder_is_none(classes):
    (classes / "val").mkdir()
    for name in ("n01", "great_white_shark", "n03"):
        (classes / name).rename(classes / "val" / name)
    assert set(read(classes, **FOLDERS).pairs["split"]) == {"train", "test"}


def test_no_classes(folder, classes):
    for file in classes.rglob("*.*"):
        file.unlink()
    refused(classes, "no images in class folders", **FOLDERS)
    (folder / "file.csv").write_text("x")
    refused(folder, "not a folder", **FOLDERS, path="set/file.csv")


# Items


def test_item_loader(folder):
    image = ViewParams(modality="image", encoder="efficientnet-lite0")
    load = item_loader(image, folder, 1000)
    assert load("images/0.png").size == (8, 8)
    with pytest.raises(DataError, match="leads out"):
        load("../x.png")
    with pytest.raises(DataError, match="64 pixels"):
        item_loader(image, folder, 10)("images/0.png")
    assert item_loader(TEXT, folder, 1)("as it is ") == "as it is "


def test_array_rows_are_mapped_and_bounded(arrays):
    load = item_loader(ARRAY, arrays, 1)
    np.testing.assert_array_equal(load("x.npy#29"), features(seed=1)[29])
    for value in ("x.npy#30", "x.npy#-1", "x.npy#one"):
        with pytest.raises(DataError, match=r"no such row; x\.npy has 30 rows"):
            load(value)


def test_a_table_says_which_pairs_are_wrong(folder):
    words = ["true", "No", "1", "", "FALSE"]
    rows = [f"p{i},images/{i}.png,caption {i},{words[i % 5]}" for i in range(N)]
    table(folder, rows, header="id,image,text,noisy")
    pairs = read(folder, columns={"mislabelled": "noisy"}).pairs
    assert pairs["mislabelled"].to_list() == [True, False, True, None, False] * (N // 5)
    assert "mislabelled" not in read(folder).pairs.columns
    table(folder, [*rows[:3], rows[3] + "perhaps", *rows[4:]], header="id,image,text,mislabelled")
    refused(folder, r"row 4: 'perhaps' is not a truth value")
