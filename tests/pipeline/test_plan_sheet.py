"""`csa plan --sheet`: twelve pairs of a data set as they will be fitted."""

from dataclasses import replace

import numpy as np
from PIL import Image

from csa.operations.inspection.plan import make_plan
from csa.operations.opened import Project
from csa.pipeline.workspace import Workspace

COLOURS = [(40 * (i // 4) + 20, 60 * (i % 4) + 20, 5 * i) for i in range(24)]


def plan(tmp_path, monkeypatch, params, sheet):
    ws = Workspace(tmp_path / "project", tmp_path / ".csa")
    ws.root.mkdir(parents=True)
    ws.params_file.write_text(params)
    for name, answer in (("ensure_repo", None), ("stages", ["ingest"]), ("status", {"ingest": []})):
        monkeypatch.setattr(f"csa.operations.cache.dvc.{name}", lambda ws, answer=answer: answer)
    return make_plan(Project(ws), sheet)


def test_the_sheet_shows_twelve_pairs_as_they_are_fitted(tmp_path, monkeypatch):
    lines = ["image,text"]
    for i, colour in enumerate(COLOURS):
        (tmp_path / "data" / "images").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), colour).save(tmp_path / "data" / "images" / f"{i}.png")
        lines.append(f"images/{i}.png,thing {i}")
    (tmp_path / "data" / "pairs.csv").write_text("\n".join(lines))
    elsewhere = f"revision: {'a' * 40}"  # encoders that are not here, so that none is timed
    params = (
        f"dataset: {{path: {tmp_path / 'data'}}}\nviews:\n"
        f"  image: {{modality: image, encoder: nobody/sees, {elsewhere}}}\n"
        f"  text: {{modality: text, encoder: nobody/reads, {elsewhere}}}\n"
    )
    result = plan(tmp_path, monkeypatch, params, tmp_path / "sheet.png")
    assert result.data["pairs"] == 24
    seen = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB")).reshape(-1, 3)
    counts = [int((seen == np.array(colour)).all(axis=1).sum()) for colour in COLOURS]
    shown = [i for i, count in enumerate(counts) if count > 1000]
    assert len(shown) == 12 and shown[0] == 0 and shown[-1] == 23


def test_what_is_not_drawn_yet_is_said(tmp_path, monkeypatch):
    result = plan(tmp_path, monkeypatch, "{}", tmp_path / "sheet.png")
    assert any("drawn by stage demo; csa run draws them" in one for one in result.problems)
    assert not (tmp_path / "sheet.png").exists()


def test_a_plan_names_the_device(tmp_path, monkeypatch):
    """And says in one line that torch does not see it."""
    (tmp_path / "data").mkdir()
    lines = ["question,answer", *(f"what is {i},it is {i}" for i in range(24))]
    (tmp_path / "data" / "pairs.csv").write_text("\n".join(lines))
    view = "{modality: text, encoder: minilm-l6-v2, batch_size: 4}"
    params = (
        f"dataset: {{path: {tmp_path / 'data'}}}\nviews: {{question: {view}, answer: {view}}}\n"
    )
    monkeypatch.setenv("CSA_DEVICE", "cpu")
    here = plan(tmp_path / "a", monkeypatch, params, None)
    assert not here.problems
    assert [view.device for view in here.views] == ["cpu", "cpu"]
    assert "24 to encode with minilm-l6-v2 on cpu, about" in str(here)
    long = replace(here, stages={"embed@question": "out of date"})
    assert "  embed@question out of date" in str(long)
    monkeypatch.setenv("CSA_DEVICE", "cuda:99")
    there = plan(tmp_path / "b", monkeypatch, params, None)
    said = "compute.device is cuda:99, and torch "
    assert len(there.problems) == 2 and all(one.startswith(said) for one in there.problems)
