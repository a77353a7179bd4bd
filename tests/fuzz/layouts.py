"""Sound small data sets in the layouts that people have, beside the plain ones of `seeds`."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from seeds import PAIR, N, Seed, picture, pictures, table
from written import put, shard


def gzipped(folder: Path) -> Seed:
    """A table in UTF-16, separated by semicolons and gzipped."""
    pictures(folder / "images")
    lines = ["image;text", *(f"images/{i}.jpg;thing {i}" for i in range(N))]
    put(folder / "pairs.csv.gz", gzip.compress("\n".join(lines).encode("utf-16"), mtime=0))
    return {"kind": "table"}, PAIR


def bare(folder: Path) -> Seed:
    """A table without a header, as CC3M has it."""
    pictures(folder / "images")
    put(folder / "cc3m.tsv", "".join(f"thing {i}\timages/{i}.jpg\n" for i in range(N)))
    return {"kind": "table", "columns": {"image": "column_2", "text": "column_1"}}, PAIR


def partitioned(folder: Path) -> Seed:
    """Parquet in parts, with structures and a view whose features lie in a file."""
    for k in range(2):
        numbers = range(7 * k, 7 * k + 7)
        cells = [{"image": f"{i}.jpg", "note": {"en": f"thing {i}"}} for i in numbers]
        (folder / "table").mkdir(parents=True, exist_ok=True)
        pl.DataFrame(cells).write_parquet(folder / "table" / f"part-{k}.parquet")
    np.save(folder / "x.npy", np.random.default_rng(0).standard_normal((N, 3)))
    dataset = {"kind": "table", "table": "table", "columns": {"text": "note.en"}}
    return {**dataset, "arrays": {"a": "x.npy"}}, {"a": "array", "text": "text"}


def flickr30k(folder: Path) -> Seed:
    """Kaggle's results.csv."""
    pictures(folder / "flickr30k_images")
    lines = [f"{i}.jpg| {k}|  thing {i} , no. {k} ." for i in range(N) for k in range(2)]
    put(folder / "results.csv", "\n".join(["image_name| comment_number| comment", *lines]))
    return {"kind": "flickr"}, PAIR


def tiny_imagenet(folder: Path) -> Seed:
    """Classes with images/ below, and val with annotations."""
    for i in range(N):
        place = f"train/n0000000{i % 2}/images" if i < 11 else "val/images"
        put(folder / place / f"{i}.JPEG", picture(i))
    lines = [f"{i}.JPEG\tn0000000{i % 2}\t0\t0\t8\t8\n" for i in range(11, N)]
    put(folder / "val" / "val_annotations.txt", "".join(lines))
    put(folder / "words.txt", "n00000000\tcat\nn00000001\tdog\n")
    return {"kind": "imagefolder"}, PAIR


def retrieval(folder: Path) -> Seed:
    """Shards in folders of splits, with several captions a text."""
    for name, numbers in (("train", range(11)), ("test", range(11, N))):
        ends = ((f"{i:04d}", end) for i in numbers for end in ("jpg", "txt"))
        members = [
            (f"{key}.{end}", picture(int(key)) if end == "jpg" else f"a {key}\nb {key}".encode())
            for key, end in ends
        ]
        shard(folder / name / "0.tar", members)
    return {"kind": "webdataset"}, PAIR


def clip_retrieval(folder: Path) -> Seed:
    """Features in parts, with a table of what they are of."""
    x = np.random.default_rng(0).standard_normal((N, 4)).astype("f2")
    for k in range(2):
        numbers = range(7 * k, 7 * k + 7)
        for name in ("img_emb", "text_emb", "metadata"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for name in ("img_emb", "text_emb"):
            np.save(folder / name / f"{name}_{k}.npy", x[numbers])
        described = pl.DataFrame({"image_path": [f"k{i}" for i in numbers]})
        described.write_parquet(folder / "metadata" / f"metadata_{k}.parquet")
    views = {"image": "img_emb", "text": "text_emb"}
    dataset = {"kind": "table", "table": "metadata", "columns": {"id": "image_path"}}
    return {**dataset, "arrays": views}, dict.fromkeys(views, "array")


def chosen(folder: Path) -> Seed:
    """Rows of an Arrow file that a saved index chose."""
    put(folder / "state.json", json.dumps({
        "_data_files": [{"filename": "d.arrow"}], "_indices_files": [{"filename": "i.arrow"}],
    }))  # fmt: skip
    string = {"dtype": "string", "_type": "Value"}
    features = {"image": {"_type": "Image"}, "text": string}
    put(folder / "dataset_info.json", json.dumps({"features": features}))
    cells = {
        "image": [{"bytes": picture(i), "path": None} for i in range(2 * N)],
        "text": [f"thing {i}" for i in range(2 * N)],
    }
    index = pa.table({"indices": pa.array(range(1, 2 * N), pa.uint64())})
    for name, data in (("d", pa.table(cells)), ("i", index)):
        with pa.ipc.new_stream(str(folder / f"{name}.arrow"), data.schema) as writer:
            writer.write_table(data)
    return {"kind": "huggingface"}, PAIR


def drawn(folder: Path) -> Seed:
    """Series in the formats of files."""
    rng = np.random.default_rng(0)
    lines = ["series,text"]
    for i in range(N):
        values = rng.normal(size=(6, 2)).round(3)
        end = ("csv", "npy", "inkml")[i % 3]
        lines.append(f"{i}.{end},thing {i}")
        if end == "csv":
            put(folder / f"{i}.csv", "".join(f"{a},{b}\n" for a, b in values))
        elif end == "npy":
            np.save(folder / f"{i}.npy", values)
        else:
            trace = ", ".join(f"{a} {b}" for a, b in values)
            put(folder / f"{i}.inkml", f"<ink><trace>{trace}</trace></ink>")
    put(folder / "pairs.tsv", "\n".join(lines).replace(",", "\t"))
    return {"kind": "table", "table": "pairs.tsv"}, {"series": "series", "text": "text"}


def unpaired(folder: Path) -> Seed:
    """Pairs beside a folder of pictures, a table and a file of texts that have no partner."""
    dataset, views = table(folder, "csv")
    for i in range(N, N + 4):
        put(folder / "pool" / "deep" / f"{i}.jpg", picture(i))
    put(folder / "texts.txt", "".join(f"thing {i}\n" for i in range(N, N + 4)))
    return {**dataset, "unpaired": {"image": "pool", "text": "texts.txt"}}, views


LAYOUTS: dict[str, Callable[[Path], Seed]] = {
    layout.__name__: layout
    for layout in (
        gzipped, bare, partitioned, flickr30k, tiny_imagenet, retrieval, clip_retrieval, chosen,
        drawn,
        unpaired,
    )
}  # fmt: skip
