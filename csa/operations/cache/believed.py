"""What this machine has computed: for each question that it ran a stage on, the answer.

A note says which outputs a stage had, by their hashes, and lies in the state folder, where nobody
from outside can write. What a note says needs no other proof.
"""

from pathlib import Path

from csa.errors import ArtifactError
from csa.operations.cache.objects import Made
from csa.pipeline.workspace import Workspace
from csa.storage.files import read_json, write_json


def note(ws: Workspace, made: Made) -> None:
    """Note what was computed here.

    Args:
        ws: whose state folder.
        made: the stage's entry.
    """
    write_json(_file(ws, made), made.written)


def noted(ws: Workspace, wanted: Made) -> Made | None:
    """What this machine made when it last ran a stage on the same inputs.

    Args:
        ws: whose state folder.
        wanted: the question; its answer does not count.

    Returns:
        The note; None if there is none.
    """
    try:
        return Made.of(read_json(_file(ws, wanted)))
    except (ArtifactError, ValueError):  # none, or damaged
        return None


def _file(ws: Workspace, made: Made) -> Path:
    return ws.state / "made" / f"{made.question}.json"
