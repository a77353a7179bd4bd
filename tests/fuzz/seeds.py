"""Sound small data sets of every kind, which the fuzzer damages."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import soundfile
from PIL import Image
from pyarrow import parquet
from written import put, shard

N = 14
Views = dict[str, str]
Seed = tuple[dict[str, Any], Views]
"""The section dataset, and name of each view -> its modality."""

PAIR: Views = {"image": "image", "text": "text"}
ARRAYS: Views = {"a": "array", "b": "array"}


def picture(seed: int) -> bytes:
    """A JPEG of 8 x 8 pixels."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def sound(seed: int) -> bytes:
    """A quarter of a second of noise."""
    buffer = io.BytesIO()
    samples = np.random.default_rng(seed).normal(0, 0.1, 4000).astype("f4")
    soundfile.write(buffer, samples, 16_000, format="WAV")
    return buffer.getvalue()


def scan(seed: int) -> bytes:
    """A lidar scan of 32 points, up to 20 m away."""
    points = np.random.default_rng(seed).uniform(0, 1, (32, 4)) * [20, 20, 20, 1]
    return points.astype("<f4").tobytes()


def rows() -> list[dict[str, Any]]:
    """Rows of a table with every column that is known."""
    return [
        {
            "id": f"p{i}",
            "image": f"images/{i}.jpg",
            "text": f"thing {i}",
            "group": f"g{i}",
            "split": "train" if i < 11 else "val",
            "label": f"c{i % 3}",
        }
        for i in range(N)
    ]


def pictures(folder: Path) -> None:
    """Fill a folder with pictures."""
    for i in range(N):
        put(folder / f"{i}.jpg", picture(i))


def table(folder: Path, kind: str) -> Seed:
    """A table of one format."""
    pictures(folder / "images")
    records = rows()
    if kind == "jsonl":
        put(folder / "pairs.jsonl", "".join(json.dumps(row) + "\n" for row in records))
    elif kind == "json":
        put(folder / "pairs.json", json.dumps(records))
    elif kind == "parquet":
        pl.DataFrame(records).write_parquet(folder / "pairs.parquet")
    else:
        separator = "," if kind == "csv" else "\t"
        lines = [list(records[0]), *(list(row.values()) for row in records)]
        put(folder / f"pairs.{kind}", "\n".join(map(separator.join, lines)) + "\n")
    return {"kind": "table", "table": f"pairs.{kind}"}, PAIR


def flickr(folder: Path) -> Seed:
    """Flickr8k with its lists of splits."""
    pictures(folder / "images")
    put(folder / "captions.txt", "image,caption\n" + "".join(f"{i}.jpg,a {i}\n" for i in range(N)))
    put(folder / "x.trainImages.txt", "".join(f"{i}.jpg\n" for i in range(11)))
    put(folder / "x.devImages.txt", "".join(f"{i}.jpg\n" for i in range(11, N)))
    return {"kind": "flickr"}, PAIR


def imagefolder(folder: Path) -> Seed:
    """Splits, classes and their names."""
    for i in range(N):
        put(folder / ("train" if i < 11 else "val") / f"c{i % 2}" / f"{i}.jpg", picture(i))
    put(folder / "classes.csv", "folder,label\nc0,cat\nc1,dog\n")
    return {"kind": "imagefolder"}, PAIR


def imagenet(folder: Path) -> Seed:
    """Flat validation images with Kaggle's list."""
    lines = ["ImageId,PredictionString"]
    for i in range(N):
        name = f"ILSVRC2012_val_{i:08d}"
        put(folder / "val" / f"{name}.JPEG", picture(i))
        lines.append(f"{name},n0144076{i % 2} 1 2 3 4")
    put(folder / "LOC_val_solution.csv", "\n".join(lines))
    put(folder / "synset_words.txt", "n01440760 tench, Tinca\nn01440761 goldfish\n")
    return {"kind": "imagenet"}, PAIR


def karpathy(folder: Path) -> Seed:
    """A split file with sentences."""
    pictures(folder / "images")
    images = [
        {
            "filename": f"{i}.jpg",
            "split": "train" if i < 11 else "val",
            "sentences": [{"raw": f"thing {i}"}, {"raw": f"a thing {i}"}],
        }
        for i in range(N)
    ]
    put(folder / "dataset_x.json", json.dumps({"images": images}))
    return {"kind": "karpathy"}, PAIR


