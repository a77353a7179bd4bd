"""What is known of a Prefect server without importing Prefect: whether one runs for this state
folder, and what it runs next.
"""

import json
import urllib.error
import urllib.request
from pathlib import Path

from csa.errors import ArtifactError
from csa.pipeline.workspace import Workspace
from csa.storage.files import read_json

SCHEDULED = "csa-scheduled-retrain"
"""Name of the flow that schedules run."""

SERVER_MARK = "CSA_PREFECT_SERVER"
"""Set in the environment of a server that was started for this state folder."""


def note_of_server(ws: Workspace) -> Path:
    """The file that a server of this state folder's own is noted in while it runs."""
    return ws.prefect_home / "server.json"


def running(ws: Workspace) -> str | None:
    """The address of the server that another process of this state folder has started, if it
    answers.
    """
    try:
        address = str(read_json(note_of_server(ws))["address"])
    except (ArtifactError, KeyError):
        return None
    return address if answers(address) else None


def answers(address: str) -> bool:
    """Whether a Prefect server answers at the address of its API."""
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def next_run(address: str) -> str | None:
    """When a schedule of ours fires next, UTC, ISO 8601; None if none is scheduled or the server
    does not answer.

    Args:
        address: of the server's API.
    """
    wanted = {
        "flows": {"name": {"any_": [SCHEDULED]}},
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
        "sort": "EXPECTED_START_TIME_ASC",
        "limit": 1,
    }
    request = urllib.request.Request(
        f"{address}/flow_runs/filter",
        json.dumps(wanted).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            found = json.load(answer)
    except (OSError, ValueError):
        return None
    return str(found[0]["expected_start_time"]) if found else None
