"""The account of every reader: random data sets whose every file and record has a known fate.

A maker draws records, each with a fate, writes the data set, and says what the account must hold.
"""

import csv
import io
import json
import os
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import soundfile
from builtin_encoders import ENCODERS
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from pyarrow import parquet
from written import put, tar_of

from csa.datasets.ingest import ReadOptions, read_dataset
from csa.params.schema import Params

USED, ASIDE, OUT = "used", "set_aside", "left_out"
STRAYS = ("notes.md", "deep/er/x.dat", "LICENSE", ".hidden", "é/ü.html", "b.tmp")


def picture(seed):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def sound(seed):
    buffer = io.BytesIO()
    samples = np.random.default_rng(seed).normal(0, 0.1, 1000).astype("f4")
    soundfile.write(buffer, samples, 16_000, format="WAV")
    return buffer.getvalue()


PICTURES = [picture(seed) for seed in range(30)]
SOUNDS = [sound(seed) for seed in range(12)]
SCANS = [np.random.default_rng(seed).uniform(0, 1, (16, 4)).astype("<f4") for seed in range(12)]
BROKEN = b"\x89PNG broken"


@dataclass
class Case:
    """A data set that was written, and what is known of it."""

    folder: Path
    dataset: dict
    views: dict
    records: dict = field(default_factory=dict)
    files: Counter = field(default_factory=Counter)
    columns: dict = field(default_factory=dict)

    def put(self, name, content=b"x", fate=None):
        """Write a file; `fate` is what becomes of it."""
        put(self.folder / name, content)
        if fate:
            self.files[fate] += 1

    def record(self, unit, fate, count=1):
        """Count records."""
        self.records.setdefault(unit, Counter())[fate] += count


def fates(draw, kinds, least=1):
    """A sound record, then some of any kind."""
    return ["good"] * least + draw(st.lists(st.sampled_from(kinds), max_size=5))


PAIR = {"image": "image", "text": "text"}


def table(draw, folder):
    kind = draw(st.sampled_from(("csv", "tsv", "jsonl", "json", "parquet")))
    extra = draw(st.lists(st.sampled_from(("note", "width", "e mail")), unique=True))
    kinds = ["good", "missing", "blank", "damaged", "none"]
    kinds += ["broken"] if kind in ("csv", "tsv", "jsonl") else []
    kinds += ["list"] if kind in ("jsonl", "json") else []
    case = Case(
        folder,
        {"kind": "table", "table": f"t.{kind}", "splits": {"junk": "none"}},
        PAIR,
    )
    records, broken = [], set()
    for i, fate in enumerate(fates(draw, kinds)):
        end = {"good": USED, "none": OUT}.get(fate, ASIDE)
        case.record("rows", end)
        if fate != "missing":
            of_file = OUT if fate == "broken" else end
            case.put(f"i/{i}.png", BROKEN if fate == "damaged" else PICTURES[i], of_file)
        text = {"blank": " ", "list": ["a", "b"]}.get(fate, f"text {i}")
        row = {"image": f"i/{i}.png", "text": text, "split": "junk" if fate == "none" else "train"}
        records.append({**row, **dict.fromkeys(extra, f"v{i}")})
        if fate == "broken":
            broken.add(i)
    case.columns[f"t.{kind}"] = set(records[0])
    case.put(f"t.{kind}", written(kind, records, broken), USED)
    return case


def written(kind, records, broken=frozenset()):
    """A table of one format; rows of some numbers are broken."""
    if kind == "json":
        return json.dumps(records)
    if kind == "jsonl":
        lines = [json.dumps(row) for row in records]
        return "".join(f"{one[:-3] if i in broken else one}\n" for i, one in enumerate(lines))
    if kind == "parquet":
        buffer = io.BytesIO()
        pl.DataFrame(records).write_parquet(buffer)
        return buffer.getvalue()
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t" if kind == "tsv" else ",", lineterminator="\n")
    writer.writerow(list(records[0]))
    for i, row in enumerate(records):
        writer.writerow([*row.values(), *(["more"] if i in broken else [])])
    return text.getvalue()


