"""The report: the same artifacts give the same page, and whatever a data set holds, nothing but
text and pictures comes of it.
"""

import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure
from measured import CLASSIFICATION, DETECTION, ONE, OUT_OF_CONTEXT, RETRIEVAL
from undrawn import draw_nothing
from workspaces import HOSTILE, STAGES, make_report_workspace, two_versions

import csa
from csa.datasets.pairs_table import read_pairs
from csa.errors import ArtifactError
from csa.operations.inspection.compare import compare
from csa.operations.opened import Project
from csa.operations.report.comparison import write_comparison
from csa.operations.report.run import source_of, write_report
from csa.operations.runs.records import file_sha256, record_run
from csa.report.run import report
from csa.report.shown import Shower
from csa.report.source import Measured
from csa.results.estimate import Estimate, Value
from csa.results.evaluation import (
    AskedPrompts,
    ClassSetMetrics,
    ConformalMetrics,
    EvaluationMetrics,
    ExchangeabilityMetrics,
    ModelMetrics,
    PairVerdictMetrics,
    SetMetrics,
    VerdictMetrics,
)
from csa.results.sweep import SweepReport, SweepRow
from csa.results.task import (
    OutOfContextContender,
    RowCounts,
    TransferContender,
    TransferDecisions,
    TransferMetrics,
    TransferredCalibration,
)
from csa.storage.files import read_json, write_json


@pytest.fixture
def undrawn(monkeypatch):
    monkeypatch.setattr(Figure, "savefig", draw_nothing)


@pytest.fixture(scope="module")
def ws(tmp_path_factory):
    words = {
        "intended_use": "To find <b>shapes</b>.",
        "limits": "Not for circles.",
        "contact": "team@example.org",
    }
    ws = make_report_workspace(tmp_path_factory.mktemp("report") / "repo", card=words)
    record_run(Project(ws), STAGES)
    return ws


@pytest.fixture(scope="module")
def page(ws):
    return write_report(ws).read_text(encoding="utf-8")


class Reader(HTMLParser):
    """All text, tags and attributes of a page, as a browser would see them."""

    def __init__(self, page):
        super().__init__()
        self.text, self.tags, self.attributes, self.inside = [], [], [], None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]
        self.inside = tag

    def handle_data(self, data):
        if self.inside not in ("script", "style"):
            self.text.append(data)


def test_the_same_artifacts_give_the_same_bytes(ws, page, tmp_path):
    assert write_report(ws, tmp_path / "again.html").read_text(encoding="utf-8") == page
    assert len(page) < 2_000_000


def test_the_page_says_what_the_artifacts_say(ws, page):
    text = " ".join("".join(Reader(page).text).split())
    metrics, fit = read_json(ws.metrics), read_json(ws.fit_report)
    run = read_json(next(ws.runs.glob("*/run.json")))
    for values in metrics["retrieval"].values():
        for k in (1, 5, 10):
            assert f"{100 * values[f'recall_at_{k}']['value']:.1f}\u00a0%" in "".join(
                Reader(page).text
            )
        assert f"{values['mrr']['low']:.3f} to {values['mrr']['high']:.3f}" in text
    assert f"{metrics['mismatch']['auc']['value']:.3f}" in text
    for fact in (
        run["run_id"],
        run["alignment_sha256"],
        run["encoders"]["text"],
        *run["outputs"].values(),
        run["created"][:4],
    ):
        assert fact in text
    assert f"{fit['diagnostics']['overfit_gap']:.2f} on average" in text
    for trial in fit["tried"]["recipes"] + fit["tried"]["scores"]:
        assert f"{trial['held_out_mrr']:.3f}" in text
    assert (
        "To find <b>shapes</b>." in text
        and "Not for circles." in text
        and "team@example.org" in text
    )


