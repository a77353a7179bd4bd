"""What is one item's fault is set aside by every reader, and the rest is read. The table of
docs/datasets.md names these tests, a row each.
"""

import io
from itertools import product

import numpy as np
import pytest
import soundfile
from faulty import (
    Fault,
    both,
    cases,
    cell,
    check_set_aside,
    content,
    gone,
    layouts,
    member,
    records,
    seeds,
    swap,
)
from PIL import Image

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
PICTURE, SOUND, SCAN = seeds.picture(3), seeds.sound(3), seeds.scan(3)
TWO = ("karpathy", "huggingface", "hub", "flickr30k", "retrieval")
"""Those whose pictures have two captions."""


def jpeg(size):
    buffer = io.BytesIO()
    Image.fromarray(np.full((size, size, 3), 90, "u1")).save(buffer, "JPEG")
    return buffer.getvalue()


def wav(samples):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 16_000, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


NOISE = np.random.default_rng(0).normal(0, 0.1, 4000).astype("f4")
POINTS = np.frombuffer(SCAN, "<f4").reshape(-1, 4)
OF_PICTURES = [
    "table-csv", "table-tsv", "table-jsonl", "table-json", "table-parquet", "flickr", "imagefolder",
    "imagenet", "karpathy", "coco", "cosmos", "leafy_spurge", "webdataset", "huggingface", "hub",
    "parts", "unpacked", "gzipped", "bare", "flickr30k", "tiny_imagenet", "retrieval", "chosen",
]  # fmt: skip
BAD = {
    "damaged": (PICTURE[:-30], "truncated or damaged"),
    "empty": (b"", "empty"),
    "of another kind": (b"no picture", "not a"),
    "a pointer": (POINTER, "a pointer of Git LFS"),
    "too large": (jpeg(90), "8,?100 pixels"),
}


@pytest.mark.parametrize(("reader", "kind"), list(product(OF_PICTURES, BAD)))
def test_a_picture_that_cannot_be_used(tmp_path, monkeypatch, reader, kind):
    bad, says = BAD[kind]

    def spoil(folder):
        sound = seeds.picture
        for module in (seeds, layouts):
            monkeypatch.setattr(module, "picture", lambda i: bad if i == 3 else sound(i))
        seeds_of(reader)(folder)
        return {"max_image_pixels": 8000}

    check_set_aside(tmp_path, Fault(reader, spoil, says, 1 + (reader in TWO)))


def seeds_of(reader):
    return (seeds.SEEDS | layouts.LAYOUTS)[reader]


CLIP, SCAN_3, DRAWN = "clips/v3.wav", "training/velodyne/000003.bin", "1.npy"


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@cases(
    Fault("musiccaps", content(CLIP, SOUND[:-900]), "cut off or damaged"),
    Fault("musiccaps", content(CLIP, b""), "not audio that can be decoded"),
    Fault("musiccaps", content(CLIP, b"RIFF"), "not audio"),
    Fault(
        "musiccaps",
        lambda folder: (
            (folder / CLIP).rename(folder / "clips/v3.m4a")
            and content("clips/v3.m4a", b"\0\0\0 ftypM4A ")(folder)
        ),
        "AAC and WMA are not decoded here; convert it",
    ),
    Fault("musiccaps", content(CLIP, POINTER), "a pointer of Git LFS"),
    Fault("musiccaps", content(CLIP, wav(NOISE * 0)), "the audio is silent"),
    Fault("musiccaps", content(CLIP, wav(NOISE * 32_768)), "full scale"),
    Fault("musiccaps", content(CLIP, wav(NOISE * np.nan)), "NaN"),
    Fault("kitti", content(SCAN_3, SCAN[:-3]), "bytes"),
    Fault("kitti", content(SCAN_3, b""), "a scan of 0 points"),
    Fault("kitti", content(SCAN_3, POINTER), "a pointer of Git LFS"),
    Fault("kitti", content(SCAN_3, (POINTS * [1, 1, 1, 255]).astype("<f4").tobytes()), "reflec"),
    Fault("kitti", content(SCAN_3, (POINTS * np.nan).astype("<f4").tobytes()), "NaN"),
    Fault("handwriting", content("Pens_TRAIN.ts", lambda old: old.replace(b",", b",x", 1)), "read"),
    Fault("pens", swap("ujipenchars2.txt", "POINTS 6 #", "POINTS x #"), "read"),
    Fault("drawn", content(DRAWN, b"x"), "cannot be read"),
    Fault("drawn", content(DRAWN, npy(np.ones((6, 2)))), "constant"),
    Fault("drawn", content(DRAWN, npy(np.full((6, 2), np.nan))), "NaN"),
    Fault("drawn", content(DRAWN, npy(np.full((6, 2), 1e300))), "beyond float32"),
    Fault("drawn", content(DRAWN, POINTER), "a pointer of Git LFS"),
)
def test_a_sound_scan_or_series_that_cannot_be_used(tmp_path, fault):
    check_set_aside(tmp_path, fault)


