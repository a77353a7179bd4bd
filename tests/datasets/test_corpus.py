"""No input breaks a reader: what the fuzzer found once, and a few hundred cases of its own."""

import importlib.util
import json
import os
import random
import shutil
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[1] / "fuzz"
CORPUS = Path(__file__).parents[1] / "corpus"


def load(name):
    """A module of the fuzzer, which is a script beside the tests."""
    sys.path.insert(0, str(FUZZ))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(FUZZ))


fuzz, damages = load("readers"), load("damage")


@pytest.mark.parametrize("case", sorted(path.parent.name for path in CORPUS.glob("*/case.json")))
@pytest.mark.parametrize("on_error", ["refuse", "quarantine"])
def test_what_was_found_is_refused_in_one_line(tmp_path, case, on_error):
    shutil.copytree(CORPUS / case / "data", tmp_path / "data")
    given = json.loads((CORPUS / case / "case.json").read_text())
    given["dataset"]["on_error"] = on_error
    assert fuzz.read(tmp_path / "data", given) in ("pairs", "refused")


@pytest.mark.parametrize("name", fuzz.SOUND)
def test_damaged_data_sets_are_read_or_refused(tmp_path, name):
    dataset, views = fuzz.SOUND[name](tmp_path / "sound")
    assert fuzz.read(tmp_path / "sound", {"dataset": dataset, "views": views}) == "pairs"
    for number in range(12):
        dice = random.Random(f"{name}:{number}")
        shutil.copytree(tmp_path / "sound", tmp_path / "case")
        done = damages.damage(tmp_path / "case", dice)
        on_error = dice.choice(("refuse", "quarantine"))
        case = {"dataset": {**dataset, "on_error": on_error}, "views": views}
        assert fuzz.read(tmp_path / "case", case) in ("pairs", "refused"), done
        shutil.rmtree(tmp_path / "case")


LISTS = {
    "karpathy": "dataset_x.json",
    "coco": "annotations/captions_val2017.json",
    "flickr": "x.trainImages.txt",
    "handwriting": "Pens_TRAIN.ts",
    "musiccaps": "musiccaps-public.csv",
    "imagefolder": "classes.csv",
    "huggingface": "train/d.arrow",
    "webdataset": "train-0.tar",
    "arrays-npy": "x.npy",
    "table-csv": "pairs.csv",
}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "loop"])
def test_what_is_no_file_is_never_waited_for(tmp_path, name, kind):
    dataset, views = fuzz.SOUND[name](tmp_path)
    file = tmp_path / LISTS[name]
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    else:
        file.symlink_to("/dev/zero" if kind == "device" else file.name)
    outcome = fuzz.read(tmp_path, {"dataset": dataset, "views": views})
    assert outcome == "refused" or (kind == "folder" and name in ("imagefolder", "flickr"))
