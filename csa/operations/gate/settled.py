"""What is remembered of a run that is registered and gated, so that a run without news needs not
ask MLflow.

It is a shortcut only: where anything it rests on has changed, MLflow is asked again.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from csa.errors import ArtifactError
from csa.operations.gate.decision import Decision, already_champion
from csa.operations.ledger import ledger
from csa.operations.opened import Project
from csa.operations.runs.records import RunRecord
from csa.pipeline.workspace import Workspace
from csa.storage.files import read_json, write_json


@dataclass(frozen=True)
class Settled:
    """The version a run is registered as, and the gate's last word on it."""

    version: int
    decision: Decision


def remember(project: Project, run: RunRecord, version: int, decision: Decision) -> None:
    """Note that the run is registered and gated.

    Args:
        project: whose run.
        run: its record.
        version: the version it is registered as.
        decision: the gate's.
    """
    write_json(
        _path(project.ws, run),
        {"version": version, "decision": asdict(decision), "rests_on": _rests_on(project, run)},
    )


def recall(project: Project, run: RunRecord) -> Settled | None:
    """What `remember` noted, if all it rests on is still so; None when MLflow has to be asked.

    It rests on nobody having written to the registry's SQLite file (a registry behind a server is
    always asked), on the gate's settings, and on the model's last line in the ledger.

    Args:
        project: whose run.
        run: its record.

    Returns:
        Version and decision; None when MLflow has to be asked.
    """
    try:
        known = read_json(_path(project.ws, run))
        rests_on = _rests_on(project, run)
        if rests_on["registry"] is None or known["rests_on"] != rests_on:
            return None
        version, decision = known["version"], Decision(**known["decision"])
        return Settled(
            version, already_champion(version) if decision.verdict == "promote" else decision
        )
    # never noted, or damaged: the long way is always right
    except (ArtifactError, KeyError, TypeError):
        return None


def version_of(ws: Workspace, run: RunRecord) -> int | None:
    """The version that the run was last registered as, as noted here; None if nothing was
    noted.

    Args:
        ws: whose run.
        run: its record.

    Returns:
        The version's number; None if nothing was noted.
    """
    path = _path(ws, run)
    return int(read_json(path)["version"]) if path.is_file() else None


def _rests_on(project: Project, run: RunRecord) -> dict[str, Any]:
    past = ledger.history(project.ws.ledger, run.model)
    return {
        "registry": project.registry.state(),
        "gate": project.params.gate.model_dump(mode="json"),
        "ledger": past[-1]["hash"] if past else None,
    }


def _path(ws: Workspace, run: RunRecord) -> Path:
    return ws.runs / run.run_id / "registered.json"
