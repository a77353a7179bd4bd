"""The report: the same artifacts give the same page, and whatever a data set holds, nothing but text and pictures comes of it."""

import re
import shutil
from html.parser import HTMLParser

import pytest
from flow_workspace import STAGES
from report_workspace import HOSTILE, make_report_workspace, two_versions

from csa.errors import ArtifactError
from csa.files import read_json, write_json
from flows.compare import compare
from flows.records import record_run
from flows.report import write_report
from flows.versus import write_comparison


@pytest.fixture(scope="module")
def ws(tmp_path_factory):
    words = {"intended_use": "To find <b>shapes</b>.", "limits": "Not for circles.", "contact": "team@example.org"}
    ws = make_report_workspace(tmp_path_factory.mktemp("report") / "repo", card=words)
    record_run(ws, STAGES)
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
            assert f"{100 * values[f'recall_at_{k}']['value']:.1f}\u00a0%" in "".join(Reader(page).text)
        assert f"{values['mrr']['low']:.3f} to {values['mrr']['high']:.3f}" in text
    assert f"{metrics['mismatch']['auc']['value']:.3f}" in text
    for fact in (run["run_id"], run["alignment_sha256"], run["encoders"]["text"], *run["outputs"].values(), run["created"][:4]):
        assert fact in text
    assert f"{fit['diagnostics']['overfit_gap']:.2f} on average" in text
    for trial in fit["tried"]["recipes"] + fit["tried"]["scores"]:
        assert f"{trial['held_out_mrr']:.3f}" in text
    assert "To find <b>shapes</b>." in text and "Not for circles." in text and "team@example.org" in text


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
    links = [value for tag, name, value in read.attributes if name == "href" and tag in ("a", "use", "link")]
    assert all(link.startswith("#") or link == "data:," for link in links)
    assert not re.search(r"url\((?!#)", re.sub(r"<(bdi|img)\b.*?>.*?</?", "", page))


def test_ids_are_unique_and_anchors_resolve(page):
    read = Reader(page)
    ids = [value for _, name, value in read.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    wanted = {value[1:] for _, name, value in read.attributes if name == "href" and value.startswith("#")}
    wanted |= {part for _, name, value in read.attributes if name == "aria-labelledby" for part in value.split()}
    wanted |= set(re.findall(r"url\(#([^)]*)\)", page))
    assert wanted <= set(ids)


def test_an_item_that_is_gone_is_named(ws, tmp_path):
    picture = ws.root / "shapes" / "images" / "red-circle.png"
    content = picture.read_bytes()
    picture.write_bytes(b"no picture")
    try:
        assert "images/red-circle.png (cannot be read any more)" in write_report(ws, tmp_path / "gone.html").read_text()
    finally:
        picture.write_bytes(content)


def test_artifacts_that_do_not_belong_together_are_refused(ws, tmp_path):
    metrics = read_json(ws.metrics)
    try:
        write_json(ws.metrics, metrics | {"evaluation_id": "0" * 64})
        with pytest.raises(ArtifactError, match=r"measured on other pairs than .* holds; run `csa run` first"):
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
    for row in compare(made.ws, "1", "2").table.to_dicts():
        assert f"{row['difference']:+.4f}".replace("-", "\u2212") in text
    assert "Version 2 against version 1" in text and "Most won" in text and "text → image" in text
    assert made.runs[0].outputs["data/alignment.safetensors"] in text and made.runs[1].alignment_sha256 in text
    assert Reader(page).tags.count("img") > 10
    write_comparison(made.ws, "1", "2", tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == page

    # A clone without the run records reads them from the registry; encoders that are others cannot be asked.
    shutil.rmtree(made.ws.runs)
    write_comparison(made.ws, "1", "2", tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == page
    index = read_json(made.ws.features("text") / "index.json")
    write_json(made.ws.features("text") / "index.json", index | {"fingerprint": "another"})
    write_comparison(made.ws, "1", "2", tmp_path / "others.html")
    assert "made with other encoders, so it cannot be asked here" in (tmp_path / "others.html").read_text(encoding="utf-8")
