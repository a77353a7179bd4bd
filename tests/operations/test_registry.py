"""The registry, with real MLflow on SQLite."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from workspaces import STAGES, make_workspace

import csa
from csa.encoders.registry import BUILTIN
from csa.errors import ArtifactError, InputError
from csa.operations.environment import prepare_environment
from csa.operations.opened import Project
from csa.operations.registry import downloads
from csa.operations.registry.registering import log_report, register
from csa.operations.registry.registry import Registry
from csa.operations.registry.requirements import OF_ENCODER
from csa.operations.registry.versions import Registered, having, versions_table
from csa.operations.runs.records import file_sha256, record_run
from csa.pipeline.workspace import Workspace

SUPPORT = Path(__file__).parents[1] / "support"

pytestmark = pytest.mark.usefixtures("local_registry")


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """A workspace with two versions of one model; the second is the workspace's content."""
    root = tmp_path_factory.mktemp("registry") / "repo"
    results = []
    for seed in range(2):
        ws = make_workspace(root, seed=seed)
        run, _ = record_run(Project(ws), STAGES)
        results.append(register(Project(ws).registry, run))
    return SimpleNamespace(ws=ws, run=run, results=results)


def test_each_run_is_one_version(registered, monkeypatch, tmp_path):
    assert [(result.version, result.created) for result in registered.results] == [
        (1, True),
        (2, True),
    ]
    monkeypatch.chdir(tmp_path)
    again = register(Project(registered.ws).registry, registered.run)
    assert again == Registered(2, created=False)
    assert list(tmp_path.iterdir()) == []  # nothing lands where the command happens to run
    newest, oldest = Project(registered.ws).registry.versions()
    assert (newest.version, newest.aliases) == (2, ("challenger",)) and oldest.aliases == ()


def test_the_version_knows_its_lineage(registered):
    run, tags = registered.run, Project(registered.ws).registry.version(2).tags
    assert (
        tags["run_id"] == run.run_id
        and tags["git_commit"] == "none"
        and tags["git_dirty"] == "false"
    )
    assert tags["params_hash"] == run.params_hash and tags["evaluation_id"] == run.evaluation_id
    assert tags["alignment_sha256"] == file_sha256(registered.ws.alignment)
    for path in (
        "data/pairs.parquet",
        "data/features/image",
        "data/features/text",
        "data/alignment.safetensors",
    ):
        assert tags[f"dvc.{path}"] == run.outputs[path]
    assert '"encoder of text"' in tags["encoders"]


def test_nothing_is_pickled_and_pictures_are_there(registered):
    version = registered.results[1].version
    log_report(Project(registered.ws).registry, registered.run, version, "<title>a page</title>")
    artifacts = registered.ws.state / "mlflow" / "artifacts"
    names = {path.name for path in artifacts.rglob("*") if path.is_file()}
    assert {
        "alignment.safetensors",
        "mlflow_model.py",
        "spectrum.png",
        "queries.parquet",
        "fit.json",
    } <= names
    assert not [
        name
        for name in names
        if name.endswith((".pkl", ".pickle", ".joblib", ".pt", ".cloudpickle"))
    ]


def test_the_loaded_model_predicts_from_both_views_or_either(registered):
    import mlflow

    Project(registered.ws).registry.versions()  # points MLflow at this registry
    model = mlflow.pyfunc.load_model("models:/csa-openmoji/2")
    alignment = csa.load(registered.ws.alignment)
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(7, 6)), rng.normal(size=(7, 5))
    both = pd.DataFrame({"image": list(X), "text": list(Y)})
    scores = alignment.score_pairs(X, Y)
    np.testing.assert_allclose(model.predict(both)["score"], scores)
    left, right = alignment.index_vectors(X, Y)
    np.testing.assert_allclose(np.stack(model.predict(both[["image"]])["image"]), left)
    np.testing.assert_allclose(np.stack(model.predict(both[["text"]])["text"]), right)
    single = pd.DataFrame({"text": list(Y.astype(np.float32))})
    np.testing.assert_allclose(np.stack(model.predict(single)["text"]), right, rtol=1e-4, atol=1e-5)
    found = model.predict(both, params={"task": "search", "top_k": 2})["found"]
    similarity = left @ right.T
    for query, results in enumerate(found):
        best = np.argsort(-similarity[:, query])[:2]
        assert [one["row"] for one in results] == best.tolist()
        np.testing.assert_allclose(
            [one["score"] for one in results], similarity[best, query], atol=1e-12
        )
    for frame, params, message in (
        (pd.DataFrame({"audio": list(X)}), {}, "give a column 'image', 'text' or both"),
        (both, {"task": "guess"}, "task must be one of auto, score"),
        (both[["image"]], {"task": "score"}, "needs both views"),
        (both, {"task": "classify", "labels": ["a fox"]}, "two or more different ones"),
        (both.assign(image=["photo.png"] * 7), {}, "a path is not opened here"),
        (both.assign(image=["https://example.org/a.png"] * 7), {}, "a URL is not fetched here"),
        (both.assign(image=[[1.0] * 3] * 7), {}, "3 features, but the encoder gives 6"),
    ):
        with pytest.raises(InputError, match=message):
            model.predict(frame, params=params)


