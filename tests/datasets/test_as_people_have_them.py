"""Data sets as people have them: each was once read wrongly without a word, or refused for no
reason. Small sets of our own, one a kind.
"""

import base64
import csv
import datetime
import io
import json
import re
import struct
import tarfile
import zipfile
import zlib

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import soundfile
from builtin_encoders import ENCODERS
from PIL import Image, PngImagePlugin
from pyarrow import parquet
from written import karpathy_list, put, shard

from csa.datasets.ingest import ingest
from csa.datasets.items import item_loader
from csa.errors import DataError
from csa.params.schema import Params
from csa.params.views import ViewParams

N = 24
NAN = float("nan")


def read(folder, views=("image", "text"), **dataset):
    named = views if isinstance(views, dict) else {name: name for name in views}
    mapping = {
        "dataset": {"path": str(folder), **dataset},
        "views": {
            name: {"modality": kind, "encoder": ENCODERS[kind]} for name, kind in named.items()
        },
    }
    return ingest(Params.from_mapping(mapping), folder, progress=False)


def refused(folder, match, **dataset):
    with pytest.raises(DataError, match=match) as caught:
        read(folder, **dataset)
    assert "\n" not in str(caught.value)


def picture(seed, kind="JPEG", **options):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def pictures(folder, numbers=range(N), pattern="{}.jpg"):
    for i in numbers:
        put(folder / pattern.format(i), picture(i))


def rows(**more):
    return [
        {"image": f"{i}.jpg", "text": f"thing {i}", **{k: f(i) for k, f in more.items()}}
        for i in range(N)
    ]


def jsonl(path, records):
    put(path, "".join(json.dumps(record) + "\n" for record in records))


def separated(path, records, separator=","):
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]), delimiter=separator)
    writer.writeheader()
    writer.writerows(records)
    put(path, text.getvalue())


def samples(numbers, text="thing {}"):
    for i in numbers:
        yield f"{i:04d}.jpg", picture(i)
        yield f"{i:04d}.txt", text.format(i).encode()


def saved(folder, numbers=range(N), text=None, **state):
    """What save_to_disk writes."""
    text = text or [f"thing {i}" for i in numbers]
    table = pa.table(
        {"image": [{"bytes": picture(i), "path": None} for i in numbers], "text": text}
    )
    folder.mkdir(parents=True, exist_ok=True)
    arrow(folder / "data.arrow", table)
    features = {"image": {"_type": "Image"}, "text": {"dtype": "string", "_type": "Value"}}
    put(folder / "dataset_info.json", json.dumps({"features": features}))
    put(folder / "state.json", json.dumps({"_data_files": [{"filename": "data.arrow"}], **state}))


def arrow(path, table):
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)


def splits(result):
    return dict(result.pairs["split"].value_counts().rows())


def left_out(result):
    return {one["what"]: one["count"] for one in result.account["left_out"]}


# A path is a path, never a pattern


@pytest.mark.parametrize("name", ["p[1]", "p?", "p *", "p #1", "p, x", "p%20ü 'q\"", "{a,b}"])
def test_a_path_is_no_pattern(tmp_path, name):
    for folder, word in ((name, "right"), ("p1", "wrong"), ("p", "wrong")):
        pictures(tmp_path / folder)
        records = [{"image": f"{i}.jpg", "text": f"{word} {i}"} for i in range(N)]
        pl.DataFrame(records).write_parquet(str(tmp_path / folder / "pairs.parquet"), mkdir=True)
    assert read(tmp_path / name).pairs["text"][0] == "right 0"


def test_features_in_a_folder_with_brackets(tmp_path):
    for folder, shift in (("e[1]", 1.0), ("e1", 999.0)):
        (tmp_path / folder).mkdir()
        x = np.random.default_rng(0).standard_normal((40, 3)) + shift
        for name in "xy":
            frame = pl.DataFrame({f"d{k}": x[:, k] for k in range(3)})
            with (tmp_path / folder / f"{name}.parquet").open("wb") as file:
                frame.write_parquet(file)
    result = read(tmp_path / "e[1]", {"a": "array", "b": "array"}, kind="arrays", arrays=FEATURES)

    view = ViewParams(modality="array", encoder="precomputed")
    assert abs(item_loader(view, tmp_path / "e[1]", 1)(result.pairs["a"][0])).max() < 50


FEATURES = {"a": "x.parquet", "b": "y.parquet"}


# A missing value is nothing there


def test_nan_is_no_caption(tmp_path):
    pictures(tmp_path)
    jsonl(tmp_path / "pairs.jsonl", rows(text=lambda i: NAN if i in (3, 5) else f"thing {i}"))
    refused(tmp_path, r"2 of 24 rows are unusable: row 4 \(id 4\): text: nothing there")
    result = read(tmp_path, on_error="quarantine")
    assert len(result.pairs) == N - 2 and result.quarantine["row"].to_list() == ["row 4", "row 6"]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_nan_is_no_group(tmp_path, ending):
    pictures(tmp_path)
    records = rows(group=lambda i: NAN if i > 18 else float(i))
    if ending == "jsonl":
        jsonl(tmp_path / "pairs.jsonl", records)
    else:
        pl.DataFrame(records).write_parquet(tmp_path / "pairs.parquet")
    assert read(tmp_path).pairs["group"].n_unique() == N


def test_a_missing_value_written_out_is_kept_and_noted(tmp_path):
    pictures(tmp_path)
    separated(tmp_path / "pairs.csv", rows(text=lambda i: "nan" if i == 3 else f"thing {i}"))
    assert "1 texts of view 'text' are 'nan', perhaps" in " ".join(read(tmp_path).notes)


# A structure is no text


def test_captions_as_structures(tmp_path):
    saved(tmp_path, text=[[{"raw": f"thing {i}", "sentid": i}] for i in range(N)])
    refused(tmp_path, "which is not a text; its texts are raw", kind="huggingface")
    result = read(tmp_path, kind="huggingface", columns={"text": "text.raw"})
    assert result.pairs["text"].to_list() == [f"thing {i}" for i in range(N)]


def test_a_field_of_a_structure_in_a_table(tmp_path):
    pictures(tmp_path)
    records = [{"image": f"{i}.jpg", "note": {"en": f"thing {i}"}} for i in range(N)]
    jsonl(tmp_path / "a.jsonl", records)
    pl.DataFrame(records).write_parquet(tmp_path / "b.parquet")
    for name in ("a.jsonl", "b.parquet"):
        refused(tmp_path, "'note' holds a dict", table=name, columns={"text": "note"})
        pairs = read(tmp_path, table=name, columns={"text": "note.en"}).pairs
        assert pairs["text"][3] == "thing 3"


