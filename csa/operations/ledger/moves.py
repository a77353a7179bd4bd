"""Moves of the champion by hand: promotion past the gate, and rollback. Each is checked, and
leaves its reason in the ledger.
"""

import sys
from dataclasses import dataclass

from csa.errors import InputError
from csa.operations.ledger import champion, counted
from csa.operations.opened import Project
from csa.operations.registry import downloads
from csa.operations.registry.versions import Version

_LONGEST_REASON = 2000


@dataclass(frozen=True)
class Move:
    """The alias `champion` went from one version (None: there was none) to another."""

    model: str
    before: int | None
    after: int
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.model}: champion is version {self.after} (was {self.before or 'none'}): "
            f"{self.reason}"
        )


def promote(project: Project, number: int, reason: str) -> Move:
    """Make a version champion whatever the gate said.

    Args:
        project: whose model.
        number: the version.
        reason: why, for the ledger.

    Returns:
        From which version to which.

    Raises:
        InputError: no such version, no reason, or it is the champion already.
        ArtifactError: a file of it in the registry is not what was registered.
    """
    _tell(champion.reconcile(project))
    return _move(project, project.registry.version(number), "promote", reason)


def rollback(project: Project, number: int | None, reason: str) -> Move:
    """Go back to the champion before the present one, or to a given version; the gate will not
    promote what was rolled back.

    Args:
        project: whose model.
        number: the version to go back to; None for the champion before.
        reason: why, for the ledger.

    Returns:
        From which version to which.

    Raises:
        InputError: there is nothing to go back to, no such version, or no reason.
        ArtifactError: a file of it in the registry is not what was registered.
    """
    _tell(champion.reconcile(project))
    target = _champion_before(project) if number is None else number
    return _move(project, project.registry.version(target), "rollback", reason)


def _tell(notes: tuple[str, ...]) -> None:
    for note in notes:
        print(f"csa: {note}", file=sys.stderr)


def _move(project: Project, version: Version, verdict: str, reason: str) -> Move:
    if not reason.strip():
        raise InputError("a move by hand needs a reason for the ledger; give --reason")
    if len(reason) > _LONGEST_REASON:
        raise InputError(
            f"--reason has {len(reason):,} characters, at most {_LONGEST_REASON:,} are kept; say "
            f"it shorter"
        )
    model, before = project.model, project.registry.champion()
    if before is not None and before.version == version.version and _counts(project, version):
        raise InputError(f"{model}: version {version.version} is the champion already")
    downloads.verify_model(project.registry, version)
    downloads.alignment_file(project.registry, version)
    move = Move(model, before.version if before else None, version.version, reason.strip())
    line = {
        "model": model,
        "run_id": version.tags.get("run_id"),
        "verdict": verdict,
        "gate": "by hand",
    }
    champion.move(project, {**line, "from": move.before, "to": move.after, "reason": move.reason})
    return move


def _counts(project: Project, version: Version) -> bool:
    """Whether the ledger says that a version is the champion, by a line that counts."""
    lines = counted.history(project.ws, project.model)
    return champion.standing(project.registry.versions(), lines).ledger == version.version


def _champion_before(project: Project) -> int:
    model, present = project.model, project.registry.champion()
    for line in reversed(counted.history(project.ws, model)):
        moved_here = (
            present is not None and line["to"] == present.version and line["from"] != line["to"]
        )
        if moved_here and line["from"] is not None:
            return int(line["from"])
    raise InputError(
        f"{model}: the ledger knows no champion before this one; name a version with --to, see "
        f"`csa models`"
    )
