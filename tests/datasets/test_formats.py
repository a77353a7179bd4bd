"""Layouts as the tools and sites of this field hand them out: each is recognised and read."""

import gzip
import io
import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet
from written import put, shard

from csa.datasets.containers import ItemFiles
from csa.datasets.ingest import ReadOptions, read_dataset
from csa.datasets.recognise import recognise
from csa.datasets.roots import dataset_root
from csa.encoders.registry import first_encoder
from csa.errors import DataError
from csa.params.data import DatasetParams
from csa.params.views import ViewParams

N = 24


def picture(seed, kind="JPEG"):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


PICTURES = [picture(seed) for seed in range(N)]


def pictures(folder, numbers=range(N), pattern="{}.jpg"):
    for i in numbers:
        put(folder / pattern.format(i), PICTURES[i])


def parquets(path, table, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, path, **options)


def best(path):
    """The best layout, and what is read with it."""
    layout = recognise(path)[0]
    assert layout.fits and layout.recognised, layout.missing
    views = {
        name: ViewParams(modality=kind, encoder=first_encoder(kind))
        for name, kind in layout.views.items()
    }
    dataset = DatasetParams.model_validate(layout.dataset)
    result = read_dataset(dataset, views, path, ReadOptions(progress=False))
    assert len(views) == 2 and result.account["records"]
    return layout, result


def again(layout, **dataset):
    """A data set read as it was recognised, but for some settings."""
    views = {
        name: ViewParams(modality=kind, encoder=first_encoder(kind))
        for name, kind in layout.views.items()
    }
    changed = DatasetParams.model_validate({**layout.dataset, **dataset})
    return read_dataset(changed, views, Path(layout.dataset["path"]), ReadOptions(progress=False))


def splits(result):
    return dict(result.pairs["split"].value_counts().rows())


def left_out(result):
    return {one["what"]: one["count"] for one in result.account["left_out"]}


# The hub's Parquet


def cells(numbers, text="text", embedded=True):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    found = [{"bytes": PICTURES[i] if embedded else None, "path": f"{i}.jpg"} for i in numbers]
    return pa.table({"image": pa.array(found, kind), text: [f"thing {i}" for i in numbers]})


def described(table, **features):
    return table.replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )


PARTS = {"train": range(16), "validation": range(16, 20), "test": range(20, N)}


@pytest.mark.parametrize(
    "pattern",
    [
        "data/{}-00000-of-00001.parquet",
        "data/{}-00000-of-00001-566cc9b19d7203f8.parquet",
        "default/{}/0000.parquet",
        "{}.parquet",
    ],
)
def test_parquet_of_the_hub(tmp_path, pattern):
    for name, numbers in PARTS.items():
        parquets(tmp_path / pattern.format(name), cells(numbers), row_group_size=5)
    put(tmp_path / "README.md", "---\n")
    layout, result = best(tmp_path)
    assert layout.kind == "huggingface" and splits(result) == {"train": 16, "test": 4}
    assert left_out(result)["rows of part test, left untouched (dataset.held_out)"] == 4
    files = ItemFiles(dataset_root(DatasetParams(**layout.dataset), tmp_path), "image")
    for value, text in result.pairs.select("image", "text").rows():
        assert files.open(value).read() == PICTURES[int(text.split()[1])]
    assert splits(again(layout, held_out="test")) == {"train": 16, "test": 4}


def test_parquet_of_the_hub_in_its_cache(tmp_path):
    repository = tmp_path / "datasets--x--y"
    parquets(repository / "blobs" / "deadbeef", cells(range(N)))
    put(repository / "refs" / "main", "abc")
    file = repository / "snapshots" / "abc" / "data" / "train-00000-of-00001.parquet"
    file.parent.mkdir(parents=True)
    file.symlink_to("../../../blobs/deadbeef")
    for folder in (repository, repository / "snapshots" / "abc"):
        _, result = best(folder)
        assert len(result.pairs) == N and set(splits(result)) == {"train", "test"}


