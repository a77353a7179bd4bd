"""Sharing with a team through DVC's remote: outputs and run cache are pulled before a stage and pushed after a run.

What comes from outside is checked before it is used: every restored output must be the bytes that dvc.lock names. What is not is
named, thrown away, and computed here.
"""

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from csa.errors import ArtifactError, InputError
from csa.features import FeatureCache, FeatureTable
from csa.files import read_json, write_json
from csa.workspace import Workspace
from flows import dvc

_TRIES = 3
_PAUSE_SECONDS = 2.0


def add_remote(ws: Workspace, name: str, url: str, endpoint: str | None, local: bool) -> None:
    """Name a folder, or s3://bucket/path, as the place the team shares through; it becomes the default.

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
    """Name -> address of every remote."""
    lines = [line.split(maxsplit=1) for line in dvc.ask(ws, "remote", "list").splitlines()]
    return {line[0]: line[1].removesuffix("(default)").strip() for line in lines if len(line) == 2}


def push(ws: Workspace) -> str | None:
    """Push the workspace's outputs and run cache to the default remote, unless they are there since the last push.

    A remote that does not answer is no obstacle: it is said, and the next run tries again. What a killed push leaves is no harm:
    an object that is not whole is found out when it is restored.

    Returns:
        What to tell: None where there is no remote, or nothing new.
    """
    name = _default_remote(ws)
    if name is None:
        return None
    wanted = {"remote": remotes(ws).get(name), "lock": hashlib.sha256((ws.root / "dvc.lock").read_bytes()).hexdigest()}
    noted = ws.state / "pushed" / f"{ws.name}.json"
    if noted.is_file() and read_json(noted) == wanted:
        return None
    said = ""
    for attempt in range(_TRIES):
        try:
            done = dvc.ask(ws, "push", "--run-cache", "--quiet") or "pushed"
        except dvc.DvcError as error:
            said = str(error)
            time.sleep(_PAUSE_SECONDS * 2**attempt if attempt + 1 < _TRIES else 0)
        else:
            write_json(noted, wanted)
            return f"{done.splitlines()[-1]} to {name}"
    return f"nothing was pushed to {name}, the next run tries again ({said[:200]})"


def check_restored(ws: Workspace, stage: str) -> list[str]:
    """The outputs of a stage whose bytes are not those that dvc.lock names.

    Raises:
        ArtifactError: dvc.lock does not know the stage.
    """
    try:
        outs = yaml.safe_load((ws.root / "dvc.lock").read_text(encoding="utf-8"))["stages"][stage]["outs"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ArtifactError(f"{ws.root / 'dvc.lock'}: missing, damaged or without stage {stage} ({error!r})") from None
    return [out["path"] for out in outs if _digest(ws.root / out["path"]) != out["md5"]]


def restore_or_recompute(ws: Workspace, stage: str, outcome: dvc.StageOutcome) -> dvc.StageOutcome:
    """Check what was restored, and compute it here where it is not what it should be; features go to the item cache."""
    if outcome.status == "restored":
        wrong = check_restored(ws, stage)
        if wrong:
            print(f"note: {', '.join(wrong)} came damaged from the shared cache; computing {stage} here", file=sys.stderr)
            return dvc.recompute(ws, stage)
        if stage.startswith("embed@"):
            seed_cache(ws, stage.removeprefix("embed@"))
    return outcome


def seed_cache(ws: Workspace, view: str) -> int:
    """Put restored features into the item cache, so that a new item costs one item though this machine computed none.

    Returns:
        How many were new there.
    """
    if ws.params().views[view].modality == "array":  # read from a file, never kept
        return 0
    fingerprint = read_json(ws.features(view) / "index.json")["fingerprint"]
    table, cache = FeatureTable.read(ws.features(view)), FeatureCache(ws.cache, fingerprint)
    known = cache.read(table.items)
    new = [item for item in table.items if item not in known]
    if new:
        cache.write(new, table.rows(new))
    return len(new)


def _default_remote(ws: Workspace) -> str | None:
    try:
        return dvc.ask(ws, "config", "core.remote").strip() or None
    except dvc.DvcError:
        return None


def _digest(path: Path) -> str:
    """As DVC has it: the MD5 of a file, or of a folder's list of files."""
    if path.is_file():
        return _md5(path.read_bytes())
    if not path.is_dir():
        return "missing"
    entries: list[dict[str, Any]] = [
        {"md5": _md5(file.read_bytes()), "relpath": file.relative_to(path).as_posix()}
        for file in sorted(path.rglob("*"), key=lambda file: file.relative_to(path).parts)
        if file.is_file()
    ]
    return f"{_md5(json.dumps(entries, sort_keys=True).encode())}.dir"


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