def row_of(value):
    def spoil(old):
        x = np.load(io.BytesIO(old))
        x[3] = value
        return npy(x)

    return spoil


@cases(
    *(
        Fault(f"arrays-{kind}", content("y.npy", row_of(value)), says)
        for kind in ("npy", "npz", "safetensors", "parquet")
        for value, says in ((np.nan, "NaN"), (np.inf, "inf"), (0, "zero"))
    ),
    Fault("partitioned", content("x.npy", row_of(np.nan)), "NaN"),
    Fault("clip_retrieval", content("img_emb/img_emb_0.npy", row_of(np.nan)), "NaN"),
)
def test_a_row_of_features_that_cannot_be_used(tmp_path, fault):
    check_set_aside(tmp_path, fault)


@cases(
    *(Fault(f"table-{kind}", gone("images/3.jpg"), "no such image")
      for kind in ("csv", "tsv", "jsonl", "json", "parquet")),
    Fault("flickr", gone("images/3.jpg"), "no such image"),
    Fault("flickr30k", gone("flickr30k_images/3.jpg"), "no such image", 2),
    Fault("karpathy", gone("images/3.jpg"), "is in none of", 2),
    Fault("coco", gone("val2017/3.jpg"), "no such image"),
    Fault("cosmos", gone("train/3.jpg"), "no such image"),
    Fault("parts", gone("train/3.jpg"), "no such image"),
    Fault("gzipped", gone("images/3.jpg"), "no such image"),
    Fault("bare", gone("images/3.jpg"), "no such image"),
    Fault("drawn", gone("3.csv"), "no such series"),
    Fault("kitti", gone(SCAN_3), "has no scan"),
    Fault("webdataset", member("train-0.tar", "003.jpg"), "nothing there"),
    Fault("retrieval", member("train/0.tar", "0003.jpg"), "nothing there", 2),
    Fault("huggingface", cell("train/d.arrow", 3, "image", None), "nothing there", 2),
    Fault("chosen", cell("d.arrow", 3, "image", None), "nothing there"),
    Fault("hub", cell("data/train-00000-of-00001.parquet", 3, "image", None), "nothing there", 2),
)  # fmt: skip
def test_an_item_that_is_not_there(tmp_path, fault):
    check_set_aside(tmp_path, fault)


NOTHING = "nothing there|empty|no pair|without 'raw' as a text"


def captioned(value):
    """Edits of a list that put a value in the place of its fourth caption."""

    def karpathy(whole):
        whole["images"][3]["sentences"][0]["raw"] = value

    def coco(whole):
        whole["annotations"][3]["caption"] = value

    def cosmos(lines):
        lines[3]["articles"][0]["caption"] = value

    def row(rows):
        rows[3]["text"] = value

    return (
        ("karpathy", records("dataset_x.json", karpathy)),
        ("coco", records("annotations/captions_val2017.json", coco)),
        ("cosmos", records("train_data.json", cosmos)),
        ("table-jsonl", records("pairs.jsonl", row)),
        ("table-json", records("pairs.json", row)),
    )


