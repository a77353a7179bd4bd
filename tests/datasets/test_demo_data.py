"""The built-in data set: what is in it, and that no near-identical pictures straddle train and
test.
"""

import csv
import signal
import subprocess
import sys
import time
from collections import defaultdict

import numpy as np
import polars as pl
import pytest
from PIL import Image

from csa.datasets.ingest import ingest
from csa.datasets.openmoji import SIZE, build_demo, captions, clean_name, load_emojis, variant_group
from csa.errors import DataError
from csa.params.schema import Params

# Two pictures are near-identical if fewer than 5 % of their drawn pixels differ. Below lie only
# variants (frowning and pouting, locked and unlocked); the nearest pairs above are different things
# on the same plate, such as keycap 1 and the blue square.
SHARE_OF_INK = 0.05
VISIBLE = 40
"""Differences of a colour channel (of 255) from which two pixels look different."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    root = tmp_path_factory.mktemp("workspace")
    assert build_demo(root / "data" / "openmoji", progress=False) == 1918
    return root


@pytest.fixture(scope="module")
def rows(workspace):
    with (workspace / "data/openmoji/pairs.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_files(workspace, rows):
    directory = workspace / "data" / "openmoji"
    assert sorted(path.name for path in directory.iterdir()) == [
        "ATTRIBUTION.txt",
        "LICENSE.txt",
        "images",
        "pairs.csv",
    ]
    assert {f"images/{path.name}" for path in (directory / "images").iterdir()} == {
        row["image"] for row in rows
    }
    assert [path.name for path in directory.parent.iterdir()] == ["openmoji"]
    assert "OpenMoji" in (directory / "ATTRIBUTION.txt").read_text(encoding="utf-8")
    assert "CC BY-SA 4.0" in (directory / "ATTRIBUTION.txt").read_text(encoding="utf-8")
    assert "Attribution-ShareAlike 4.0 International" in (directory / "LICENSE.txt").read_text(
        encoding="utf-8"
    )


def test_pictures_are_opaque_on_white(workspace, rows):
    for row in rows[::200]:
        with Image.open(workspace / "data/openmoji" / row["image"]) as image:
            assert image.size == (SIZE, SIZE)
            pixels = np.asarray(image.convert("RGBA"))
        assert (pixels[..., 3] == 255).all()
        assert (pixels[0, 0] == 255).all()
        assert pixels[..., :3].min() < 100


def test_captions(rows):
    texts = defaultdict(list)
    for row in rows:
        texts[row["image"]].append(row["text"])
    assert texts["images/1F389.png"] == ["party popper", "tada"]
    assert texts["images/1F1F0-1F1FC.png"] == ["flag of Kuwait"]
    assert texts["images/1F5FD.png"] == ["Statue of Liberty"]
    assert texts["images/1F408.png"] == ["cat"]
    assert texts["images/1F44D.png"] == ["thumbs up"]
    assert len({row["id"] for row in rows}) == len(rows) == 2502
    assert len({row["text"].lower() for row in rows}) == len(rows)
    assert not [row["text"] for row in rows if ":" in row["text"] or "_" in row["text"]]


def test_aliases_that_say_nothing_new_are_left_out():
    aliases = ["kick it", "KICK-it", "+1", "cat2", "ng", "u7121", "play", "high-five it"]
    assert captions("1F408", "kick it", aliases) == ("kick it", "play", "high-five it")
    assert clean_name(":woman’s_hat:") == "woman's hat"


@pytest.mark.parametrize(
    ("group", "names"),
    [
        ("farmer", ["man farmer", "woman farmer", "farmer"]),
        ("running", ["person running", "woman running", "man running facing right"]),
        (
            "person",
            [
                "man",
                "woman red hair",
                "person beard",
                "man frowning",
                "woman pouting",
                "old woman",
                "curly hair",
            ],
        ),
        ("merperson", ["mermaid", "merman", "merperson"]),
        ("country flag", ["flag of Kuwait", "flag of Wales", "flag of United Nations"]),
        ("family", ["family", "family man woman girl boy"]),
        ("clock face", ["one o'clock", "twelve-thirty"]),
        ("moon or circle", ["full moon", "yellow circle", "new moon face"]),
        ("keycap", ["keycap 0", "keycap 10", "keycap #"]),
        ("heart", ["red heart", "light blue heart", "heart on fire", "mending heart"]),
        ("square", ["brown square", "black small square"]),
        ("zodiac", ["Aries", "Ophiuchus"]),
        ("arrow", ["up arrow", "right arrow curving left", "SOON arrow"]),
        ("thumbs", ["thumbs up", "thumbs down"]),
        ("backhand index", ["backhand index pointing up", "backhand index pointing left"]),
        ("lemon", ["lemon", "lime"]),
        (
            "face",
            ["neutral face", "face in clouds", "head shaking vertically", "angry face with horns"],
        ),
        (
            "holding hands",
            ["women holding hands", "woman and man holding hands", "people holding hands"],
        ),
        ("sun with face", ["sun with face"]),  # suns, moons and animals have faces of their own
    ],
)
def test_variants_share_a_group(rows, group, names):
    assert {name: {row["group"] for row in rows if row["text"] == name} for name in names} == {
        name: {group} for name in names
    }


def test_different_things_do_not(rows):
    groups = {row["text"]: row["group"] for row in rows}
    names = [
        "anatomical heart",
        "heart hands",
        "bow and arrow",
        "mushroom",
        "person in steamy room",
        "mouse face",
        "kiss mark",
    ]
    assert len({groups[name] for name in names}) == len(names)
    assert not {groups[name] for name in names} & {"heart", "arrow", "washroom", "face", "couple"}


def test_variant_group_needs_only_code_points_and_names():
    names = {"1F469-200D-1F33E": ":woman_farmer:", "1F34B": ":lemon:", "1F34B-200D-1F7E9": ":lime:"}
    assert [variant_group(sequence, names) for sequence in names] == ["farmer", "lemon", "lemon"]


def near_identical(pictures, others):
    """Indices a < b where few drawn pixels of picture a differ from the other picture b; both
    (n, 56, 56, 3).
    """
    ink, other_ink = (
        _unit(255 - images.reshape(len(images), -1).astype(np.float32))
        for images in (pictures, others)
    )
    for a, b in np.argwhere(np.triu(ink @ other_ink.T, 1) > 0.9):
        drawn = ((pictures[a] < 250) | (others[b] < 250)).any(2)
        differ = (np.abs(pictures[a].astype(int) - others[b]).max(2) > VISIBLE) & drawn
        if differ.sum() < SHARE_OF_INK * drawn.sum():
            yield a, b


def _unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_no_near_identical_pictures_straddle_groups(workspace, rows):
    group_of = {row["image"]: row["group"] for row in rows}
    images = list(group_of)
    small = []
    for name in images:
        with Image.open(workspace / "data/openmoji" / name) as image:
            small.append(np.asarray(image.convert("RGB").resize((56, 56), Image.Resampling.BOX)))
    pictures = np.stack(small)
    for others in (pictures, pictures[:, :, ::-1]):  # as it is, and mirrored
        found = list(near_identical(pictures, others))
        assert len(found) > 50  # the measure sees the variants
        assert [
            (images[a], images[b]) for a, b in found if group_of[images[a]] != group_of[images[b]]
        ] == []


def test_the_default_parameters_read_it(workspace):
    result = ingest(Params(), workspace, progress=False)
    pairs = result.pairs
    assert (len(pairs), len(result.quarantine), result.notes) == (2502, 0, ())
    assert pairs.group_by("group").agg(pl.col("split").n_unique())["split"].max() == 1
    assert pairs.group_by("split").agg(pl.len(), pl.col("image").n_unique()).sort(
        "split"
    ).rows() == [
        ("test", 505, 365),
        ("train", 1997, 1553),
    ]


def test_the_same_bytes_again_and_nothing_stale(workspace, tmp_path):
    stale = tmp_path / ".again.tmp" / "images"
    stale.mkdir(parents=True)
    (stale / "left by a killed run.png").write_bytes(b"")
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "old.txt").write_text("old")
    build_demo(tmp_path / "again", progress=False)
    first, second = workspace / "data/openmoji", tmp_path / "again"
    contents = [
        {path.relative_to(d): path.read_bytes() for path in d.rglob("*") if path.is_file()}
        for d in (first, second)
    ]
    assert contents[0] == contents[1]
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


def test_a_killed_run_leaves_no_half(tmp_path):
    code = (
        f"from pathlib import Path; from csa.datasets.openmoji import build_demo; "
        f"build_demo(Path({str(tmp_path / 'demo')!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    images = tmp_path / ".demo.tmp" / "images"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (not images.is_dir() or len(list(images.iterdir())) < 20):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert images.is_dir()
    assert not (tmp_path / "demo").exists()


def test_other_languages_keep_the_groups():
    english, german = load_emojis(), load_emojis("de")
    assert {e.sequence: e.group for e in german}.items() <= {
        e.sequence: e.group for e in english
    }.items()
    assert next(e for e in german if e.sequence == "1F408").captions == ("katze",)
    assert len(german) > 1800
    with pytest.raises(DataError, match="no emoji names in language 'xx'; there are ar, de, en"):
        load_emojis("xx")