def test_several_captions_in_a_text_of_a_shard(tmp_path):
    shard(tmp_path / "0.tar", samples(range(N), "thing {0}\nthe thing {0}\nno. {0}\n"))
    result = read(tmp_path, kind="webdataset")
    assert result.pairs["text"][:3].to_list() == ["thing 0", "the thing 0", "no. 0"]
    assert len(result.pairs) == 3 * N and result.pairs["group"].n_unique() == N
    assert "every text has 3 lines" in result.notes[0]


def test_one_empty_text_does_not_change_how_the_others_are_read(tmp_path):
    texts = {3: "  \n"}
    members = (
        member
        for i in range(N)
        for member in samples([i], texts.get(i, "thing {0}\nthe thing {0}\n"))
    )
    shard(tmp_path / "0.tar", members)
    result = read(tmp_path, kind="webdataset", on_error="quarantine")
    assert len(result.pairs) == 2 * (N - 1) and len(result.quarantine) == 1
    assert "every text has 2 lines" in result.notes[0]


# A split that is given is kept; an unknown one is named


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train/0.tar", "test/0.tar"),
        ("mine-train-0000.tar", "mine-validation-0000.tar"),
        ("train-0.tar", "dev_0.tar"),
        ("Training/a.tar", "VAL/a.tar"),
    ],
)
def test_splits_of_shards(tmp_path, train, test):
    shard(tmp_path / train, samples(range(18)))
    shard(tmp_path / test, samples(range(18, N)))
    result = read(tmp_path, kind="webdataset")
    held = result.pairs.filter(pl.col("split") == "test")["text"].to_list()
    assert sorted(held) == [f"thing {i}" for i in range(18, N)]


def test_a_shard_of_unknown_split_is_named(tmp_path):
    shard(tmp_path / "train-0.tar", samples(range(18)))
    shard(tmp_path / "val-0.tar", samples(range(18, 22)))
    shard(tmp_path / "extra-0.tar", samples(range(22, N)))
    refused(tmp_path, "unknown split 'extra' at shard extra-0.tar", kind="webdataset")
    result = read(tmp_path, kind="webdataset", splits={"extra": "none"})
    assert splits(result) == {"train": 18, "test": 4}


def test_an_unknown_split_of_a_dictionary_is_named(tmp_path):
    for name, numbers in (("train", range(14)), ("test", range(14, 18)), ("more", range(18, N))):
        saved(tmp_path / name, numbers)
    put(tmp_path / "dataset_dict.json", json.dumps({"splits": ["train", "test", "more"]}))
    refused(tmp_path, r"unknown split 'more'.*dataset.splits", kind="huggingface")
    result = read(tmp_path, kind="huggingface", splits={"more": "none"})
    assert splits(result) == {"train": 14, "test": 4}
    assert splits(read(tmp_path, kind="huggingface", splits={"more": "train"})) == {
        "train": 20,
        "test": 4,
    }


def test_train_and_test_alone(tmp_path):
    for name, numbers in (("train", range(18)), ("test", range(18, N))):
        saved(tmp_path / name, numbers)
    put(tmp_path / "dataset_dict.json", json.dumps({"splits": ["train", "test"]}))
    result = read(tmp_path, kind="huggingface")
    assert splits(result) == {"train": 18, "test": 6}
    assert result.notes[0] == "there is no part val (dataset.held_out), so test is held out"


READERS_OF_PARTS = ["webdataset", "hub", "table", "dictionary", "imagefolder", "coco"]


@pytest.mark.parametrize("reader", READERS_OF_PARTS)
def test_one_split_alone_says_nothing(tmp_path, reader):
    """It is the name of the whole, so groups are held out by their hash; "none" stays unread."""
    kind = {"hub": "huggingface", "dictionary": "huggingface"}.get(reader, reader)
    for name, numbers in (("train", range(18)), ("extra", range(18, N))):
        if reader == "webdataset":
            shard(tmp_path / f"{name}-0.tar", samples(numbers))
        elif reader == "hub":
            (tmp_path / "data").mkdir(exist_ok=True)
            images = [{"bytes": picture(i), "path": None} for i in numbers]
            table = pa.table({"image": images, "text": [f"thing {i}" for i in numbers]})
            parquet.write_table(table, tmp_path / "data" / f"{name}-00000-of-00001.parquet")
        elif reader == "table":
            pictures(tmp_path / "i", numbers)
            records = [{"image": f"i/{i}.jpg", "text": f"thing {i}"} for i in numbers]
            separated(tmp_path / "t" / f"{name}.csv", records)
        elif reader == "dictionary":
            saved(tmp_path / name, numbers)
            names = json.dumps({"splits": ["train", "extra"]})
            put(tmp_path / "dataset_dict.json", names)
        elif reader == "coco":
            pictures(tmp_path / f"{name}2017", numbers)
            images = [{"id": i, "file_name": f"{i}.jpg"} for i in numbers]
            notes = [{"id": i, "image_id": i, "caption": f"thing {i}"} for i in numbers]
            content = json.dumps({"images": images, "annotations": notes})
            put(tmp_path / "annotations" / f"captions_{name}2017.json", content)
        else:
            pictures(tmp_path / name / "cat", numbers[::2])
            pictures(tmp_path / name / "dog", numbers[1::2])
    more = {"table": "t"} if reader == "table" else {}
    found = splits(read(tmp_path, kind=kind, splits={"extra": "none"}, **more))
    assert sum(found.values()) == 18 and set(found) == {"train", "test"}


