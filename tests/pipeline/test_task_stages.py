"""The stages that measure, run for real on a small workspace: real pictures and texts, both
built-in encoders, a real fit.
"""

import re

import numpy as np
import polars as pl
import pytest
import yaml
from measured import CLASSIFICATION
from PIL import Image
from small_repo import COLOURS, SHAPES, draw_shape, write_table
from workspaces import run_stages

from csa.datasets.pairs_table import read_pairs
from csa.errors import DataError, InputError
from csa.evaluation.classification import per_class
from csa.evaluation.conformal import fewest_groups
from csa.figures.classes import confusion_chart
from csa.figures.rendering import inline_svg, save_png
from csa.operations.report.run import write_report
from csa.params.schema import Params
from csa.pipeline.evaluate import evaluate_stage
from csa.pipeline.task import task_stage
from csa.pipeline.workspace import Workspace
from csa.questions.classify import classify_files, read_labels
from csa.storage.files import read_json

ALPHA = 0.1


@pytest.fixture(scope="module")
def ws(tmp_path_factory):
    """Fitted on shapes labelled by their form, every third held out, as two encoders see them;
    two tasks on other pictures.
    """
    root = tmp_path_factory.mktemp("tasks") / "repo"
    write_shapes(root / "shapes")
    write_folders(root / "colours")
    write_captions(root / "captions")
    params = {
        "dataset": {"kind": "table", "path": "shapes", "table": "pairs.csv"},
        "views": {
            "image": {
                "modality": "image",
                "encoders": [{"encoder": "efficientnet-lite0"}, {"encoder": "efficientnet-lite1"}],
            },
            "text": {"modality": "text", "encoder": "minilm-l6-v2"},
        },
        "fit": {"folds": 3},
        "evaluate": {
            "bootstrap": 100,
            "sheet_queries": 2,
            "baselines": ["procrustes"],
            "alpha": ALPHA,
        },
        "tasks": {
            "colours": {
                "kind": "transfer",
                "dataset": {"kind": "imagefolder", "path": "colours"},
                "prompts": {"templates": ["a {label} shape", "something {label}"]},
            },
            "captions": {
                "kind": "out_of_context",
                "dataset": {"kind": "table", "path": "captions", "table": "rows.csv"},
            },
        },
        "model": {"name": "shapes"},
    }
    ws = Workspace(root, root / ".csa")
    ws.params_file.write_text(yaml.safe_dump(Params.from_mapping(params).dump(), sort_keys=False))
    run_stages(ws)
    return ws


def test_both_encoders_of_a_view_are_in_its_features(ws):
    index = read_json(ws.features("image") / "index.json")
    assert index["dimension"] == 2560 and index["fingerprint"].startswith(
        "efficientnet-lite0-efficientnet-lite1-"
    )
    assert [part["encoder"] for part in index["encoder"]["side_by_side"]] == [
        "efficientnet-lite0",
        "efficientnet-lite1",
    ]
    assert read_json(ws.fit_report)["diagnostics"]["shared_signal"]


def write_shapes(folder):
    (folder / "images").mkdir(parents=True)
    rows = []
    for k, (colour, shape) in enumerate((colour, shape) for colour in COLOURS for shape in SHAPES):
        name = f"images/{colour}-{shape}.png"
        draw_shape(colour, shape).save(folder / name)
        rows.append({"id": name, "image": name, "text": f"a {colour} {shape}", "label": shape})
        rows[-1]["split"] = "test" if k % 3 == 0 else "train"
    write_table(folder / "pairs.csv", rows)


def write_folders(folder):
    """A folder of pictures for each colour, as ImageNet has one for each class."""
    for colour in COLOURS:
        (folder / colour).mkdir(parents=True)
        for shape in SHAPES[:5]:
            draw_shape(colour, shape, size=80).save(folder / colour / f"{shape}.png")


