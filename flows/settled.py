"""What is remembered of a run that is registered and gated, so that a run without news needs not ask MLflow.

It is a shortcut only: where anything it rests on has changed, MLflow is asked again.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from csa.errors import ArtifactError
from csa.files import read_json, write_json
from csa.workspace import Workspace
from flows import ledger
from flows.promotion import Decision, already_champion
from flows.records import RunRecord


@dataclass(frozen=True)
class Settled:
    """The version a run is registered as, and the gate's last word on it."""

    version: int
    decision: Decision


def remember(ws: Workspace, run: RunRecord, version: int, decision: Decision) -> None:
    """Note that the run is registered and gated."""
    write_json(_path(ws, run), {"version": version, "decision": asdict(decision), "rests_on": _rests_on(ws, run)})


def recall(ws: Workspace, run: RunRecord) -> Settled | None:
    """What `remember` noted, if all it rests on is still so; None when MLflow has to be asked.

    It rests on the registry's SQLite file being the same file (a registry behind a server is always asked), on the gate's
    settings, and on the model's last line in the ledger: whoever moves the champion writes there.
    """
    try:
        known = read_json(_path(ws, run))
        rests_on = _rests_on(ws, run)
        if rests_on["registry"] is None or known["rests_on"] != rests_on:
            return None
        version, decision = known["version"], Decision(**known["decision"])
        return Settled(version, already_champion(version) if decision.verdict == "promote" else decision)
    except (ArtifactError, KeyError, TypeError):  # never noted, or damaged: the long way is always right
        return None


def version_of(ws: Workspace, run: RunRecord) -> int | None:
    """The version that the run was last registered as, as noted here; None where nothing was noted."""
    path = _path(ws, run)
    return int(read_json(path)["version"]) if path.is_file() else None


def _rests_on(ws: Workspace, run: RunRecord) -> dict[str, Any]:
    scheme, _, path = ws.mlflow_uri.partition(":///")
    database = Path(path)
    identity = database.stat().st_ino if scheme == "sqlite" and database.is_file() else None
    past = [entry for entry in ledger.entries(ws.ledger) if entry["model"] == run.model]
    return {
        "registry": identity and [ws.mlflow_uri, identity],
        "gate": ws.params().gate.model_dump(mode="json"),
        "ledger": past[-1]["hash"] if past else None,
    }


def _path(ws: Workspace, run: RunRecord) -> Path:
    return ws.runs / run.run_id / "registered.json"