def test_splits_of_a_table_in_any_spelling(tmp_path):
    pictures(tmp_path)
    names = ["Train", "rest-val", "VALID", "x_held"]
    separated(tmp_path / "pairs.csv", rows(split=lambda i: names[i // 6]))
    refused(tmp_path, "1 unknown split names: 'x_held' at row 19; .*dataset.splits")
    result = read(tmp_path, splits={"x_held": "none"})
    assert splits(result) == {"train": 12, "test": 6}
    assert left_out(result)["rows of a split that dataset.splits sets to none"] == 6


# Nothing is dropped or added


def test_endings_of_images(tmp_path):
    pictures(tmp_path / "cat", range(10))
    pictures(tmp_path / "cat", range(10, 14), "{}.jfif")
    pictures(tmp_path / "dog", range(14, 20), "{}.JPEG")
    pictures(tmp_path / "dog", range(20, 22), "{}")
    pictures(tmp_path / "bird", range(22, N), "{}.jfif")
    result = read(tmp_path, kind="imagefolder")
    assert len(result.pairs) == 22 and set(result.pairs["label"]) == {"cat", "dog", "bird"}
    assert left_out(result) == {"files without an ending": 2}


def test_images_below_classes(tmp_path):
    for i in range(16):
        pictures(tmp_path / "train" / f"n{i % 4}" / "images", [i])
    pictures(tmp_path / "val" / "images", range(16, N))
    result = read(tmp_path, kind="imagefolder")
    assert set(result.pairs["label"]) == {"n0", "n1", "n2", "n3"} and len(result.pairs) == 16
    assert left_out(result) == {"images of val/images/, which nothing gives a class": 8}
    lines = "".join(f"{i}.jpg\tn{i % 4}\t0\t0\t1\t1\n" for i in range(16, N))
    put(tmp_path / "val" / "val_annotations.txt", lines)
    result = read(tmp_path, kind="imagefolder")
    assert splits(result) == {"train": 16, "test": 8} and not left_out(result)


def test_a_key_that_is_twice_in_a_shard(tmp_path):
    numbers = [*range(N), 3]
    shard(tmp_path / "0.tar", [m for i in numbers for m in samples([i])])
    refused(tmp_path, "the key '0003' is there twice in 0.tar", kind="webdataset")
    result = read(tmp_path, kind="webdataset", on_error="quarantine")
    assert len(result.pairs) == N - 1
    assert result.account["records"]["members"] == {
        "total": 2 * N + 2,
        "used": 2 * N - 2,
        "set_aside": 4,
        "left_out": 0,
    }


def test_rows_chosen_by_an_index(tmp_path):
    saved(tmp_path, _indices_files=[{"filename": "indices.arrow"}])
    chosen = [5, *range(16), 20]
    arrow(tmp_path / "indices.arrow", pa.table({"indices": pa.array(chosen[1:], pa.uint64())}))
    result = read(tmp_path, kind="huggingface")
    assert result.pairs["text"].to_list() == [f"thing {i}" for i in chosen[1:]]
    assert left_out(result) == {"rows that the saved index does not choose": N - 17}


def test_a_comma_that_is_not_quoted(tmp_path):
    for i in range(N):
        put(tmp_path / "training" / "velodyne" / f"{i:06d}.bin", scan(i))
    lines = [f"training/{i:06d},thing {i}{', with a comma' if i == 3 else ''}\n" for i in range(N)]
    put(tmp_path / "captions.csv", "frame,caption\n" + "".join(lines))
    kitti = {"kind": "kitti", "views": ("lidar", "text")}
    refused(tmp_path, "line 5 has 3 cells but the header has 2", **kitti)
    assert len(read(tmp_path, on_error="quarantine", **kitti).pairs) == N - 1


def test_stray_quotes(tmp_path):
    pictures(tmp_path)
    texts = {3: '"Go on, he said', 7: 'a pizza of 12"'}
    for name, separator in (("a.tsv", "\t"), ("b.csv", ",")):
        lines = [f"{i}.jpg{separator}{texts.get(i, f'thing {i}')}\n" for i in range(N)]
        put(tmp_path / name, f"image{separator}text\n" + "".join(lines))
        refused(tmp_path, "a quote opens in line 5 and closes in line 9", table=name)


def test_stray_quotes_where_the_file_is_not_the_first_column(tmp_path):
    pictures(tmp_path)
    texts = {3: '"Go on, he said', 7: 'a pizza of 12"'}
    for name, first in (("a.csv", "p{0},{0}.jpg,"), ("b.csv", "{0:03d},x,")):
        lines = [f"{first.format(i)}{texts.get(i, f'thing {i}')},g\n" for i in range(N)]
        put(tmp_path / name, "id,image,text,group\n" + "".join(lines))
        refused(tmp_path, "a quote opens in line 5 and closes in line 9", table=name)


def test_a_text_of_several_lines_is_no_stray_quote(tmp_path):
    pictures(tmp_path)
    text = "1, 2, 3\ncounts the dog,\nthen, at 4, it, stops"
    separated(tmp_path / "pairs.csv", rows(text=lambda i: text if i == 3 else f"thing {i}"))
    assert read(tmp_path).pairs["text"][3] == text


def test_a_file_of_metadata_beside_classes_is_told(tmp_path):
    for i in range(N):
        pictures(tmp_path / "ab"[i % 2], [i])
    put(tmp_path / "metadata.csv", "file_name,text\n")
    assert (
        "metadata.csv is not read by dataset.kind imagefolder"
        in read(tmp_path, kind="imagefolder").notes[0]
    )


def test_what_excludes_must_be_a_file(tmp_path):
    import os

    pictures(tmp_path)
    separated(tmp_path / "pairs.csv", rows())
    (tmp_path / "exclude.csv").mkdir()
    refused(tmp_path, "exclude.csv: it is a folder", table="pairs.csv")
    (tmp_path / "exclude.csv").rmdir()
    os.mkfifo(tmp_path / "exclude.csv")
    refused(tmp_path, "exclude.csv: it is a pipe", table="pairs.csv")


# A column that is no feature


@pytest.mark.parametrize("name", ["id", "__index_level_0__", "Unnamed: 0", "row_id", "counted"])
def test_a_column_that_counts_rows_is_no_dimension(tmp_path, name):
    rng = np.random.default_rng(0)
    for file in "xy":
        columns = {name: list(range(7, 47)), **{f"d{k}": rng.normal(size=40) for k in range(3)}}
        pl.DataFrame(columns).write_parquet(tmp_path / f"{file}.parquet")
    views, arrays = {"a": "array", "b": "array"}, {"kind": "arrays", "arrays": FEATURES}
    refused(tmp_path, f"column '{name}' names or counts the rows", views=views, **arrays)
    result = read(tmp_path, views, columns={"a": "d*", "b": "d0, d2"}, **arrays)
    assert result.pairs["a"][0] == "x.parquet!d*#0" and len(result.pairs) == 40


# Scale and layout of the numbers


def scan(seed, numbers=4, high=1.0):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-20, 20, (40, numbers)).astype("<f4")
    points[:, 3] = rng.uniform(0, high, 40)
    return points.tobytes()


@pytest.mark.parametrize(("numbers", "high"), [(5, 255.0), (4, 255.0), (5, 1.0)])
def test_scans_of_another_layout_are_refused(tmp_path, numbers, high):
    for i in range(N):
        put(tmp_path / f"{i}.bin", scan(i, numbers, high))
    separated(tmp_path / "pairs.csv", [{"lidar": f"{i}.bin", "text": f"t{i}"} for i in range(N)])
    refused(tmp_path, "reflectance from .*nuScenes", views=("lidar", "text"))


def tone(i, gain=0.3):
    return (gain * np.sin(2 * np.pi * (200 + 20 * i) * np.arange(4000) / 16000)).astype("f4")


def deep(folder, ending, kind, gain):
    """Pictures of more than 8 bits, whose largest value `gain` says."""
    for i in range(N):
        with Image.open(io.BytesIO(picture(i))) as image:
            grey = np.asarray(image.convert("L"), np.float64)
        Image.fromarray((grey / grey.max() * gain(i)).astype(kind)).save(folder / f"{i}.{ending}")
    named = [{**row, "image": f"{i}.{ending}"} for i, row in enumerate(rows())]
    separated(folder / "pairs.csv", named)


@pytest.mark.parametrize(
    ("ending", "kind", "peak", "white"),
    [
        ("png", "u2", 4080, 4095),
        ("png", "u2", 900, 1023),
        ("png", "u2", 200, 255),
        ("tiff", "i4", 12_000, 16_383),
        ("tiff", "f4", 3000, 4095),
        ("tiff", "f4", 0.9, 1),
    ],
)
def test_the_white_of_deep_pictures_is_the_data_sets(tmp_path, ending, kind, peak, white):
    deep(tmp_path, ending, kind, lambda i: peak if i % 2 else peak / 3)
    result = read(tmp_path)
    load = item_loader(ViewParams(modality="image", encoder="efficientnet-lite0"), tmp_path, 1000)
    brightest = [float(np.asarray(load(value)).max()) for value in result.pairs["image"]]
    expected = [255 * (peak if i % 2 else peak / 3) / white for i in range(N)]
    assert np.abs(np.array(brightest) - expected).max() < 2
    said = any(f"{white:,} is taken for white" in note for note in result.notes)
    assert said == (white != 1)  # where every picture says so alone, nothing is said
    assert result.account["files"]["used"] == N + 1 and not result.account["left_out"]
    assert read(tmp_path).pairs.equals(result.pairs)


def test_another_white_makes_another_item_but_what_is_forgotten_stays_so(tmp_path):
    deep(tmp_path, "png", "u2", lambda i: 4000)
    before = read(tmp_path).pairs
    Image.fromarray(np.full((8, 8), 60_000, np.uint16)).save(tmp_path / "0.png")
    after = read(tmp_path).pairs
    assert not set(before["image_hash"]) & set(after["image_hash"])
    assert after["image"].to_list() == [f"{i}.png" for i in range(N)]  # as without a data set
    item = before["image_hash"][5]
    put(tmp_path / "exclude.csv", f"pair_id,item,reason\n,{item},gone\n")
    assert len(read(tmp_path).pairs) == N - 1


def test_sound_far_above_full_scale_is_refused(tmp_path):
    for i in range(N):
        soundfile.write(tmp_path / f"{i}.wav", tone(i, 12000.0), 16000, subtype="FLOAT")
    separated(tmp_path / "pairs.csv", [{"audio": f"{i}.wav", "text": f"t{i}"} for i in range(N)])
    refused(tmp_path, "samples up to 1[0-9],[0-9]+, where full scale is 1", views=("audio", "text"))


# on_error: quarantine holds for every fault of one item


def test_one_image_is_missing(tmp_path):
    pictures(tmp_path / "images", [i for i in range(N) if i != 5])
    listed = [
        {
            "filename": f"{i}.jpg",
            "split": "train" if i < 18 else "val",
            "sentences": [{"raw": f"thing {i}"}],
        }
        for i in range(N)
    ]
    put(tmp_path / "dataset_mine.json", json.dumps({"images": listed}))
    refused(tmp_path, "1 of 24 rows are unusable: image 5 of dataset_mine.json", kind="karpathy")
    result = read(tmp_path, kind="karpathy", on_error="quarantine")
    assert len(result.pairs) == N - 1
    assert result.account["set_aside"][0]["row"] == "image 5 of dataset_mine.json"


def test_one_text_is_not_utf8(tmp_path):
    members = [*samples(range(N))]
    members[9] = ("0004.txt", "café".encode("latin-1"))
    shard(tmp_path / "0.tar", members)
    refused(tmp_path, "0.tar!0004.txt: not UTF-8", kind="webdataset")
    assert len(read(tmp_path, kind="webdataset", on_error="quarantine").pairs) == N - 1


def test_one_line_is_broken(tmp_path):
    pictures(tmp_path)
    lines = [json.dumps(row) for row in rows()]
    lines[7] = lines[7][:-4]
    put(tmp_path / "pairs.jsonl", "\n".join(lines))
    refused(tmp_path, "row 8: line 8 is not JSON")
    result = read(tmp_path, on_error="quarantine")
    assert len(result.pairs) == N - 1
    assert result.account["records"]["rows"] == {
        "total": N,
        "used": N - 1,
        "set_aside": 1,
        "left_out": 0,
    }


# What nothing names cannot break a reader


def test_columns_that_nothing_names(tmp_path):
    pictures(tmp_path)
    took, boxes = lambda i: datetime.timedelta(seconds=i), lambda i: [[0, i]]
    pl.DataFrame(rows(took=took, boxes=boxes)).write_parquet(tmp_path / "a.parquet")
    jsonl(tmp_path / "b.jsonl", rows(boxes=boxes))
    result = read(tmp_path, table="a.parquet")
    assert len(result.pairs) == N
    assert result.account["columns"]["a.parquet"] == {
        "used": ["image", "text"],
        "passed_over": ["took", "boxes"],
    }
    assert len(read(tmp_path, table="b.jsonl").pairs) == N


def test_stray_folders(tmp_path):
    for i in range(N):
        pictures(tmp_path / ("train" if i < 18 else "val") / f"c{i % 3}", [i])
    (tmp_path / "logs").mkdir()
    put(tmp_path / "__MACOSX" / "train" / "._0.jpg", b"junk")
    put(tmp_path / "__MACOSX" / "train" / "0.jpg", b"junk")
    result = read(tmp_path, kind="imagefolder")
    assert splits(result) == {"train": 18, "test": 6}
    assert left_out(result) == {"files of __MACOSX": 1}


# Valid is not damaged


def test_long_texts_inside_a_picture(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("workflow", "x" * 3_000_000, zip=True)
    for i in range(N):
        put(tmp_path / f"{i}.jpg", picture(i, "PNG", **({"pnginfo": info} if i < 2 else {})))
    separated(tmp_path / "pairs.csv", rows())
    assert len(read(tmp_path).pairs) == N


def test_wav_that_was_piped(tmp_path):
    for i in range(N):
        buffer = io.BytesIO()
        soundfile.write(buffer, tone(i), 16000, format="WAV", subtype="PCM_16")
        whole = buffer.getvalue()
        at = whole.index(b"data") + 4
        length = struct.pack("<I", (0, 0x7FFFFFDA, 0xFFFFFFFF)[i % 3])
        put(tmp_path / f"{i}.wav", whole[:4] + length + whole[8:at] + length + whole[at + 4 :])
    separated(tmp_path / "pairs.csv", [{"audio": f"{i}.wav", "text": f"t{i}"} for i in range(N)])
    assert len(read(tmp_path, ("audio", "text")).pairs) == N


def test_bfloat16_and_a_blank_last_line(tmp_path):
    x = np.random.default_rng(0).standard_normal((40, 8)).astype("<f4")
    half = (x.view(np.uint32) >> 16).astype("<u2").tobytes()
    entry = {"x": {"dtype": "BF16", "shape": [40, 8], "data_offsets": [0, len(half)]}}
    header = json.dumps(entry).encode()
    put(tmp_path / "x.safetensors", struct.pack("<Q", len(header)) + header + half)
    np.save(tmp_path / "y.npy", x)
    put(tmp_path / "split.txt", "\n".join(["train"] * 30 + ["test"] * 10) + "\n\n")
    result = read(
        tmp_path,
        {"a": "array", "b": "array"},
        kind="arrays",
        arrays={"a": "x.safetensors", "b": "y.npy"},
        columns={"split": "split.txt"},
    )
    assert splits(result) == {"train": 30, "test": 10}


def test_a_snapshot_in_the_cache_of_the_hub(tmp_path):
    repository = tmp_path / "datasets--x--y"
    for i in range(N):
        put(repository / "blobs" / f"blob{i}", picture(i))
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    for i in range(N):
        (snapshot / f"{i}.jpg").symlink_to(f"../../blobs/blob{i}")
    separated(snapshot / "pairs.csv", rows())
    assert len(read(snapshot).pairs) == N
    (snapshot / "0.jpg").unlink()
    put(tmp_path / "other.jpg", picture(0))
    (snapshot / "0.jpg").symlink_to(tmp_path / "other.jpg")
    refused(snapshot, "leads out of the data set's folder")


# Spellings of paths, encodings and separators


def test_other_spellings_of_a_path(tmp_path):
    names = ["a\\é.jpg", "./a/1.jpg", "a/2.jpg"]
    put(tmp_path / "a" / "e\u0301.jpg", picture(100))
    pictures(tmp_path / "a")
    separated(
        tmp_path / "pairs.csv",
        [{"image": names[i] if i < 3 else f"a/{i}.jpg", "text": f"t{i}"} for i in range(N)],
    )
    found = read(tmp_path).pairs["image"][:3].to_list()
    assert found == ["a/e\u0301.jpg", "a/1.jpg", "a/2.jpg"]


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_separators_are_found_and_said(tmp_path, separator):
    pictures(tmp_path)
    separated(tmp_path / "pairs.csv", rows(), separator)
    assert f"the separator is {separator!r}" in read(tmp_path).notes[0]


def test_utf16_gzip_and_an_array_of_objects(tmp_path):
    import gzip

    pictures(tmp_path)
    text = "image,text\n" + "".join(f"{i}.jpg,größe {i}\n" for i in range(N))
    put(tmp_path / "a.csv", text.encode("utf-16"))
    put(tmp_path / "b.csv.gz", gzip.compress(text.encode()))
    put(tmp_path / "c.json", json.dumps(rows(text=lambda i: f"größe {i}")))
    for name in ("a.csv", "b.csv.gz", "c.json"):
        assert read(tmp_path, table=name).pairs["text"][3] == "größe 3"
    put(tmp_path / "a.csv", text.encode("utf-16-le"))
    refused(tmp_path, "iconv -f UTF-16 -t UTF-8", table="a.csv")


def test_what_is_no_file_is_refused_at_once(tmp_path):
    import os

    pictures(tmp_path)
    os.mkfifo(tmp_path / "pipe.csv")
    refused(tmp_path, r"it is a pipe|no such table", table="pipe.csv")
    (tmp_path / "endless.csv").symlink_to("/dev/zero")
    refused(tmp_path, "leads out", table="endless.csv")
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    refused(tmp_path, "names no file|no such table", table="loop.csv")
    long = [{"image": "x" * 300 + ".jpg", "text": "t"}, *rows()]
    separated(tmp_path / "pairs.csv", long)
    assert len(read(tmp_path, table="pairs.csv", on_error="quarantine").pairs) == N
    put(tmp_path / "3.jpg", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    aside = read(tmp_path, table="pairs.csv", on_error="quarantine").quarantine
    assert "a pointer of Git LFS" in aside["reason"][1]


def test_addresses_and_dots_are_named(tmp_path):
    separated(tmp_path / "pairs.csv", rows(image=lambda i: f"https://example.org/{i}.jpg"))
    refused(tmp_path, "is an address on the web")
    members = [m for i in range(N) for m in ((f"a.{i}.jpg", picture(i)), (f"a.{i}.txt", b"t"))]
    shard(tmp_path / "0.tar", members)
    refused(tmp_path, "are there dots in the keys", kind="webdataset")


def test_parts_of_features_in_a_folder(tmp_path):
    x = np.random.default_rng(0).standard_normal((44, 3)).astype("f4")
    for k in range(11):
        put(tmp_path / "img" / "note.txt", "no part")
        np.save(tmp_path / "img" / f"img_emb_{k}.npy", x[4 * k : 4 * k + 4])
    np.save(tmp_path / "y.npy", x)
    views, arrays = {"a": "array", "b": "array"}, {"a": "img", "b": "y.npy"}
    result = read(tmp_path, views, kind="arrays", arrays=arrays)
    assert result.pairs["a"][40] == "img/img_emb_10.npy#0"
    assert result.pairs["a_hash"].to_list() == result.pairs["b_hash"].to_list()
    put(tmp_path / "raw.npy", x.tobytes())
    refused(
        tmp_path,
        "no.* NumPy file; a raw memory dump",
        views=views,
        kind="arrays",
        arrays={"a": "raw.npy", "b": "y.npy"},
    )


def test_containers_that_promise_too_much(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros((80_000, 1000), "f4"))
    np.save(tmp_path / "y.npy", np.ones((5, 2), "f4"))
    views = {"a": "array", "b": "array"}
    arrays = {"kind": "arrays", "arrays": {"a": "x.npz", "b": "y.npy"}}
    refused(tmp_path, "a decompression bomb", views=views, **arrays)
    frame = pl.select(image=pl.repeat("a.jpg", 60_000_000), text=pl.lit("t"))
    frame.write_parquet(tmp_path / "pairs.parquet")
    refused(tmp_path, "a decompression bomb", table="pairs.parquet")


def test_one_long_text_of_many_rows_is_a_bomb(tmp_path):
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 10_000, pa.int32()), ["x" * 100_000])
    rows = pa.table({"image": ["a.jpg"] * 10_000, "text": text})
    parquet.write_table(rows, tmp_path / "pairs.parquet", compression="zstd")
    assert (tmp_path / "pairs.parquet").stat().st_size < 50_000
    refused(tmp_path, "unpack to 1,000,000,000", table="pairs.parquet")


def test_lists_of_one_number_are_a_bomb(tmp_path):
    lists = pa.ListArray.from_arrays([0, 60_000_000], pa.repeat(pa.scalar("t"), 60_000_000))
    parquet.write_table(pa.table({"image": ["a.jpg"], "text": lists}), tmp_path / "pairs.parquet")
    refused(tmp_path, "a decompression bomb", table="pairs.parquet")


def test_arrow_batches_that_unpack_to_too_much(tmp_path):
    saved(tmp_path, range(2))
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    batch = pa.record_batch({"image": [None] * 10_000_000, "text": pa.nulls(10_000_000, "i8")})
    file = next(tmp_path.glob("*.arrow"))
    with pa.ipc.new_stream(str(file), batch.schema, options=options) as writer:
        for _ in range(30):
            writer.write_batch(batch)
    refused(tmp_path, "a decompression bomb", kind="huggingface")


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_a_header_that_promises_more_than_is_there(tmp_path, ending):
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "<f4", "fortran_order": False, "shape": (10**9, 10**6)}
    )
    if ending == "npy":
        (tmp_path / "x.npy").write_bytes(head.getvalue() + bytes(4000))
    else:
        with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
            archive.writestr("x.npy", head.getvalue() + bytes(4000))
    np.save(tmp_path / "y.npy", np.ones((5, 2), "f4"))
    arrays = {"kind": "arrays", "arrays": {"a": f"x.{ending}", "b": "y.npy"}}
    refused(tmp_path, "promises 4,000,000,000", views={"a": "array", "b": "array"}, **arrays)


