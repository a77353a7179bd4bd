"""Sharing with a team through DVC's remote: outputs and run cache are pulled before a stage and
pushed after a run.

What comes from outside is checked before it is used: every restored output must be the bytes that
dvc.lock names, and belong with what it was made from (`csa.operations.cache.belonging`). What does
not is named, thrown away, and computed here.
"""

import hashlib
import sys
import time
from dataclasses import dataclass

from csa.errors import InputError
from csa.operations.cache import belonging, dvc, seeding
from csa.operations.cache.objects import digest, stores
from csa.operations.opened import Project
from csa.pipeline.workspace import Workspace
from csa.storage.files import read_json, write_json

_TRIES = 3
_PAUSE_SECONDS = 2.0
_PUSH_SECONDS = 3600.0  # a remote that hangs
# Faults that come again: trying once more only takes time.
_HOPELESS = (
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "Unable to locate credentials",
    "403",
    "timed out",
)


def add_remote(ws: Workspace, name: str, url: str, endpoint: str | None, local: bool) -> None:
    """Name a folder, or s3://bucket/path, as the place the team shares through; it becomes the
    default.

    Args:
        ws: the main workspace.
        name: of the remote.
        url: a folder, or any address DVC knows.
        endpoint: of an S3 store that is not Amazon's.
        local: for this clone alone; else in .dvc/config, for git to carry to the team.

    Raises:
        InputError: DVC refuses the name or the address.
    """
    where = ["--local"] if local else []
    try:
        dvc.ask(ws, "remote", "add", "--default", "--force", *where, name, url)
        if endpoint:
            dvc.ask(ws, "remote", "modify", *where, name, "endpointurl", endpoint)
    except dvc.DvcError as error:
        raise InputError(f"remote {name!r} at {url!r}: {error}") from None


def remove_remote(ws: Workspace, name: str) -> None:
    """Forget a remote, in both configurations; what lies there stays.

    Args:
        ws: the main workspace.
        name: of the remote.

    Raises:
        InputError: there is none of that name.
    """
    found = remotes(ws)
    if name not in found:
        raise InputError(f"no remote {name!r}; there are {', '.join(found) or 'none'}")
    for where in ([], ["--local"]):
        try:
            dvc.ask(ws, "remote", "remove", *where, name)
        except dvc.DvcError:  # it is in the other one alone
            continue


def remotes(ws: Workspace) -> dict[str, str]:
    """Name -> address of every remote. (`dvc remote list` is for people: it breaks a long
    address over two lines.)
    """
    settings = [line.partition("=") for line in dvc.ask(ws, "config", "--list").splitlines()]
    keys = {
        key: value
        for key, _, value in settings
        if key.startswith("remote.") and key.endswith(".url")
    }
    return {key.removeprefix("remote.").removesuffix(".url"): url for key, url in keys.items()}


@dataclass(frozen=True)
class Push:
    """What became of sharing: whether all is shared that could be, and what to tell of it."""

    shared: bool
    said: str | None = None


def push(ws: Workspace) -> Push:
    """Push the workspace's outputs and run cache to the default remote, unless they are there since
    the last push.

    A remote that does not answer is no obstacle: it is said, and the next run tries again. What a
    killed push leaves is no harm: an object that is not whole is found out when it is restored.

    Returns:
        What became of it; there is nothing to tell where there is no remote, or nothing new.
    """
    name = _default_remote(ws)
    if name is None:
        return Push(True)
    wanted = {
        "remote": remotes(ws).get(name),
        "lock": hashlib.sha256((ws.root / "dvc.lock").read_bytes()).hexdigest(),
    }
    noted = ws.state / "pushed" / f"{ws.name}.json"
    if noted.is_file() and read_json(noted) == wanted:
        return Push(True)
    said = ""
    for attempt in range(_TRIES):
        try:
            done = dvc.ask(ws, "push", "--run-cache", "--quiet", timeout=_PUSH_SECONDS) or "pushed"
        except dvc.DvcError as error:
            said = str(error)
            if any(word in said for word in _HOPELESS):
                break
            time.sleep(_PAUSE_SECONDS * 2**attempt if attempt + 1 < _TRIES else 0)
        else:
            write_json(noted, wanted)
            return Push(True, f"{done.splitlines()[-1]} to {name}")
    return Push(False, f"nothing was pushed to {name}, the next run tries again ({said[:200]})")


def check_restored(ws: Workspace, stage: str) -> list[str]:
    """The outputs of a stage whose bytes are not those that dvc.lock names.

    Args:
        ws: whose outputs.
        stage: which.

    Raises:
        ArtifactError: dvc.lock does not know the stage.
    """
    locked = dvc.output_hashes(ws, [stage])
    return [path for path, md5 in locked.items() if digest(ws.root / path) != md5]


def bring_up_to_date(project: Project, stage: str) -> dvc.StageOutcome:
    """Bring a stage up to date with what the team has: restore it, checked, or compute it here with
    the team's features at hand.

    Args:
        project: whose stage.
        stage: which.

    Raises:
        StageError, RefusedError, WorkspaceError: as for `dvc.repro`.
    """
    ws, view = project.ws, stage.removeprefix("embed@")
    if view != stage and _default_remote(ws) is not None:
        seeding.from_the_team(project, view)
    outcome = dvc.repro(ws, stage)
    if outcome.damage:
        print(
            f"note: {stage} was computed here, the shared cache is damaged: {outcome.damage}",
            file=sys.stderr,
        )
        _mend_remotes(ws, stage)
    if outcome.status != "restored":
        return outcome
    wrong = check_restored(ws, stage)
    doubt = None if wrong else belonging.objection(project, stage)
    if wrong or doubt:
        why = (
            f"{', '.join(wrong)} came damaged from the shared cache"
            if wrong
            else f"the shared cache is wrong: {doubt}"
        )
        print(f"note: {why}; computing {stage} here", file=sys.stderr)
        _clear_damaged(ws, stage)
        outcome = dvc.recompute(ws, stage)
        _mend_remotes(ws, stage)
    elif view != stage:
        seeding.from_restored(project, view)
    return outcome


def _clear_damaged(ws: Workspace, stage: str) -> None:
    """Take damaged objects of a stage's outputs out of this machine's cache: else they would
    stand in the way of whole ones.
    """
    with stores(ws) as found:
        here = found["cache"]()
        outs = dvc.output_hashes(ws, [stage])
        for part in here.damaged(
            {
                part
                for path, oid in outs.items()
                for part in (oid, *here.content(path, oid).values())
            }
        ):
            here.remove(here.path(part))


def _mend_remotes(ws: Workspace, stage: str) -> None:
    """Put whole objects of a stage's outputs where a remote has damaged ones; DVC would not push
    what it believes to be there.
    """
    with stores(ws) as found:
        here, outs = found.pop("cache")(), dvc.output_hashes(ws, [stage])
        for name, opened in found.items():
            try:
                store = opened()
                parts = {
                    part
                    for path, oid in outs.items()
                    for part in (oid, *here.content(path, oid).values())
                }
                for part in store.damaged(parts):
                    content = here.whole(part)
                    if content is not None:
                        store.replace(part, content)
            # whatever a storage's own library raises; then it stays, and is found out again
            except Exception as error:
                print(f"note: {name} could not be mended ({type(error).__name__})", file=sys.stderr)


def _default_remote(ws: Workspace) -> str | None:
    try:
        return dvc.ask(ws, "config", "core.remote").strip() or None
    except dvc.DvcError:
        return None
