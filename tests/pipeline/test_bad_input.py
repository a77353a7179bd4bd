"""Bad input, each one clear line and exit code 2, met through the stages as DVC runs them;
nothing is left half written.
"""

import errno
import os
import struct
import zlib

import numpy as np
import pytest
import yaml
from small_repo import SHAPES_PARAMS, make_shapes

from csa.params.schema import Params
from csa.pipeline import __main__ as stages


@pytest.fixture
def shapes(tmp_path, monkeypatch):
    """A workspace of pictures and texts; `change` lays sections over its parameters."""
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    make_shapes(tmp_path / "shapes")
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path)
    return tmp_path


@pytest.fixture
def arrays(tmp_path, monkeypatch):
    """A workspace of two feature arrays."""
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "features").mkdir()
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.save(tmp_path / "features" / "a.npy", rng.normal(size=(60, 6)))
    np.save(tmp_path / "features" / "b.npy", rng.normal(size=(60, 5)))
    write_params(tmp_path, **ARRAYS)
    return tmp_path


ARRAYS = {
    "dataset": {"kind": "arrays", "path": "features", "arrays": {"a": "a.npy", "b": "b.npy"}},
    "views": {name: {"modality": "array", "encoder": "precomputed"} for name in ("a", "b")},
}


def write_params(folder, **changes):
    params = Params.from_mapping({**SHAPES_PARAMS, **changes})
    (folder / "params.yaml").write_text(yaml.safe_dump(params.dump(), sort_keys=False))


def refused(capsys, *arguments):
    """The one line that a stage ends with."""
    assert stages.main(list(arguments)) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("csa: error: ") and "Traceback" not in "".join(lines)
    return lines[-1]


def edit(folder, change):
    file = folder / "shapes" / "pairs.csv"
    file.write_text(change(file.read_text()))


