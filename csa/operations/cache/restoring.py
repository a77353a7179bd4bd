"""The one door through which results come back from a cache into a workspace.

A result is believed when this machine made it; where the project has trusted-keys.toml, when one of
these keys signed it; where it has none, when dvc.lock, here or in a commit of one of this clone's
branches, names it for the very inputs, parameters and code that are here. Then its objects are
fetched into quarantine, each is held against its hash, lists of files are read, and only then DVC
puts it in place. Nothing else is ever restored: a stage that no proof covers is computed here.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from csa.errors import ArtifactError, WorkspaceError
from csa.operations.cache import believed
from csa.operations.cache.lock import locked_stages, read_lock
from csa.operations.cache.objects import Made, open_repo, stores_of
from csa.operations.cache.quarantine import GoneError, Quarantine, quarantine
from csa.operations.cache.signed import Files, check_files, claims
from csa.operations.trust.trusted import FILE, Trusted, trusted_keys
from csa.pipeline.workspace import Workspace

PAUSES = (1, 2, 4, 8, 15, 30, 30, 30)
"""Seconds between tries while another DVC process is at work."""


@dataclass(frozen=True)
class Restored:
    """What the caches had for a stage.

    Attributes:
        status: unchanged, where all is in place; restored; missing, where it has to be computed.
        damaged: what was damaged in a cache, as a person is told.
        known: whether a result for these very inputs is known, as dvc.lock, a note of this machine
            or a signature names it, though no cache has it whole.
    """

    status: Literal["unchanged", "restored", "missing"]
    damaged: tuple[str, ...] = ()
    known: bool = False

    @property
    def is_settled(self) -> bool:
        """Whether what comes of these inputs is there, or is known."""
        return self.known or self.status != "missing"


def restore(ws: Workspace, name: str) -> Restored:
    """Bring a stage up to date without running it, if that can be.

    Args:
        ws: whose stage; hold the lock of its state folder.
        name: of the stage.

    Returns:
        What was restored, or why nothing was.

    Raises:
        WorkspaceError: an input of the stage is missing, or another DVC process stayed busy for two
            minutes.
    """
    from dvc.lock import LockError  # type: ignore[import-untyped]

    for pause in PAUSES:
        try:
            with _opened(ws, name) as (repo, stage):
                return _restore(ws, repo, stage)
        except LockError:
            print(
                f"{name}: another DVC process is at work here; waiting {pause} s", file=sys.stderr
            )
            time.sleep(pause)
    raise WorkspaceError(
        f"stage {name}: another DVC process has been at work here for two minutes; wait for it to "
        f"end"
    )


def made_here(ws: Workspace, name: str) -> Made:
    """What dvc.lock says of a stage.

    Args:
        ws: whose dvc.lock.
        name: of the stage.

    Returns:
        Its inputs, parameters and outputs.

    Raises:
        ArtifactError: dvc.lock is missing, damaged, or does not know the stage.
    """
    return read_lock(ws, lambda stages: Made.of(stages[name]))


def all_made(ws: Workspace) -> list[Made]:
    """What dvc.lock says of all stages; nothing where it is missing or damaged.

    Args:
        ws: whose dvc.lock.
    """
    try:
        return read_lock(ws, lambda stages: [Made.of(stage) for stage in stages.values()])
    except ArtifactError:
        return []


@contextmanager
def _opened(ws: Workspace, name: str) -> Iterator[tuple[Any, Any]]:
    """DVC's repository, locked, and a stage of it."""
    with open_repo(ws) as repo, repo.lock:
        yield repo, repo.stage.load_one(path=str(ws.root / "dvc.yaml"), name=name)


def _restore(ws: Workspace, repo: Any, stage: Any) -> Restored:
    found = stores_of(repo)
    default = repo.config["core"].get("remote")
    found = {name: opened for name, opened in found.items() if name in ("cache", default)}
    with quarantine(ws, found) as held:
        for dep in stage.deps:
            if not dep.exists:
                _fetch_tracked(repo, dep, held)
        lacking = [dep.def_path for dep in stage.deps if not dep.exists]
        if lacking:
            raise WorkspaceError(
                f"{lacking[0]}: no such file or folder, but stage {stage.name} reads it; check "
                f"dataset.path in the parameters"
            )
        if not stage.changed():
            return Restored("unchanged")
        wanted, known = _question(stage), False
        for made, files in _proven(ws, stage.name, wanted, held) if wanted else ():
            known = True
            try:
                fetched = held.fetch(made)
                if files is not None:
                    check_files(fetched, files)
            except ArtifactError as error:
                _tell(stage.name, held, error)
                continue
            held.release()
            _place(stage, made)
            return Restored("restored", tuple(held.damaged))
        if wanted is not None and not held.damaged:
            _tell_unproven(ws, stage.name, wanted, held)
        # where keys are trusted a lock proves no result, and yet it says what the team's came of
        known = known or (wanted is not None and any(_locked(ws, stage.name, wanted)))
        return Restored("missing", tuple(held.damaged), known)