def flickr(draw, folder):
    case = Case(folder, {"kind": "flickr"}, PAIR)
    lines, train = ["image,caption"], []
    for i, fate in enumerate(fates(draw, ["good", "missing", "damaged", "outside", "blank"])):
        end = {"good": USED, "outside": OUT}.get(fate, ASIDE)
        count = draw(st.integers(1, 3)) if fate != "blank" else 1
        case.record("captions", end, count)
        lines += [f"{i}.png,{'' if fate == 'blank' else f'thing {i} {k}'}" for k in range(count)]
        if fate != "missing":
            case.put(f"images/{i}.png", BROKEN if fate == "damaged" else PICTURES[i], end)
        train += [f"{i}.png"] if fate != "outside" else []
    case.put("captions.txt", "\n".join(lines), USED)
    case.put("x.trainImages.txt", "\n".join(train), USED)
    return case


def imagefolder(draw, folder):
    case = Case(folder, {"kind": "imagefolder"}, PAIR)
    for i, fate in enumerate(fates(draw, ["good", "damaged", "unnamed", "loose"])):
        below = {"unnamed": "zz/", "loose": ""}.get(fate, f"c{i % 2}/")
        end = {"good": USED, "loose": OUT}.get(fate, ASIDE)
        case.put(f"{below}{i}.png", BROKEN if fate == "damaged" else PICTURES[i], end)
        if fate != "loose":
            case.record("images", end)
    case.put("classes.csv", "folder,label\nc0,cat\nc1,dog\n", USED)
    return case


def imagenet(draw, folder):
    case = Case(folder, {"kind": "imagenet"}, PAIR)
    for i, fate in enumerate(fates(draw, ["good", "damaged", "unnamed"])):
        wnid = "n01440769" if fate == "unnamed" else "n01440764"
        end = USED if fate == "good" else ASIDE
        content = BROKEN if fate == "damaged" else PICTURES[i]
        case.put(f"val/{wnid}/{i}.png", content, end)
        case.record("images", end)
    case.put("synset_words.txt", "n01440764 tench, Tinca tinca\n", USED)
    return case


def karpathy(draw, folder):
    case = Case(folder, {"kind": "karpathy"}, PAIR)
    images = []
    kinds = ["good", "missing", "damaged", "broken", "other"]
    for i, fate in enumerate(["good", *fates(draw, kinds)]):
        end = {"good": USED, "other": OUT}.get(fate, ASIDE)
        case.record("images", end)
        if fate != "missing":
            case.put(f"images/{i}.png", BROKEN if fate == "damaged" else PICTURES[i], end)
        split = "test" if fate == "other" else "val" if i == 1 else "train"
        raw = 5 if fate == "broken" else f"thing {i}"
        sentences = [{"raw": raw}] * draw(st.integers(1, 2))
        images.append({"filename": f"{i}.png", "split": split, "sentences": sentences})
    case.put("dataset_x.json", json.dumps({"images": images}), USED)
    return case


def coco(draw, folder):
    case = Case(folder, {"kind": "coco"}, PAIR)
    images, notes = [], []
    kinds = ["good", "missing", "damaged", "unknown", "list"]
    for i, fate in enumerate(fates(draw, kinds)):
        end = USED if fate == "good" else ASIDE
        case.record("annotations", end)
        if fate not in ("missing", "unknown"):
            case.put(f"val2017/{i}.png", BROKEN if fate == "damaged" else PICTURES[i], end)
        images += [{"id": i, "file_name": f"{i}.png"}] if fate != "unknown" else []
        caption = ["a"] if fate == "list" else f"thing {i}"
        notes.append({"id": i, "image_id": i, "caption": caption})
    content = json.dumps({"images": images, "annotations": notes})
    case.put("annotations/captions_val2017.json", content, USED)
    case.put("annotations/captions_train2017.json", content, OUT)
    return case


def cosmos(draw, folder):
    case = Case(folder, {"kind": "cosmos"}, PAIR)
    lines = {"train": [], "val": [], "test": []}
    kinds = ["good", "missing", "damaged", "broken", "list", "other"]
    for i, fate in enumerate(["good", *fates(draw, kinds)]):
        end = {"good": USED, "other": OUT}.get(fate, ASIDE)
        case.record("lines", end)
        if fate != "missing":
            of_file = OUT if fate == "broken" else end
            case.put(f"p/{i}.png", BROKEN if fate == "damaged" else PICTURES[i], of_file)
        caption = [] if fate == "list" else f"thing {i}"
        line = json.dumps({"img_local_path": f"p/{i}.png", "articles": [{"caption": caption}]})
        part = "test" if fate == "other" else "val" if i == 1 else "train"
        lines[part].append(line[:-4] if fate == "broken" else line)
    for part, found in lines.items():
        if found:
            case.put(f"{part}_data.json", "\n".join(found), USED)
    return case


