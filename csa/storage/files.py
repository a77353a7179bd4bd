"""Reading and writing small files so that a reader never meets half of one."""

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any

from csa.errors import ArtifactError, CSAError, DataError, InputError, WorkspaceError

_LFS = b"version https://git-lfs.github.com/spec/"
POINTER_BYTES = len(_LFS)
"""How many bytes tell a pointer of Git LFS."""
_unfinished: set[Path] = set()
_BOMB_BYTES = 1 << 28
_MOST_TEXT = 100_000_000
_BOMB_RATIO = 200
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def what_is(path: Path) -> str:
    """What lies at a path: "a file", "nothing", or what it is instead, such as "a pipe".

    Nothing is opened, so nothing is waited for; a name too long, a link to itself and a name that
    no file can have are "nothing".
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return "nothing"
    if stat.S_ISREG(mode):
        return "a file"
    return next((words for test, words in _KINDS if test(mode)), "no regular file")


def open_item(path: Path, name: str, what: str) -> BufferedReader:
    """Open a file of a data set for reading.

    Args:
        path: the file.
        name: what errors call it, such as its path inside the data set.
        what: its kind, for errors: image, audio, ...

    Returns:
        The file, open at its beginning.

    Raises:
        DataError: no such file, something that is no file, a pointer of Git LFS in its place, or it
            cannot be read.
    """
    kind = what_is(path)
    if kind != "a file":  # a pipe would be waited for, a device has no end
        instead = "" if kind == "nothing" else f" (it is {kind})"
        raise DataError(
            f"{_shown(name)}: no such {what} file{instead}; restore it, or correct the path in its "
            f"row"
        )
    try:
        file = path.open("rb")
        begins = file.peek(len(_LFS))
    except OSError as error:
        raise DataError(
            f"{_shown(name)}: the {what} cannot be read ({error.strerror}); check its permissions"
        ) from None
    try:
        refuse_pointer(begins, name, what)
    except DataError:
        file.close()
        raise
    return file


def refuse_pointer(content: bytes, name: str, what: str, container: str = "") -> None:
    """Refuse what Git LFS has left in a file's place.

    Args:
        content: of the file, or how it begins.
        name: what errors call it.
        what: its kind, for errors: image, audio, ...
        container: the file that it was packed into; "" if it lies by itself.

    Raises:
        DataError: it is a pointer of Git LFS.
    """
    if content.startswith(_LFS):
        again = f", and write {container} again" if container else ""
        raise DataError(
            f"{_shown(name)}: a pointer of Git LFS, not the {what} itself; fetch it with: git lfs "
            f"pull{again}"
        )


def refuse_pointer_at(path: Path, name: str, what: str) -> None:
    """As `refuse_pointer`, of a file that a library opens by its path.

    Args:
        path: of the file.
        name: what errors call it.
        what: its kind, for errors.

    Raises:
        DataError: it is a pointer of Git LFS.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        refuse_pointer(file.read(POINTER_BYTES), name, what)