def test_features_of_the_hub_say_classes_and_lists(tmp_path):
    table = cells(range(N)).append_column("label", pa.array([i % 2 for i in range(N)]))
    table = table.drop_columns("text")
    label = {"_type": "ClassLabel", "names": ["cat", "dog"]}
    parquets(tmp_path / "a.parquet", described(table, image={"_type": "Image"}, label=label))
    layout, result = best(tmp_path)
    assert layout.dataset["columns"] == {"text": "label"}
    assert result.pairs["text"][:2].to_list() == ["a photo of a cat", "a photo of a dog"]
    lists = pa.array([[f"thing {i}", f"the thing {i}"] for i in range(N)])
    parquets(tmp_path / "a.parquet", cells(range(N)).set_column(1, "captions", lists))
    _, result = best(tmp_path)
    assert len(result.pairs) == 2 * N and result.pairs["group"].n_unique() == N


def test_cells_of_the_hub_that_lack_their_bytes(tmp_path):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    found = [{"bytes": PICTURES[i] if i % 2 else None, "path": f"{i}.jpg"} for i in range(N)]
    found[3] = None
    table = pa.table({"image": pa.array(found, kind), "text": [f"t{i}" for i in range(N)]})
    parquets(tmp_path / "a.parquet", table, row_group_size=7)
    pictures(tmp_path, range(0, N, 2))
    result = again(recognise(tmp_path)[0], on_error="quarantine")
    assert result.pairs["image"][:3].to_list() == ["0.jpg", "a.parquet!1/image", "2.jpg"]
    assert len(result.pairs) == N - 1 and "nothing there" in result.quarantine["reason"][0]


def test_parquet_of_the_hub_that_is_two_data_sets(tmp_path):
    for name in ("small", "large"):
        parquets(tmp_path / name / "train-0.parquet", cells(range(N)))
    layout = recognise(tmp_path)[0]
    with pytest.raises(DataError, match=r"perhaps two configurations; set dataset.path to one"):
        again(layout)
    assert len(again(layout, path=str(tmp_path / "small")).pairs) == N
    parquets(tmp_path / "small" / "train-1.parquet", cells(range(N), text="caption"))
    with pytest.raises(DataError, match=r"train-1.parquet: its columns .* are not those"):
        again(layout, path=str(tmp_path / "small"))


def test_parquet_that_img2dataset_wrote(tmp_path):
    rows = [{"url": "http://x", "key": f"{i:09d}", "caption": f"thing {i}"} for i in range(N)]
    for k in range(2):
        some = [{**rows[i], "jpg": PICTURES[i]} for i in range(12 * k, 12 * k + 12)]
        parquets(tmp_path / f"{k:05d}.parquet", pa.Table.from_pylist(some))
        put(tmp_path / f"{k:05d}_stats.json", "{}")
    layout, result = best(tmp_path)
    assert layout.dataset["columns"] == {"text": "caption"} and len(result.pairs) == N


# Kaggle's Flickr8k and Flickr30k


def tokens(sentence="A thing {0} , no. {1} .", count=2):
    return "".join(
        f"{i}.jpg#{k}\t{sentence.format(i, k)}\n" for i in range(N) for k in range(count)
    )


def three_columns(mark, quote=""):
    lines = ["image_name", "comment_number", "comment"]
    rows = [
        f"{i}.jpg{mark}{k}{mark}{quote} A thing {i} , no. {k} .{quote}"
        for i in range(N)
        for k in range(2)
    ]
    return mark.join(lines) + "\n" + "\n".join(rows) + "\n"


BARS = three_columns("| ").replace("19.jpg| 1|  A", "19.jpg| 1   A")  # as its one broken line is
FLICKR = {
    "Images": {"captions.txt": "image,caption\n" + re.sub(r"#\d\t", ",", tokens())},
    "Flicker8k_Dataset": {"Flickr8k_text/Flickr8k.token.txt": tokens()},
    "Flickr8k_Dataset/Flicker8k_Dataset": {"Flickr8k_text/Flickr8k.token.txt": tokens()},
    "Flickr_Data/Images": {"Flickr_Data/Flickr_TextData/Flickr8k.token.txt": tokens()},
    "flickr30k_images/flickr30k_images": {"flickr30k_images/results.csv": BARS},
    "flickr30k_images": {"results.csv": BARS},
    "flickr30k-images": {"results_20130124.token": tokens()},
    "images": {"captions.txt": three_columns(",", '"')},
}


