"""The life of dvc.lock in a team: it is committed, merged, and made anew on other processors.

The lock only records what was computed from what. DVC compares it with the files, so a wrong or
outdated entry costs a look into the caches and never gives a wrong result.
"""

import re
import subprocess
import sys
from typing import Any

import yaml

from csa.pipeline.workspace import Workspace
from csa.storage.files import write_atomic

_CONFLICT = re.compile(
    r"^<{7} [^\n]*\n(.*?)(?:^\|{7} [^\n]*\n.*?)?^={7}\n.*?^>{7} [^\n]*\n",
    re.DOTALL | re.MULTILINE,
)


def settle_conflict(ws: Workspace) -> bool:
    """Take this branch's side of a dvc.lock that git left with conflict marks.

    Args:
        ws: the workspace whose lock it is.

    Returns:
        Whether there was a conflict.
    """
    path = ws.root / "dvc.lock"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):  # DVC says what is wrong with it
        return False
    ours = _CONFLICT.sub(r"\1", text)
    if ours == text:
        return False
    if _stages(ours) is None:
        path.unlink()  # the caches still know what was computed
    else:
        write_atomic(path, ours.encode())
    print(
        "note: dvc.lock held a merge conflict; this branch's side was taken, and what the other "
        "side computed comes from the caches. Commit dvc.lock after the run",
        file=sys.stderr,
    )
    return True


def computed_anew(ws: Workspace) -> list[str]:
    """Views whose features differ from those of the committed dvc.lock though they were computed
    from the same items, by the same encoder and code: another processor rounds otherwise.

    Args:
        ws: the workspace whose lock it is.
    """
    here = _stages(_read(ws))
    there = _stages(_committed(ws))
    if here is None or there is None:
        return []
    return [
        name.partition("@")[2]
        for name, stage in here.items()
        if name.startswith("embed@") and name in there and _only_outputs_differ(stage, there[name])
    ]


def _only_outputs_differ(one: dict[str, Any], other: dict[str, Any]) -> bool:
    same = all(one.get(key) == other.get(key) for key in ("cmd", "deps", "params"))
    return same and _hashes(one) != _hashes(other)


def _hashes(stage: dict[str, Any]) -> dict[str, str]:
    return {out["path"]: out.get("md5", "") for out in stage.get("outs", ())}


def _read(ws: Workspace) -> str:
    try:
        return (ws.root / "dvc.lock").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _committed(ws: Workspace) -> str:
    done = subprocess.run(
        ["git", "-C", str(ws.root), "show", "HEAD:./dvc.lock"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout if done.returncode == 0 else ""


def _stages(text: str) -> dict[str, Any] | None:
    try:
        stages = yaml.safe_load(text)["stages"]
    except (yaml.YAMLError, TypeError, KeyError):
        return None
    return stages if isinstance(stages, dict) else None