def leafy_spurge(draw, folder):
    case = Case(folder, {"kind": "leafy_spurge"}, PAIR)
    for i, fate in enumerate(fates(draw, ["good", "damaged", "text"])):
        part = draw(st.sampled_from(("train", "test"))) if i else "train"
        below = f"{part}/{draw(st.sampled_from(('present', 'absent'))) if i else 'present'}"
        end = {"good": USED, "text": OUT}.get(fate, ASIDE)
        ending = "txt" if fate == "text" else "png"
        case.put(f"{below}/{i}.{ending}", BROKEN if fate == "damaged" else PICTURES[i], end)
        if fate != "text":
            case.record("images", end)
    return case


def musiccaps(draw, folder):
    case = Case(folder, {"kind": "musiccaps"}, {"audio": "audio", "text": "text"})
    rows = []
    for i, fate in enumerate(fates(draw, ["good", "damaged", "gone", "blank"])):
        end = {"good": USED, "gone": OUT}.get(fate, ASIDE)
        case.record("rows", end)
        if fate != "gone":
            case.put(f"clips/v{i}.wav", b"RIFFxxxx" if fate == "damaged" else SOUNDS[i], end)
        caption = "" if fate == "blank" else f"tune {i}"
        rows.append({"ytid": f"v{i}", "start_s": 0, "caption": caption, "author_id": i})
    case.put("musiccaps-public.csv", written("csv", rows), USED)
    case.columns["musiccaps-public.csv"] = set(rows[0])
    return case


def kitti(draw, folder):
    case = Case(folder, {"kind": "kitti"}, {"lidar": "lidar", "text": "text"})
    rows = []
    for i, fate in enumerate(fates(draw, ["good", "damaged", "gone", "silent"])):
        end = {"good": USED, "silent": OUT}.get(fate, ASIDE)
        if fate != "gone":
            content = b"xyz" if fate == "damaged" else SCANS[i].tobytes()
            case.put(f"training/velodyne/{i:06d}.bin", content, end)
        if fate != "silent":
            case.record("captions", end)
            rows.append({"frame": f"training/{i:06d}", "caption": f"street {i}"})
    case.put("captions.csv", written("csv", rows), USED)
    case.columns["captions.csv"] = {"frame", "caption"}
    return case


def handwriting(draw, folder):
    case = Case(folder, {"kind": "handwriting"}, {"series": "series", "text": "text"})
    for at, part in enumerate(("TRAIN", "TEST")):
        lines = ["@problemName x", "@classLabel true 1 2", "@data"]
        for i, fate in enumerate(fates(draw, ["good", "class", "damaged"])):
            case.record("series", USED if fate == "good" else ASIDE)
            values = (
                "x" if fate == "damaged" else ",".join(f"{i + 10 * at}.{k}" for k in range(1, 9))
            )
            lines.append(f"{values}:{3 if fate == 'class' else 1}")
        case.put(f"Pens_{part}.ts", "\n".join(lines), USED)
    return case


def webdataset(draw, folder):
    case = Case(folder, {"kind": "webdataset", "columns": {"text": "json.caption"}}, PAIR)
    names = ["train-0.tar", "val-0.tar"]
    names += ["test-0.tar"] if draw(st.booleans()) else []
    for at, name in enumerate(names):
        used = not name.startswith("test")
        members = []
        kinds = ["good", "damaged", "broken", "silent", "twice", "extra", "nameless"]
        for i, fate in enumerate(fates(draw, kinds)):
            end = USED if fate in ("good", "extra") else ASIDE
            text = json.dumps({"caption": f"thing {i}"})[: 5 if fate == "broken" else None]
            own = [(f"{i}.png", BROKEN if fate == "damaged" else PICTURES[i + 10 * at])]
            own += [(f"{i}.json", text.encode())] if fate != "silent" else []
            own += own[:1] if fate == "twice" else []
            more = [(f"{i}.cls.txt", b"5")] if fate == "extra" else []
            if fate == "nameless":
                own, more = [], [("README", b"x")]
            members += own + more
            if used:
                case.record("members", end, len(own))
                case.record("members", OUT, len(more))
                case.record("samples", end, fate != "nameless")
        case.put(name, tar_of(members), USED if used else OUT)
    return case


