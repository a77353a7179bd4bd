"""Sharing with a team through DVC's remote: outputs and run cache are pulled before a stage and
pushed after a run.

What comes back from there is believed only by proof (`csa.operations.cache.restoring`), but for
features, of which some are computed again (`csa.operations.cache.seeding`). All else is computed
here.
"""

import hashlib
import os
import re
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from csa.errors import InputError, WorkspaceError
from csa.masking import masked
from csa.operations import starting
from csa.operations.cache import believed, dvc, seeding, settings, signed
from csa.operations.cache.objects import Store, open_repo, stores, stores_of
from csa.operations.cache.restoring import Restored, all_made, made_here, restore
from csa.operations.opened import Project
from csa.operations.trust.keys import Key, own_key
from csa.pipeline.start import Start, read_start, write_start
from csa.pipeline.workspace import Workspace
from csa.storage.files import read_json, write_json

_TRIES = 3
_PAUSE_SECONDS = 2.0
_DAMAGED = ".dir is corrupted"  # DVC's words of a list of files that it cannot read
_UNMENDED = "note: {} could not be mended ({})"
_PUSH_SECONDS = 3600.0  # a remote that hangs
_MOST_SAID = 600
# Faults that come again: trying once more only takes time.
_HOPELESS = (
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "Unable to locate credentials",
    "403",
    "timed out",
)


def add_remote(ws: Workspace, name: str, url: str, endpoint: str | None, local: bool) -> str:
    """Name a folder, or s3://bucket/path, as the place the team shares through; it becomes the
    default.

    Args:
        ws: the main workspace.
        name: of the remote; capitals count as small letters.
        url: a folder, or any address DVC knows.
        endpoint: of an S3 store that is not Amazon's.
        local: for this clone alone; else in .dvc/config, for git to carry to the team.

    Returns:
        The name that the remote has now.

    Raises:
        InputError: DVC refuses the name or the address, or it looks like one with a slash too few.
    """
    near = re.match(r"(s3|gs|azure|ssh|https?):/?(?!/)", url)
    if near and not (ws.root / url).exists():
        right = masked(f"{near[1]}://{url[near.end() :]}")
        raise InputError(f"this is no folder here, and an address has two slashes, as in {right}")
    folder, name = ws.root / ".dvc", name.lower()  # as DVC has names
    if not name.strip():
        raise InputError("a remote needs a name, such as team")
    if "://" not in url and not Path(url).is_absolute():
        url = os.path.relpath(ws.root / url, folder)  # as DVC keeps it

    def put(config: Any) -> None:
        config[f'remote "{name}"'] = {"url": url} | ({"endpointurl": endpoint} if endpoint else {})
        config.setdefault("core", {})["remote"] = name

    try:
        settings.change(folder / ("config.local" if local else "config"), put)
    except ValueError as error:
        raise InputError(f"remote {name!r} at {url!r}: {error}; choose another one") from None
    return name


def remove_remote(ws: Workspace, name: str) -> None:
    """Forget a remote, in both configurations; what lies there stays.

    Args:
        ws: the main workspace.
        name: of the remote.

    Raises:
        InputError: there is none of that name.
    """
    found, name = remotes(ws), name.lower()
    if name not in found:
        raise InputError(f"no remote {name!r}; there are {', '.join(found) or 'none'}")

    def drop(config: Any) -> None:
        config.pop(f'remote "{name}"', None)
        if config.get("core", {}).get("remote") == name:
            del config["core"]["remote"]

    for file in ("config", "config.local"):
        if (ws.root / ".dvc" / file).is_file():
            settings.change(ws.root / ".dvc" / file, drop)


def remotes(ws: Workspace) -> dict[str, str]:
    """Name -> address of every remote."""
    found = settings.of_workspace(ws)["remote"]
    return {name: str(section["url"]) for name, section in found.items() if "url" in section}


@dataclass(frozen=True)
class Push:
    """What became of sharing: whether all is shared that could be, and what to tell of it."""

    shared: bool
    said: str | None = None


def push(ws: Workspace) -> Push:
    """Push the workspace's outputs and run cache to the default remote, unless they are there since
    the last push.

    A remote that does not answer is no obstacle: it is said, and the next run tries again. What a
    killed push leaves is no harm: an object that is not whole is found out when it is restored, and
    a damaged list of files, at which DVC gives up, is removed here.

    Returns:
        What became of it; there is nothing to tell where there is no remote, or nothing new.
    """
    name = _default_remote(ws)
    if name is None:
        return Push(True)
    wanted = {
        "remote": _sha256(remotes(ws).get(name, "").encode()),
        "lock": _sha256((ws.root / "dvc.lock").read_bytes()),
    }
    noted = ws.state / "pushed" / f"{ws.name}.json"
    if noted.is_file() and read_json(noted) == wanted:
        return Push(True)
    said = ""
    for attempt in range(_TRIES):
        try:
            dvc.ask(ws, "push", "--run-cache", timeout=_PUSH_SECONDS)  # --quiet hides its errors
        except dvc.DvcError as error:
            said = str(error)
            if any(word in said for word in _HOPELESS):
                break
            if _DAMAGED in said:
                _drop_damaged_lists(ws, name)
            time.sleep(_PAUSE_SECONDS * 2**attempt if attempt + 1 < _TRIES else 0)
        else:
            lacking = _confirm(ws, name, own_key())
            if lacking:
                said = f"pushed to {name}, but it lacks {lacking}; the next run tries again"
                return Push(False, said)
            write_json(noted, wanted)
            return Push(True, f"pushed to {name}")
    return Push(
        False, f"nothing was pushed to {name}, the next run tries again ({_in_short(said)})"
    )