BLANK = {
    "table-csv": swap("pairs.csv", "thing 3", " "),
    "table-tsv": swap("pairs.tsv", "thing 3", ""),
    "flickr": swap("captions.txt", "a 3\n", " \n"),
    "flickr30k": swap("results.csv", "thing 3 , no. 0 .", " "),
    "musiccaps": swap("musiccaps-public.csv", "tune 3", ""),
    "kitti": swap("captions.csv", "street 3", " "),
    "parts": swap("train/metadata.csv", ";thing 3", "; "),
    "drawn": swap("pairs.tsv", "thing 3", " "),
    "bare": swap("cc3m.tsv", "thing 3", " "),
    "unpacked": content("0/3.cls", " "),
    "webdataset": member("train-0.tar", "003.json", ("003.json", b'{"caption": " "}')),
    "retrieval": member("train/0.tar", "0003.txt", ("0003.txt", b" \n")),
}


@cases(
    *(Fault(reader, edit, NOTHING, 1 + (reader in TWO and value != " "))
      for value in (None, " ", float("nan")) for reader, edit in captioned(value)),
    *(Fault(reader, edit, NOTHING, 1 + (reader == "retrieval"))
      for reader, edit in BLANK.items()),
    Fault("table-parquet", cell("pairs.parquet", 3, "text", None), "nothing there"),
    Fault("chosen", cell("d.arrow", 3, "text", None), "nothing there"),
    Fault("huggingface", cell("train/d.arrow", 3, "text", None), NOTHING, 2),
    Fault("hub", cell("data/train-00000-of-00001.parquet", 3, "text", None), NOTHING, 2),
    Fault("partitioned", cell("table/part-0.parquet", 3, "note", None), "nothing there"),
    Fault("webdataset", member("train-0.tar", "003.json", ("003.json", b"{}")), "nothing there"),
)  # fmt: skip
def test_a_caption_that_is_missing(tmp_path, fault):
    check_set_aside(tmp_path, fault)


@cases(
    *(Fault(reader, edit, "is not a text|without 'raw' as a text", 1 + (reader in TWO))
      for value in (["a", "b"], {"raw": "a"}) for reader, edit in captioned(value)),
    Fault("webdataset",
          member("train-0.tar", "003.json", ("003.json", b'{"caption": {"en": "a"}}')),
          "is not a text"),
)  # fmt: skip
def test_a_structure_in_place_of_a_caption(tmp_path, fault):
    check_set_aside(tmp_path, fault)


def without(*path):
    """Removes what a path of keys leads to."""

    def change(whole):
        for key in path[:-1]:
            whole = whole[key]
        del whole[path[-1]]

    return change


@cases(
    Fault("table-csv", swap("pairs.csv", "thing 3,", "thing, 3,"), "7 cells"),
    Fault("table-csv", swap("pairs.csv", "thing 3,", ""), "5 cells"),
    Fault("table-tsv", swap("pairs.tsv", "thing 3\t", "thing\t3\t"), "7 cells"),
    Fault("table-jsonl", swap("pairs.jsonl", '"thing 3",', '"thing 3'), "not JSON"),
    Fault("parts", swap("train/metadata.csv", "thing 3", "thing;3"), "3 cells"),
    Fault("musiccaps", swap("musiccaps-public.csv", "tune 3", "a, b"), "6 cells"),
    Fault("kitti", swap("captions.csv", "street 3", "a, b"), "3 cells"),
    Fault("flickr30k", swap("results.csv", "3.jpg| 1|", "3.jpg|"), "expected name.jpg"),
    Fault("drawn", swap("pairs.tsv", "thing 3", "thing\t3"), "3 cells"),
    Fault("cosmos", swap("train_data.json", '"thing 3"}]}', '"thing 3'), "not JSON"),
    Fault("cosmos", records("train_data.json", without(3, "articles")), "articles"),
    Fault("cosmos", records("train_data.json", without(3, "img_local_path")), "img_local_path"),
    Fault("karpathy", records("dataset_x.json", without("images", 3, "filename")), "filename", 2),
    Fault("karpathy", records("dataset_x.json", without("images", 3, "sentences")), "senten", 2),
    Fault("coco", records("annotations/captions_val2017.json",
                          without("annotations", 3, "caption")), "nothing there"),
    Fault("coco", records("annotations/captions_val2017.json",
                          without("images", 3, "file_name")), "not among the images"),
    Fault("webdataset", member("train-0.tar", "003.json", ("003.json", b"{")), "JSON"),
    Fault("webdataset", member("train-0.tar", "003.json", ("003.json", b"[]")), "JSON object"),
    Fault("pens", swap("ujipenchars2.txt", "WORD b trn_UJI_W03-01", "WORD b"), "expected WORD"),
)  # fmt: skip
def test_a_line_or_entry_that_lacks_something(tmp_path, fault):
    check_set_aside(tmp_path, fault)