def huggingface(draw, folder):
    case = Case(folder, {"kind": "huggingface"}, PAIR)
    names = ["train", "validation"] + (["test"] if draw(st.booleans()) else [])
    features = {
        "image": {"_type": "Image"},
        "text": {"dtype": "string", "_type": "Value"},
        "width": {"dtype": "int64", "_type": "Value"},
    }
    for at, name in enumerate(names):
        end = OUT if name == "test" else USED
        rows, chosen = [], []
        for i, fate in enumerate(fates(draw, ["good", "damaged", "null", "unchosen"])):
            of_row = {"good": USED, "unchosen": OUT}.get(fate, ASIDE)
            case.record("rows", of_row if name != "test" else OUT)
            content = BROKEN if fate == "damaged" else PICTURES[i + 10 * at]
            text = None if fate == "null" else f"thing {i}"
            rows.append({"image": {"bytes": content, "path": None}, "text": text, "width": i})
            chosen += [i] if fate != "unchosen" else []
        state = {"_data_files": [{"filename": "d.arrow"}]}
        if len(chosen) < len(rows):
            state["_indices_data_files"] = [{"filename": "i.arrow"}]
            indices = pa.table({"indices": pa.array(chosen, pa.uint64())})
            case.put(f"{name}/i.arrow", arrow_of(indices), end)
        case.put(f"{name}/d.arrow", arrow_of(pa.Table.from_pylist(rows)), end)
        case.put(f"{name}/state.json", json.dumps(state), end)
        case.put(f"{name}/dataset_info.json", json.dumps({"features": features}), end)
        if name != "test":
            case.columns[f"{name}/"] = set(features)
    case.put("dataset_dict.json", json.dumps({"splits": names}), USED)
    return case


def hub(draw, folder):
    case = Case(folder, {"kind": "huggingface"}, PAIR)
    names = ["train", "validation"] + (["test"] if draw(st.booleans()) else [])
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    for at, name in enumerate(names):
        images, texts = [], []
        for i, fate in enumerate(fates(draw, ["good", "damaged", "null", "path"])):
            end = OUT if name == "test" else USED if fate in ("good", "path") else ASIDE
            case.record("rows", end)
            content = BROKEN if fate == "damaged" else PICTURES[i + 10 * at]
            beside = f"{name}-{i}.png" if fate == "path" else None
            if beside:
                case.put(beside, content, end)
            images.append({"bytes": None if beside else content, "path": beside})
            texts.append(None if fate == "null" else f"thing {i}")
        buffer = io.BytesIO()
        table = pa.table({"image": pa.array(images, kind), "text": texts, "n": [1] * len(texts)})
        parquet.write_table(table, buffer, row_group_size=2)
        end = OUT if name == "test" else USED
        case.put(f"data/{name}-00000-of-00001.parquet", buffer.getvalue(), end)
    case.columns["the Parquet files"] = {"image", "text", "n"}
    return case


def parts(draw, folder):
    case = Case(folder, {"kind": "table", "columns": {"image": "file_name"}}, PAIR)
    for at, name in enumerate(["train", "val"] + (["test"] if draw(st.booleans()) else [])):
        records, broken = [], set()
        for i, fate in enumerate(fates(draw, ["good", "damaged", "blank", "broken"])):
            end = OUT if name == "test" else USED if fate == "good" else ASIDE
            case.record("rows", end)
            of_file = OUT if fate == "broken" else end
            content = BROKEN if fate == "damaged" else PICTURES[i + 10 * at]
            case.put(f"{name}/{i}.png", content, of_file)
            text = " " if fate == "blank" else f"thing {i}"
            records.append({"file_name": f"{i}.png", "text": text})
            broken |= {i} if fate == "broken" else set()
        case.put(f"{name}/metadata.csv", written("csv", records, broken), USED)
    case.columns["the tables"] = {"file_name", "text"}
    return case