@pytest.mark.parametrize("place", ["on the file", "on a column", "within a column"])
def test_notes_that_are_no_text_are_passed_over_or_one_line(tmp_path, capfd, place):
    note = {b"made by": b"\xff\xfe"}
    inner = pa.field("size", pa.int64(), metadata=note if place == "within a column" else None)
    box = pa.field("box", pa.struct([inner]), metadata=note if place == "on a column" else None)
    fields = [pa.field("first", pa.string()), pa.field("second", pa.string()), box]
    schema = pa.schema(fields, metadata=note if place == "on the file" else None)
    records = [{"first": f"a{i}", "second": f"b{i}", "box": {"size": i}} for i in range(N)]
    parquet.write_table(pa.Table.from_pylist(records, schema), tmp_path / "pairs.parquet")
    views = {"first": "text", "second": "text"}
    if place == "within a column":
        refused(tmp_path, "'utf-8' codec can't decode", views=views, table="pairs.parquet")
    else:
        assert len(read(tmp_path, views, table="pairs.parquet").pairs) == N
    assert "panicked" not in capfd.readouterr().err


# Texts that are none


@pytest.mark.parametrize("write", [json.dumps, str, lambda texts: str(np.array(texts))])
def test_lists_that_were_written_into_a_cell(tmp_path, write):
    pictures(tmp_path)
    texts = [[f"thing {i}", f"a {i}, so it's said"] for i in range(N)]
    records = [{**row, "text": write(texts[i])} for i, row in enumerate(rows())]
    separated(tmp_path / "pairs.csv", [*records[:-1], {**records[-1], "text": "[laughs]"}])
    result = read(tmp_path)
    assert result.pairs["text"][:2].to_list() == texts[0] and len(result.pairs) == 2 * N - 1
    assert result.pairs["pair_id"][:3].to_list() == ["1#0", "1#1", "2#0"]
    assert result.account["groups"] == N and result.account["records"]["rows"]["used"] == N
    assert "23 texts of view 'text' are lists written out" in result.notes[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (lambda i: str({"raw": f"thing {i}"}), "structures written out, such as \"{'raw'"),
        (lambda i: str([{"raw": f"thing {i}"}]), "structures written out"),
        (lambda i: str(f"thing {i}".encode()), "bytes written out"),
        (lambda i: i, "numbers, such as '0'"),
    ],
)
def test_texts_that_are_perhaps_none_are_noted(tmp_path, text, said):
    pictures(tmp_path)
    separated(tmp_path / "pairs.csv", rows(text=text))
    (note,) = read(tmp_path).notes
    assert f"24 of 24 texts of view 'text' are {said}" in note and "kept as texts" in note