def _question(stage: Any) -> Made | None:
    """What is asked of the caches, its entry the folder of answers among DVC's; None if DVC has
    no hash of some input.
    """
    from dvc.stage.serialize import to_single_stage_lockfile  # type: ignore[import-untyped]
    from dvc.utils import dict_sha256  # type: ignore[import-untyped]

    stage.save_deps()
    written = to_single_stage_lockfile(stage)
    outs = {out.def_path: "" for out in stage.outs}
    key = dict_sha256({**written, "outs": sorted(outs)}, exclude=["size", "nfiles"])
    try:
        asked = Made.of({key: value for key, value in written.items() if key != "outs"})
    except ValueError:
        return None
    return Made(f"{key[:2]}/{key}", asked.command, asked.params, asked.deps, outs)


def _proven(
    ws: Workspace, name: str, wanted: Made, held: Quarantine
) -> Iterator[tuple[Made, Files | None]]:
    """Answers to a question that may be believed, each with the sha256 of its files where these
    were signed.
    """
    keys, own = trusted_keys(ws), believed.noted(ws, wanted)
    locked = _locked(ws, name, wanted) if keys is None else iter(())
    first = next(locked, None)
    if first is not None and first != own:
        yield first, None  # as the team has it: another processor rounds otherwise
    if own is not None:
        yield own, None
    for made in locked:
        yield made, None
    if keys is not None:
        yield from _signed(name, wanted, held, keys)


def _locked(ws: Workspace, name: str, wanted: Made) -> Iterator[Made]:
    """Answers that dvc.lock names, here or in git."""
    seen = set()
    for entry in locked_stages(ws, name, wanted.deps.values()):
        try:
            made = Made.of(entry)
        except ValueError:
            continue
        if made.question == wanted.question and made.statement not in seen:
            seen.add(made.statement)
            yield made


def _signed(
    name: str, wanted: Made, held: Quarantine, keys: list[Trusted]
) -> Iterator[tuple[Made, Files]]:
    unsigned = good = 0
    for place in held.places.values():
        for made, files in claims(wanted, place, keys):
            if files is None:
                unsigned += 1
            else:
                good += 1
                yield made, files
    if unsigned and not good:
        print(
            f"note: the shared cache has a signed result of {name}, but {FILE} does not trust its "
            f"signer; computing it here",
            file=sys.stderr,
        )


def _place(stage: Any, made: Made) -> None:
    """Let DVC put outputs in place whose objects lie in this machine's cache, and write
    dvc.lock.
    """
    from dvc.stage.loader import StageLoader  # type: ignore[import-untyped]

    StageLoader.fill_from_lock(stage, made.written)
    stage.remove_outs(ignore_remove=False, force=False)
    if "failed" in stage.checkout():
        raise ArtifactError(f"stage {stage.name}: its outputs could not be put in place")
    stage.dump(update_pipeline=False)


def _fetch_tracked(repo: Any, dep: Any, held: Quarantine) -> None:
    """Fetch an input that is missing here and that DVC tracks, such as a data set that was added
    with `dvc add`.
    """
    from dvc.exceptions import OutputNotFoundError  # type: ignore[import-untyped]

    try:
        (out,) = repo.find_outs_by_path(dep.fs_path, strict=False)
    except (OutputNotFoundError, ValueError):
        return
    if not out.hash_info or out.stage.cmd:
        return
    written = {"cmd": "", "outs": [{"path": out.def_path, "md5": out.hash_info.value}]}
    try:
        held.fetch(Made.of(written))
    except (ArtifactError, ValueError) as error:
        _tell(str(out), held, error)
        return
    held.release()
    out.checkout()


def _tell_unproven(ws: Workspace, name: str, wanted: Made, held: Quarantine) -> None:
    """Say that the team has a result which nothing here vouches for, and what would."""
    if trusted_keys(ws) is not None:
        return
    for place, store in held.places.items():
        try:
            known = store.fs.exists(store.fs.join(store.base, "runs", wanted.entry))
        except Exception as error:  # whatever a storage's own library raises
            held.silent.setdefault(place, type(error).__name__)
            continue
        if known:
            print(
                f"note: {place} has a result of {name} for these inputs, but no dvc.lock here "
                f"names it, so csa computes it here; pull the team's dvc.lock, or let the team "
                f"sign its results (`csa key`)",
                file=sys.stderr,
            )


def _tell(what: str, held: Quarantine, error: Exception) -> None:
    """Say why something that is known did not come back."""
    if held.damaged:
        print(
            f"note: {'; '.join(sorted(set(held.damaged)))}; computing {what} here", file=sys.stderr
        )
    elif not isinstance(error, GoneError):
        print(f"note: the shared cache is wrong: {error}; computing {what} here", file=sys.stderr)
