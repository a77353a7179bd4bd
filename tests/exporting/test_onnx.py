"""`csa export --format onnx`: onnxruntime gives the vectors that the alignment gives."""

import json
import sys
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from exports import tiny_workspace
from factory import shared_signal
from transformers import AutoTokenizer

import csa
from csa.cli import main
from csa.core.bridge import FittedBridge
from csa.core.scores import SCORES
from csa.exporting.onnx_files import write_onnx
from csa.exporting.projection import Projection
from csa.questions.opened import Fitted


@pytest.fixture(scope="module")
def ws(tmp_path_factory):
    fit = {"score": "likelihood_ratio", "preparation": ["root", "unit"], "hubness": True}
    return tiny_workspace(tmp_path_factory.mktemp("onnx"), fit)


def told_by(path, **inputs):
    session = onnxruntime.InferenceSession(path)
    assert {one.name for one in session.get_inputs()} == set(inputs)
    (vectors,) = session.run(["vectors"], inputs)
    return vectors


def close(found, expected):
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_onnxruntime_gives_the_vectors_of_features_texts_and_pixels(ws, monkeypatch, tmp_path):
    monkeypatch.chdir(ws.root)
    arguments = ["export", str(tmp_path / "onnx"), "--format", "onnx", "--json"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)["views"]
    fitted = Fitted.open(ws)
    vectors = {view: fitted.gallery(view).vectors for view in ("image", "text")}
    for view, expected in vectors.items():
        features = fitted.features(view).rows(fitted.gallery(view).pairs[f"{view}_hash"].to_list())
        path = tmp_path / "onnx" / f"{view}_projection.onnx"
        close(told_by(path, features=features.astype(np.float32)), expected)
        assert told[view]["dimension"] == expected.shape[1]
    texts = fitted.gallery("text").pairs["text"].to_list()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "onnx" / "text_tokenizer")
    tokens = tokenizer(texts, padding=True, return_tensors="np")
    tokens = {name: tokens[name] for name in told["text"]["inputs"]}
    close(told_by(tmp_path / "onnx" / "text.onnx", **tokens), vectors["text"])
    encoder = fitted.scorer.views["image"].encoder.parts[0]
    pictures = fitted.gallery("image").pairs["image"].to_list()[:5]
    items = [fitted.read("image", str(ws.root / "shapes" / name)) for name in pictures]
    pixels = np.stack([encoder.prepare(item) for item in items])
    found = told_by(tmp_path / "onnx" / "image.onnx", pixel_values=pixels)
    close(found, vectors["image"][:5])


@pytest.mark.parametrize("preparation", ["raw", "unit", "root", "kernel"])
@pytest.mark.parametrize("hubness", [False, True])
@pytest.mark.parametrize("score", SCORES)
def test_every_fit_is_the_same_in_torch(score, hubness, preparation):
    X, Y = shared_signal(90, 6, 5, 3, 0.4, np.random.default_rng(0))
    fit = csa.CSA(score=score, preparation=preparation, hubness=hubness, shrinkage=0.1).fit(X, Y)
    X[0], Y[0] = 0.0, 0.0
    for first, given in ((True, {"X": X}), (False, {"Y": Y})):
        (features,) = given.values()
        expected = fit.alignment_.index_vectors(**given)
        found = Projection(fit.alignment_, first)(torch.from_numpy(features)).numpy()
        close(found, expected)


@pytest.mark.parametrize("view", ["x", "y"])
def test_a_label_bridge_is_the_same_in_torch(view):
    rng = np.random.default_rng(1)
    X, Y = shared_signal(90, 6, 5, 3, 0.4, rng)
    here, there = (X, Y) if view == "x" else (Y, X)
    width, other = here.shape[1], there.shape[1]
    head = csa.LabelBridge(
        rng.normal(size=(4, width)), rng.normal(size=4), rng.normal(size=(4, other)), 2.0, view
    )
    bridge = FittedBridge(head, 2.0, 0.7, rng.normal(size=other), there.mean(axis=0))
    fitted = csa.CSA(score="canonical", shrinkage=0.1).fit(X, Y).alignment_
    alignment = replace(fitted, bridge=bridge)
    for first, given in ((True, {"X": X}), (False, {"Y": Y})):
        (features,) = given.values()
        found = Projection(alignment, first)(torch.from_numpy(features)).numpy()
        close(found, alignment.index_vectors(**given))


def test_a_score_of_ones_own_is_named(ws, tmp_path):
    class Own(SCORES["canonical"]):
        name = "own"

    fitted = Fitted.open(ws)
    score = Own(fitted.alignment.score.weights)
    fitted.scorer.__dict__["alignment"] = replace(fitted.alignment, score=score)
    with pytest.raises(csa.CSAError, match="does not know the score 'own'"):
        write_onnx(fitted, tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()


def test_a_missing_package_is_one_line_with_its_extra(ws, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    monkeypatch.chdir(ws.root)
    done = CliRunner().invoke(main, ["export", str(tmp_path / "new"), "--format", "onnx"])
    assert done.exit_code == 2 and done.stderr.count("\n") == 1
    assert "pip install 'canonical-similarity[onnx]'" in done.stderr
    assert not (tmp_path / "new").exists()