def bomb(path):
    """A valid PNG header of 60,000 x 60,000 pixels, a few hundred bytes long."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    content = (
        chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda folder: (folder / "shapes/images/red-star.png").unlink(),
            "images/red-star.png: no such image file",
        ),
        (
            lambda folder: (folder / "shapes/images/red-star.png").write_bytes(b""),
            "the file is empty",
        ),
        (
            lambda folder: (folder / "shapes/images/red-star.png").write_bytes(
                (folder / "shapes/images/red-ring.png").read_bytes()[:150]
            ),
            "cannot be decoded",
        ),
        (lambda folder: bomb(folder / "shapes/images/red-star.png"), "decompression bomb"),
        (lambda folder: edit(folder, lambda text: text.replace("a red star", " ")), "text: "),
        (
            lambda folder: edit(folder, lambda text: text.replace("red-ring,", "red-star,")),
            "duplicate pair ids",
        ),
        (
            lambda folder: edit(
                folder, lambda text: text.replace("images/red-star.png", "../../etc/passwd")
            ),
            "leads out of",
        ),
        (
            lambda folder: edit(
                folder, lambda text: text.replace("images/red-star.png", "/etc/passwd")
            ),
            "not a path relative",
        ),
        (
            lambda folder: edit(folder, lambda text: "\n".join(text.splitlines()[:9])),
            "only 8 pairs|pairs to train on",
        ),
        (
            lambda folder: edit(
                folder, lambda text: text.replace("id,image,text", "id,image,words")
            ),
            "no column 'text'",
        ),
        (lambda folder: edit(folder, lambda text: ""), "the table is empty"),
        (lambda folder: (folder / "shapes/pairs.csv").unlink(), "cannot tell which table"),
    ],
)
def test_a_table_that_cannot_be_used(shapes, capsys, change, message):
    import re

    change(shapes)
    line = refused(capsys, "ingest")
    assert re.search(message, line), line
    assert not (shapes / "data").exists()


def test_rows_can_be_set_aside_instead(shapes):
    (shapes / "shapes/images/red-star.png").unlink()
    write_params(shapes, dataset={**SHAPES_PARAMS["dataset"], "on_error": "quarantine"})
    assert stages.main(["ingest"]) == 0
    import polars as pl

    aside = pl.read_parquet(shapes / "data/quarantine.parquet")
    assert aside["pair_id"].to_list() == ["red-star"] and "no such image file" in aside["reason"][0]
    assert pl.read_parquet(shapes / "data/pairs.parquet").height == 63


def with_value(path, row, column, value):
    array = np.load(path)
    array[row, column] = value
    np.save(path, array)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda folder: with_value(folder / "a.npy", 7, 2, np.nan),
            r"row 7 .*a: 1 of 6 values are NaN or infinite",
        ),
        (
            lambda folder: with_value(folder / "b.npy", 3, 1, np.inf),
            r"row 3 .*b: 1 of 5 values are NaN or infinite",
        ),
        (
            lambda folder: np.save(folder / "b.npy", np.ones((59, 5))),
            r"b.npy has 59 rows but a.npy has 60",
        ),
        (
            lambda folder: np.save(folder / "b.npy", np.ones((60, 5))),
            r"view 'b': every column is constant",
        ),
        (lambda folder: (folder / "b.npy").unlink(), r"b.npy: no such features file"),
        (
            lambda folder: (folder / "b.npy").write_bytes(b"\x93NUMPY"),
            r"b.npy: the features cannot be read",
        ),
        (
            lambda folder: np.save(folder / "b.npy", np.array([["x"] * 5] * 60)),
            r"expected real numbers",
        ),
    ],
)
def test_features_that_cannot_be_used(arrays, capsys, change, message):
    import re

    change(arrays / "features")
    line = refused(capsys, "ingest")
    assert re.search(message, line), line
    assert not (arrays / "data").exists()


def test_one_view_missing(arrays, capsys):
    changed = {**ARRAYS, "dataset": {**ARRAYS["dataset"], "arrays": {"a": "a.npy"}}}
    write_params(arrays, **changed)
    assert "dataset.arrays names no file for it" in refused(capsys, "ingest")
    mapping = yaml.safe_load((arrays / "params.yaml").read_text())
    del mapping["views"]["b"]
    (arrays / "params.yaml").write_text(yaml.safe_dump(mapping))
    assert "exactly two views are needed, got 1 (a)" in refused(capsys, "ingest")


def test_an_unknown_encoder(shapes, capsys):
    assert stages.main(["ingest"]) == 0
    views = {**SHAPES_PARAMS["views"], "text": {"modality": "text", "encoder": "minilm"}}
    write_params(shapes, views=views)
    assert "unknown encoder 'minilm'" in refused(capsys, "embed", "text")
    assert "no such view" in refused(capsys, "embed", "sound")
    assert not (shapes / "data/features").exists()


def test_a_wrong_type_in_the_parameters(shapes, capsys):
    file = shapes / "params.yaml"
    file.write_text(file.read_text().replace("folds: 5", "folds: five"))
    assert "'fit.folds': Input should be a valid integer, got 'five'" in refused(capsys, "ingest")


def test_a_state_folder_that_cannot_be_written(shapes, capsys):
    (shapes / ".csa").write_text("in the way")
    assert "the state folder cannot be written" in refused(capsys, "ingest")


def test_stages_out_of_order_say_what_is_missing(shapes, capsys):
    assert "pairs.parquet: no such file; run `csa run` first" in refused(capsys, "embed", "image")
    assert stages.main(["ingest"]) == 0
    assert "index.json: no such file" in refused(capsys, "fit")
    assert "usage: python -m csa.pipeline" in refused(capsys, "feet")


def test_precomputed_features_go_all_the_way(arrays):
    rng = np.random.default_rng(1)
    signal = rng.normal(size=(200, 3))
    for name, d in (("a", 6), ("b", 5)):
        np.save(
            arrays / "features" / f"{name}.npy",
            signal @ rng.normal(size=(3, d)) + 0.1 * rng.normal(size=(200, d)),
        )
    for stage in (["ingest"], ["embed", "a"], ["embed", "b"], ["fit"], ["evaluate"]):
        assert stages.main(stage) == 0
    import json

    metrics = json.loads((arrays / "data/metrics.json").read_text())
    assert (
        metrics["retrieval"]["a_to_b"]["recall_at_5"]["value"] > 0.5
        and metrics["mismatch"]["auc"]["value"] > 0.9
    )


@pytest.mark.parametrize(
    "error, said",
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "data/x"), "data/x: cannot be written"),
        (OSError(errno.EIO, os.strerror(errno.EIO)), "a file: cannot be written"),
        (MemoryError(), "not enough memory for this"),
    ],
)
def test_a_machine_without_room_is_one_line(arrays, capsys, monkeypatch, error, said):
    """Folders are made, and old files removed, outside of what writes files."""

    def full(*_arguments, **_options):
        raise error

    assert stages.main(["ingest"]) == 0
    monkeypatch.setattr("csa.pipeline.embed.write_shards", full)
    assert said in refused(capsys, "embed", "a")
