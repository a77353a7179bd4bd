"""The one door to what a registered version is: the registry says it, and the ledger, or the run
record of this state folder, has to say the same.

Whoever can write to the registry can change a version's files and the hashes beside them alike. The
gate writes the hash of all that a version was registered with into the ledger when it judges it,
and what a version says later is held against that.
"""

from pathlib import Path
from typing import Any

from csa.errors import ArtifactError
from csa.operations.ledger import team_ledger
from csa.operations.ledger.counted import counted
from csa.operations.registry.registry import Registry
from csa.operations.registry.versions import Version, registration_of
from csa.operations.runs.records import RunRecord, read_record
from csa.pipeline.workspace import Workspace
from csa.storage.files import read_json, write_json

_OF_RECORD = ("alignment_sha256", "queries_sha256", "items_sha256", "evaluation_id", "params_hash")


def evidence(version: Version) -> dict[str, str | None]:
    """What a line of the ledger keeps of a version that was judged.

    Args:
        version: as registered.
    """
    kept = ("run_id", "git_commit", "alignment_sha256", "queries_sha256")
    return {**{key: version.tags.get(key) for key in kept}, "registration": version.registration}


def vouch(registry: Registry, version: Version) -> None:
    """Refuse a version that is not what it was when it was judged or recorded.

    Args:
        registry: where it is registered.
        version: as the registry has it now.

    Raises:
        ArtifactError: it was changed since, or nobody knows of a run that made it.
    """
    name = f"{version.model} version {version.version}"
    judged = _judged(registry, version)
    for line in judged:
        said = line["evidence"]["challenger"]
        for key, found in evidence(version).items():
            if said.get(key) not in (None, found):
                what = key.removesuffix("_sha256").replace("_", " ")
                raise ArtifactError(
                    f"{name}: the registry says its {what} is {str(found)[:12]}, but the ledger's "
                    f"line {line['seq']} judged {str(said[key])[:12]}; the version was changed: "
                    f"restore it, or choose another one"
                )
    if not judged and not _is_recorded(registry, version):
        raise ArtifactError(
            f"{name}: not made by a run that the ledger or this state folder knows, so nothing of "
            f"it is used; `csa run` registers what is here"
        )


def is_vouched(registry: Registry, version: Version) -> bool:
    """Whether a version is what it was when it was judged or registered.

    Args:
        registry: where it is registered.
        version: as the registry has it now.

    Returns:
        Whether it is.
    """
    try:
        vouch(registry, version)
    except ArtifactError:
        return False
    return True


def note_registration(ws: Workspace, run_id: str, tags: dict[str, str]) -> None:
    """Note what a run is about to be registered with, here, where nobody else writes.

    Args:
        ws: whose run.
        run_id: of its record.
        tags: of the version.
    """
    write_json(_note(ws, run_id), {"registration": registration_of(tags)})


def is_of(version: Version, run: RunRecord) -> bool:
    """Whether a version is what a run record says.

    Args:
        version: as the registry has it.
        run: the record.

    Returns:
        Whether its hashes are the record's.
    """
    return all(version.tags.get(key, "") == getattr(run, key) for key in _OF_RECORD)


def _judged(registry: Registry, version: Version) -> list[dict[str, Any]]:
    """The ledger's lines that say what the version was; none from before the registry had lost its
    champion, as an emptied one has, which numbers its versions anew.
    """
    lines = counted(registry.ws, team_ledger.meet_at(registry, version.model).history)
    lost = [at for at, line in enumerate(lines) if line["verdict"] == "outside" and not line["to"]]
    return [
        line
        for line in lines[lost[-1] + 1 if lost else 0 :]
        if line.get("challenger") == version.version
        and (line.get("evidence") or {}).get("challenger")
    ]


def _is_recorded(registry: Registry, version: Version) -> bool:
    """Whether this state folder registered it, with all that it has now; of versions that agree,
    the first: `register` makes one version a run, and who copies its tags makes another.
    """
    run_id = version.tags.get("run_id") or "none"
    try:
        noted = read_json(_note(registry.ws, run_id))["registration"]
        first = min(
            one.version for one in registry.versions(version.model) if one.registration == noted
        )
        return first == version.version and is_of(version, read_record(registry.ws, run_id))
    except (ArtifactError, ValueError):
        return False


def _note(ws: Workspace, run_id: str) -> Path:
    return ws.runs / run_id / "registration.json"
