"""What is no item's fault stops the run with one line, in every reader, whatever `on_error` says.
The table of docs/datasets.md names these tests, a row each.
"""

import gzip
import io
import shutil

import numpy as np
from faulty import (
    Fault,
    both,
    cases,
    check_stops,
    content,
    records,
    seeds,
    settings,
    swap,
)
from pyarrow import parquet

CAPTIONS, COCO = "captions.csv", "annotations/captions_val2017.json"
MUSIC = "musiccaps-public.csv"
HUB = "data/train-00000-of-00001.parquet"
VALIDATION = HUB.replace("train", "validation")


def renamed(old, new):
    """Move a file or folder."""

    def edit(folder):
        (folder / new).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder / old, folder / new)

    return edit


def column_renamed(file, old, new):
    def edit(folder):
        table = parquet.read_table(folder / file)
        names = [new if name == old else name for name in table.column_names]
        parquet.write_table(table.rename_columns(names), folder / file)

    return edit


@cases(
    *(Fault(f"table-{kind}", swap(f"pairs.{kind}", "image", "photo"), "no column.* 'image'")
      for kind in ("csv", "tsv")),
    *(Fault(f"table-{kind}",
            records(f"pairs.{kind}", lambda rows: [row.pop("image") for row in rows]),
            "no column.* 'image'") for kind in ("jsonl", "json")),
    Fault("table-parquet", column_renamed("pairs.parquet", "image", "photo"), "no column"),
    Fault("table-csv", swap("pairs.csv", "group", "image"), "two columns are called"),
    Fault("gzipped", content("pairs.csv.gz", gzip.compress(b"a;b\n1;2\n")), "no column"),
    Fault("parts", both(swap("train/metadata.csv", "file_name", "f"),
                        swap("val/metadata.csv", "file_name", "f")), "no column"),
    Fault("partitioned", settings(columns={"text": "words"}), "no column"),
    Fault("bare", settings(columns={"image": "column_9", "text": "column_1"}), "no column"),
    Fault("musiccaps", swap(MUSIC, "ytid", "id"), "no column 'ytid'"),
    Fault("kitti", swap(CAPTIONS, "frame", "scan"), "no column 'frame'"),
    Fault("hub", both(column_renamed(HUB, "text", "words"),
                      column_renamed(VALIDATION, "text", "words")),
          "no column 'text'"),
    Fault("huggingface", settings(columns={"text": "words"}), "no column 'words'"),
    Fault("handwriting", swap("Pens_TRAIN.ts", "@classLabel true", "@classLabel false"), "header"),
    Fault("arrays-parquet", settings(columns={"a": "z*"}), "column"),
)  # fmt: skip
def test_a_header_that_lacks_a_column(tmp_path, fault):
    check_stops(tmp_path, fault)


LATIN = b"\xe4 \xff thing"


@cases(
    *(Fault(f"table-{kind}", swap(f"pairs.{kind}", "thing 3", LATIN), "not UTF-8 at line")
      for kind in ("csv", "tsv", "jsonl", "json")),
    Fault("flickr", swap("captions.txt", "a 3", LATIN), "not UTF-8 at line"),
    Fault("flickr30k", swap("results.csv", "thing 3", LATIN), "not UTF-8 at line"),
    Fault("karpathy", swap("dataset_x.json", "thing 3", LATIN), "not UTF-8"),
    Fault("coco", swap(COCO, "thing 3", LATIN), "not UTF-8"),
    Fault("cosmos", swap("train_data.json", "thing 3", LATIN), "not UTF-8"),
    Fault("musiccaps", swap(MUSIC, "tune 3", LATIN), "not UTF-8 at line"),
    Fault("kitti", swap(CAPTIONS, "street 3", LATIN), "not UTF-8 at line"),
    Fault("parts", swap("train/metadata.csv", "thing 3", LATIN), "not UTF-8 at line"),
    Fault("imagefolder", swap("classes.csv", "cat", LATIN), "not UTF-8 at line"),
    Fault("imagenet", swap("synset_words.txt", "tench", LATIN), "not UTF-8 at line"),
    Fault("handwriting", swap("classes.txt", "up", LATIN), "not UTF-8 at line"),
    Fault("unpacked", swap("classnames.txt", "cat", LATIN), "not UTF-8 at line"),
    Fault("huggingface", swap("train/state.json", "d.arrow", LATIN), "not UTF-8"),
    Fault("arrays-npy", swap("split.txt", "train", LATIN), "not UTF-8 at line"),
)  # fmt: skip
def test_a_list_in_another_encoding(tmp_path, fault):
    check_stops(tmp_path, fault)


@cases(
    *(Fault(reader, content(file, b"\x01 something else"), says) for reader, file, says in (
        ("table-json", "pairs.json", "not readable as JSON"),
        ("table-parquet", "pairs.parquet", "Parquet"),
        ("gzipped", "pairs.csv.gz", "gzip"),
        ("karpathy", "dataset_x.json", "not JSON"),
        ("coco", COCO, "not JSON"),
        ("huggingface", "dataset_dict.json", "not JSON"),
        ("huggingface", "train/state.json", "not JSON"),
        ("huggingface", "train/d.arrow", "Arrow"),
        ("hub", HUB, "Parquet"),
        ("chosen", "i.arrow", "Arrow"),
        ("webdataset", "train-0.tar", "uncompressed tar"),
        ("arrays-npy", "x.npy", "cannot be read"),
        ("arrays-npz", "x.npz", "cannot be read"),
        ("arrays-safetensors", "x.safetensors", "cannot be read"),
        ("arrays-parquet", "x.parquet", "Parquet"),
        ("clip_retrieval", "img_emb/img_emb_0.npy", "cannot be read"),
        ("partitioned", "table/part-0.parquet", "Parquet"),
    )),
)  # fmt: skip
def test_a_file_of_another_kind(tmp_path, fault):
    check_stops(tmp_path, fault)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


