"""An export that sentence-transformers loads, in a process that has no other code of ours."""

import numpy as np
import pytest
import yaml
from exports import told_alone
from huggingface_hub import ModelCard
from served import PARAMS
from small_repo import make_shapes
from workspaces import bare_workspace, run_stages

from csa.errors import InputError
from csa.exporting.formats import Options, export
from csa.questions.opened import Fitted
from csa.results.evaluation import EvaluationMetrics

ALONE = """
import importlib.util, io, json, sys
sys.meta_path = [one for one in sys.meta_path if "editable" not in one.__module__]
assert importlib.util.find_spec("csa") is None
from PIL import Image
from sentence_transformers import SentenceTransformer
folder, again = sys.argv[1:3]
pictures, texts = json.load(sys.stdin)
images = [Image.open(name).convert("RGB") for name in pictures]
stored, exif = io.BytesIO(), Image.Exif()
exif[0x0112] = 6  # a camera held upright: to be turned by a quarter
images[0].transpose(Image.Transpose.ROTATE_90).save(stored, "PNG", exif=exif)
model = SentenceTransformer(folder, trust_remote_code=True)
left, right = model.encode(images, batch_size=8), model.encode(texts)
model.save(again)
second = SentenceTransformer(again, trust_remote_code=True)
import csa
print(json.dumps({
    "csa": csa.__file__,
    "similarity": model.similarity(left, right).tolist(),
    "told": float(abs(model.encode(texts, task="text") - right).max()),
    "asked": float(abs(model.encode_query([{"text": text} for text in texts]) - right).max()),
    "named": float(abs(model.encode_document([{"image": i} for i in images], batch_size=8)
        - left).max()),
    "turned": float(abs(model.encode([Image.open(stored)], batch_size=8) - left[:1]).max()),
    "again": float(abs(second.encode(texts) - right).max()),
    "dimension": model.get_embedding_dimension() == left.shape[1],
}))
"""


@pytest.fixture(scope="module")
def ws(tmp_path_factory):
    made = bare_workspace(tmp_path_factory.mktemp("model") / "repo", PARAMS)
    make_shapes(made.root / "shapes")
    run_stages(made)
    return made


def test_similarities_are_the_scores(ws, tmp_path):
    folder = tmp_path / "model"
    export(ws, folder, "sentence-transformers", Options())
    fitted = Fitted.open(ws)
    pairs = fitted.pairs.head(6)
    told = told_alone(ALONE, ws, folder, tmp_path / "again", pairs)
    assert told["csa"].startswith(str(folder / "0_CSA" / "csa.zip"))
    assert told["dimension"] and told["again"] == told["told"] == 0
    assert told["asked"] == told["named"] == told["turned"] == 0
    left, right = (
        fitted.scorer.vectors(view, fitted.features(view).rows(pairs[f"{view}_hash"].to_list()))
        for view in ("image", "text")
    )
    scores = left @ right.T
    np.testing.assert_allclose(told["similarity"], scores, atol=1e-6 * np.abs(scores).max() + 1e-6)


def test_the_folder_holds_no_pickle_and_a_card(ws, tmp_path):
    export(ws, tmp_path / "model", "sentence-transformers", Options())
    endings = {file.suffix for file in (tmp_path / "model").rglob("*") if file.is_file()}
    assert endings == {".py", ".zip", ".json", ".safetensors", ".txt", ".md"}
    card = (tmp_path / "model" / "README.md").read_text()
    assert ModelCard(card).data.library_name == "sentence-transformers" and "# shapes" in card
    assert "efficientnet-lite0" in card and "trust_remote_code=True" in card


def test_the_card_of_a_repository_says_licence_base_models_and_metrics(ws, tmp_path):
    with pytest.raises(InputError, match=r"set card\.licence"):
        export(ws, tmp_path / "hub", "hub", Options())
    assert not (tmp_path / "hub").exists()
    told = yaml.safe_load(ws.params_file.read_text())
    kept = ws.params_file.read_bytes()
    ws.params_file.write_text(yaml.safe_dump(told | {"card": {"licence": "CC-BY-4.0"}}))
    export(ws, tmp_path / "hub", "hub", Options())
    ws.params_file.write_bytes(kept)
    data = ModelCard.load(tmp_path / "hub" / "README.md").data
    assert (data.license, data.base_model) == (
        "cc-by-4.0",
        ["sentence-transformers/all-MiniLM-L6-v2"],
    )
    measured = EvaluationMetrics.read(ws.metrics).retrieval
    assert {
        (one.dataset_config, one.metric_type): one.metric_value for one in data.eval_results
    } == {
        (direction, name): round(getattr(told, name).value, 4)
        for direction, told in measured.items()
        for name in ("recall_at_1", "recall_at_5", "recall_at_10", "mrr")
    }
    assert "*.safetensors filter=lfs" in (tmp_path / "hub" / ".gitattributes").read_text()
