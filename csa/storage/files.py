"""Reading and writing small files so that a reader never meets half of one."""

import json
import os
from io import BufferedReader
from pathlib import Path
from typing import Any

from csa.errors import ArtifactError, DataError, WorkspaceError


def open_item(path: Path, name: str, what: str) -> BufferedReader:
    """Open a file of a data set for reading.

    Args:
        path: the file.
        name: what errors call it, such as its path inside the data set.
        what: its kind, for errors: image, audio, ...

    Raises:
        DataError: no such file, or it cannot be read.
    """
    if not path.is_file():  # also a folder or a pipe, which would block
        raise DataError(f"{name}: no such {what} file; restore it, or correct the path in its row")
    try:
        return path.open("rb")
    except OSError as error:
        raise DataError(
            f"{name}: the {what} cannot be read ({error.strerror}); check its permissions"
        ) from None


def walk(root: Path, limit: int | None = None) -> list[str]:
    """Paths of all files below a folder, relative to it with forward slashes, in order of their
    names; what begins with a dot is left out, and links to folders are not followed.

    Args:
        root: the folder.
        limit: stop after about so many; None: never.

    Raises:
        DataError: a folder cannot be read.
    """
    found: list[str] = []
    folders = [""]
    for below in folders:  # grows: the top is seen whole before what lies deeper
        try:
            with os.scandir(root / below) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(f"{below}{entry.name}/")
                    else:
                        found.append(f"{below}{entry.name}")
        except OSError as error:
            raise DataError(
                f"{root / below}: the folder cannot be read ({error.strerror}); check its "
                f"permissions"
            ) from None
        if limit is not None and len(found) >= limit:
            break
    return sorted(found)


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: a temporary file beside it, flushed to disk, then renamed
    over it.

    Args:
        path: the file; its folder is made.
        content: its bytes.
    """
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
        raise WorkspaceError(
            f"{path}: cannot be written ({error.strerror}); free space or fix its permissions"
        ) from None


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, keys in the order given, with a final newline.

    Args:
        path: the file; its folder is made.
        value: what JSON can hold.
    """
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
        raise ArtifactError(
            f"{path}: damaged (not JSON); delete it and run `csa run` again"
        ) from None