def test_hostile_captions_are_text_and_nothing_else(page):
    read = Reader(page)
    text = "".join(read.text)
    for caption in HOSTILE:
        assert caption[:300] in text
    assert read.tags.count("script") == 1 and read.tags.count("style") == 1
    assert "b" in read.tags and "<b>shapes" not in page
    assert not [name for _, name, _ in read.attributes if name.startswith("on")]
    sources = {(tag, value[:16]) for tag, name, value in read.attributes if name == "src"}
    assert sources == {("img", "data:image/webp;")}
    links = [
        value
        for tag, name, value in read.attributes
        if name == "href" and tag in ("a", "use", "link")
    ]
    assert all(link.startswith("#") or link == "data:," for link in links)
    assert not re.search(r"url\((?!#)", re.sub(r"<(bdi|img)\b.*?>.*?</?", "", page))


def test_ids_are_unique_and_anchors_resolve(page):
    read = Reader(page)
    ids = [value for _, name, value in read.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    wanted = {
        value[1:] for _, name, value in read.attributes if name == "href" and value.startswith("#")
    }
    wanted |= {
        part
        for _, name, value in read.attributes
        if name == "aria-labelledby"
        for part in value.split()
    }
    wanted |= set(re.findall(r"url\(#([^)]*)\)", page))
    assert wanted <= set(ids)


def test_an_item_that_is_gone_is_named(ws, tmp_path):
    picture = ws.root / "shapes" / "images" / "red-circle.png"
    content = picture.read_bytes()
    picture.write_bytes(b"no picture")
    try:
        assert (
            "images/red-circle.png (cannot be read any more)"
            in write_report(ws, tmp_path / "gone.html").read_text()
        )
    finally:
        picture.write_bytes(content)


def test_artifacts_that_do_not_belong_together_are_refused(ws, tmp_path):
    metrics = read_json(ws.metrics)
    try:
        write_json(ws.metrics, metrics | {"evaluation_id": "0" * 64})
        with pytest.raises(
            ArtifactError, match=r"measured on other pairs than .* holds; run `csa run` first"
        ):
            write_report(ws, tmp_path / "never.html")
    finally:
        write_json(ws.metrics, metrics)
    assert not (tmp_path / "never.html").exists()


def test_two_versions_side_by_side(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    made = two_versions(tmp_path / "repo")
    write_comparison(made.ws, "1", "2", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    text = " ".join("".join(Reader(page).text).split())
    for row in compare(Project(made.ws), "1", "2").table.to_dicts():
        assert f"{row['difference']:+.4f}".replace("-", "\u2212") in text
    assert (
        "Version 2 against version 1" in text
        and "Most won" in text
        and "direction text_to_image" in text
        and "text → image" in text
    )
    assert (
        made.runs[0].outputs["data/alignment.safetensors"] in text
        and made.runs[1].alignment_sha256 in text
    )
    assert Reader(page).tags.count("img") > 10
    write_comparison(made.ws, "1", "2", tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == page

    # A clone without the run records reads them from the registry; encoders that are others cannot
    # be asked.
    shutil.rmtree(made.ws.runs)
    write_comparison(made.ws, "1", "2", tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == page
    index = read_json(made.ws.features("text") / "index.json")
    write_json(made.ws.features("text") / "index.json", index | {"fingerprint": "another"})
    write_comparison(made.ws, "1", "2", tmp_path / "others.html")
    assert "made with other encoders, so it cannot be asked here" in (
        tmp_path / "others.html"
    ).read_text(encoding="utf-8")


def measured(metrics):
    """The metrics of a workspace, and all that it did not measure."""
    classification = replace(
        CLASSIFICATION,
        protocol="unseen_classes",
        prompts=AskedPrompts(["a <b>{label}</b>"], "whole"),
        top_1=Estimate(0.5, 0.4, 0.6),
    )
    shares = VerdictMetrics(*[Estimate(0.25, 0.2, 0.3)] * 4)
    sets = SetMetrics(Estimate(0.912, 0.9, 0.95), Value(4.5), Value(4.0), 22)
    classes = replace(sets, coverage=Estimate(0.934, 0.9, 0.95), median_set_size=Value(2.0))
    doubts = ExchangeabilityMetrics(True, ["groups are not independent"], Value(0.5), Value(0.01))
    conformal = ConformalMetrics(
        alpha=0.1,
        halvings=20,
        groups=22,
        pairs=PairVerdictMetrics(shares, shares),
        retrieval={"image_to_text": sets},
        exchangeability=doubts,
        classes=ClassSetMetrics.measured("unseen_classes", classes),
    )
    ridge_map = ModelMetrics({}, {}, replace(DETECTION, auc=Estimate(0.123, 0.1, 0.2)))
    return replace(
        metrics,
        classification=classification,
        conformal=conformal,
        baselines={"ridge_map": ridge_map},
    )


def test_what_else_was_measured_is_shown_where_it_was(ws, page, tmp_path):
    assert 'id="classes"' not in page and 'id="sweep"' not in page and 'id="suspects"' not in page
    metrics, planted = EvaluationMetrics.read(ws.metrics), []
    whole = measured(metrics)
    labels = ["$a_{<b>}$", "<script>alert(1)</script>", "נמר"]
    classes = {
        "label": labels,
        "images": [3, 3, 3],
        "top_1": [0.0, 0.5, 1.0],
        "confused_with": [labels[1], None, None],
    }
    curve = {
        "kind": ["true", "true"],
        "alpha": [0.1, 0.2],
        "coverage": [0.9, 0.8],
        "low": [0.85, 0.7],
        "high": [0.95, 0.9],
    }
    rows = [
        SweepRow(method, 20, 0.0, 0, 40, 0.5, {"image_to_text": RETRIEVAL})
        for method in ("csa", "asif")
    ]
    sweep = SweepReport(
        workspace="main",
        training_groups=42,
        held_out_pairs=22,
        seeds=1,
        evaluation_id=metrics.evaluation_id,
        methods={"csa": "CSA()", "asif": "ASIF, <i>"},
        data_efficiency=rows,
        noise=[],
    )
    pairs = read_pairs(ws.pairs)
    suspects = (
        pairs.head(3)
        .select("pair_id", "image", "text", better="text")
        .with_columns(rank=1, probability=0.98)
    )
    summary = {
        "pairs": 42,
        "share_no_better_than_strangers": 0.077,
        "more_likely_than_not": 2,
        "trim": None,
        "worst": [],
    }
    try:
        write_json(ws.metrics, whole.as_dict())
        for name, table in (
            ("classes", pl.DataFrame(classes | {"confused": [0.5, 0.0, 0.0]})),
            ("calibration", pl.DataFrame(curve)),
        ):
            planted.append(ws.evaluation / f"{name}.parquet")
            table.write_parquet(planted[-1])
        for folder, value in (
            ("sweep", sweep.as_dict()),
            ("suspects", summary | {"alignment_sha256": file_sha256(ws.alignment)}),
        ):
            planted.append(ws.data / folder / f"{folder}.json")
            write_json(planted[-1], value)
        planted.append(ws.data / "suspects" / "suspects.parquet")
        suspects.write_parquet(planted[-1])
        read = Reader(write_report(ws, tmp_path / "more.html").read_text(encoding="utf-8"))
        text = " ".join("".join(read.text).split())
        for said in (
            *labels,
            "a <b>{label}</b>",
            "Groups are not independent.",
            "91.2 %",
            "classes, unseen classes93.4 %",
            "ridge map",
            "0.123",
            "ASIF, <i>",
            "7.7 %",
        ):
            assert said in text
        assert read.tags.count("script") == 1 and "i" not in read.tags

        write_json(
            ws.data / "sweep" / "sweep.json", replace(sweep, evaluation_id="0" * 64).as_dict()
        )
        write_json(ws.data / "suspects" / "suspects.json", summary | {"alignment_sha256": "0" * 64})
        old = write_report(ws, tmp_path / "more.html").read_text(encoding="utf-8")
        # of other held-out pairs, of another alignment
        assert 'id="sweep"' not in old and 'id="suspects"' not in old
        few = ClassSetMetrics("unseen_classes", too_few="4 groups of labelled images calibrate")
        some = replace(whole, conformal=replace(whole.conformal, classes=few))
        write_json(ws.metrics, some.as_dict())
        page = write_report(ws, tmp_path / "more.html").read_text(encoding="utf-8")
        assert (
            "No sets of classes: 4 groups of labelled images calibrate." in page
            and "classes, unseen" not in page
        )
    finally:
        write_json(ws.metrics, metrics.as_dict())
        for file in planted:
            file.unlink()


def test_tasks_are_shown_beside_the_held_out_pairs(ws):
    out = replace(
        OUT_OF_CONTEXT, baselines={"asif": OutOfContextContender(OUT_OF_CONTEXT.out_of_context)}
    )
    classes = pl.DataFrame(
        {"label": ["fox"], "images": [3], "top_1": [0.5], "confused_with": ["cat"], "confused": 0.5}
    )
    doubts = ExchangeabilityMetrics(True, ["another world"], Value(0.5), Value(0.01))
    measured_there = replace(CLASSIFICATION, protocol="transfer")
    transfer = TransferMetrics(
        kind="transfer",
        rows=RowCounts(3, 0),
        classification=measured_there,
        conformal=TransferDecisions(
            0.1, ClassSetMetrics("transfer", too_few="1 group"), TransferredCalibration(ONE, doubts)
        ),
        baselines={
            "asif": TransferContender(replace(measured_there, top_1=Estimate(0.9, 0.8, 1.0)))
        },
    )
    tasks = {"cosmos": Measured(out), "animals": Measured(transfer, classes, pl.DataFrame())}
    page = report(replace(source_of(Project(ws)), tasks=tasks))
    text = " ".join("".join(Reader(page).text).split())
    for said in (
        "Task animals: transfer 3 images, 2 classes;",
        "Another world.",
        "No sets of classes: 1 group.",
        "Rules were chosen on 4 rows and measured on 3 others, of which 1 are out of context.",
        "two thresholds, as the paper0.1250.100 to 0.200",
        "ASIF 0.9000.800 to 1.000",
    ):
        assert said in text
    assert page.count("Task cosmos") == 1  # no table of contenders, whose measures are others


def test_a_fit_set_by_hand_says_so(undrawn, tmp_path):
    ws = make_report_workspace(
        tmp_path / "repo",
        fit={"score": "canonical", "shrinkage": 0.0, "n_components": 3, "hubness": False},
    )
    text = " ".join("".join(Reader(write_report(ws).read_text(encoding="utf-8")).text).split())
    assert text.count("set in params.yaml") == 4 and "All that was tried" not in text
    assert "not registered" in text and "These artifacts are not recorded as a run" in text


@pytest.mark.parametrize(
    "asked",
    [
        {"hubness": True},
        {"score": "auto", "hubness": False, "shrinkage": 0.2},
        "all that was chosen",
    ],
)
def test_a_fit_set_by_hand_in_part_has_a_reason_for_the_rest(undrawn, tmp_path, asked):
    if asked == "all that was chosen":
        asked = csa.load(
            make_report_workspace(tmp_path / "auto", fit={"hubness": True}).alignment
        ).choices()
    ws = make_report_workspace(tmp_path / "repo", fit=asked)
    text = " ".join("".join(Reader(write_report(ws).read_text(encoding="utf-8")).text).split())
    assert text.count("set in params.yaml") == sum(value != "auto" for value in asked.values())
    why_score = re.search(
        r"best of \d+ in held-out folds|preferred, and within the folds. noise of the best", text
    )
    assert bool(why_score) == (asked.get("score", "auto") == "auto")


def test_views_with_nothing_in_common_are_called_so_first(undrawn, tmp_path):
    ws = make_report_workspace(tmp_path / "repo", noise=1e6)
    text = " ".join("".join(Reader(write_report(ws).read_text(encoding="utf-8")).text).split())
    said = text.index("Held-out folds do not show that the two views have anything in common.")
    assert said < text.index("R@1") and "Do not use this model." in text


def test_features_are_named_for_want_of_a_picture():
    shown = Shower("image", "array", lambda value: np.zeros(3, np.float32))("f.npy#3")
    assert (shown.kind, shown.name) == ("name", "image f.npy#3")
    assert Shower("text", "text", str)("a\x00b\x1bc\nd").value == "a\ufffdb\ufffdc\nd"