def read_text(path: Path, what: str, kind: type[CSAError] = InputError) -> str:
    """The text of a file that a person named, at most 100 MB.

    Args:
        path: the file.
        what: what it should be, for errors, such as "a list of labels".
        kind: of the error.

    Returns:
        Its text; a byte order mark is no part of it.

    Raises:
        CSAError: of that kind: no such file, something that is no file, too large, not UTF-8.
    """
    found = what_is(path)
    if found == "nothing":
        raise kind(f"{_shown(str(path))}: no such file; give the path of {what}")
    try:
        if found != "a file":
            raise kind(f"{path}: it is {found}; give the path of {what}")
        if path.stat().st_size > _MOST_TEXT:
            raise kind(f"{path}: {path.stat().st_size:,} bytes are too many for {what}")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise kind(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    except UnicodeDecodeError:
        raise kind(f"{path}: not UTF-8 text; give the path of {what}, saved as UTF-8") from None


def read_whole(path: Path, name: str, what: str) -> bytes:
    """The content of one file of a data set.

    Args:
        path: the file.
        name: what errors call it.
        what: its kind, for errors.

    Returns:
        Its bytes.

    Raises:
        DataError: as `open_item`, or it cannot be read to its end.
    """
    with guarded(name, what), open_item(path, name, what) as file:
        return file.read()


@contextmanager
def guarded(name: str, what: str) -> Iterator[None]:
    """Turn whatever a library raises while it reads a file into one DataError.

    Args:
        name: what errors call the file.
        what: its kind, for errors.

    Yields:
        Nothing; the reading stands in the block.

    Raises:
        DataError: the library's own words on one line.
    """
    try:
        yield
    except (CSAError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # polars' PanicException is no Exception
        raise DataError(
            f"{_shown(name)}: not readable as {what} ({plain_words(error)}); is it damaged, or of "
            f"another kind? Fetch or write it again"
        ) from None


def plain_words(error: BaseException) -> str:
    """What an error of a library says, short, on one line; its type where it says nothing."""
    words = " ".join(_shown(str(error)).split())
    if isinstance(error, RecursionError):
        words = "nested too deep"
    return words[:160] or type(error).__name__


def refuse_bomb(name: str, promised: int, size: int) -> None:
    """Refuse a container that promises far more than its size can honestly hold.

    Args:
        name: what errors call it.
        promised: bytes that it says it unpacks to.
        size: bytes on disk.

    Raises:
        DataError: more than 256 MiB, and more than 200 times its size or than the free memory.
    """
    if promised <= _BOMB_BYTES:
        return
    if promised > _BOMB_RATIO * max(size, 1):
        raise DataError(
            f"{_shown(name)}: {size:,} bytes that unpack to {promised:,}: a decompression bomb, or "
            f"constant data; nothing of it was read. Write it again without what is constant"
        )
    import psutil

    free = int(psutil.virtual_memory().available)
    if size < promised and promised > free:
        raise DataError(
            f"{_shown(name)}: {size:,} bytes that unpack to {promised:,}, more than the {free:,} "
            f"of memory that are free; write it in smaller files"
        )


def printable(text: str) -> str:
    """A text that a person did not type, with its control characters made visible."""
    return "".join(
        letter if letter.isprintable() or letter == " " else repr(letter)[1:-1] for letter in text
    )


def _shown(name: str) -> str:
    """A name as it may be printed and written: what is no UTF-8 becomes an escape."""
    return name.encode("utf-8", "backslashreplace").decode()


def walk(root: Path, limit: int | None = None) -> list[str]:
    """Paths of all files below a folder, relative to it with forward slashes, in order.

    What begins with a dot is left out, and links to folders are not followed.

    Args:
        root: the folder.
        limit: stop after about this many; None: never.

    Returns:
        The paths, sorted.

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

    Raises:
        WorkspaceError: the file cannot be written.
    """
    short = path.name.encode(errors="surrogateescape")[:200].decode(errors="ignore")
    temporary = path.with_name(f".{short}.{os.getpid()}.tmp")  # no longer than names may be
    if what_is(path) not in ("a file", "nothing"):
        raise WorkspaceError(
            f"{path}: this is {what_is(path)}, and csa never replaces it; move it, or give another "
            f"name"
        )
    _unfinished.add(temporary)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise unwritable(path, error) from None
    finally:  # whatever ended it, a signal too
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        _unfinished.discard(temporary)


def unwritable(path: Path, error: OSError, what: str = "") -> WorkspaceError:
    """The error to raise where a file or folder cannot be written.

    Args:
        path: the file or folder.
        error: what the system says.
        what: a name of what it holds, such as "the demo", where the path does not say it.

    Returns:
        The error, with its remedy.
    """
    subject = f"{what} " if what else ""
    why = error.strerror or "another process has held its lock for a minute"
    cannot = f"{path}: {subject}cannot be written ({why})"
    if error.errno == errno.ENAMETOOLONG:
        return WorkspaceError(f"{cannot}; give a shorter name")
    return WorkspaceError(f"{cannot}; free space or fix its permissions")


def remove_unfinished() -> None:
    """Remove the temporary files that `write_atomic` has open: this process ends in the middle of
    it.
    """
    for temporary in list(_unfinished):
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, keys in the order given, with a final newline.

    Args:
        path: the file; its folder is made.
        value: what JSON can hold.

    Raises:
        WorkspaceError: the file cannot be written.
    """
    write_atomic(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def json_of(content: str | bytes) -> Any:
    """What JSON from elsewhere says.

    Args:
        content: its text.

    Returns:
        Plain data.

    Raises:
        ValueError: it is none, or nested deeper than Python follows.

    >>> json_of("[" * 100_000)
    Traceback (most recent call last):
    ValueError: nested too deep
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("nested too deep") from None


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