@cases(
    *(Fault(reader, content(file, POINTER), "a pointer of Git LFS") for reader, file in (
        ("table-csv", "pairs.csv"),
        ("table-parquet", "pairs.parquet"),
        ("partitioned", "table/part-0.parquet"),
        ("hub", HUB),
        ("huggingface", "train/d.arrow"),
        ("webdataset", "train-0.tar"),
        ("coco", COCO),
        ("arrays-npy", "x.npy"),
        ("arrays-npz", "x.npz"),
        ("arrays-safetensors", "x.safetensors"),
        ("arrays-parquet", "x.parquet"),
    )),
)  # fmt: skip
def test_a_pointer_of_git_lfs(tmp_path, fault):
    check_stops(tmp_path, fault)


@cases(
    Fault("table-csv", both(swap("pairs.csv", "thing 3", '"thing 3'),
                            swap("pairs.csv", "thing 5", 'thing 5"')), "a quote opens in line 5"),
    Fault("table-tsv", both(swap("pairs.tsv", "thing 3", '"thing 3'),
                            swap("pairs.tsv", "thing 5", 'thing 5"')), "a quote opens in line 5"),
    Fault("parts", both(swap("train/metadata.csv", "thing 3", '"thing 3'),
                        swap("train/metadata.csv", "thing 5", 'thing 5"')), "a quote opens in"),
    Fault("musiccaps", both(swap(MUSIC, "tune 3", '"tune 3'), swap(MUSIC, "tune 5", 'tune 5"')),
          "a quote opens in line 5"),
    Fault("kitti", both(swap(CAPTIONS, "street 3", '"street 3'),
                        swap(CAPTIONS, "street 5", 'street 5"')), "a quote opens in line 5"),
)  # fmt: skip
def test_a_quote_that_closes_in_another_row(tmp_path, fault):
    check_stops(tmp_path, fault)


@cases(
    Fault("parts", swap("val/metadata.csv", "text", "words"), "columns"),
    Fault("partitioned", column_renamed("table/part-1.parquet", "note", "words"), "columns"),
    Fault("hub", column_renamed(VALIDATION, "text", "words"), "its columns"),
    Fault("hub", both(renamed("data", "one/data"),
                      lambda folder: shutil.copytree(folder / "one", folder / "two") and None),
          "set dataset.path to one of them"),
)  # fmt: skip
def test_parts_that_do_not_belong_together(tmp_path, fault):
    check_stops(tmp_path, fault)


def split_of_one(whole):
    whole["images"][3]["split"] = "junk"


@cases(
    Fault("table-csv", swap("pairs.csv", "g3,train", "g3,junk"), "unknown split"),
    Fault("table-tsv", swap("pairs.tsv", "g3\ttrain", "g3\tjunk"), "unknown split"),
    Fault("table-jsonl", records("pairs.jsonl", lambda rows: rows[3].update(split="junk")),
          "unknown split"),
    Fault("table-json", records("pairs.json", lambda rows: rows[3].update(split="junk")),
          "unknown split"),
    Fault("karpathy", records("dataset_x.json", split_of_one), "unknown split 'junk'"),
    Fault("imagefolder",
          both(renamed("val", "extra"), content("test/c0/1.jpg", seeds.picture(50))),
          "unknown split 'extra'"),
    Fault("webdataset", renamed("train-0.tar", "junk-0.tar"), "unknown split 'junk'"),
    Fault("retrieval", renamed("train/0.tar", "junk/0.tar"), "unknown split"),
    Fault("huggingface", both(renamed("train", "junk"),
                              swap("dataset_dict.json", "train", "junk")), "unknown split 'junk'"),
    Fault("hub", renamed(HUB, HUB.replace("train", "junk")), "unknown split 'junk'"),
    Fault("parts", renamed("train", "junk"), "unknown split"),
    Fault("arrays-npy", swap("split.txt", "train", "junk"), "unknown split"),
)  # fmt: skip
def test_an_unknown_split(tmp_path, fault):
    check_stops(tmp_path, fault)


def shorter(old):
    buffer = io.BytesIO()
    np.save(buffer, np.load(io.BytesIO(old))[:-1])
    return buffer.getvalue()


@cases(
    Fault("table-csv", swap("pairs.csv", "p3,", "p4,"), "ids must be unique"),
    Fault("table-json", swap("pairs.json", '"p3"', '"p4"'), "ids must be unique"),
    Fault("arrays-npy", both(content("id.txt", "same\n" * seeds.N),
                             settings(columns={"id": "id.txt"})), "ids must be unique"),
    Fault("table-csv", swap("pairs.csv", "g3,train", "g4,val"), "of a group in one split"),
    Fault("arrays-npy", both(content("group.txt", "same\n" * seeds.N), settings(
        columns={"group": "group.txt", "split": "split.txt"})), "of a group in one split"),
    Fault("arrays-npy", content("y.npy", shorter), "rows"),
    Fault("arrays-npy", swap("split.txt", "train\n", ""), "13 lines but the arrays have 14 rows"),
    Fault("partitioned", content("x.npy", shorter), "rows"),
    Fault("clip_retrieval", content("img_emb/img_emb_0.npy", shorter), "rows"),
)  # fmt: skip
def test_rows_that_contradict_each_other(tmp_path, fault):
    check_stops(tmp_path, fault)