@pytest.mark.parametrize("folder", FLICKR)
def test_flickr_as_it_is_handed_out(tmp_path, folder):
    pictures(tmp_path / folder)
    for name, content in FLICKR[folder].items():
        put(tmp_path / name, content)
    put(tmp_path / "Flickr8k_text" / "Flickr8k.lemma.token.txt", "x.jpg#0\tthing\n")
    layout, result = best(tmp_path)
    assert layout.kind == "flickr" and len(result.pairs) == 2 * N
    assert result.pairs["image"][0] == f"{folder}/0.jpg"
    assert result.pairs["text"][:2].to_list() == ["A thing 0 , no. 0 .", "A thing 0 , no. 1 ."]
    assert result.pairs["group"].n_unique() == N


def test_captions_keep_their_numbers_where_one_is_set_aside(tmp_path):
    pictures(tmp_path)
    whole = three_columns("| ")
    put(tmp_path / "results.csv", whole.replace("7.jpg| 0|  A thing 7", "7.jpg|  A thing 7"))
    result = again(recognise(tmp_path)[0], on_error="quarantine")
    of_seven = result.pairs.filter(pl.col("group") == "7.jpg")
    assert of_seven.select("pair_id", "text").rows() == [("7.jpg#1", "A thing 7 , no. 1 .")]
    assert len(result.quarantine) == 1


def test_lists_of_splits_in_a_folder_of_their_own(tmp_path):
    pictures(tmp_path / "Flicker8k_Dataset")
    put(tmp_path / "text" / "Flickr8k.token.txt", tokens())
    for name, numbers in {"train": range(16), "dev": range(16, 20), "test": range(20, N)}.items():
        listed = "".join(f"{i}.jpg\n" for i in numbers)
        put(tmp_path / "text" / f"Flickr_8k.{name}Images.txt", listed)
    _, result = best(tmp_path)
    assert splits(result) == {"train": 32, "test": 8}
    assert left_out(result)["captions of images in no split file that is used"] == 8


# Tables in folders and in parts


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
@pytest.mark.parametrize("top", ["", "data/"])
def test_folders_of_pictures_with_their_metadata(tmp_path, ending, top):
    for name, numbers in PARTS.items():
        pictures(tmp_path / top / name, numbers)
        rows = [{"file_name": f"{i}.jpg", "text": f"thing {i}"} for i in numbers]
        lines = [json.dumps(row) for row in rows]
        if ending == "csv":
            lines = ["file_name,text", *(",".join(row.values()) for row in rows)]
        put(tmp_path / top / name / f"metadata.{ending}", "\n".join(lines))
    layout, result = best(tmp_path)
    assert layout.dataset["columns"] == {"image": "file_name"}
    assert splits(result) == {"train": 16, "test": 4}
    assert result.pairs["image"][0] == f"{top}train/0.jpg"
    assert result.pairs["pair_id"][0] == f"{top}train/metadata/1"
    assert left_out(result) == {
        "rows of part test, left untouched (dataset.held_out)": 4,
        "files of part test, left untouched (dataset.held_out)": 4,
    }
    assert len(again(layout, path=str(tmp_path / top / "train")).pairs) == 16


def test_a_path_that_begins_in_two_folders_is_refused(tmp_path):
    pictures(tmp_path / "train")
    put(tmp_path / "0.jpg", PICTURES[1])
    lines = "".join(f"{i}.jpg,thing {i}\n" for i in range(N))
    put(tmp_path / "train" / "metadata.csv", "file_name,text\n" + lines)
    layout = recognise(tmp_path)[0]
    with pytest.raises(DataError, match=r"'0.jpg' is 0.jpg and train/0.jpg too"):
        again(layout)
    assert len(again(layout, path=str(tmp_path / "train")).pairs) == N


def partitions(folder, names):
    pictures(folder / "images")
    share = N // len(names)
    for k, name in enumerate(names):
        numbers = range(share * k, share * (k + 1))
        cells = {"image": [f"images/{i}.jpg" for i in numbers], "text": [f"t {i}" for i in numbers]}
        parquets(folder / name, pa.table(cells))