def coco(folder: Path) -> Seed:
    """Captions of one part."""
    pictures(folder / "val2017")
    images = [{"id": i, "file_name": f"{i}.jpg"} for i in range(N)]
    notes = [{"id": i, "image_id": i, "caption": f"thing {i}"} for i in range(N)]
    content = json.dumps({"images": images, "annotations": notes})
    put(folder / "annotations" / "captions_val2017.json", content)
    return {"kind": "coco"}, PAIR


def cosmos(folder: Path) -> Seed:
    """Lines of train and val."""
    pictures(folder / "train")
    for name, numbers in (("train_data.json", range(11)), ("val_data.json", range(11, N))):
        lines = [
            {"img_local_path": f"train/{i}.jpg", "articles": [{"caption": f"thing {i}"}]}
            for i in numbers
        ]
        put(folder / name, "".join(json.dumps(line) + "\n" for line in lines))
    return {"kind": "cosmos"}, PAIR


def leafy_spurge(folder: Path) -> Seed:
    """Present and absent."""
    for i in range(N):
        split, kind = ("train", "test")[i > 10], ("present", "absent")[i % 2]
        put(folder / split / kind / f"{i}.jpg", picture(i))
    return {"kind": "leafy_spurge"}, PAIR


def musiccaps(folder: Path) -> Seed:
    """A table and its clips."""
    lines = ["ytid,start_s,end_s,caption,is_audioset_eval"]
    for i in range(N):
        put(folder / "clips" / f"v{i}.wav", sound(i))
        lines.append(f"v{i},0,10,tune {i},{i > 10}")
    put(folder / "musiccaps-public.csv", "\n".join(lines))
    return {"kind": "musiccaps"}, {"audio": "audio", "text": "text"}


def kitti(folder: Path) -> Seed:
    """Scans with captions."""
    lines = ["frame,caption"]
    for i in range(N):
        put(folder / "training" / "velodyne" / f"{i:06d}.bin", scan(i))
        lines.append(f"training/{i:06d},street {i}")
    put(folder / "captions.csv", "\n".join(lines))
    return {"kind": "kitti"}, {"lidar": "lidar", "text": "text"}


def handwriting(folder: Path) -> Seed:
    """An archive of series."""
    rng = np.random.default_rng(0)
    for split, numbers in (("TRAIN", range(11)), ("TEST", range(11, N))):
        lines = ["@problemName x", "@classLabel true 1 2", "@data"]
        for i in numbers:
            channels = (",".join(f"{v:.3f}" for v in rng.normal(size=8)) for _ in range(2))
            lines.append(":".join([*channels, str(i % 2 + 1)]))
        put(folder / f"Pens_{split}.ts", "\n".join(lines))
    put(folder / "classes.txt", "up\ndown\n")
    return {"kind": "handwriting"}, {"series": "series", "text": "text"}


def pens(folder: Path) -> Seed:
    """Pen strokes."""
    rng = np.random.default_rng(0)
    lines = []
    for i in range(N):
        part = "trn" if i < 11 else "tst"
        lines.append(f"WORD {'ab'[i % 2]} {part}_UJI_W{i:02d}-01")
        lines.append("  NUMSTROKES 1")
        points = " ".join(str(value) for value in rng.integers(0, 900, 12))
        lines.append(f"  POINTS 6 # {points}")
    put(folder / "ujipenchars2.txt", "\n".join(lines))
    return {"kind": "handwriting"}, {"series": "series", "text": "text"}


def webdataset(folder: Path) -> Seed:
    """Two shards with texts in JSON."""
    for name, numbers in (("train-0.tar", range(11)), ("val-0.tar", range(11, N))):
        members = []
        for i in numbers:
            caption = json.dumps({"caption": f"t {i}"}).encode()
            members += [(f"{i:03d}.jpg", picture(i)), (f"{i:03d}.json", caption)]
        shard(folder / name, members)
    return {"kind": "webdataset", "columns": {"text": "json.caption"}}, PAIR


