"""A workspace of real pictures and texts with registered versions, and `csa serve` over it."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from contextlib import contextmanager

from own_project import environment
from small_repo import SHAPES_PARAMS, make_shapes
from workspaces import STAGES, as_run, bare_workspace, write_params

from csa.operations.ledger.moves import promote
from csa.operations.opened import Project
from csa.operations.registry.registering import register
from csa.operations.runs.records import record_run
from csa.pipeline.embed import embed_stage
from csa.pipeline.evaluate import evaluate_stage
from csa.pipeline.fit import fit_stage
from csa.pipeline.ingest import ingest_stage

PARAMS = SHAPES_PARAMS | {
    "views": {
        "image": {"modality": "image", "encoder": "efficientnet-lite0", "batch_size": 8},
        "text": {"modality": "text", "encoder": "minilm-l6-v2", "batch_size": 8},
    }
}


KERNEL = {"score": "likelihood_ratio", "preparation": ["kernel", "root"], "hubness": True}
"""A fit with all that is not linear."""


def shapes_workspace(root, fits=({"score": "canonical"}, KERNEL)):
    """64 pictures with a caption each, and a version for each of the fits; the first is champion,
    and the workspace holds the last.
    """
    ws = bare_workspace(root, PARAMS)
    make_shapes(ws.root / "shapes")
    ran = {"ingest": ingest_stage(ws)}
    for view in ("image", "text"):
        ran[f"embed@{view}"] = embed_stage(ws, view)
    for fit in fits:
        write_params(ws, PARAMS | {"fit": fit})
        as_run(ws, costs=ran | {"fit": fit_stage(ws), "evaluate": evaluate_stage(ws)})
        run, _ = record_run(Project(ws), STAGES)
        register(Project(ws).registry, run)
    promote(Project(ws), 1, "the first")
    return ws


class Client:
    """Asks a server as programs do."""

    def __init__(self, address, headers=None):
        self.address, self.headers = address, dict(headers or {})

    def ask(self, path, body=None, raw=None, **headers):
        """(status, answer, headers); the answer is parsed where it is JSON."""
        content = raw if raw is not None else None if body is None else json.dumps(body).encode()
        given = {"Content-Type": "application/json"} | self.headers | headers
        request = urllib.request.Request(self.address + path, content, given)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return self._read(answer)
        except urllib.error.HTTPError as error:
            with error:
                return self._read(error)

    @staticmethod
    def _read(answer):
        content = answer.read()
        if answer.headers.get("content-type", "").startswith("application/json"):
            content = json.loads(content)
        return answer.status, content, answer.headers


@contextmanager
def serving(root, *arguments, **variables):
    """`csa serve` in a project, and a client of it; it has to end tidily."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "csa.cli", "serve", "--port", "0", *arguments],
            cwd=root,
            env=environment(**variables),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        with process:
            yield from _answering(process, errors)


def _answering(process, errors):
    def said():
        errors.seek(0)
        return errors.read()

    try:
        found = re.search(r"answers at (http://\S+)", process.stdout.readline())
        assert found, said()
        client = Client(found[1])
        client.process = process
        yield client
        assert process.poll() is None, said()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM and "Traceback" not in said(), said()
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
