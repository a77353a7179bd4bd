"""What a DVC that was killed, or that met a full disk, leaves and would stumble over.

DVC writes its list of who is at work in place: a cut one stops every command. Of the run cache it
takes the newest file for the newest entry, and so a temporary file that was cut; a folder that it
has made and not filled yet stops it.
"""

import json
import time
from contextlib import suppress
from pathlib import Path

from csa.operations.cache.settings import config_of
from csa.pipeline.workspace import Workspace

_WRITTEN_SECONDS = 1.0  # what DVC writes just now is whole by then


def let_finish() -> None:
    """Wait until what DVC writes just now is whole."""
    time.sleep(_WRITTEN_SECONDS)


def remove(ws: Workspace) -> None:
    """Remove DVC's list of who is at work where it was cut; whoever it names that lives asks for
    what it needs anew.

    Args:
        ws: the workspace that DVC works in.
    """
    path = _dvc(ws) / "tmp" / "rwlock"
    if not path.is_file() or _is_json(path):
        return
    let_finish()
    if not _is_json(path):
        path.unlink(missing_ok=True)


def remove_from_run_cache(ws: Workspace) -> list[Path]:
    """Remove what was on its way into the run cache, and folders there that hold no entry.

    Args:
        ws: the workspace that DVC works in.

    Returns:
        The files that were removed.
    """
    runs = _cache(_dvc(ws)) / "runs"
    found = list(runs.glob("*/*/.*.tmp"))
    if found:
        let_finish()
    left = [path for path in found if path.is_file()]
    for path in left:
        path.unlink(missing_ok=True)
    for folder in runs.glob("*/*"):
        with suppress(OSError):  # it holds something, as it should
            folder.rmdir()
    return left


def _dvc(ws: Workspace) -> Path:
    """The folder of settings of the DVC that works in a workspace."""
    return (ws.root if (ws.root / ".dvc").is_dir() else ws.home) / ".dvc"


def _cache(folder: Path) -> Path:
    """Where the cache of these settings lies."""
    found = str(folder / "cache")
    for name in ("config", "config.local"):
        found = config_of(folder / name).get("cache", {}).get("dir", found)
    return Path(found)


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return True