def test_a_version_says_what_it_takes_and_what_it_is_made_of(registered):
    import mlflow

    registry = Project(registered.ws).registry
    registry.versions()
    info = mlflow.models.get_model_info("models:/csa-openmoji/2")
    signature = info.signature
    assert signature.inputs.input_names() == ["image", "text"]
    assert [param.name for param in signature.params.params] == [
        "task",
        "top_k",
        "labels",
        "alpha",
    ]
    assert {"score", "verdict", "found"} <= set(signature.outputs.input_names())
    assert info.metadata["views"]["image"]["encoder"] == "efficientnet-lite0"
    assert info.metadata["evaluated"]["pairs"] == {"train": 60, "test": 80}
    with registry.fetched("models:/csa-openmoji/2") as folder:
        files = {file.relative_to(folder).as_posix() for file in folder.rglob("*")}
        needs = (folder / "requirements.txt").read_text()
        example = mlflow.pyfunc.load_model(str(folder)).input_example
    assert {"code/csa.zip", "artifacts/scoring.json", "artifacts/alignment.safetensors"} <= files
    assert not {"prefect", "dvc", "duckdb", "canonical"} & set(re.split(r"\W+", needs))
    assert f"numpy=={np.__version__}" in needs and all("==" in line for line in needs.splitlines())
    assert len(example) == 2
    run = mlflow.get_run(registry.version(2).mlflow_run)
    (pairs,) = run.inputs.dataset_inputs
    assert pairs.dataset.digest == registered.run.outputs["data/pairs.parquet"]


ALONE = """
import json, sys
from pathlib import Path
folder = Path(sys.argv[1])
archive = str(folder / "code" / "csa.zip")
sys.path.insert(0, archive)
import csa
from csa.scoring.batch import Asked, answer
from csa.scoring.cells import Limits
from csa.scoring.scorer import Scorer
scorer = Scorer.read(folder / "artifacts")
columns = dict(zip(scorer.names, json.load(sys.stdin)))
told = answer(scorer, columns, Asked(task="score"), Limits(scorer.max_pixels))
found = answer(scorer, columns, Asked(task="search"), Limits(scorer.max_pixels))
places = [module.__file__ for name, module in sys.modules.items() if name.startswith("csa")]
assert all(place.startswith(archive) for place in places if place), places
tools = {"prefect", "dvc", "duckdb", "mlflow", "click"} & set(sys.modules)
print(json.dumps([told["score"], len(found["found"]), sorted(tools)]))
"""


def test_every_built_in_encoder_says_which_packages_it_needs():
    assert set(BUILTIN) == set(OF_ENCODER)