def _in_short(said: str) -> str:
    """What DVC said: its beginning, and its end, where the cause stands. Paths may fill pages."""
    if len(said) <= _MOST_SAID:
        return said
    return f"{said[: _MOST_SAID // 3]} … {said[-2 * _MOST_SAID // 3 :]}"


def _confirm(ws: Workspace, remote: str, key: Key | None) -> str:
    """Whether all is on a remote after a push: then it is signed, where this person has a key; else
    what is lacking there, in words.
    """
    try:
        with open_repo(ws) as repo:
            found = stores_of(repo)
            here, there = found["cache"](), found[remote]()
            lacking = _lacking(repo, here, there)
            if key is not None and not lacking:
                _sign(ws, key, here, there)
    except Exception as error:  # whatever a storage's own library raises
        return f"an answer to what is there ({type(error).__name__})"
    more = f" and {len(lacking) - 1:,} more" if len(lacking) > 1 else ""
    return f"{lacking[0]}{more}" if lacking else ""


def _lacking(repo: Any, here: Store, there: Store) -> list[str]:
    """Outputs of stages of which a remote has not every object. DVC pushes what lies in this
    machine's cache; that a broken disk kept something out of it is no fault to DVC.
    """
    parts = {
        out.def_path: {out.hash_info.value, *here.content("", out.hash_info.value).values()}
        for out in repo.index.outs
        if out.stage.cmd and out.use_cache and out.hash_info
    }
    gone = there.lacking(set().union(*parts.values()))
    return sorted(path for path, oids in parts.items() if oids & gone)


def _sign(ws: Workspace, key: Key, here: Store, there: Store) -> None:
    """Sign what was computed here and is on the remote now."""
    for made in all_made(ws):
        own = believed.noted(ws, made)
        if own is not None and own.statement == made.statement:
            signed.publish(key, made, here, there)


def bring_up_to_date(project: Project, stage: str) -> dvc.StageOutcome:
    """Bring a stage up to date: with what the caches have by proof, else computed here, with the
    team's features at hand.

    Args:
        project: whose stage; hold the lock of its state folder.
        stage: which.

    Returns:
        What the stage did.

    Raises:
        StageError, RefusedError, WorkspaceError: as for `dvc.compute`.
    """
    ws, started = project.ws, time.perf_counter()
    found = _restored(project, stage)
    kept = seeding.is_kept(project.params, stage)
    if found.status != "missing":
        if kept and found.status == "restored":
            seeding.from_restored(project, stage)
        return dvc.StageOutcome(stage, found.status, round(time.perf_counter() - started, 3))
    if kept and _default_remote(ws) is not None:
        seeding.from_the_team(project, stage)
    outcome = dvc.compute(ws, stage)
    believed.note(ws, made_here(ws, stage))
    if found.damaged:
        _mend_remotes(ws, stage)
    return replace(outcome, seconds=round(time.perf_counter() - started, 3))


def _restored(project: Project, stage: str) -> Restored:
    """What the caches had for a stage. A fit is asked for from each of the choices that it could
    begin with, until one of them is known to have been begun with: what the caches lack of that
    fit is computed from the same choices, and so comes to the same bytes.
    """
    found = restore(project.ws, stage)
    if stage != starting.STAGE or found.is_settled:
        return found
    asked = [read_start(project.ws)]
    found = _restored_from(None, project, asked) or found
    if found.is_settled:
        return found
    try:
        start = starting.start_of_fit(project)
    except starting.NoStartError as why:
        print(f"  note: the fit begins with nobody's choices: {why}", file=sys.stderr)
        return found
    return _restored_from(start, project, asked) or found


def _restored_from(
    start: Start | None, project: Project, asked: list[Start | None]
) -> Restored | None:
    """What the caches had for the fit from a start, which is written for it; None if they were
    asked for it before.
    """
    write_start(project.ws, start)
    if start in asked:
        return None
    asked.append(start)
    return restore(project.ws, starting.STAGE)


def _mend_remotes(ws: Workspace, stage: str) -> None:
    """Put whole objects of a stage's outputs where a remote has damaged ones; DVC would not push
    what it believes to be there.
    """
    with stores(ws) as found:
        here, outs = found.pop("cache")(), made_here(ws, stage).outs
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
                print(_UNMENDED.format(name, type(error).__name__), file=sys.stderr)


def _drop_damaged_lists(ws: Workspace, remote: str) -> None:
    """Remove damaged lists of files from a remote. DVC reads those that are there, and pushes
    nothing at all if it cannot; it pushes what is missing, with the files that are listed.
    """
    try:
        with open_repo(ws) as repo:
            found = stores_of(repo)
            here, there = found["cache"](), found[remote]()
            for oid in there.damaged({oid for oid in here.objects() if oid.endswith(".dir")}):
                there.remove(there.path(oid))
    except Exception as error:  # whatever a storage's own library raises
        print(_UNMENDED.format(remote, type(error).__name__), file=sys.stderr)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _default_remote(ws: Workspace) -> str | None:
    try:
        name: str | None = settings.of_workspace(ws)["core"].get("remote")
    except WorkspaceError:
        return None
    return name
