"""The alias `champion`: moved only with a line in the ledger, read back, and compared with the
ledger ever after.

A move is a line first, then the alias, then a mark on the version that the move is done. So a kill
in between is told from a move that someone made by hand in MLflow.
"""

from dataclasses import dataclass
from typing import Any, Literal

from csa.errors import ArtifactError, InputError, WorkspaceError
from csa.operations.ledger import counted, ledger, team_ledger
from csa.operations.ledger.ledger import Line
from csa.operations.opened import Project
from csa.operations.registry import downloads
from csa.operations.registry.versions import CHAMPION, Version
from csa.operations.trust.trusted import FILE, trusted_keys

Agreement = Literal["agree", "unfinished", "outside"]

# tag of a version: the ledger line that made it champion, once the alias had moved
_DONE = "csa.champion_line"
_MOVES = ("promote", "rollback", "outside", "repair")


@dataclass(frozen=True)
class Standing:
    """What the registry and the ledger say of the champion.

    Attributes:
        alias: the version that `champion` points at.
        ledger: the version that the ledger's last move went to.
        agreement: agree; unfinished (a killed process did not carry out the last move); outside
            (someone moved it by hand).
        move: the ledger's last move.
        side_by_side: whether clones wrote to the ledger at the same time.
    """

    alias: int | None
    ledger: int | None
    agreement: Agreement
    move: Line | None
    side_by_side: bool = False

    def __str__(self) -> str:
        alias, said = (
            f"version {number}" if number else "no version" for number in (self.alias, self.ledger)
        )
        if self.agreement == "agree":
            return f"champion is {alias}"
        if self.agreement == "unfinished":
            return f"champion is {alias}, but a move to {said} was not finished"
        how = (
            "two clones moved it at the same time"
            if self.side_by_side
            else "it was moved outside csa"
        )
        return f"champion is {alias}, but by the ledger it is {said}: {how}"


def standing(versions: list[Version], history: list[Line]) -> Standing:
    """Compare registry and ledger; changes nothing.

    Args:
        versions: all registered versions.
        history: the model's ledger lines, oldest first.

    Returns:
        The version that each names, and whether they agree.
    """
    alias = next((version.version for version in versions if CHAMPION in version.aliases), None)
    moves = [line for line in history if line["verdict"] in _MOVES]
    if not moves:
        return Standing(alias, None, "agree" if alias is None else "outside", None)
    last = moves[-1]
    said = last["to"]
    side_by_side = len(moves) > 1 and moves[-2]["seq"] == last["seq"]
    if alias == said:
        return Standing(alias, said, "agree", last, side_by_side)
    target = next((version for version in versions if version.version == said), None)
    done = target is None or last["verdict"] == "outside" or target.tags.get(_DONE) == last["hash"]
    return Standing(alias, said, "outside" if done else "unfinished", last, side_by_side)


def reconcile(project: Project) -> tuple[str, ...]:
    """Make registry and ledger agree, and say what was amiss.

    An unfinished move is carried out. A move by hand becomes a line of the ledger, or is undone, as
    `gate.outside_moves` says. What the registry said earlier is asked anew: others may have moved
    the alias since.
    """
    project.registry.forget()
    meeting = team_ledger.meet(project, project.model)
    found = standing(project.registry.versions(), counted.counted(project.ws, meeting.history))
    if found.agreement == "agree":
        return meeting.notes
    if found.agreement == "unfinished" and found.move is not None:
        if not ledger.is_own(project.ws.ledger, found.move):
            who = f"{found.move['who']} on {found.move['host']}"
            return (
                *meeting.notes,
                f"{found}: {who} began it and has to finish it; `csa promote` settles it by hand",
            )
        downloads.verify_model(project.registry, project.registry.version(found.move["to"]))
        _carry_out(project, found.move)
        return (*meeting.notes, f"{found}; it is now")
    return (*meeting.notes, _settle(project, found))


def _settle(project: Project, found: Standing) -> str:
    """Write a move by hand into the ledger, or undo it; returns what to tell.

    Raises:
        ArtifactError: it cannot be accepted, and there is nothing to go back to.
    """
    line: dict[str, Any] = {"model": project.model, "gate": "by hand", "run_id": None}
    line |= {"from": found.ledger, "to": found.alias, "reason": str(found)}
    objection, refusal = _objection(project, found.alias), counted.objection(project.ws)
    back = any(version.version == found.ledger for version in project.registry.versions())
    if back and (objection or project.params.gate.outside_moves == "repair"):
        if refusal is not None:
            return f"{found}; it stays there, as {refusal}"
        turned = {"from": found.alias, "to": found.ledger, "reason": f"{found}; moved back"}
        move(project, {**line, **turned, "verdict": "repair"})
        return f"{found}; it was moved back{f' ({objection})' if objection else ''}"
    if trusted_keys(project.ws) is not None:
        return f"{found} ({objection}); `csa promote {found.alias or 'VERSION'}` signs for it"
    if objection:
        raise ArtifactError(f"{found}; it is not accepted: {objection}")
    team_ledger.append(project, {**line, "verdict": "outside"})
    return f"{found}; the ledger now says so"


def _objection(project: Project, number: int | None) -> str | None:
    """Why a version that someone made champion by hand cannot be: it has to be what was registered,
    as every other.
    """
    if trusted_keys(project.ws) is not None:
        return f"no key that {FILE} trusts has signed that move"
    if number is None:
        return None
    version = project.registry.version(number)
    try:
        downloads.verify_model(project.registry, version)
        downloads.alignment_file(project.registry, version)
    except (ArtifactError, KeyError) as error:
        return str(error)
    return None


def move(project: Project, facts: dict[str, Any]) -> Line:
    """Write a move to the ledger and carry it out.

    Args:
        project: whose champion.
        facts: the line, with `model`, `verdict`, `from`, `to` and `reason`.

    Returns:
        The line as it was written.

    Raises:
        InputError: trusted-keys.toml trusts keys, and none that could sign this is here.
        WorkspaceError: someone else moved the alias at the same moment.
    """
    objection = counted.objection(project.ws)
    if objection is not None:
        raise InputError(f"{facts['model']}: champion cannot be moved: {objection}")
    line = team_ledger.append(project, facts)
    _carry_out(project, line)
    return line


def _carry_out(project: Project, line: Line) -> None:
    project.registry.set_champion(line["to"])
    found = project.registry.champion()
    if found is None or found.version != line["to"]:
        raise WorkspaceError(
            f"{line['model']}: champion was set to version {line['to']}, but the registry says "
            f"{found.version if found else 'none'}: someone moved it at the same moment; see `csa "
            f"models`, then try again"
        )
    project.registry.tag_version(line["to"], _DONE, line["hash"])