@pytest.mark.parametrize(
    ("names", "table"),
    [
        ([f"part-{k:05d}-c000.snappy.parquet" for k in range(2)], "."),
        ([f"table/part-{k}.parquet" for k in range(12)], "table"),
        ([f"pairs.parquet/part-{k:05d}.parquet" for k in range(3)], "pairs.parquet"),
        (["data/split=train/0.parquet", "data/split=test/0.parquet"], "data"),
    ],
)
def test_a_table_in_parts(tmp_path, names, table):
    partitions(tmp_path, names)
    put(tmp_path / "_SUCCESS", "")
    layout, result = best(tmp_path)
    assert layout.dataset["table"] == table and len(result.pairs) == N
    assert f"{len(names)} tables are read as one" in " ".join(result.notes)
    if "split" in names[0]:
        assert splits(result) == {"train": N // 2, "test": N // 2}
    else:
        assert result.pairs["text"].to_list() == [f"t {i}" for i in range(N)]


def test_parts_whose_columns_differ_are_refused(tmp_path):
    partitions(tmp_path, ["0.parquet", "1.parquet"])
    layout = recognise(tmp_path)[0]
    parquets(tmp_path / "2.parquet", pa.table({"image": ["images/0.jpg"], "words": ["x"]}))
    with pytest.raises(DataError, match=r"2.parquet: its columns .* are not those of 0.parquet"):
        again(layout)


def test_one_table_a_split(tmp_path):
    pictures(tmp_path / "images")
    for name, numbers in PARTS.items():
        lines = "".join(f"images/{i}.jpg,thing {i}\n" for i in numbers)
        put(tmp_path / f"{name}.csv", "image,text\n" + lines)
    _, result = best(tmp_path)
    assert splits(result) == {"train": 16, "test": 4}


# Texts with separators


LINES = [(f"images/{i}.jpg", f"a thing, no. {i}") for i in range(N)]


def separated(mark, header=()):
    return "".join(f"{mark.join(line)}\n" for line in [*([header] if header else []), *LINES])


TEXTS = {
    "train.csv": (separated("\t", ("filepath", "title")), "the separator is '\\t'"),  # open_clip
    "Train_GCC-training.tsv": (
        "".join(f"{text}\t{image}\n" for image, text in LINES),
        "it has no header, so its columns are called column_1, column_2",
    ),
    "a.csv": (separated(";", ("image", "text")), "the separator is ';'"),
    "b.csv": (separated(";", ("image", "caption (short, plain)")), "the separator is ';'"),
    "c.csv": (separated("\t", ("image", "text")).encode("utf-16"), "the separator"),
    "d.tsv.gz": (gzip.compress(separated("\t", ("image", "text")).encode()), ""),
    "e.json": (
        json.dumps([dict(zip(("image", "caption"), line, strict=True)) for line in LINES]),
        "",
    ),
    "f.json.gz": (
        gzip.compress(json.dumps([{"image": one, "text": two} for one, two in LINES]).encode()),
        "",
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_tables_of_texts(tmp_path, name):
    pictures(tmp_path / "images")
    content, note = TEXTS[name]
    put(tmp_path / name, content)
    _, result = best(tmp_path)
    assert result.pairs.select("image", "text").rows() == LINES
    assert note in " ".join(result.notes)


def test_addresses_without_a_header_are_told(tmp_path):
    lines = "".join(f"a thing, no. {i}\thttp://example.org/{i}\n" for i in range(N))
    put(tmp_path / "Train_GCC-training.tsv", lines)
    layout = recognise(tmp_path)[0]
    assert "addresses on the web; name the files in a column" in layout.missing[0]


# Samples in shards and in folders


def samples(numbers, text="thing {}", ending="jpg"):
    for i in numbers:
        yield f"{i:09d}.{ending}", PICTURES[i]
        yield f"{i:09d}.json", json.dumps({"caption": f"thing {i}"}).encode()
        yield f"{i:09d}.txt", text.format(i).encode()


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("part", ["", "train", "val"])
def test_what_img2dataset_writes(tmp_path, packed, part):
    for k in range(2):
        numbers = range(12 * k, 12 * k + 12)
        home = tmp_path / ("val" if k and part == "val" else "train" if part else "")
        for name, content in () if packed else samples(numbers):
            put(home / f"{k:05d}" / name, content)
        if packed:
            shard(home / f"{k:05d}.tar", samples(numbers))
        found = [{"url": "http://x", "caption": f"thing {i}", "key": f"{i:09d}"} for i in numbers]
        parquets(home / f"{k:05d}.parquet", pa.Table.from_pylist(found))
        put(home / f"{k:05d}_stats.json", "{}")
    put(tmp_path / "readme.txt", "no sample")
    layout, result = best(tmp_path)
    assert layout.kind == "webdataset" and len(result.pairs) == N
    assert result.pairs["text"][N - 1] == f"thing {N - 1}"
    assert splits(result) == {"train": 12, "test": 12} or part != "val"
    ends = "!000000000.jpg" if packed else "/000000000.jpg"
    assert result.pairs["image"][0].endswith(ends)
    assert result.account["records"]["samples"]["used"] == N


def test_a_sample_of_files_that_is_broken_is_set_aside(tmp_path):
    for name, content in samples(range(N)):
        put(tmp_path / "00000" / name, content)
    put(tmp_path / "00000" / "000000003.txt", "café".encode("latin-1"))
    put(tmp_path / "00000" / "000000004.jpg", b"no picture")
    put(tmp_path / "00000" / "000000005.jpeg", PICTURES[0])
    (tmp_path / "00000" / "000000006.jpg").unlink()
    layout = recognise(tmp_path)[0]
    result = again(layout, on_error="quarantine")
    assert len(result.pairs) == N - 3 and len(result.quarantine) == 2
    assert left_out(result)["files ending .txt, which nothing names"] == 1


def test_shards_of_clip_benchmark(tmp_path):
    for name, numbers in (("train", range(18)), ("test", range(18, N))):
        members = [
            (f"s{i:07d}.{end}", str(i % 2).encode() if end == "cls" else PICTURES[i])
            for i in numbers
            for end in ("cls", "jpg")
        ]
        shard(tmp_path / name / "0.tar", members)
        put(tmp_path / name / "nshards.txt", "1")
    layout = recognise(tmp_path)[0]
    assert "classnames.txt for those ending .cls" in layout.missing[0]
    put(tmp_path / "classnames.txt", "cat\ndog\n")
    _, result = best(tmp_path)
    assert splits(result) == {"train": 18, "test": 6}
    assert result.pairs["text"][:2].to_list() == ["a photo of a cat", "a photo of a dog"]
    assert result.pairs["label"][:2].to_list() == ["cat", "dog"]


def test_shards_of_one_split_alone_are_divided(tmp_path):
    shard(tmp_path / "test" / "0.tar", samples(range(N), "thing {0}\nthe thing {0}"))
    _, result = best(tmp_path)
    assert len(result.pairs) == 2 * N and splits(result)["train"] > N


# Features and classes


@pytest.mark.parametrize("described", [True, False])
def test_features_of_clip_retrieval(tmp_path, described):
    x = np.random.default_rng(0).standard_normal((N, 4)).astype("f2")
    for k in range(12):
        for name in ("img_emb", "text_emb"):
            (tmp_path / name).mkdir(exist_ok=True)
            np.save(tmp_path / name / f"{name}_{k}.npy", x[2 * k : 2 * k + 2])
        rows = {"image_path": [f"k{2 * k}", f"k{2 * k + 1}"], "caption": ["a", "b"]}
        if described:
            parquets(tmp_path / "metadata" / f"metadata_{k}.parquet", pa.table(rows))
    layout, result = best(tmp_path)
    assert layout.views == {"image": "array", "text": "array"} and len(result.pairs) == N
    assert result.pairs["image"][21] == "img_emb/img_emb_10.npy#1"
    assert result.pairs["pair_id"][21] == ("k21" if described else "21")


def test_tiny_imagenet(tmp_path):
    for i in range(16):
        put(tmp_path / f"train/n0000000{i % 4}/images/n0000000{i % 4}_{i}.JPEG", PICTURES[i])
    for i in range(16, N):
        put(tmp_path / f"{'val' if i < 22 else 'test'}/images/{i}.JPEG", PICTURES[i])
    lines = [f"{i}.JPEG\tn0000000{i % 4}\t0\t0\t62\t62\n" for i in range(16, 22)]
    put(tmp_path / "val" / "val_annotations.txt", "".join(lines))
    put(tmp_path / "words.txt", "".join(f"n0000000{k}\tclass {k}\n" for k in range(4)))
    layout, result = best(tmp_path)
    assert layout.kind == "imagefolder" and splits(result) == {"train": 16, "test": 6}
    assert left_out(result)["images of test/images/, which nothing gives a class"] == 2
