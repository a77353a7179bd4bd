"""A registered model is whole: in an environment that has what it asks for and not this package, it
answers from pictures and texts as `csa score` does.

To make that environment takes minutes (torch, MLflow): `make alone` does so and runs these tests,
and elsewhere they are skipped. tests/operations/test_registry.py has the quick test, of the code
that travels with a model, in a process that can import no other.
"""

import base64
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import venv
from pathlib import Path
from types import SimpleNamespace

import pytest
from small_repo import SHAPES_PARAMS, make_shapes
from workspaces import as_run, bare_workspace, run_stages

from csa.operations.opened import Project
from csa.operations.registry.registering import register
from csa.operations.runs.records import record_run
from csa.questions.score import score_pair

STAGES = ["ingest", "embed@image", "embed@text", "fit", "evaluate"]

pytestmark = [
    pytest.mark.registry,
    pytest.mark.usefixtures("local_registry"),
    pytest.mark.timeout(1800),
    pytest.mark.skipif("CSA_ALONE" not in os.environ, reason="takes minutes: `make alone`"),
]

ALONE = """
import json, sys
from pathlib import Path
import mlflow, pandas as pd
model = mlflow.pyfunc.load_model(sys.argv[1])
pictures, texts = json.loads(sys.stdin.read())
table = pd.DataFrame({"image": [Path(one).read_bytes() for one in pictures], "text": texts})
labels = {"task": "classify", "labels": ["a circle", "a star"], "top_k": 2}
import csa
print(json.dumps({
    "csa": csa.__file__,
    "tools": sorted({"prefect", "dvc", "duckdb"} & set(sys.modules)),
    "scores": model.predict(table)["score"].tolist(),
    "labels": model.predict(table[["image"]], params=labels)["found"].tolist(),
}))
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A registered model of pictures and texts, and a Python with its requirements alone."""
    root = tmp_path_factory.mktemp("alone")
    ws = bare_workspace(root / "repo", SHAPES_PARAMS)
    make_shapes(ws.root / "shapes")
    run_stages(ws)
    as_run(ws)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "")
        registry = Project(ws).registry
        run, _ = record_run(Project(ws), STAGES)
        register(registry, run)
        with registry.fetched("models:/shapes/1") as folder:
            model = root / "model"
            folder.rename(model)
            folder.mkdir()
    environment = Path(os.environ["CSA_ALONE"]).resolve()
    python = environment / "bin/python"
    if not python.exists():
        venv.create(environment, with_pip=True)
    done = subprocess.run(
        [python, "-m", "pip", "install", "-q", "-r", model / "requirements.txt"],
        env=outside(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and "No matching distribution found" in done.stderr:
        pytest.skip("no package registry answers")
    assert done.returncode == 0, done.stderr
    pictures = sorted(str(file) for file in (ws.root / "shapes" / "images").glob("*.png"))[::9]
    texts = [Path(one).stem.replace("-", " ") for one in pictures]
    expected = [score_pair(ws, *pair).score for pair in zip(pictures, texts, strict=True)]
    return SimpleNamespace(
        python=python, model=model, pictures=pictures, texts=texts, expected=expected
    )


def outside():
    """An environment in which nothing of this clone is on any path."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return kept | {"HF_HUB_OFFLINE": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}


def test_a_table_is_scored_without_this_package(alone, tmp_path):
    listed = subprocess.run(
        [alone.python, "-m", "pip", "list"], capture_output=True, text=True, check=True
    ).stdout
    assert not {"canonical-similarity", "prefect", "dvc", "duckdb"} & set(listed.lower().split())
    done = subprocess.run(
        [alone.python, "-c", ALONE, alone.model],
        input=json.dumps([alone.pictures, alone.texts]),
        cwd=tmp_path,
        env=outside(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["csa"].startswith(str(alone.model / "code" / "csa.zip")) and not told["tools"]
    assert told["scores"] == pytest.approx(alone.expected, abs=1e-6)
    assert len(told["labels"]) == len(alone.pictures) and all(
        {one["label"] for one in found} == {"a circle", "a star"} for found in told["labels"]
    )


def test_it_is_served_over_http(alone, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [alone.python.with_name("mlflow"), "models", "serve", "-m", alone.model]
    command += ["--env-manager", "local", "--port", str(port)]
    path = f"{alone.python.parent}:{os.environ['PATH']}"
    with subprocess.Popen(
        [str(part) for part in command],
        cwd=tmp_path,
        env=outside() | {"PATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as server:
        try:
            wait_for(f"http://127.0.0.1:{port}/ping")
            encoded = [base64.b64encode(Path(one).read_bytes()).decode() for one in alone.pictures]
            rows = [list(pair) for pair in zip(encoded, alone.texts, strict=True)]
            status, body = post(port, rows)
            scores = [row["score"] for row in body["predictions"]]
            assert status == 200 and scores == pytest.approx(alone.expected, abs=1e-6)
            status, body = post(port, [["/etc/passwd", "a red star"]])
            assert status >= 400 and "a path is not opened here" in json.dumps(body)
        finally:
            os.killpg(server.pid, signal.SIGKILL)


def post(port, rows):
    body = json.dumps({"dataframe_split": {"columns": ["image", "text"], "data": rows}}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def wait_for(address):
    for _ in range(240):
        try:
            urllib.request.urlopen(address, timeout=5)
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"{address} does not answer")