def unpacked(draw, folder):
    case = Case(folder, {"kind": "webdataset"}, PAIR)
    for i, fate in enumerate(fates(draw, ["good", "damaged", "extra", "alone"])):
        end = {"damaged": ASIDE, "alone": OUT}.get(fate, USED)
        case.put(f"0/{i}.png", BROKEN if fate == "damaged" else PICTURES[i], end)
        if fate != "alone":
            case.record("samples", end)
            case.put(f"0/{i}.txt", f"thing {i}", USED)
        if fate == "extra":
            case.put(f"0/{i}.json", "{}", OUT)
    return case


def arrow_of(rows):
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return sink.getvalue()


def arrays(draw, folder):
    case = Case(folder, {"kind": "arrays"}, {"a": "array", "b": "array"})
    ending = draw(st.sampled_from(("npy", "npz", "parquet", "safetensors")))
    found = fates(draw, ["good", "nan", "zero", "none"])
    x = np.random.default_rng(0).standard_normal((len(found), 3)).astype("f4")
    for i, fate in enumerate(found):
        case.record("rows", {"good": USED, "none": OUT}.get(fate, ASIDE))
        x[i] = {"nan": np.nan, "zero": 0}.get(fate, x[i])
    for name, kind in (("x", ending), ("y", "npy")):
        case.put(f"{name}.{kind}", array_of(kind, x if name == "x" else np.abs(x) + 1), USED)
    case.put("s.txt", "\n".join("junk" if fate == "none" else "train" for fate in found), USED)
    case.dataset |= {"arrays": {"a": f"x.{ending}", "b": "y.npy"}, "columns": {"split": "s.txt"}}
    case.dataset["splits"] = {"junk": "none"}
    return case


def array_of(kind, x):
    buffer = io.BytesIO()
    if kind == "npy":
        np.save(buffer, x)
    elif kind == "npz":
        np.savez(buffer, x=x)
    elif kind == "parquet":
        pl.DataFrame({f"d{k}": x[:, k] for k in range(3)}).write_parquet(buffer)
    else:
        from safetensors.numpy import save

        return save({"x": x})
    return buffer.getvalue()


MAKERS = (
    table, flickr, imagefolder, imagenet, karpathy, coco, cosmos, leafy_spurge, musiccaps, kitti,
    handwriting, webdataset, huggingface, arrays, hub, parts, unpacked,
)  # fmt: skip


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)
@settings(
    max_examples=12, deadline=None, derandomize=True, database=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(data=st.data())
def test_the_account_holds_all_that_is_there(maker, data):
    with tempfile.TemporaryDirectory() as root:
        case = maker(data.draw, Path(root))
        for name in data.draw(st.lists(st.sampled_from(STRAYS), unique=True)):
            case.put(name, b"stray", None if "/." in f"/{name}" else OUT)
        views = {
            name: {"modality": kind, "encoder": ENCODERS[kind]} for name, kind in case.views.items()
        }
        dataset = {**case.dataset, "path": root, "on_error": "quarantine"}
        params = Params.from_mapping({"dataset": dataset, "views": views})
        options = ReadOptions(progress=False, to_fit=False)
        result = read_dataset(params.dataset, params.views, Path(root), options)
        check(result, case)


def check(result, case):
    account = result.account
    there = [
        name
        for folder, _, names in os.walk(case.folder)
        for name in names
        if not name.startswith(".")
    ]
    files = account["files"]
    assert files["total"] == len(there)
    assert fates_of(files) == fates_of(case.files)
    for unit, expected in case.records.items():
        tally = account["records"][unit]
        assert fates_of(tally) == fates_of(expected), unit
        assert tally["total"] == expected.total()
    assert account["records"].keys() == case.records.keys()
    out = sum(tally["left_out"] for tally in (files, *account["records"].values()))
    assert sum(one["count"] for one in account["left_out"]) == out
    assert account["pairs"] == len(result.pairs) == sum(account["splits"].values())
    assert len(account["set_aside"]) == len(result.quarantine)
    assert all(one["reason"] for one in account["set_aside"])
    for owner, names in account["columns"].items():
        assert not set(names["used"]) & set(names["passed_over"])
        assert set(names["used"]) | set(names["passed_over"]) == case.columns[owner]
    assert account["columns"].keys() == case.columns.keys()


def fates_of(counts):
    return {fate: counts[fate] for fate in (USED, ASIDE, OUT)}