def test_a_number_of_a_class_that_has_no_name(tmp_path):
    saved(tmp_path, text=[(-1, 7, 0, 1)[i % 4] for i in range(N)])
    names = {"_type": "ClassLabel", "names": ["cat", "dog"]}
    features = {"image": {"_type": "Image"}, "text": names}
    put(tmp_path / "dataset_info.json", json.dumps({"features": features}))
    result = read(tmp_path, kind="huggingface", on_error="quarantine")
    assert set(result.pairs["text"]) == {"a photo of a cat", "a photo of a dog"}
    reasons = result.quarantine["reason"].value_counts().sort("reason").rows()
    assert [(words[:21], count) for words, count in reasons] == [
        ("class 7 has no name, ", 6), ("text: nothing there (", 6),
    ]  # fmt: skip


@pytest.mark.parametrize("pattern", ["{:03d}.Black_footed_{}", "n0208562{}-Black_footed_{}"])
def test_numbers_before_the_names_of_classes(tmp_path, pattern):
    for i in range(N):
        pictures(tmp_path / pattern.format(i % 3, "abc"[i % 3]), [i])
    result = read(tmp_path, kind="imagefolder")
    assert set(result.pairs["label"]) == {f"Black footed {one}" for one in "abc"}
    assert "the numbers before the names of classes are left out" in result.notes[0]


