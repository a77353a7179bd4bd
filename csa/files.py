"""Reading and writing small files so that a reader never meets half of one."""

import json
import os
from pathlib import Path
from typing import Any

from csa.errors import ArtifactError, WorkspaceError


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: a temporary file beside it, flushed to disk, then renamed over it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise WorkspaceError(f"{path}: cannot be written ({error.strerror}); free space or fix its permissions") from None


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, keys in the order given, with a final newline."""
    write_atomic(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read a JSON file that CSA wrote.

    Raises:
        ArtifactError: missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{path}: no such file; run `csa run` first") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise ArtifactError(f"{path}: damaged (not JSON); delete it and run `csa run` again") from None
