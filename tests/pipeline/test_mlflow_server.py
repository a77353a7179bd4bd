"""A registry behind a real `mlflow server`, as a team has it."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from waiting import wait_for
from workspaces import STAGES, gate, make_workspace

import csa
from csa.flows.server import free_port
from csa.operations.environment import prepare_environment
from csa.operations.inspection import lineage
from csa.operations.ledger import ledger, moves
from csa.operations.opened import Project
from csa.operations.registry import downloads
from csa.operations.registry.registering import register
from csa.operations.registry.versions import versions_table
from csa.operations.runs.records import record_run


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The address of a real `mlflow server`, as a team has it."""
    folder = tmp_path_factory.mktemp("mlflow")
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination",
        str(folder / "artifacts"),
    ]
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    environment |= {  # a webhook may go to this machine, and is known at once
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_WEBHOOK_CACHE_TTL": "1",
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_for(
            lambda: (
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).status == 200
            ),
            120,
        )
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_the_webhook_of_the_docs_tells_of_a_new_champion(served):
    from mlflow import MlflowClient

    page = Path(__file__).parents[2] / "docs" / "how-to" / "message-to-slack.md"
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    told = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Receiver) as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{receiver.server_port}/csa"
        code = code.replace("https://hooks.example.org/csa", address)
        exec(code.replace("http://localhost:5000", served), {})
        client = MlflowClient(served)
        client.create_registered_model("hooked")
        client.create_model_version("hooked", "s3://bucket/elsewhere")

        def arrived():
            client.set_registered_model_alias("hooked", "champion", "1")
            time.sleep(0.5)
            return told

        wait_for(arrived, 60)
        receiver.shutdown()
    found = told[0]
    assert (found["entity"], found["action"]) == ("model_version_alias", "created")
    assert found["data"] == {"name": "hooked", "alias": "champion", "version": "1"}


def history(ws, make):
    """Register two fits and let the gate decide; roll back; what registry, ledger and downloads
    then say.
    """
    said = []
    for seed, quality in ((0, 0.3), (1, 0.9)):
        make(seed, quality)
        run, _ = record_run(Project(ws), STAGES)
        registered = register(Project(ws).registry, run)
        decision = gate(
            Project(ws),
            run,
            registered.version,
            lambda alignment: pytest.fail("same held-out pairs"),
        )
        said.append(
            (
                registered.version,
                registered.created,
                decision.verdict,
                Project(ws).registry.champion().version,
            )
        )
    version = Project(ws).registry.champion()
    said.append(csa.load(downloads.alignment_file(Project(ws).registry, version)).n_pairs)
    said.append(downloads.verify_model(Project(ws).registry, version) > 0)
    moves.rollback(Project(ws), None, "to see it go back")
    said.append(Project(ws).registry.champion().version)
    said.append(
        [
            (line["verdict"], line["from"], line["to"])
            for line in ledger.history(ws.ledger, ws.params().model.name)
        ]
    )
    facts = lineage.of_model(Project(ws), "champion")
    said.append(
        (
            facts["registered"]["version"],
            facts["data"]["pairs"],
            [one["verdict"] for one in facts["registered"]["ledger"]],
        )
    )
    said.append(
        versions_table(Project(ws).registry.versions()).drop("created", strict=False).columns
    )
    return said


def test_a_registry_behind_a_server_says_what_a_local_one_says(
    served, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(os, "environ", os.environ.copy())  # what commands set is gone afterwards
    prepare_environment(make_workspace(tmp_path / "first" / "repo"))
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    found = []
    for address in (None, served):
        root = tmp_path / ("local" if address is None else "served") / "repo"
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        if address:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        ws = make_workspace(root)
        found.append(
            history(
                ws,
                lambda seed, quality, root=root: make_workspace(root, seed=seed, quality=quality),
            )
        )
    assert found[0] == found[1]
    assert [verdict for verdict, *_ in found[1][5]] == ["promote", "promote", "rollback"]
    assert capsys.readouterr().out == "", "where --json prints"