@cases(
    Fault("webdataset", member("train-0.tar", "003.json", ("003.json", b'{"caption": "\xff"}')),
          "not UTF-8"),
    Fault("retrieval", member("train/0.tar", "0003.txt", ("0003.txt", b"\xff\n")), "UTF-8", 2),
    Fault("unpacked", content("0/3.cls", b"\xff"), "UTF-8"),
    Fault("webdataset", member("train-0.tar", "003.json", ("003.json", POINTER)), "of Git LFS"),
    Fault("retrieval", member("train/0.tar", "0003.txt", ("0003.txt", POINTER)), "of Git LFS", 2),
    Fault("unpacked", content("0/3.cls", POINTER), "a pointer of Git LFS"),
    Fault("webdataset", member("train-0.tar", "003.jpg", ("003.jpg", PICTURE),
                               ("003.jpg", PICTURE)), "there twice"),
    Fault("retrieval", member("train/0.tar", "0003.txt", ("0003.txt", b"a"),
                              ("0003.txt", b"b")), "there twice", 2),
)  # fmt: skip
def test_a_member_that_is_no_text_or_there_twice(tmp_path, fault):
    check_set_aside(tmp_path, fault)


@cases(
    *(Fault(reader, edit, "Unicode|surrogate") for reader, edit in captioned("a \ud800")),
    Fault("table-csv", swap("pairs.csv", "images/3.jpg", "http://x.org/3.jpg"), "address on the"),
    Fault("table-jsonl", swap("pairs.jsonl", "images/3.jpg", "http://x.org/3.jpg"), "address on"),
    Fault("parts", swap("train/metadata.csv", "3.jpg", "https://x.org/3.jpg"), "address on the"),
    Fault("bare", swap("cc3m.tsv", "images/3.jpg", "https://x.org/3.jpg"), "address on the"),
    Fault("table-jsonl", both(
        records("pairs.jsonl", lambda rows: rows[3].update(mislabelled="maybe"))),
        "not a truth value"),
)  # fmt: skip
def test_a_name_or_text_that_is_none(tmp_path, fault):
    check_set_aside(tmp_path, fault)


@cases(
    Fault("imagefolder", content("classes.csv", "folder,label\nc0,cat\n"), "does not name", 7),
    Fault("imagenet", content("synset_words.txt", "n01440760 tench\n"), "nothing names", 7),
    Fault("tiny_imagenet", content("words.txt", "n00000000\tcat\n"), "name", 7),
    Fault("unpacked", content("0/3.cls", "9"), "class 9 has no line"),
    Fault("handwriting", content("Pens_TRAIN.ts", lambda old: old[:-1] + b"7"), "class '7'"),
    Fault("kitti", swap("captions.csv", "training/000003", "training/000099"), "has no scan"),
    Fault("coco", records("annotations/captions_val2017.json",
                          lambda whole: whole["annotations"][3].update(image_id=99)), "image"),
    Fault("flickr30k", swap("results.csv", "3.jpg| 1|", "99.jpg| 1|"), "no such image"),
)  # fmt: skip
def test_a_class_without_a_name_or_a_caption_of_nothing(tmp_path, fault):
    check_set_aside(tmp_path, fault)
