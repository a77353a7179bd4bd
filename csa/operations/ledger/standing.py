"""What a person sees of the champion and the ledger: lines, notes, and a full check."""

from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from csa.errors import CSAError, RegistryError
from csa.operations.ledger import champion, counted, ledger, team_ledger
from csa.operations.ledger.ledger import Line
from csa.operations.opened import Project
from csa.operations.registry import downloads
from csa.operations.trust.trusted import FILE, trusted_keys

_UNSIGNED = f"not of this clone, and signed by no key that {FILE} trusts to promote"


@dataclass(frozen=True)
class Check:
    """One thing that was checked, and what was found."""

    name: str
    ok: bool
    found: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def note(project: Project) -> str | None:
    """What a person should know when registry and ledger disagree; None if all is well or
    nothing is registered.

    It moves nothing: the next gate, promotion or rollback makes it good.
    """
    database = project.registry.database
    if database is not None and not database.is_file():
        return None
    try:
        lines = counted.counted(project.ws, ledger_lines(project))
        found = champion.standing(project.registry.versions(), lines)
    except RegistryError as error:
        return str(error)
    if found.agreement == "agree":
        return None
    return f"{found}; the next `csa run` with news, `csa promote` or `csa rollback` makes it good"


def ledger_lines(project: Project) -> list[Line]:
    """The history of the workspace's model, with what teammates wrote."""
    return team_ledger.meet(project, project.model).history


def ledger_table(lines: list[Line]) -> pl.DataFrame:
    """The history for people, one row a line, oldest first."""
    rows = [
        {
            "line": line["seq"],
            "when": line["when"][:16].replace("T", " "),
            "who": line["who"],
            "what": line["verdict"],
            "challenger": line.get("challenger"),
            "champion": f"{line['from'] or 'none'} -> {line['to'] or 'none'}"
            if line["from"] != line["to"]
            else f"{line['to']}",
            "reason": line["reason"],
            "hash": line["hash"][:12],
        }
        for line in lines
    ]
    return pl.DataFrame(rows)


def verify_all(project: Project) -> list[Check]:
    """Check the chain, the registry's copy, the champion, and every file of every version;
    changes nothing but lost lines.
    """
    model, registry, checks = project.model, project.registry, []

    def check(name: str, work: Any) -> Any:
        try:
            result, said = work()
        except CSAError as error:
            checks.append(Check(name, False, str(error)))
            return None
        checks.append(Check(name, result, said))
        return result

    def chain() -> tuple[bool, str]:
        lines = ledger.history(project.ws.ledger, model)
        return True, f"{len(lines)} lines, each follows the one before"

    def shared() -> tuple[bool, str]:
        meeting = team_ledger.meet(project, model)
        return not meeting.notes, "; ".join(
            meeting.notes
        ) or f"{len(meeting.history)} lines, the same here and in the registry"

    def signed() -> tuple[bool, str]:
        lines = ledger.history(project.ws.ledger, model)
        count = len(lines) - len(counted.counted(project.ws, lines))
        return not count, f"{count} of {len(lines)} lines do not count: {_UNSIGNED}"

    def agreed() -> tuple[bool, str]:
        found = champion.standing(registry.versions(), counted.history(project.ws, model))
        return found.agreement == "agree", str(found)

    check("chain of this clone", chain)
    check("registry's copy", shared)
    if trusted_keys(project.ws) is not None:
        check("signatures", signed)
    check("champion", agreed)
    for version in reversed(registry.versions()):
        name = f"files of version {version.version}"
        check(
            name,
            lambda version=version: (
                True,
                f"{downloads.verify_model(registry, version):,} bytes as they were registered",
            ),
        )
    return checks
