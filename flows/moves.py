"""Moves of the champion by hand: promotion past the gate, and rollback. Each is checked, and leaves its reason in the ledger."""

from dataclasses import dataclass

from csa.errors import InputError
from csa.workspace import Workspace
from flows import downloads, ledger, registry
from flows.registry import Version


@dataclass(frozen=True)
class Move:
    """The alias `champion` went from one version (None: there was none) to another."""

    model: str
    before: int | None
    after: int
    reason: str

    def __str__(self) -> str:
        return f"{self.model}: champion is version {self.after} (was {self.before or 'none'}): {self.reason}"


def promote(ws: Workspace, number: int, reason: str) -> Move:
    """Make a version champion whatever the gate said.

    Raises:
        InputError: no such version, no reason, or it is the champion already.
        ArtifactError: its alignment in the registry is not what was registered.
    """
    return _move(ws, registry.version_of(ws, number), "promote", reason)


def rollback(ws: Workspace, number: int | None, reason: str) -> Move:
    """Go back to the champion before the present one, or to a given version; the gate will not promote what was rolled back.

    Args:
        ws: whose model.
        number: the version to go back to; None for the champion before.
        reason: why, for the ledger.

    Raises:
        InputError: there is nothing to go back to, no such version, or no reason.
        ArtifactError: its alignment in the registry is not what was registered.
    """
    return _move(ws, registry.version_of(ws, _champion_before(ws) if number is None else number), "rollback", reason)


def _move(ws: Workspace, version: Version, verdict: str, reason: str) -> Move:
    if not reason.strip():
        raise InputError("a move by hand needs a reason for the ledger; give --reason")
    model, before = ws.params().model.name, registry.champion(ws)
    if before is not None and before.version == version.version:
        raise InputError(f"{model}: version {version.version} is the champion already")
    downloads.alignment_file(ws, version)
    move = Move(model, before.version if before else None, version.version, reason.strip())
    line = {"model": model, "run_id": version.tags.get("run_id"), "verdict": verdict, "gate": "by hand"}
    ledger.append(ws.ledger, {**line, "from": move.before, "to": move.after, "reason": move.reason})
    registry.set_champion(ws, version.version)
    return move


def _champion_before(ws: Workspace) -> int:
    model, champion = ws.params().model.name, registry.champion(ws)
    for entry in reversed(ledger.entries(ws.ledger)):
        moved_here = champion is not None and entry.get("to") == champion.version and entry.get("from") != entry.get("to")
        if entry["model"] == model and moved_here and entry.get("from") is not None:
            return int(entry["from"])
    raise InputError(f"{model}: the ledger knows no champion before this one; name a version with --to, see `csa models`")