def write_captions(folder):
    """A picture with two captions, the second of another colour and shape in every other row."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for k, (colour, shape) in enumerate((colour, shape) for colour in COLOURS for shape in SHAPES):
        name, out = f"images/{colour}-{shape}.png", (k + k // len(SHAPES)) % 2
        draw_shape(colour, shape, size=112).save(folder / name)
        other = (
            (COLOURS[(k // len(SHAPES) + 3) % len(COLOURS)], SHAPES[(k + 4) % len(SHAPES)])
            if out
            else (colour, shape)
        )
        rows.append(
            {
                "id": name,
                "image": name,
                "caption1": f"a {colour} {shape}",
                "caption2": f"one {' '.join(other)}",
            }
        )
        rows[-1]["out_of_context"] = ("no", "yes")[out]
    write_table(folder / "rows.csv", rows)


def test_evaluate_gives_class_sets_that_keep_their_promise(ws):
    metrics = read_json(ws.metrics)
    assert metrics["classification"]["protocol"] == "in_domain" and metrics["classification"][
        "classes"
    ] == len(SHAPES)
    sets = metrics["conformal"]["classes"]
    assert sets["protocol"] == "in_domain" and sets["candidates"] == len(SHAPES)
    assert (
        1 - ALPHA - 0.05 <= sets["coverage"]["value"] <= 1
        and sets["coverage"]["low"] <= sets["coverage"]["value"]
    )
    assert 1 <= sets["set_size"]["value"] <= len(SHAPES)
    curve = pl.read_parquet(ws.evaluation / "calibration.parquet").filter(
        pl.col("kind") == "classes"
    )
    row = curve.filter(pl.col("alpha") == ALPHA).row(0, named=True)
    assert row["coverage"] == sets["coverage"]["value"] and row["size"] * len(
        SHAPES
    ) == pytest.approx(sets["set_size"]["value"])
    assert "classification" in metrics["baselines"]["procrustes"]


def test_too_few_labelled_groups_are_said_and_nothing_is_promised(ws):
    held_out = read_pairs(ws.pairs).filter(pl.col("split") == "test")["group"].n_unique()
    calibrate = (held_out + 1) // 2
    settings, before = ws.params_file.read_text(), ws.metrics.read_bytes()
    alpha = 0.9 / (calibrate + 1)
    try:
        ws.params_file.write_text(settings.replace(f"alpha: {ALPHA}", f"alpha: {alpha}"))
        evaluate_stage(ws)
        sets = read_json(ws.metrics)["conformal"]["classes"]
    finally:
        ws.params_file.write_text(settings)
        evaluate_stage(ws)
    assert set(sets) == {"protocol", "too_few"} and sets["too_few"].startswith(
        f"{calibrate} groups of labelled images calibrate"
    )
    assert f"fewer than {fewest_groups(alpha)} rule no class out at alpha" in sets["too_few"]
    assert ws.metrics.read_bytes() == before, "measured twice, the same bytes"


def test_transfer_classifies_what_was_never_paired(ws):
    assert task_stage(ws, "colours") == {"rows": 5 * len(COLOURS)}
    metrics = read_json(ws.task("colours") / "metrics.json")
    found = metrics["classification"]
    assert (
        metrics["kind"] == found["protocol"] == "transfer"
        and found["classes_seen_in_training"] == 0
    )
    assert (found["classes"], found["images"]) == (len(COLOURS), 5 * len(COLOURS))
    assert found["prompts"]["templates"] == ["a {label} shape", "something {label}"]
    assert found["top_1"]["value"] > 3 * found["chance"]["top_1"]["value"], (
        "colours are what both encoders see"
    )
    images = pl.read_parquet(ws.task("colours") / "evaluation" / "images.parquet")
    assert images["top_1"].mean() == pytest.approx(found["top_1"]["value"])
    assert ((images["predicted"] == images["label"]) >= (images["top_1"] == 1)).all()
    sets = metrics["conformal"]["classes"]
    assert sets["protocol"] == "transfer" and sets["coverage"]["value"] >= 1 - ALPHA - 0.05
    assert metrics["baselines"]["procrustes"]["classification"]["protocol"] == "transfer"
    assert not list(ws.data.rglob("*.png"))  # what a stage writes does not depend on a colour
    write_report(ws)
    for name in ("confusion", "calibration"):
        picture = ws.pictures / "tasks" / "colours" / f"{name}.png"
        assert picture.read_bytes()[:4] == b"\x89PNG"


# -- files by labels of one's own


TEMPLATES = ["a {label} shape", "something {label}"]


def test_files_get_the_labels_that_the_transfer_task_gives_them(ws, tmp_path):
    task_stage(ws, "colours")
    folder = ws.root / "colours"
    of_task = pl.read_parquet(ws.task("colours") / "evaluation" / "images.parquet")
    expected = {
        str(folder / item): (label, score)
        for item, label, score in of_task["item", "predicted", "best_score"].rows()
    }
    answer = classify_files(ws, [str(folder)], [*COLOURS, " ", COLOURS[0]], TEMPLATES, top=2)
    assert set(answer.files) == set(expected) and not answer.unusable
    for row in answer.rows():
        label, score = expected[row["file"]]
        assert row["labels"][0]["label"] == label and row["labels"][0]["score"] == pytest.approx(
            score, abs=1e-3
        )
        assert row["labels"][0]["score"] >= row["labels"][1]["score"]
    held_out = pl.read_parquet(ws.evaluation / "pairs.parquet")
    below = (held_out["score"].to_numpy() <= answer.scores[:, :1]).sum(axis=1)
    assert held_out["group"].is_unique().all() and answer.p_match == pytest.approx(
        (1 + below) / (len(held_out) + 1)
    )
    answer.write(tmp_path / "labels.csv")
    assert pl.read_csv(tmp_path / "labels.csv")["label"].to_list() == [
        best[0] for best in answer.labels
    ]
    answer.draw(tmp_path / "labels.png")
    assert (tmp_path / "labels.png").read_bytes()[:4] == b"\x89PNG"


def test_files_unlike_all_that_was_trained_on_are_called_unfamiliar(ws, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (224, 224, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    known = read_pairs(ws.pairs).filter(pl.col("split") == "train")["image"][0]
    answer = classify_files(
        ws,
        [str(tmp_path / "noise.png"), str(ws.root / "shapes" / known)],
        COLOURS,
        TEMPLATES,
        top=1,
    )
    assert answer.p_familiar[1] == 1 and answer.p_familiar[0] == pytest.approx(
        1 / (len(pl.read_parquet(ws.evaluation / "pairs.parquet")) + 1)
    )
    nothing = classify_files(
        ws,
        [str(tmp_path / "noise.png")],
        ["a fugue in D minor", "the price of gold"],
        ["{label}"],
        top=1,
    )
    assert nothing.p_match[0] <= nothing.alpha and "none fits: p = " in str(nothing)


def test_files_that_cannot_be_read_are_left_out_and_said(ws, tmp_path):
    good = ws.root / "shapes" / "images" / f"{COLOURS[0]}-{SHAPES[0]}.png"
    (tmp_path / "bad.png").write_text("no picture")
    answer = classify_files(ws, [str(good), str(tmp_path), str(good)], COLOURS, [], top=1)
    assert answer.files == [str(good)] and [file for file, _ in answer.unusable] == [
        str(tmp_path / "bad.png")
    ]
    assert answer.templates == ["An image of {label}."]
    with pytest.raises(DataError, match=r"bad\.png: not an image"):
        classify_files(ws, [str(tmp_path / "bad.png")], COLOURS, [], top=1)


@pytest.mark.parametrize(
    ("labels", "templates", "said"),
    [
        (["red", "red", ""], [], "1 labels: there is nothing to choose from"),
        (["red", "blue"], ["a shape"], "the template 'a shape' has no {label}"),
        (["red", "blue"], [], "no image file in this folder or below it"),
    ],
)
def test_labels_that_cannot_be_are_one_error(ws, tmp_path, labels, templates, said):
    with pytest.raises(InputError, match=re.escape(said)):
        classify_files(ws, [str(tmp_path)], labels, templates, top=1)


def test_a_file_of_labels(tmp_path):
    (tmp_path / "labels.txt").write_bytes("\ufeffred\r\nblau\n".encode())
    assert read_labels(tmp_path / "labels.txt") == ["red", "blau"]
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff")
    for name, reason in (("picture.png", "not UTF-8 text"), ("none.txt", "no such file")):
        with pytest.raises(InputError, match=reason):
            read_labels(tmp_path / name)


def test_a_class_may_be_called_anything(tmp_path):
    labels = ["$a_{<b>}$", "$5 and \\up", "נמר", "W" * 80]
    results = pl.DataFrame(
        {
            "label": labels * 3,
            "predicted": [*labels[1:], labels[0], *labels, *labels[2:], *labels[:2]],
        }
    )
    results = results.with_columns(hit=(pl.col("label") == pl.col("predicted")).cast(pl.Float64))
    results = results.with_columns(top_1="hit", top_5="hit")
    chart = confusion_chart("confusion", results, per_class(results), CLASSIFICATION)
    save_png(chart.figure, tmp_path / "confusion.png", chart.title)
    assert all(label in inline_svg(chart) for label in ("$a_{&lt;b&gt;}$", "$5 and \\up", "נמר"))
    assert (tmp_path / "confusion.png").read_bytes()[:4] == b"\x89PNG"


def test_out_of_context_tells_captions_of_other_pictures(ws):
    assert task_stage(ws, "captions") == {"rows": len(COLOURS) * len(SHAPES)}
    metrics = read_json(ws.task("captions") / "metrics.json")
    assert (metrics["kind"], metrics["text_similarity"]) == ("out_of_context", "encoder")
    found = metrics["out_of_context"]
    assert found["rows"]["validation"] + found["rows"]["test"] == len(COLOURS) * len(SHAPES)
    assert (
        found["discriminant"]["auc"]["value"] > 0.9
        and found["captions_alone"]["auc"]["value"] > 0.9
    )
    write_report(ws)
    picture = ws.pictures / "tasks" / "captions" / "out_of_context.png"
    assert picture.read_bytes()[:4] == b"\x89PNG"
    table = pl.read_parquet(ws.task("captions") / "evaluation" / "rows.parquet")
    test = table.filter(pl.col("part") == "test")
    assert found["paper"]["accuracy"]["value"] == pytest.approx(
        (test["called_out"] == test["out"]).mean()
    )
    low, thresholds = test.filter(pl.col("called_out")), found["paper"]["thresholds"]
    assert (
        low["caption_similarity"].max() <= thresholds["captions"]
        and low["image_similarity"].max() <= thresholds["image"]
    )
    assert test["discriminant"].is_finite().all()


def test_a_task_that_cannot_be_is_one_error(ws):
    with pytest.raises(
        InputError, match=r"task 'nothing': no such task; params.yaml has colours, captions"
    ):
        task_stage(ws, "nothing")
    rows = ws.root / "captions" / "rows.csv"
    content, before = rows.read_text(), (ws.task("captions") / "metrics.json").read_bytes()
    try:
        rows.write_text(content.replace(",yes", ",no"))
        with pytest.raises(DataError, match="no threshold can be chosen"):
            task_stage(ws, "captions")
    finally:
        rows.write_text(content)
    assert (ws.task("captions") / "metrics.json").read_bytes() == before
