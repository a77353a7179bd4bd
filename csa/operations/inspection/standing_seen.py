"""Who is champion, and whether registry and ledger agree, as MLflow was last asked.

It is for people to look at, such as `csa status`; whoever decides something asks MLflow. To import
and open that takes seconds, so what it said is kept in `.csa/seen/WORKSPACE.json` and holds until
somebody writes to the registry's SQLite file, the ledger, or the list of trusted keys. A registry
behind a server is asked each time.
"""

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from csa.errors import ArtifactError, CSAError, WorkspaceError
from csa.operations.opened import Project
from csa.operations.registry.versions import Version
from csa.operations.trust.trusted import FILE
from csa.storage.files import read_json, write_json


@dataclass(frozen=True)
class Seen:
    """What was seen of the champion.

    Attributes:
        version: the version that `champion` points at; None if there is none.
        run_id: of the run that it is registered from.
        note: what a person should know when registry and ledger disagree, or when the registry
            cannot be used; None if all is well.
    """

    version: int | None = None
    run_id: str | None = None
    note: str | None = None


def look(project: Project) -> Seen:
    """What is remembered of the champion, or what MLflow says now.

    Args:
        project: whose champion.

    Returns:
        What is to be shown.
    """
    rests_on = _rests_on(project)
    if rests_on is not None:
        try:
            kept = read_json(_file(project))
            if kept["rests_on"] == rests_on:
                return Seen(**kept["seen"])
        except (ArtifactError, KeyError, TypeError):  # never seen, or damaged
            pass
    database = project.registry.database
    if database is not None and not database.is_file():
        return Seen()
    return _ask(project)


def _ask(project: Project) -> Seen:
    from csa.operations.ledger.standing import note

    found = None
    try:
        found = project.registry.champion()
        said = note(project)  # it may bring the ledger up to date, so the files are looked at later
    except CSAError as error:  # the rest of what a person asked for can be told all the same
        return Seen(*_of(found), note=str(error))
    seen = Seen(*_of(found), note=said)
    rests_on = _rests_on(project)
    if rests_on is not None:
        with suppress(WorkspaceError):  # a disk that is full, or may only be read: asked again
            write_json(_file(project), {"rests_on": rests_on, "seen": asdict(seen)})
    return seen


def _of(champion: Version | None) -> tuple[int | None, str | None]:
    return (champion.version, champion.tags.get("run_id")) if champion else (None, None)


def _rests_on(project: Project) -> dict[str, Any] | None:
    """The state of every file that the answer was drawn from; None where MLflow has to be asked."""
    ws, registry = project.ws, project.registry.state()
    if registry is None:
        return None
    ledgers = [ws.ledger, ws.ledger.with_suffix(".own"), ws.ledger.with_suffix(".anchor.json")]
    files = {path.name: _state(path) for path in (*ledgers, ws.home / FILE)}
    return {"model": project.model, "registry": registry, "files": files}


def _state(path: Path) -> list[int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_ino, found.st_size, found.st_mtime_ns]


def _file(project: Project) -> Path:
    return project.ws.state / "seen" / f"{project.ws.name}.json"
