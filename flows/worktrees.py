"""Private git worktrees for scheduled runs: no two runs share a workspace, and none disturbs what a
person is editing.

They lie in `.csa/worktrees` and share the repository's state. One is removed when its run has
succeeded; what failed or was killed is kept for a look, the newest few. Whether a worktree is in
use is told by a lock that dies with its process.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from csa.errors import WorkspaceError
from csa.pipeline.workspace import Workspace

_KEPT = 3
_DEMO = "data/openmoji"  # made by a stage


@contextmanager
def private_worktree(repository: Workspace, ref: str) -> Iterator[Workspace]:
    """A fresh worktree of the repository at a commit, removed at the end unless the block raises.

    Args:
        repository: the main workspace.
        ref: a branch, tag or commit; `HEAD` is what the repository has checked out now, less what
            is not committed.

    Yields:
        The worktree as a workspace, which shares the repository's state.

    Raises:
        WorkspaceError: not a git repository, or no such commit.
    """
    folder = repository.state / "worktrees"
    folder.mkdir(parents=True, exist_ok=True)
    remove_stale(repository)
    root = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{os.getpid()}"
    with FileLock(_lock_of(root), timeout=0):
        _git(repository.root, "worktree", "add", "--quiet", "--detach", str(root), ref)
        # DVC's configuration is rewritten there, to share cache and remotes: no change that a run
        # record should call dirty.
        _git(root, "update-index", "--skip-worktree", ".dvc/config")
        ws = Workspace(root, repository.state)
        _link_data(repository, ws)
        yield ws
        _remove(repository, root)
    _lock_of(root).unlink(missing_ok=True)


def check_commit(repository: Workspace, ref: str) -> None:
    """Prove that a scheduled run would find its commit.

    Args:
        repository: the main workspace.
        ref: a branch, tag or commit.

    Raises:
        WorkspaceError: not a git repository, nothing is committed yet, or no such commit.
    """
    try:
        _git(repository.root, "rev-parse", "--quiet", "--verify", f"{ref}^{{commit}}")
    except WorkspaceError:
        _git(repository.root, "rev-parse", "--git-dir")
        raise WorkspaceError(
            f"{repository.root}: git has no commit {ref!r}, and a scheduled run takes what is "
            f"committed; commit the project (git add -A && git commit), or correct --ref"
        ) from None


def remove_stale(repository: Workspace, kept: int = _KEPT) -> list[Path]:
    """Remove worktrees whose run is over, but for the newest `kept`.

    Args:
        repository: whose worktrees.
        kept: how many are left for a look.

    Returns:
        The folders that were removed.
    """
    dead = []
    for root in sorted((repository.state / "worktrees").glob("*/")):
        try:
            with FileLock(_lock_of(root), timeout=0):
                dead.append(root)
        except Timeout:
            continue
    removed = dead[: max(0, len(dead) - kept)]
    for root in removed:
        _remove(repository, root)
        _lock_of(root).unlink(missing_ok=True)
    return removed


def _lock_of(root: Path) -> Path:
    return root.with_name(f"{root.name}.lock")


def _link_data(repository: Workspace, ws: Workspace) -> None:
    """A data set that lies in the repository's folder but not in git is found from the worktree
    too.
    """
    path = ws.params().dataset.path
    here, there = ws.root / path, repository.root / path
    if path != _DEMO and not here.exists() and there.exists():
        here.parent.mkdir(parents=True, exist_ok=True)
        here.symlink_to(there)


def _remove(repository: Workspace, root: Path) -> None:
    shutil.rmtree(root, ignore_errors=True)
    _git(repository.root, "worktree", "prune")


def _git(folder: Path, *arguments: str) -> None:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = " ".join(done.stderr.split())
        raise WorkspaceError(
            f"{folder}: git {' '.join(arguments[:2])} failed ({said}); a scheduled run needs a "
            f"git repository"
        )
