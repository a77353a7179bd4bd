"""What a folder is recognised as: small copies of real layouts, and what to say of others."""

import csv
import io
import json

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from builtin_encoders import ENCODERS
from PIL import Image
from written import karpathy_list, put, shard

from csa.datasets.ingest import ReadOptions, read_dataset
from csa.datasets.recognise import recognise
from csa.errors import DataError
from csa.params.data import DatasetParams
from csa.params.views import ViewParams

N = 24


def picture(seed):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def pictures(folder, pattern="{}.jpg"):
    for i in range(N):
        put(folder / pattern.format(i), picture(i))


def best(path):
    """The best layout, after the data set was read with it."""
    layout = recognise(path)[0]
    assert layout.fits and layout.recognised
    views = {
        name: ViewParams(modality=kind, encoder=ENCODERS[kind])
        for name, kind in layout.views.items()
    }
    assert len(views) == 2
    dataset = DatasetParams.model_validate(layout.dataset)
    pairs = read_dataset(dataset, views, path.parent, ReadOptions(progress=False)).pairs
    assert len(pairs) >= N
    return layout, pairs


def rows(text="text", image="image", **more):
    return [
        {image: f"images/{i}.jpg", text: f"a thing {i}", **{k: f(i) for k, f in more.items()}}
        for i in range(N)
    ]


def separated(path, records, separator=","):
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]), delimiter=separator)
    writer.writeheader()
    writer.writerows(records)
    put(path, text.getvalue())