def test_the_code_that_travels_is_enough(registered, tmp_path):
    alignment = csa.load(registered.ws.alignment)
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(7, 6)), rng.normal(size=(7, 5))
    with Project(registered.ws).registry.fetched("models:/csa-openmoji/2") as folder:
        done = subprocess.run(
            [sys.executable, "-I", "-c", ALONE, folder],
            input=json.dumps([X.tolist(), Y.tolist()]),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    scores, found, tools = json.loads(done.stdout)
    np.testing.assert_allclose(scores, alignment.score_pairs(X, Y))
    assert found == 7 and not tools


def test_champion_is_an_alias_that_moves(registered):
    ws = registered.ws
    assert Project(ws).registry.champion() is None
    for number in (2, 1):
        Project(ws).registry.set_champion(number)
        assert Project(ws).registry.champion().version == number
    table = versions_table(Project(ws).registry.versions())
    assert having(table, "version = 1 AND mrr_back >= 0").equals(
        table.filter(pl.col("version") == 1)
    )
    for wrong in ("mrr > 0", "version +", "version", "1; DROP TABLE x"):
        with pytest.raises(InputError, match="--where"):
            having(table, wrong)
    assert table["version"].to_list() == [2, 1] and table["aliases"].to_list() == [
        "challenger",
        "champion",
    ]
    assert table["mrr_forward"].dtype == pl.Float64
    with pytest.raises(InputError, match="has no version 9; there are: 2, 1"):
        Project(ws).registry.version(9)


def test_downloads_are_checked_against_their_hash(registered):
    ws, version = registered.ws, Project(registered.ws).registry.version(2)
    path = downloads.alignment_file(Project(ws).registry, version)
    assert path.read_bytes() == ws.alignment.read_bytes()
    path.write_bytes(b"edited")
    assert (
        downloads.alignment_file(Project(ws).registry, version).read_bytes()
        == ws.alignment.read_bytes()
    )
    path.unlink()
    assert len(downloads.queries_of(Project(ws).registry, version)) == 160
    (stored,) = [
        file
        for file in (ws.state / "mlflow" / "artifacts").rglob("alignment.safetensors")
        if file_sha256(file) == version.tags["alignment_sha256"]
    ]
    whole = stored.read_bytes()
    stored.write_bytes(whole[:-1] + b"x")
    with pytest.raises(ArtifactError, match="was changed or damaged"):
        downloads.alignment_file(Project(ws).registry, version)
    stored.unlink()
    with pytest.raises(ArtifactError, match="cannot be fetched"):
        downloads.alignment_file(Project(ws).registry, version)
    assert not path.exists()
    stored.write_bytes(whole)


def test_another_alignment_than_the_recorded_is_refused(registered, tmp_path):
    ws = make_workspace(tmp_path / "repo", seed=7)
    run, _ = record_run(Project(ws), STAGES)
    ws.alignment.write_bytes(b"edited since")
    with pytest.raises(ArtifactError, match="not the alignment of run"):
        register(Project(ws).registry, run)


KILLED = """
import os, sys
from pathlib import Path
import mlflow
sys.path.insert(0, sys.argv[2])
from csa.operations.opened import Project
from csa.operations.registry.registering import register
from csa.operations.runs.records import record_run
from csa.pipeline.workspace import Workspace
from workspaces import STAGES
ws = Workspace.find(Path(sys.argv[1]))
run, _ = record_run(Project(ws), STAGES)
die = lambda *a, **k: os.kill(os.getpid(), 9)
moment = sys.argv[3]
if moment == "before the version":
    mlflow.MlflowClient.create_model_version = die
elif moment == "within the log":
    mlflow.log_metrics = die
else:
    mlflow.MlflowClient.set_tag = die
register(Project(ws).registry, run)
"""


@pytest.mark.parametrize("moment", ["within the log", "before the version", "after the version"])
def test_a_kill_leaves_no_second_version_and_no_leftover(tmp_path, request, moment):
    import mlflow

    ws = make_workspace(tmp_path / "repo", seed=1)
    command = [sys.executable, "-c", KILLED, str(ws.root), str(SUPPORT), moment]
    assert subprocess.run(command, check=False, cwd=request.config.rootpath).returncode == -9
    run, new = record_run(Project(ws), STAGES)
    result = register(Project(ws).registry, run)
    assert not new and result == Registered(1, created=moment != "after the version")
    assert register(Project(ws).registry, run) == Registered(1, created=False)
    (version,) = Project(ws).registry.versions()
    assert version.aliases == ("challenger",)
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("csa-openmoji").experiment_id
    (alive,) = client.search_runs([experiment])
    assert alive.info.run_id == version.mlflow_run and alive.info.status == "FINISHED"
    assert len(client.search_logged_models([experiment])) == 1


def test_mlflow_says_nothing(tmp_path, request):
    ws = make_workspace(tmp_path / "repo")
    code = KILLED.replace(
        "die =", "sys.exit(register(Project(ws).registry, run).version - 1)\ndie ="
    )
    command = [sys.executable, "-c", code, str(ws.root), str(SUPPORT), ""]
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PREFECT_HOME", "PATH"):
            patch.setenv(name, __import__("os").environ.get(name, ""))
        prepare_environment(ws)
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, cwd=request.config.rootpath
        )
    assert done.stdout == "" and done.stderr == ""


@pytest.mark.parametrize(
    "name", ["p%20ü 'q\"", "p #1", "p[1]", " :b", "a\\b", "-p", "a\nb", "$HOME `x`", "y" * 200]
)
def test_the_registry_lies_in_a_folder_of_any_name(tmp_path, monkeypatch, name):
    root = tmp_path / name
    root.mkdir()
    monkeypatch.chdir(root)
    registry = Registry(Workspace(root, root / ".csa"), "m")
    with registry.writing() as client:
        client.create_registered_model("m")
        experiment = client.create_experiment("m", artifact_location=str(root / "x"))
        run = client.create_run(experiment)
        client.create_model_version("m", source=str(root), run_id=run.info.run_id)
    registry.set_champion(1)
    assert Registry(registry.ws, "m").champion().version == 1
    assert [path.name for path in tmp_path.iterdir()] == [name] and not (root / "mlruns").exists()
