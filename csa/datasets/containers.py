"""Files of a data set by their value in the pairs table, also inside containers, which are never
unpacked.

PATH names a file. PATH.tar!MEMBER is a member of a tar, PATH.arrow!ROW/COLUMN a cell of a Hugging
Face Arrow file, and PATH.ts!ROW or PATH.txt!ROW a record of a file of many series.
"""

import io
import re
import tarfile
import threading
from collections.abc import Callable
from itertools import islice
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from csa.errors import DataError
from csa.extras import needed_for
from csa.modalities.series import split_records
from csa.storage.files import open_item

_INSIDE = re.compile(r"(?P<file>.+\.(?:tar|arrow|ts|txt))!(?P<member>.+)")


class ItemFiles:
    """Opens items of one data set; what a container holds is looked up once.

    Safe to use from several threads, and pickled as its folder.

    Args:
        root: the data set's folder.
        what: the kind of items, for errors.
    """

    def __init__(self, root: Path, what: str):
        self._root, self._what = root, what
        self._open: dict[str, Callable[[str], BinaryIO]] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> Any:
        return ItemFiles, (self._root, self._what)

    def open(self, value: str) -> BinaryIO:
        """The item's bytes as an open, seekable file.

        Raises:
            DataError: no such file or member, a damaged container, or a path out of the folder.
        """
        match = _INSIDE.fullmatch(value)
        if match is None or inside(self._root, value).is_file():
            return open_item(inside(self._root, value), value, self._what)
        name = match["file"]
        with self._lock:
            if name not in self._open:
                self._open[name] = _OPENERS[PurePath(name).suffix](inside(self._root, name), name)
        try:
            return self._open[name](match["member"])
        except KeyError:
            raise DataError(
                f"{value}: there is no such {self._what} in {name}; was the file replaced?"
            ) from None
        except OSError as error:
            raise DataError(
                f"{value}: cannot be read ({error.strerror}); is {name} still there?"
            ) from None


def inside(root: Path, value: str) -> Path:
    """The file that a path of the data set names.

    Raises:
        DataError: it is absolute, or leads out of the folder by ".." or by a symbolic link.
    """
    if "\0" in value or PurePath(value).is_absolute():
        raise DataError(
            f"{value!r}: not a path relative to the data set's folder; a data set may only name "
            f"its own files"
        )
    path = root / value
    if not path.resolve().is_relative_to(root.resolve()):
        raise DataError(
            f"{value!r}: leads out of the data set's folder; a data set may only name its own files"
        )
    return path


def tar_members(path: Path, name: str) -> dict[str, tuple[int, int]]:
    """Offset and size of every file in an uncompressed tar, in its order.

    Raises:
        DataError: missing, damaged or compressed.
    """
    try:
        with open_item(path, name, "tar") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            return {
                member.name.removeprefix("./"): (member.offset_data, member.size)
                for member in tar
                if member.isfile()
            }
    except tarfile.TarError as error:
        raise DataError(
            f"{name}: not readable as an uncompressed tar ({error}); fetch it again, or "
            f"decompress it"
        ) from None


def first_members(path: Path, name: str, count: int = 50) -> list[str]:
    """Names of the first files in an uncompressed tar, however long it is.

    Raises:
        DataError: missing, damaged or compressed.
    """
    try:
        with open_item(path, name, "tar") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            return [member.name for member in islice(tar, count) if member.isfile()]
    except tarfile.TarError as error:
        raise DataError(
            f"{name}: not readable as an uncompressed tar ({error}); fetch it again, or "
            f"decompress it"
        ) from None


def _open_tar(path: Path, name: str) -> Callable[[str], BinaryIO]:
    members = tar_members(path, name)

    def open_member(member: str) -> BinaryIO:
        offset, size = members[member]
        with path.open("rb") as file:
            file.seek(offset)
            return io.BytesIO(file.read(size))

    return open_member


def read_arrow(path: Path, name: str) -> Any:
    """A Hugging Face Arrow file as a pyarrow Table, memory-mapped; both the stream and the file
    format.

    Raises:
        DataError: missing, damaged, or pyarrow is not installed.
    """
    with needed_for(f"{name}: an Arrow file", DataError):
        import pyarrow as pa
    if not path.is_file():
        raise DataError(f"{name}: no such Arrow file; is the data set complete?")
    try:
        source = pa.memory_map(str(path))
        try:
            return pa.ipc.open_stream(source).read_all()
        except pa.ArrowInvalid:
            source.seek(0)
            return pa.ipc.open_file(source).read_all()
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{name}: damaged Arrow file ({' '.join(str(error).split())[:100]}); fetch it again"
        ) from None


def _open_arrow(path: Path, name: str) -> Callable[[str], BinaryIO]:
    table = read_arrow(path, name)

    def open_cell(member: str) -> BinaryIO:
        row, _, column = member.partition("/")
        if not row.isdecimal() or int(row) >= table.num_rows or column not in table.column_names:
            raise KeyError(member)
        cell = table.column(column)[int(row)].as_py()
        content = cell.get("bytes") if isinstance(cell, dict) else cell
        if not isinstance(content, bytes):
            raise DataError(
                f"{name}!{member}: the cell holds no bytes; save the data set with its media "
                f"embedded"
            )
        return io.BytesIO(content)

    return open_cell


def _open_records(path: Path, name: str) -> Callable[[str], BinaryIO]:
    with open_item(path, name, "series") as file:
        records = split_records(file.read(), path.suffix)

    def open_record(member: str) -> BinaryIO:
        if not member.isdecimal() or int(member) >= len(records):
            raise KeyError(member)
        return io.BytesIO(records[int(member)])

    return open_record


_OPENERS: dict[str, Callable[[Path, str], Callable[[str], BinaryIO]]] = {
    ".tar": _open_tar,
    ".arrow": _open_arrow,
    ".ts": _open_records,
    ".txt": _open_records,
}