def test_numbers_that_are_the_names_of_classes(tmp_path):
    for i in range(N):
        pictures(tmp_path / f"{i % 2}_doors", [i])
    assert set(read(tmp_path, kind="imagefolder").pairs["label"]) == {"0 doors", "1 doors"}
    for i in range(2):
        (tmp_path / f"{i}_doors").rename(tmp_path / str(i))
    assert "which no text encoder knows" in read(tmp_path, kind="imagefolder").notes[0]


# Groups and splits that are not what they seem


def test_a_group_whose_number_is_written_in_two_ways(tmp_path):
    pictures(tmp_path)
    for part in range(2):
        found = rows(group=lambda i, part=part: i // 2 if part else float(i // 2))[part::2]
        pl.DataFrame(found).write_parquet(tmp_path / f"part-{part}.parquet")
    result = read(tmp_path, kind="table", table=".")
    assert result.account["groups"] == N / 2
    assert "12 groups are written in two ways" in result.notes[1]


def test_groups_and_splits_that_are_perhaps_missing_are_noted(tmp_path):
    pictures(tmp_path)
    splits = {"group": lambda i: "nan" if i > 17 else i, "split": lambda i: "train" * (i < 12)}
    separated(tmp_path / "pairs.csv", rows(**splits))
    notes = " ".join(read(tmp_path).notes)
    assert "6 groups are 'nan', perhaps a missing value written out" in notes
    assert "12 of 24 pairs have no split" in notes


# Columns and parts of features


@pytest.mark.parametrize("ids", [np.arange(40), np.arange(40)[::-1], np.arange(40) * 37 % 1000])
def test_a_column_of_identifiers_is_no_dimension_in_any_file(tmp_path, ids):
    x = np.random.default_rng(0).normal(size=(40, 3))
    for name in "xy":
        np.save(tmp_path / f"{name}.npy", np.column_stack([x, ids]))
        frame = pl.DataFrame(x, schema=["d0", "d1", "d2"]).with_columns(n=pl.Series(ids * 1.0))
        frame.write_parquet(tmp_path / f"{name}.parquet")
    views, arrays = {"a": "array", "b": "array"}, {"a": "x.npy", "b": "y.npy"}
    refused(tmp_path, "column 3, .*without its column 3", views=views, kind="arrays", arrays=arrays)
    refused(tmp_path, "column 'n' names or count", views=views, kind="arrays", arrays=FEATURES)


@pytest.mark.parametrize("name", ["imageId", "label", "class", "sample_id", "imgid"])
def test_a_column_of_classes_or_ids_is_no_dimension(tmp_path, name):
    rng = np.random.default_rng(0)
    for file in "xy":
        columns = {name: [i % 3 for i in range(40)], "grid": rng.normal(size=40)}
        pl.DataFrame(columns).write_parquet(tmp_path / f"{file}.parquet")
    views = {"a": "array", "b": "array"}
    refused(tmp_path, f"column '{name}'", views=views, kind="arrays", arrays=FEATURES)


def test_parts_of_features_that_do_not_belong_together(tmp_path):
    def write(view, sizes):
        for number, size in sizes.items():
            (tmp_path / view).mkdir(exist_ok=True)
            x = np.random.default_rng(number).normal(size=(size, 4))
            np.save(tmp_path / view / f"part_{number}.npy", x)

    write("img", {0: 20, 1: 20, 3: 20})
    write("txt", {0: 20, 1: 20, 2: 20})
    views, arrays = {"a": "array", "b": "array"}, {"a": "img", "b": "txt"}
    refused(
        tmp_path, "part_2.npy would be read with img/part_3", views=views, kind="arrays",
        arrays=arrays,
    )  # fmt: skip
    (tmp_path / "img/part_3.npy").unlink()
    write("img", {1: 30, 2: 10})
    result = read(tmp_path, views, kind="arrays", arrays=arrays)
    assert "have different numbers of rows" in result.notes[-1] and len(result.pairs) == 60


# Pictures and shards


def deep_colours(top):
    """A PNG of 16 bits a colour, which Pillow cannot write."""
    pixels = np.random.default_rng(top).integers(0, top + 1, (8, 8, 3)).astype(">u2")
    pixels[0, 0] = top
    raw = b"".join(b"\0" + row.tobytes() for row in pixels)

    def chunk(kind, content):
        sums = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + sums

    head = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


def test_the_white_of_deep_colours_is_the_data_sets(tmp_path):
    for i in range(N):
        put(tmp_path / f"{i}.png", deep_colours(4095 - i))
    separated(
        tmp_path / "pairs.csv", [{**row, "image": f"{row['image'][:-4]}.png"} for row in rows()]
    )
    result = read(tmp_path)
    assert result.pairs["image"][0] == "0.png?white=4095"
    assert "write them as 8 bits" in result.notes[0]
    view = ViewParams(modality="image", encoder=ENCODERS["image"])
    bright = np.asarray(item_loader(view, tmp_path, 10**6)("0.png?white=4095"))
    assert bright.max() > 235 and 100 < bright.mean() < 140
    put(tmp_path / "0.png", deep_colours(200))
    refused(tmp_path, "fill no more than 8; write them as 8 bits")


def test_links_in_a_shard_are_the_members_they_name(tmp_path):
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        for name, content in samples(range(N)):
            info = tarfile.TarInfo(name)
            number = int(name[:4])
            if number in (3, 4, 5):
                info.type = tarfile.SYMTYPE if number == 4 else tarfile.LNKTYPE
                info.linkname = name.replace("0003", "0000").replace("0004", "0001")
            info.size = 0 if number in (3, 4, 5) else len(content)
            tar.addfile(info, io.BytesIO(content))
    result = read(tmp_path, kind="webdataset", on_error="quarantine")
    texts = dict(result.pairs.select("pair_id", "text").rows())
    assert (texts["0/0003"], texts["0/0004"], len(texts)) == ("thing 0", "thing 1", N - 1)
    assert "the file is empty" in result.quarantine["reason"][0]


def test_two_tars_in_one_file_are_refused(tmp_path):
    for name in "ab":
        shard(tmp_path / f"{name}.tar", samples(range(N)))
    put(tmp_path / "a.tar", (tmp_path / "a.tar").read_bytes() + (tmp_path / "b.tar").read_bytes())
    refused(tmp_path, "a.tar: there is more behind its last member", kind="webdataset")


# Scales that are judged on the data set


def scans(number, farthest=20.0, bright=1.0):
    points = np.random.default_rng(number).uniform(-1, 1, (40, 4)).astype("<f4") * farthest
    points[:, 3] = np.abs(points[:, 3]) / farthest * bright
    return points.tobytes()


def of_columns(number, columns, metres=1.0):
    """A scan with another number of values a point; the first three are coordinates."""
    points = np.random.default_rng(number).uniform(0, 1, (48, columns)).astype("<f4")
    points[:, :3] *= metres
    return points.tobytes()


def wav(samples):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 16000, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def steps(i):
    return "time,x\n" + "".join(f"{t / 10},{np.sin(t * (i + 1)):.3f}\n" for t in range(20))


@pytest.mark.parametrize(
    ("modality", "ending", "write", "said"),
    [
        ("audio", "wav", lambda i: wav(tone(i, 12.0)), "24 of 24 sounds .* beyond full scale, up"),
        (
            "audio",
            "wav",
            lambda i: wav(tone(i, 3e-4 if i < 9 else 0.5)),
            "9 of 24 sounds .* no mor",
        ),
        ("lidar", "bin", lambda i: scans(i, 900), "24 of 24 scans .* are they in metres"),
        ("lidar", "bin", lambda i: scans(i, bright=0), "24 of 24 scans .* have no reflectance"),
        ("lidar", "bin", lambda i: of_columns(i, 4), "24 of 24 scans .* 25% .* within 1 m of"),
        ("lidar", "bin", lambda i: of_columns(i, 5), "24 of 24 scans .* how many values a point"),
        ("lidar", "bin", lambda i: of_columns(i, 6), "24 of 24 scans .* how many values a point"),
        ("lidar", "bin", lambda i: of_columns(i, 8, 30), "24 of 24 scans .* how many values a po"),
        ("lidar", "bin", lambda i: of_columns(i, 16, 9), "24 of 24 scans .* how many values a po"),
        ("series", "csv", steps, "channel 0 of 24 of 24 series .* equal steps"),
    ],
)
def test_scales_that_are_not_plausible_are_noted(tmp_path, modality, ending, write, said):
    for i in range(N):
        put(tmp_path / f"{i}.{ending}", write(i))
    jsonl(tmp_path / "pairs.jsonl", [{"x": f"{i}.{ending}", "text": f"t {i}"} for i in range(N)])
    (note,) = read(tmp_path, {"x": modality, "text": "text"}, table="pairs.jsonl").notes
    assert re.search(said, note), note


def test_returns_that_a_sensor_missed_are_no_points_next_to_it(tmp_path):
    for i in range(N):
        points = np.frombuffer(scans(i), "<f4").reshape(-1, 4).copy()
        points[::2] = 0
        put(tmp_path / f"{i}.bin", points.tobytes())
    jsonl(tmp_path / "pairs.jsonl", [{"x": f"{i}.bin", "text": f"t {i}"} for i in range(N)])
    assert read(tmp_path, {"x": "lidar", "text": "text"}, table="pairs.jsonl").notes == ()


# Spellings that are seen through, and remedies that fit


SPELT = {
    "blanks": "text, image\n" + "".join(f"thing {i}, {i}.jpg\n" for i in range(N)),
    "quotes": "image, text\n" + "".join(f'{i}.jpg, "thing {i}, so"\n' for i in range(N)),
    "Excel": "sep=;\r\nimage;text\r\n" + "".join(f"{i}.jpg;thing {i}\r\n" for i in range(N)),
}


@pytest.mark.parametrize("name", SPELT)
def test_spellings_of_separated_tables(tmp_path, name):
    pictures(tmp_path)
    put(tmp_path / "pairs.csv", SPELT[name])
    pairs = read(tmp_path).pairs
    assert pairs["image"][3] == "3.jpg" and pairs["text"][3].startswith("thing 3")


def test_a_line_with_a_key_twice_is_set_aside(tmp_path):
    pictures(tmp_path)
    lines = [json.dumps(row) for row in rows()]
    lines[2] = lines[2].replace('"text"', '"text": "old", "text"')
    put(tmp_path / "pairs.jsonl", "\n".join(lines))
    result = read(tmp_path, on_error="quarantine")
    assert "line 3 has the key 'text' twice" in result.quarantine["reason"][0]
    (tmp_path / "pairs.jsonl").unlink()
    put(tmp_path / "pairs.json", f"[{','.join(lines)}]")
    refused(tmp_path, "an object has the key 'text' twice")


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (lambda i: f"s3://bucket/{i}.jpg", "is an address on the web or of a file"),
        (lambda i: base64.b64encode(picture(i)).decode(), "perhaps an item that was written out"),
    ],
)
def test_what_is_no_path_says_what_it_is(tmp_path, cell, said):
    separated(tmp_path / "pairs.csv", rows(image=cell))
    refused(tmp_path, said)


