"""Readers of the data sets people have: each on a small copy of its real layout, and one clear
error where the layout is off.
"""

import csv
import io
import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from builtin_encoders import ENCODERS
from PIL import Image
from scipy.io import savemat
from written import put, tar_of

from csa.datasets.array_files import ArrayRows
from csa.datasets.ingest import ReadOptions, ingest, read_dataset
from csa.datasets.items import item_loader
from csa.errors import DataError
from csa.params.data import DatasetParams
from csa.params.schema import Params
from csa.params.views import ViewParams

N = 24


def read(folder, kind, views=("image", "text"), **dataset):
    named = views if isinstance(views, dict) else {name: name for name in views}
    mapping = {
        "dataset": {"kind": kind, "path": str(folder), **dataset},
        "views": {name: {"modality": m, "encoder": ENCODERS[m]} for name, m in named.items()},
    }
    params = Params.from_mapping(mapping)
    result = ingest(params, folder, progress=False)
    # every item can be loaded again, also by another process
    for view, settings in params.views.items():
        load = item_loader(settings, folder, 10_000)
        load(result.pairs[view][0])
    return result


def refused(folder, kind, match, **options):
    with pytest.raises(DataError, match=match) as caught:
        read(folder, kind, **options)
    assert "\n" not in str(caught.value)


def picture(seed, kind="JPEG"):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(
        buffer, kind
    )
    return buffer.getvalue()


def sound(seed):
    buffer = io.BytesIO()
    soundfile.write(
        buffer, np.random.default_rng(seed).normal(0, 0.1, 4000).astype("f4"), 16_000, format="WAV"
    )
    return buffer.getvalue()


def scan(seed):
    points = np.random.default_rng(seed).uniform(-20, 20, (32, 4)).astype("<f4")
    points[:, 3] = np.abs(points[:, 3]) / 20
    return points.tobytes()


def table(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


# ImageNet

WNIDS = ("n01440764", "n01443537", "n01484850")
NAMES = ("tench, Tinca tinca", "goldfish, Carassius auratus", "great white shark, white shark")


def imagenet_name(i):
    return f"ILSVRC2012_val_{i + 1:08d}"


def imagenet_folders(path):
    for i in range(N):
        put(path / "val" / WNIDS[i % 3] / f"{imagenet_name(i)}.JPEG", picture(i))


def imagenet_flat(path):
    for i in range(N):
        put(path / "val" / f"{imagenet_name(i)}.JPEG", picture(i))


def synset_words(path):
    put(
        path / "synset_words.txt",
        "".join(f"{wnid} {names}\n" for wnid, names in zip(WNIDS, NAMES, strict=True)),
    )


def devkit(path):
    data = path / "ILSVRC2012_devkit_t12" / "data"
    put(
        data / "ILSVRC2012_validation_ground_truth.txt", "".join(f"{i % 3 + 1}\n" for i in range(N))
    )
    kind = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object)]
    synsets = np.array(
        [(i + 1, wnid, names) for i, (wnid, names) in enumerate(zip(WNIDS, NAMES, strict=True))],
        dtype=kind,
    )
    savemat(data / "meta.mat", {"synsets": synsets})


def kaggle(path):
    table(
        path / "LOC_val_solution.csv",
        [
            {"ImageId": imagenet_name(i), "PredictionString": f"{WNIDS[i % 3]} 1 2 3 4"}
            for i in reversed(range(N))
        ],
    )
    (path / "synset_words.txt").rename(path / "LOC_synset_mapping.txt")


