"""Every figure is drawn once: as a PNG and as an SVG in a page, in one style, the same bytes each
time.
"""

import re
import warnings
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
from measured import CLASSIFICATION, METRICS, OUT_OF_CONTEXT, RETRIEVAL

import csa.report.html as html
from csa.figures import classes, detection, methods, retrieval, style
from csa.figures.rendering import inline_svg, save_png
from csa.results.estimate import Estimate
from csa.results.task import Thresholds

RNG = np.random.default_rng(0)
QUERIES = pl.DataFrame(
    {
        "direction": ["image_to_text"] * 40 + ["text_to_image"] * 40,
        "rank": RNG.integers(1, 60, 80),
        "gallery": [60] * 80,
    }
)
PAIRS = pl.DataFrame(
    {
        "score": RNG.normal(1, 1, 50),
        "stranger_score": RNG.normal(-1, 1, 50),
        "hard_stranger_score": [None] * 10 + RNG.normal(0, 1, 40).tolist(),
        "mislabelled": [i % 10 == 0 for i in range(50)],
    }
)
MEASURED = replace(
    METRICS,
    retrieval={"image_to_text": RETRIEVAL, "text_to_image": RETRIEVAL},
    mismatch_hard=METRICS.mismatch,
)
CURVE = pl.DataFrame(
    {
        "kind": [kind for kind in ("true", "image_to_text") for _ in range(3)],
        "alpha": [0.05, 0.1, 0.2] * 2,
        "coverage": [0.96, 0.9, 0.79] * 2,
        "low": [0.9, 0.85, 0.7] * 2,
        "high": [0.99, 0.95, 0.9] * 2,
        "size": [0.5, 0.2, 0.0, 0.4, 0.3, 0.1],
    }
)
LABELS = ["#24619f", 'id="x" href="#y"', "$5", "a\x00b"]
IMAGES = pl.DataFrame({"label": LABELS * 3, "predicted": [*LABELS[1:], LABELS[0], *LABELS * 2]})
CLASSES = pl.DataFrame({"label": LABELS, "images": [3] * 4, "top_1": [2 / 3] * 4})
CAPTIONS = pl.DataFrame(
    {
        "part": ["test"] * 30,
        "out": [i % 2 == 0 for i in range(30)],
        "caption_similarity": RNG.normal(size=30),
        "image_similarity": RNG.normal(size=30),
    }
)
CONTEXT = replace(
    OUT_OF_CONTEXT.out_of_context,
    paper=replace(OUT_OF_CONTEXT.out_of_context.paper, thresholds=Thresholds(0.1, 0.2)),
)
POINTS = {
    10.0: [Estimate(0.1, 0.05, 0.2), Estimate(0.2, 0.1, 0.3)],
    100.0: [Estimate(0.4, 0.3, 0.5)],
}
CURVES = [methods.Curve("CSA()", POINTS, methods.LINES[0], banded=True)]

CHARTS = {
    "spectrum": lambda: retrieval.spectrum_chart(
        np.linspace(0.9, 0.1, 9), np.linspace(0.8, 0, 7), 500, (9, 9)
    ),
    "recall": lambda: retrieval.recall_chart(QUERIES),
    "recall-image_to_text": lambda: retrieval.recalls_chart(
        [QUERIES.head(40)] * 2, ("version 1", "version 2"), "image_to_text"
    ),
    "forest": lambda: retrieval.forest_chart({"MRR": Estimate(0.1, 0.05, 0.2)}, "difference"),
    "mismatch": lambda: detection.mismatch_chart(PAIRS),
    "roc": lambda: detection.roc_chart(PAIRS, MEASURED),
    "out_of_context": lambda: detection.out_of_context_chart("out_of_context", CAPTIONS, CONTEXT),
    "coverage": lambda: classes.coverage_chart("coverage", CURVE),
    "cost": lambda: classes.cost_chart("cost", CURVE),
    "classes": lambda: classes.class_chart("classes", LABELS, np.array([0.2, 0.9, 0.0, 1.0])),
    "many": lambda: classes.class_chart("many", LABELS * 20, np.linspace(0, 1, 80)),
    "confusion": lambda: classes.confusion_chart("confusion", IMAGES, CLASSES, CLASSIFICATION),
    "sweep": lambda: methods.curves_chart(
        "sweep", "Sweep", {"there": CURVES, "back": CURVES}, methods.Axes("groups", "%", True)
    ),
    "baselines": lambda: methods.contenders_chart(MEASURED),
}


@pytest.mark.parametrize("name", CHARTS)
def test_a_figure_is_a_picture_and_a_part_of_a_page(name, tmp_path):
    for number, one in enumerate((CHARTS[name](), CHARTS[name]())):
        save_png(one.figure, tmp_path / f"{number}.png", one.title)
    picture = (tmp_path / "0.png").read_bytes()
    assert picture[:4] == b"\x89PNG" and picture == (tmp_path / "1.png").read_bytes()
    assert b"tIME" not in picture and b"Software" not in picture

    chart = CHARTS[name]()
    svg = inline_svg(chart)
    assert svg == inline_svg(CHARTS[name]())
    root = ElementTree.fromstring(svg)
    ids = [part.attrib["id"] for part in root.iter() if "id" in part.attrib]
    assert len(ids) == len(set(ids)) and all(one.startswith(f"{name}-") for one in ids)
    wanted = set(re.findall(r'(?:href="#|url\(#)([^")]*)', re.sub(">[^<]*<", "><", svg)))
    assert wanted <= set(ids)
    assert root.attrib["role"] == "img" and root[0].text == chart.title
    assert root[1].text == chart.description and len(chart.description) > 10
    texts = "".join(root.itertext())
    tags = re.sub(">[^<]*<", "><", svg)
    assert not set(re.findall("#[0-9a-f]{6}", tags)) & set(style.VARIABLES)
    assert "var(--" in tags and "font-family" not in tags and "2026" not in tags
    assert len(texts) > 40


def test_a_label_is_text_whatever_it_holds():
    for name in ("classes", "confusion"):
        texts = "".join(ElementTree.fromstring(inline_svg(CHARTS[name]())).itertext())
        for label in (*LABELS[:3], "a\ufffdb"):
            assert label in texts


def test_colours_are_those_of_the_page():
    sheet = html._read("style.css")
    light = dict(re.findall(r"(--[a-z-]+): (#[0-9a-f]{6})", sheet))
    assert {variable: light[variable] for variable in style.VARIABLES.values()} == {
        variable: colour for colour, variable in style.VARIABLES.items()
    }


def test_scores_that_are_all_the_same_are_drawn_without_a_warning():
    same = PAIRS.with_columns(score=pl.lit(0.5), stranger_score=pl.lit(0.5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save = detection.mismatch_chart(same)
    assert "scores 0.50" in save.description
