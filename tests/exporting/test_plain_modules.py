"""An export of plain modules: sentence-transformers alone loads it, and its similarities are the
scores.
"""

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from exports import tiny_workspace, told_alone
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling
from served import KERNEL
from workspaces import write_params

from csa.cli import main
from csa.errors import EncoderError
from csa.exporting import plain_modules
from csa.exporting.embedding_model import write_embedding_model
from csa.exporting.plain_modules import linear_fit, not_linear
from csa.pipeline.evaluate import evaluate_stage
from csa.pipeline.fit import fit_stage
from csa.questions.opened import Fitted
from csa.results.evaluation import EvaluationMetrics

ALONE = """
import json, sys
sys.meta_path = [one for one in sys.meta_path if "editable" not in one.__module__]
from PIL import Image
from sentence_transformers import SentenceTransformer
folder, again = sys.argv[1:3]
pictures, texts = json.load(sys.stdin)
images = [Image.open(name).convert("RGB") for name in pictures]
model = SentenceTransformer(folder)
left, right = model.encode(images, batch_size=3), model.encode(texts)
model.save(again)
second = SentenceTransformer(again)
assert "csa" not in sys.modules
print(json.dumps({
    "similarity": model.similarity(left, right).tolist(),
    "again": second.similarity(second.encode(images, batch_size=3), second.encode(texts)).tolist(),
}))
"""
CANONICAL = {"score": "canonical", "preparation": ["unit", "raw"]}


@pytest.fixture(scope="module")
def ws(tmp_path_factory):
    return tiny_workspace(tmp_path_factory.mktemp("plain"), CANONICAL)


@pytest.fixture
def not_linear_ws(ws):
    """The same workspace with a fit that is not linear."""
    params = ws.params().dump()
    write_params(ws, params | {"fit": KERNEL})
    fit_stage(ws)
    evaluate_stage(ws)
    yield ws
    write_params(ws, params)
    fit_stage(ws)
    evaluate_stage(ws)


def exported(ws, monkeypatch, *arguments):
    monkeypatch.chdir(ws.root)
    words = ["export", *arguments, "--format", "sentence-transformers"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    return done.stdout


def similarities(ws, folder, again, pairs):
    """What the folder gives in a process without this package, and after it was saved again."""
    told = told_alone(ALONE, ws, folder, again, pairs)
    assert told["again"] == told["similarity"]
    return told["similarity"]


def scores(fitted, alignment, pairs):
    left, right = alignment.index_vectors(
        *(fitted.features(view).rows(pairs[f"{view}_hash"].to_list()) for view in ("image", "text"))
    )
    return left @ right.T


def test_a_linear_fit_is_plain_modules_and_similarities_are_the_scores(ws, monkeypatch, tmp_path):
    said = exported(ws, monkeypatch, str(tmp_path / "model"))
    assert "trust_remote_code" not in said
    fitted = Fitted.open(ws)
    pairs = fitted.pairs.gather_every(9)
    found = similarities(ws, tmp_path / "model", tmp_path / "again", pairs)
    expected = scores(fitted, fitted.alignment, pairs)
    np.testing.assert_allclose(found, expected, atol=5e-6 * max(1, np.abs(expected).max()))
    files = [path for path in (tmp_path / "model").rglob("*") if path.is_file()]
    assert not {path.suffix for path in files} & {".py", ".zip", ".bin", ".pkl", ".pt"}
    card = (tmp_path / "model" / "README.md").read_text()
    assert "SentenceTransformer(FOLDER)" in card and "library_name: sentence-transformers" in card


def test_another_fit_is_made_linear_and_the_price_is_said(not_linear_ws, monkeypatch, tmp_path):
    ws = not_linear_ws
    said = exported(ws, monkeypatch, str(tmp_path / "ours"))
    assert "with code of csa, as its score is likelihood_ratio" in said
    said = exported(ws, monkeypatch, str(tmp_path / "model"), "--linear")
    fitted = Fitted.open(ws)
    linear, price = linear_fit(fitted)
    assert not_linear(linear) is None and "trust_remote_code" not in said
    measured = EvaluationMetrics.read(ws.metrics).retrieval
    for direction, found in price["recall_at_1"].items():
        assert found["fit"] == round(measured[direction].recall_at_1.value, 4)
        assert f"R@1 {found['linear']:.4f} by a linear fit, {found['fit']:.4f} by the fit" in said
    pairs = fitted.pairs.gather_every(9)
    found = similarities(ws, tmp_path / "model", tmp_path / "again", pairs)
    expected = scores(fitted, linear, pairs)
    np.testing.assert_allclose(found, expected, atol=5e-6 * max(1, np.abs(expected).max()))


def test_modules_that_give_other_similarities_are_not_written(ws, monkeypatch, tmp_path):
    encoder_of = plain_modules._encoder

    def pooled_otherwise(view):
        transformer, pooling = encoder_of(view)
        return [transformer, Pooling(pooling.embedding_dimension, "max")]

    monkeypatch.setattr(plain_modules, "_encoder", pooled_otherwise)
    fitted = Fitted.open(ws)
    with pytest.raises(EncoderError, match="similarities differ by"):
        write_embedding_model(fitted, tmp_path / "model", linear=True)
    assert not (tmp_path / "model").exists()
    told = write_embedding_model(fitted, tmp_path / "model")
    assert not told["plain"] and "differ by" in told["because"]


@pytest.mark.parametrize("linear", [True, False])
def test_mteb_scores_an_export(not_linear_ws, tmp_path, linear):
    pytest.importorskip("mteb")
    from mteb.mocks.mock_tasks.retrieval import (
        MockAny2AnyRetrievalI2TTask,
        MockAny2AnyRetrievalT2ITask,
    )

    told = write_embedding_model(Fitted.open(not_linear_ws), tmp_path / "model", linear=linear)
    assert told["plain"] == linear
    model = SentenceTransformer(str(tmp_path / "model"), trust_remote_code=not linear)
    page = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(import mteb\n.*?)```", page, re.DOTALL)
    tasks = [MockAny2AnyRetrievalI2TTask(), MockAny2AnyRetrievalT2ITask()]
    told = {"model": model, "tasks": tasks}
    exec(code, told)
    scores = [task.get_score() for task in told["result"].task_results]
    assert len(scores) == 2 and all(0 <= score <= 1 for score in scores)