def huggingface(folder: Path) -> Seed:
    """A DatasetDict that save_to_disk wrote."""
    for name, numbers in (("train", range(11)), ("validation", range(11, N))):
        cells = {
            "image": [{"bytes": picture(i), "path": None} for i in numbers],
            "text": [[f"thing {i}", f"a thing {i}"] for i in numbers],
            "label": [i % 2 for i in numbers],
        }
        data = pa.table(cells)
        put(folder / name / "state.json", json.dumps({"_data_files": [{"filename": "d.arrow"}]}))
        features = {
            "image": {"_type": "Image"},
            "text": [{"dtype": "string", "_type": "Value"}],
            "label": {"_type": "ClassLabel", "names": ["cat", "dog"]},
        }
        put(folder / name / "dataset_info.json", json.dumps({"features": features}))
        with (
            pa.OSFile(str(folder / name / "d.arrow"), "wb") as file,
            pa.ipc.new_stream(file, data.schema) as writer,
        ):
            writer.write_table(data)
    put(folder / "dataset_dict.json", json.dumps({"splits": ["train", "validation"]}))
    return {"kind": "huggingface"}, PAIR


def hub(folder: Path) -> Seed:
    """Parquet as the hub has it."""
    for name, numbers in (("train", range(11)), ("validation", range(11, N))):
        cells = {
            "image": [{"bytes": picture(i), "path": f"{i}.jpg"} for i in numbers],
            "text": [[f"thing {i}", f"a thing {i}"] for i in numbers],
        }
        (folder / "data").mkdir(parents=True, exist_ok=True)
        file = folder / "data" / f"{name}-00000-of-00001.parquet"
        parquet.write_table(pa.table(cells), file, row_group_size=4)
    return {"kind": "huggingface"}, PAIR


def parts(folder: Path) -> Seed:
    """A folder of pictures with its metadata for each split."""
    for name, numbers in (("train", range(11)), ("val", range(11, N))):
        for i in numbers:
            put(folder / name / f"{i}.jpg", picture(i))
        lines = "".join(f"{i}.jpg;thing {i}\n" for i in numbers)
        put(folder / name / "metadata.csv", "file_name;text\n" + lines)
    return {"kind": "table", "columns": {"image": "file_name"}}, PAIR


def unpacked(folder: Path) -> Seed:
    """Samples of files, with classes by number."""
    for i in range(N):
        put(folder / "0" / f"{i}.jpg", picture(i))
        put(folder / "0" / f"{i}.cls", str(i % 2))
    put(folder / "classnames.txt", "cat\ndog\n")
    return {"kind": "webdataset"}, PAIR


def arrays(folder: Path, kind: str) -> Seed:
    """Two files of features and a file of splits."""
    folder.mkdir(parents=True, exist_ok=True)
    x = np.random.default_rng(0).standard_normal((N, 4)).astype("f4")
    if kind == "npz":
        np.savez_compressed(folder / "x.npz", x=x)
    elif kind == "safetensors":
        from safetensors.numpy import save_file

        save_file({"x": x}, folder / "x.safetensors")
    elif kind == "parquet":
        pl.DataFrame({f"d{k}": x[:, k] for k in range(4)}).write_parquet(folder / "x.parquet")
    else:
        np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", x[:, :3])
    put(folder / "split.txt", "train\n" * 11 + "test\n" * 3)
    columns = {"split": "split.txt"}
    return {
        "kind": "arrays",
        "arrays": {"a": f"x.{kind}", "b": "y.npy"},
        "columns": columns,
    }, ARRAYS


SEEDS: dict[str, Callable[[Path], Seed]] = {
    **{
        f"table-{kind}": lambda folder, kind=kind: table(folder, kind)
        for kind in ("csv", "tsv", "jsonl", "json", "parquet")
    },
    **{
        f"arrays-{kind}": lambda folder, kind=kind: arrays(folder, kind)
        for kind in ("npy", "npz", "safetensors", "parquet")
    },
    **{
        seed.__name__: seed
        for seed in (
            flickr,
            imagefolder,
            imagenet,
            karpathy,
            coco,
            cosmos,
            leafy_spurge,
            musiccaps,
            kitti,
            handwriting,
            pens,
            webdataset,
            huggingface,
            hub,
            parts,
            unpacked,
        )
    },
}