WRITERS = {
    "pairs.csv": separated,
    "data.tsv": lambda path, records: separated(path, records, "\t"),
    "data.jsonl": lambda path, records: put(path, "\n".join(map(json.dumps, records)) + "\n"),
    "data.parquet": lambda path, records: pl.DataFrame(records).write_parquet(path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_table_with_our_names(tmp_path, name):
    pictures(tmp_path / "images")
    WRITERS[name](tmp_path / name, rows())
    layout, _ = best(tmp_path)
    assert layout.dataset == {"kind": "table", "path": str(tmp_path)}
    assert layout.views == {"image": "image", "text": "text"}
    layout, _ = best(tmp_path / name)
    assert layout.dataset == {"kind": "table", "path": str(tmp_path / name)}


@pytest.mark.parametrize("name", WRITERS)
def test_a_table_with_names_of_its_own(tmp_path, name):
    pictures(tmp_path / "images")
    records = rows(
        "title",
        "filepath",
        product_id=lambda i: f"product {i // 2}",
        partition=lambda i: ("train", "val")[i > 17],
        category=lambda i: f"kind {i % 3}",
        uid=lambda i: f"u{i}",
        price=lambda i: i / 7,
    )
    WRITERS[name](tmp_path / name, records)
    layout, pairs = best(tmp_path)
    assert layout.dataset["columns"] == {
        "image": "filepath",
        "text": "title",
        "id": "uid",
        "group": "product_id",
        "split": "partition",
        "label": "category",
    }
    assert pairs["pair_id"].to_list() == [f"u{i}" for i in range(N)]
    assert pairs["group"].n_unique() == N // 2 and (pairs["split"] == "test").sum() == 6
    assert "column title is the text, such as 'a thing 0'" in layout.recognised


def test_two_tables_and_a_second_column_of_texts_are_unsure(tmp_path):
    pictures(tmp_path / "images")
    separated(tmp_path / "metadata.csv", rows(alt=lambda i: f"other {i}"))
    separated(tmp_path / "a.csv", rows())
    first, second = recognise(tmp_path)[:2]
    assert first.dataset["table"] == "metadata.csv" and second.dataset["table"] == "a.csv"
    assert "there are 2 tables: metadata.csv, a.csv" in first.unsure
    assert "columns that could be items too: alt" in first.unsure


def test_a_split_column_of_unknown_names_and_missing_files_are_unsure(tmp_path):
    pictures(tmp_path / "images")
    (tmp_path / "images" / "3.jpg").unlink()
    separated(tmp_path / "pairs.csv", rows(split=lambda i: ("train", "unsupervised")[i % 2]))
    layout = recognise(tmp_path)[0]
    assert "column split holds 'unsupervised', which is not a known split" in layout.unsure
    assert "1 of the first 20 files of column image are missing" in layout.unsure


def test_two_columns_of_texts(tmp_path):
    separated(tmp_path / "pairs.csv", rows("de", "en"))
    records = [{"de": f"das Ding {i}", "en": f"the thing {i}"} for i in range(N)]
    separated(tmp_path / "pairs.csv", records)
    layout, _ = best(tmp_path)
    assert layout.views == {"text": "text", "en": "text"} or layout.views == {
        "text": "text",
        "de": "text",
    }


def test_flickr(tmp_path):
    pictures(tmp_path / "Images")
    put(
        tmp_path / "captions.txt", "image,caption\n" + "".join(f"{i}.jpg,a {i}\n" for i in range(N))
    )
    layout, _ = best(tmp_path)
    assert layout.kind == "flickr"


@pytest.mark.parametrize("parts", [("",), ("train/", "val/")])
def test_class_folders(tmp_path, parts):
    for i in range(N):
        put(tmp_path / f"{parts[i % len(parts)]}c{i % 3}" / f"{i}.jpg", picture(i))
    layout, pairs = best(tmp_path)
    assert layout.kind == "imagefolder" and set(pairs["label"]) == {"c0", "c1", "c2"}


def test_coco_and_karpathy(tmp_path):
    pictures(tmp_path / "coco" / "val2017")
    images = [{"id": i, "file_name": f"{i}.jpg"} for i in range(N)]
    notes = [{"id": i, "image_id": i, "caption": f"thing {i}"} for i in range(N)]
    put(
        tmp_path / "coco" / "annotations" / "captions_val2017.json",
        json.dumps({"images": images, "annotations": notes}),
    )
    assert best(tmp_path / "coco")[0].kind == "coco"
    pictures(tmp_path / "karpathy" / "images")
    put(tmp_path / "karpathy" / "dataset_mine.json", karpathy_list(N, 18))
    assert best(tmp_path / "karpathy")[0].kind == "karpathy"


def test_webdataset(tmp_path):
    members = [
        m for i in range(N) for m in ((f"{i}.jpg", picture(i)), (f"{i}.txt", b"thing %d" % i))
    ]
    shard(tmp_path / "00000.tar", members)
    assert best(tmp_path)[0].kind == "webdataset"
    put(tmp_path / "00000.tar", b"\x1f\x8bnothing")
    assert "uncompressed tar" in recognise(tmp_path)[0].missing[0]


def test_hugging_face(tmp_path):
    table = pa.table(
        {
            "photo": [{"bytes": picture(i), "path": None} for i in range(N)],
            "captions": [[f"thing {i}", f"{i} things"] for i in range(N)],
        }
    )
    with (
        pa.OSFile(str(tmp_path / "data.arrow"), "wb") as file,
        pa.ipc.new_stream(file, table.schema) as writer,
    ):
        writer.write_table(table)
    features = {
        "photo": {"_type": "Image"},
        "captions": {"_type": "List", "feature": {"dtype": "string", "_type": "Value"}},
    }
    put(tmp_path / "dataset_info.json", json.dumps({"features": features}))
    put(tmp_path / "state.json", json.dumps({"_data_files": [{"filename": "data.arrow"}]}))
    layout, pairs = best(tmp_path)
    assert layout.dataset["columns"] == {"text": "captions"} and len(pairs) == 2 * N


def test_arrays(tmp_path):
    x = np.random.default_rng(0).standard_normal((N, 4)).astype("f4")
    np.save(tmp_path / "image-features.npy", x)
    np.save(tmp_path / "text.npy", x + 1)
    put(tmp_path / "groups.txt", "".join(f"g{i // 2}\n" for i in range(N)))
    layout, pairs = best(tmp_path)
    assert layout.dataset["arrays"] == {
        "image_features": "image-features.npy",
        "text": "text.npy",
    }
    assert pairs["group"].n_unique() == N // 2


def test_what_fits_nothing_tells_the_three_nearest(tmp_path):
    pictures(tmp_path)
    found = recognise(tmp_path)
    assert len(found) == 3 and not any(layout.fits for layout in found)
    assert [layout.kind for layout in found] == ["table", "imagefolder", "flickr"]
    assert "that names a text for each file" in found[0].missing[0]
    with pytest.raises(DataError, match="no such folder or file"):
        recognise(tmp_path / "none")


def test_a_table_whose_files_are_elsewhere_says_so(tmp_path):
    pictures(tmp_path / "pictures")
    separated(tmp_path / "pairs.csv", rows())
    layout = next(found for found in recognise(tmp_path) if found.kind == "table")
    assert "'images/0.jpg' is not in" in layout.missing[0]