@pytest.mark.parametrize("layout", ["folders", "devkit", "kaggle"])
def test_imagenet_in_its_layouts(tmp_path, layout):
    (imagenet_folders if layout == "folders" else imagenet_flat)(tmp_path)
    if layout == "devkit":
        devkit(tmp_path)
    else:
        synset_words(tmp_path)
    if layout == "kaggle":
        kaggle(tmp_path)
    pairs = read(tmp_path, "imagenet", template="An image of {label}.").pairs.sort("pair_id")
    assert pairs["label"].to_list() == ["tench", "goldfish", "great white shark"] * (N // 3)
    assert pairs["text"][1] == "An image of goldfish."
    assert pairs["pair_id"][1] == f"{imagenet_name(1)}.JPEG"
    assert "mislabelled" not in pairs.columns


def test_imagenet_label_errors_are_marked(tmp_path):
    imagenet_folders(tmp_path)
    synset_words(tmp_path)
    votes = (
        {"given": 5, "guessed": 0, "neither": 0, "both": 0},
        {"given": 1, "guessed": 3, "neither": 1, "both": 0},
        {"given": 1, "guessed": 1, "neither": 1, "both": 2},
    )
    entries = [
        {
            "id": i + 1,
            "url": f"https://labelerrors.com/val/{WNIDS[i]}/{imagenet_name(i)}.JPEG",
            "mturk": v,
        }
        for i, v in enumerate(votes)
    ]
    put(tmp_path / "imagenet_mturk.json", json.dumps(entries))
    pairs = read(tmp_path, "imagenet").pairs.sort("pair_id")
    assert pairs["mislabelled"].to_list() == [False, True, False] + [None] * (N - 3)


def test_imagenet_layouts_that_are_off(tmp_path):
    refused(tmp_path, "imagenet", "nothing names the classes")
    synset_words(tmp_path)
    refused(tmp_path, "imagenet", "no ImageNet images")
    imagenet_flat(tmp_path)
    refused(tmp_path, "imagenet", "need LOC_val_solution.csv")
    put(tmp_path / "synset_words.txt", "n01440764 tench\n")
    kaggle(tmp_path)
    refused(tmp_path, "imagenet", "nothing names the class n0144")


# Captions


def karpathy(path, folder="images", filepath=None):
    splits = ["train"] * 14 + ["restval"] * 2 + ["val"] * 4 + ["test"] * 4
    images = []
    for i, split in enumerate(splits):
        put(path / folder / (filepath or "") / f"{i}.jpg", picture(i))
        sentences = [
            {"raw": f"caption {k} of {i}", "tokens": [], "imgid": i, "sentid": 5 * i + k}
            for k in range(2)
        ]
        images.append({"filename": f"{i}.jpg", "split": split, "sentences": sentences, "imgid": i})
        if filepath:
            images[-1]["filepath"] = filepath
    put(path / "dataset_flickr30k.json", json.dumps({"images": images, "dataset": "flickr30k"}))


def test_karpathy_splits(tmp_path):
    karpathy(tmp_path)
    for held_out, first in (("val", 16), ("test", 20)):
        result = read(tmp_path, "karpathy", held_out=held_out)
        held = result.pairs.filter(result.pairs["split"] == "test")
        assert held["pair_id"].to_list() == [
            f"{i}.jpg#{k}" for i in range(first, first + 4) for k in range(2)
        ]
        assert (result.pairs["split"] == "train").sum() == 32
        assert result.notes == (
            f"4 images were left untouched: they are of neither train nor {held_out} "
            f"(dataset.held_out)",
        )


def test_karpathy_of_coco_has_folders(tmp_path):
    karpathy(tmp_path, folder=".", filepath="val2014")
    assert read(tmp_path, "karpathy").pairs["image"][0] == "val2014/0.jpg"


def test_karpathy_layouts_that_are_off(tmp_path):
    refused(tmp_path, "karpathy", "one split file such as dataset_flickr30k.json")
    put(tmp_path / "dataset_x.json", "{}")
    refused(tmp_path, "karpathy", "no list 'images'")
    put(tmp_path / "dataset_x.json", '{"images": [{"filename": "a.jpg"}]}')
    refused(tmp_path, "karpathy", "an image without 'split'")
    put(tmp_path / "dataset_x.json", '{"images": [')
    refused(tmp_path, "karpathy", "not JSON at line 1")


def coco(path, part, count, start):
    images = [{"id": i, "file_name": f"{i:012d}.jpg"} for i in range(start, start + count)]
    for image in images:
        put(path / part / image["file_name"], picture(image["id"]))
    notes = [
        {"id": 10 * i["id"] + k, "image_id": i["id"], "caption": f"{k} of {i['id']}"}
        for i in images
        for k in range(2)
    ]
    put(
        path / "annotations" / f"captions_{part}.json",
        json.dumps({"images": images, "annotations": notes}),
    )


def test_coco(tmp_path):
    coco(tmp_path, "train2017", 16, 0)
    coco(tmp_path, "val2017", 4, 100)
    pairs = read(tmp_path, "coco").pairs
    assert len(pairs) == 40 and pairs["image"][0] == "train2017/000000000000.jpg"
    assert set(pairs.filter(pairs["split"] == "test")["image"].str.head(7)) == {"val2017"}
    assert pairs["group"].n_unique() == 20
    (tmp_path / "val2017").rename(tmp_path / "elsewhere")
    alone = read(tmp_path, "coco")
    assert len(alone.pairs) == 32 and set(alone.pairs["image"].str.head(9)) == {"train2017"}
    rule = "annotations/captions_val2017.json: no image of it is here"
    assert {"what": rule, "count": 1} in alone.account["left_out"]
    (tmp_path / "train2017").rename(tmp_path / "neither")
    refused(tmp_path, "coco", "no images for captions_train2017.json")


def cosmos(path):
    for split in ("train", "val", "test"):
        for i in range(N if split == "train" else 6):
            put(
                path / split / f"{i}.jpg",
                picture(1000 * len(split) + i + (500 if split == "test" else 0)),
            )

    def lines(name, records):
        put(path / name, "".join(json.dumps(record) + "\n" for record in records))

    for split, count in (("train", N), ("val", 6)):
        lines(
            f"{split}_data.json",
            [
                {
                    "img_local_path": f"{split}/{i}.jpg",
                    "articles": [{"caption": f"news {i} {k}"} for k in range(2)],
                }
                for i in range(count)
            ],
        )
    lines(
        "test_data.json",
        [
            {
                "img_local_path": f"test/{i}.jpg",
                "caption1": f"one {i}",
                "caption2": f"two {i}",
                "context_label": i % 2,
            }
            for i in range(6)
        ],
    )


def test_cosmos(tmp_path):
    cosmos(tmp_path)
    pairs = read(tmp_path, "cosmos").pairs
    assert (pairs["split"] == "test").sum() == 12 and pairs["image"][-1] == "val/5.jpg"
    assert pairs["label"].null_count() == len(pairs)
    held = read(tmp_path, "cosmos", held_out="test").pairs
    assert held["text"].to_list()[-2:] == ["one 5", "two 5"]
    put(tmp_path / "val_data.json", '{"img_local_path": "val/0.jpg"}\n')
    refused(tmp_path, "cosmos", "line 1: no 'label'; expected img_local_path")


def test_cosmos_gives_a_row_an_image_for_two_captions(tmp_path):
    cosmos(tmp_path)
    text = ViewParams(modality="text", encoder="minilm-l6-v2")
    views = {
        "image": ViewParams(modality="image", encoder="efficientnet-lite0"),
        "caption1": text,
        "caption2": text,
    }
    pairs = read_dataset(
        DatasetParams(kind="cosmos", path="."), views, tmp_path, ReadOptions(False, to_fit=False)
    ).pairs
    assert pairs["label"].to_list() == ["false", "true"] * 3
    assert pairs.select("image", "caption1", "caption2").row(1) == ("test/1.jpg", "one 1", "two 1")


# Folders


def test_leafy_spurge(tmp_path):
    refused(tmp_path, "leafy_spurge", "expected data/crop/train/present/")
    for split in ("train", "test"):
        for k, name in enumerate(("present", "absent")):
            for i in range(8):
                put(
                    tmp_path / "data/crop" / split / name / f"{i}.png",
                    picture(100 * len(split) + 50 * k + i, "PNG"),
                )
    pairs = read(tmp_path, "leafy_spurge", template="{label}").pairs
    assert len(pairs) == 32 and set(pairs["text"]) == {"leafy spurge", "no leafy spurge"}
    assert set(pairs.filter(pairs["image"].str.contains("/test/"))["split"]) == {"test"}


def test_musiccaps(tmp_path):
    rows = [
        {
            "ytid": f"-vid{i}",
            "start_s": 30,
            "end_s": 40,
            "caption": f"a song {i}",
            "is_audioset_eval": str(i % 3 == 0),
        }
        for i in range(N)
    ]
    table(tmp_path / "musiccaps-public.csv", rows)
    refused(tmp_path, "musiccaps", "none of 24 clips is there", views=("audio", "text"))
    names = ("-vid{}.wav", "-vid{}_30.wav", "[-vid{}]-[30-40].wav")
    for i in range(N - 2):
        put(tmp_path / "clips" / names[i % 3].format(i), sound(i))
    result = read(tmp_path, "musiccaps", views=("audio", "text"))
    assert len(result.pairs) == N - 2 and result.notes == (
        "2 rows were left out: their clips are not there",
    )
    assert (
        result.pairs["pair_id"][4] == "-vid4_30"
        and result.pairs["audio"][4] == "clips/-vid4_30.wav"
    )
    assert result.pairs["split"].to_list() == [
        "test" if i % 3 == 0 else "train" for i in range(N - 2)
    ]
    refused(tmp_path, "musiccaps", "pairs audio with texts, but the views are image")


KITTI = {
    "training": ("training/velodyne/{:06d}.bin", "training/image_2/{:06d}.png", "training/{:06d}"),
    "sequences": (
        "sequences/{1:02d}/velodyne/{0:06d}.bin",
        "sequences/{1:02d}/image_2/{0:06d}.png",
        "sequences/{1:02d}/{0:06d}",
    ),
    "raw": (
        "2011_09_26/drive_{1}_sync/velodyne_points/data/{0:010d}.bin",
        "2011_09_26/drive_{1}_sync/image_02/data/{0:010d}.png",
        "2011_09_26/drive_{1}_sync/{0:010d}",
    ),
}


@pytest.mark.parametrize("layout", KITTI)
def test_kitti(tmp_path, layout):
    scans, images, frames = KITTI[layout]
    rows = []
    for i in range(N):
        put(tmp_path / scans.format(i, i % 6), scan(i))
        put(tmp_path / images.format(i, i % 6), picture(i, "PNG"))
        rows.append({"frame": frames.format(i, i % 6), "caption": f"a street with {i} cars"})
    refused(tmp_path, "kitti", r"no captions.csv", views=("lidar", "text"))
    table(tmp_path / "captions.csv", rows[:-1])
    result = read(tmp_path, "kitti", views=("lidar", "text"))
    assert sorted(result.pairs["text"]) == sorted(row["caption"] for row in rows[:-1])
    assert result.notes[0] == "1 scans were left out: they have no caption"
    assert result.pairs["group"].n_unique() == (N - 1 if layout == "training" else 6)
    by_frame = dict(result.pairs.select("lidar", "text").iter_rows())
    assert by_frame[scans.format(3, 3)] == "a street with 3 cars"
    sight = read(tmp_path, "kitti", views=("lidar", "image")).pairs
    assert len(sight) == N and all(
        a.split("/")[-1][:-4] == b.split("/")[-1][:-4]
        for a, b in sight["lidar", "image"].iter_rows()
    )
    table(tmp_path / "captions.csv", [{"frame": "training/999999", "caption": "a"}])
    refused(
        tmp_path,
        "kitti",
        "1 frames have no scan, such as 'training/999999'",
        views=("lidar", "text"),
    )


# Series


def archive(path, classes):
    for split in ("TRAIN", "TEST"):
        rng = np.random.default_rng(len(split))
        lines = [
            "@problemName Handwriting",
            "@dimensions 3",
            f"@classLabel true {' '.join(classes)}",
            "@data",
        ]
        for i in range(13):
            channels = (",".join(f"{value:.4f}" for value in rng.normal(size=20)) for _ in range(3))
            lines.append(":".join([*channels, classes[i % len(classes)]]))
        put(path / f"Handwriting_{split}.ts", "\n".join(lines) + "\n")


def test_handwriting_of_the_uea_archive(tmp_path):
    refused(tmp_path, "handwriting", "NAME_TRAIN.ts", views=("series", "text"))
    archive(tmp_path, [f"{i}.0" for i in range(1, 27)])
    pairs = read(
        tmp_path, "handwriting", views=("series", "text"), template="the letter {label}"
    ).pairs
    assert pairs["text"][:3].to_list() == ["the letter a", "the letter b", "the letter c"]
    assert pairs["series"][1] == "Handwriting_TRAIN.ts!1" and (pairs["split"] == "test").sum() == 13
    series = item_loader(
        Params.from_mapping(
            {
                "views": {
                    "series": {"modality": "series", "encoder": "rocket"},
                    "text": {"modality": "text", "encoder": "minilm-l6-v2"},
                }
            }
        ).views["series"],
        tmp_path,
        1,
    )("Handwriting_TRAIN.ts!1")
    assert series.shape == (20, 3)


def test_pen_strokes_of_ujipenchars(tmp_path):
    records = []
    for i in range(N):
        points = [str(value) for value in np.random.default_rng(i).integers(0, 500, 16)]
        strokes = (
            f"  NUMSTROKES 2\n  POINTS 5 # {' '.join(points[:10])}\n  POINTS 3 # "
            f"{' '.join(points[10:])}\n"
        )
        records.append(
            f"WORD {'abc'[i % 3]} {'trn' if i < 16 else 'tst'}_UJI_W{i:02d}-01\n{strokes}"
        )
    put(tmp_path / "ujipenchars2.txt", "// UJIpenchars2\n" + "".join(records))
    pairs = read(tmp_path, "handwriting", views=("series", "text"), template="{label}").pairs
    assert pairs["text"].to_list() == list("abc") * 8 and (pairs["split"] == "test").sum() == 8
    assert pairs["group"].n_unique() == N


# Containers


def shard(path, samples):
    members = [
        (f"{key}.{ending}", content)
        for key, sample in samples.items()
        for ending, content in sample.items()
    ]
    put(path, tar_of(members))


def samples(first, count):
    return {
        f"{i:04d}": {
            "jpg": picture(i),
            "json": json.dumps({"caption": f"caption {i}"}).encode(),
            "cls": f"{i % 2}".encode(),
            "txt": f"text {i}".encode(),
            "wav": sound(i),
        }
        for i in range(first, first + count)
    }


def test_webdataset(tmp_path):
    refused(tmp_path, "webdataset", "no shards")
    shard(tmp_path / "train-0000.tar", samples(0, 12))
    shard(tmp_path / "train-0001.tar", samples(12, 8))
    shard(tmp_path / "val-0000.tar", samples(100, 4))
    pairs = read(tmp_path, "webdataset").pairs
    assert (
        pairs["image"][13] == "train-0001.tar!0013.jpg"
        and pairs["text"][13] == "text 13"
        and pairs["label"][13] == "1"
    )
    assert pairs["pair_id"][13] == "train-0001/0013" and (pairs["split"] == "test").sum() == 4
    assert (
        read(tmp_path, "webdataset", columns={"text": "json.caption"}).pairs["text"][13]
        == "caption 13"
    )
    assert (
        read(tmp_path, "webdataset", views=("audio", "text")).pairs["audio"][0]
        == "train-0000.tar!0000.wav"
    )
    refused(
        tmp_path,
        "webdataset",
        "no member of the shards is for view 'series'",
        views=("series", "text"),
    )
    put(tmp_path / "train-0002.tar", b"\x1f\x8b no tar at all" * 100)
    refused(tmp_path, "webdataset", "not readable as an uncompressed tar")


def test_members_of_a_tar_are_the_files_themselves(tmp_path):
    shard(tmp_path / "a.tar", samples(0, N))
    for i in range(N):
        put(tmp_path / "loose" / f"{i}.jpg", picture(i))
    table(
        tmp_path / "loose" / "pairs.csv",
        [{"image": f"{i}.jpg", "text": f"text {i}"} for i in range(N)],
    )
    assert (
        read(tmp_path, "webdataset").pairs["image_hash"].to_list()
        == read(tmp_path / "loose", "table").pairs["image_hash"].to_list()
    )
    view = Params.from_mapping({}).views["image"]
    load = item_loader(view, tmp_path, 10_000)
    np.testing.assert_array_equal(
        np.asarray(load("a.tar!0003.jpg")), np.asarray(Image.open(io.BytesIO(picture(3))))
    )
    with pytest.raises(DataError, match=r"there is no such image in a.tar"):
        load("a.tar!0099.jpg")
    with pytest.raises(DataError, match="leads out"):
        load("../a.tar!0003.jpg")


def test_item_files_can_be_sent_to_another_process(tmp_path):
    from csa.datasets.containers import ItemFiles

    shard(tmp_path / "a.tar", samples(0, 2))
    files = pickle.loads(pickle.dumps(ItemFiles(tmp_path, "image")))
    assert files.open("a.tar!0001.jpg").read() == picture(1)


def saved(path, start, count, embedded=True, stream=True):
    """A data set as `save_to_disk` writes it, in two Arrow files."""
    features = {
        "picture": {"_type": "Image"},
        "captions": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"},
        "kind": {"names": ["cat", "dog"], "_type": "ClassLabel"},
    }
    files = []
    for part in range(2):
        rows = range(start + part * count // 2, start + (part + 1) * count // 2)
        for i in () if embedded else rows:
            put(path / "media" / f"{i}.jpg", picture(i))
        table_ = pa.table(
            {
                "picture": pa.array(
                    [
                        {
                            "bytes": picture(i) if embedded else None,
                            "path": f"{i}.jpg" if embedded else f"media/{i}.jpg",
                        }
                        for i in rows
                    ],
                    pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
                ),
                "captions": [[f"caption {i}", f"another {i}"] for i in rows],
                "kind": [i % 2 for i in rows],
            }
        )
        name = f"data-{part:05d}-of-00002.arrow"
        path.mkdir(parents=True, exist_ok=True)
        with (pa.ipc.new_stream if stream else pa.ipc.new_file)(
            str(path / name), table_.schema
        ) as writer:
            writer.write_table(table_)
        files.append({"filename": name})
    put(
        path / "state.json", json.dumps({"_data_files": files, "_fingerprint": "0", "_split": None})
    )
    put(path / "dataset_info.json", json.dumps({"features": features}))


def test_huggingface_dict_on_disk(tmp_path):
    for name, start, count in (("train", 0, 16), ("validation", 50, 4), ("test", 70, 6)):
        saved(tmp_path / name, start, count)
    put(tmp_path / "dataset_dict.json", json.dumps({"splits": ["train", "validation", "test"]}))
    columns = {"text": "captions", "label": "kind"}
    result = read(tmp_path, "huggingface", columns=columns)
    pairs = result.pairs
    assert pairs["image"][0] == "train/data-00000-of-00002.arrow!0/picture"
    assert pairs["text"][:2].to_list() == ["caption 0", "another 0"] and pairs["label"][2] == "dog"
    assert (pairs["split"] == "test").sum() == 8 and pairs["group"].n_unique() == 20
    assert result.notes == (
        "12 pairs were left untouched: they are of neither train nor val (dataset.held_out)",
    )
    classes = read(tmp_path, "huggingface", columns={"text": "kind"}, template="a {label}").pairs
    assert classes["text"][:2].to_list() == ["a cat", "a dog"]
    refused(
        tmp_path,
        "huggingface",
        "no column 'text' for view 'text'; the columns are picture, captions, kind",
    )


@pytest.mark.parametrize("stream", [True, False])
def test_huggingface_with_media_beside(tmp_path, stream):
    saved(tmp_path, 0, N, embedded=False, stream=stream)
    assert (
        read(tmp_path, "huggingface", columns={"text": "captions"}).pairs["image"][0]
        == "media/0.jpg"
    )


def test_huggingface_layouts_that_are_off(tmp_path):
    refused(tmp_path, "huggingface", "expected a data set that save_to_disk wrote")
    saved(tmp_path, 0, N)
    file = tmp_path / "data-00001-of-00002.arrow"
    file.write_bytes(file.read_bytes()[:200])
    refused(tmp_path, "huggingface", "damaged Arrow file", columns={"text": "captions"})
    file.unlink()
    refused(tmp_path, "huggingface", "no such Arrow file", columns={"text": "captions"})


def of_files():
    """Megabytes of files that the system counts as this process's."""
    (line,) = [
        line
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("RssFile")
    ]
    return int(line.split()[1]) / 1000


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells")
def test_feature_files_larger_than_memory_are_read_row_by_row(tmp_path):
    shape = (4000, 16_384)  # 262 MB, which the disk does not hold as nothing is written
    np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, shape).flush()
    rows, before = ArrayRows(lambda name: tmp_path / name), of_files()
    most = 0.0
    for row in range(shape[0]):
        assert not rows(f"x.npy#{row}").any()
        most = max(most, of_files() - before) if row % 50 == 49 else most
    assert 10 < most < 100