def test_items_in_cells_of_a_table_name_their_reader(tmp_path):
    cells = {"image": lambda i: {"bytes": picture(i), "path": f"{i}.jpg"}}
    pl.DataFrame(rows(**cells)).write_parquet(tmp_path / "pairs.parquet")
    refused(tmp_path, "are read with dataset.kind: huggingface")
    assert len(read(tmp_path, kind="huggingface").pairs) == N


def test_images_of_lists_lie_where_their_names_say(tmp_path):
    pictures(tmp_path / "a" / "mine_images")
    put(tmp_path / "a" / "dataset_mine.json", karpathy_list(N, 18))
    assert read(tmp_path / "a", kind="karpathy").pairs["image"][3] == "mine_images/3.jpg"
    pictures(tmp_path / "b" / "val2017")
    listed = [{"id": i, "file_name": f"val2017/{i}.jpg"} for i in range(N)]
    notes = [{"id": i, "image_id": i, "caption": f"thing {i}"} for i in range(N)]
    content = json.dumps({"images": listed, "annotations": notes})
    put(tmp_path / "b" / "annotations" / "captions_val2017.json", content)
    assert read(tmp_path / "b", kind="coco").pairs["image"][3] == "val2017/3.jpg"
    pictures(tmp_path / "c" / "Images")
    lines = "".join(f'"{i}.jpg","thing {i}, so"\n' for i in range(N))
    put(tmp_path / "c" / "captions.txt", f'"image","caption"\n{lines}')
    assert read(tmp_path / "c", kind="flickr").pairs["text"][3] == "thing 3, so"
