"""Files of a data set by their value in the pairs table, also inside containers, which are never
unpacked.

PATH names a file. PATH.tar!MEMBER is a member of a tar, PATH.arrow!ROW/COLUMN and
PATH.parquet!ROW/COLUMN are cells of a Hugging Face data set, and PATH.ts!ROW or PATH.txt!ROW a
record of a file of many series.
"""

import io
import os
import re
import tarfile
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, islice
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from csa.datasets.parquet import ParquetFile
from csa.datasets.rows import ItemError, is_address
from csa.errors import DataError
from csa.extras import needed_for
from csa.modalities.image import white_of
from csa.modalities.series import split_records
from csa.storage.files import (
    POINTER_BYTES,
    guarded,
    open_item,
    plain_words,
    refuse_bomb,
    refuse_pointer,
    refuse_pointer_at,
    what_is,
)

_INSIDE = re.compile(r"(?P<file>.+\.(?:tar|arrow|parquet|ts|txt))!(?P<member>.+)", re.DOTALL)
_ROW = re.compile(
    r"(?P<file>.+\.(?:npy|npz|safetensors|parquet))(?:!(?P<columns>.*))?#\d+", re.DOTALL
)

_ROW_GROUPS = 2
_LONGEST_PATH = 255
_BASE64 = re.compile(r"[^A-Za-z0-9+/=_-]")  # what base64 never has
_BLOCK = 1 << 20


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
        if (plain := white_of(value)[0]) != value and not self._is_there(value):
            value = plain
        match = _INSIDE.fullmatch(value)
        if match is None or self._is_there(value):
            refuse_address(value)
            return open_item(inside(self._root, value), value, self._what)
        name = match["file"]
        with self._lock:
            if name not in self._open:
                self._open[name] = _OPENERS[PurePath(name).suffix](inside(self._root, name), name)
        try:
            item = self._open[name](match["member"])
        except KeyError:
            raise DataError(
                f"{value}: there is no such {self._what} in {name}; was the file replaced?"
            ) from None
        except OSError as error:
            raise DataError(
                f"{value}: cannot be read ({error.strerror}); is {name} still there?"
            ) from None
        refuse_pointer(item.read(POINTER_BYTES), value, self._what, name)
        item.seek(0)
        return item

    def _is_there(self, value: str) -> bool:
        return what_is(inside(self._root, value)) == "a file"


def refuse_address(value: str) -> None:
    """Refuse what is no path of a file on disk.

    Args:
        value: as the data set has it.

    Raises:
        ItemError: an address, or the file itself, written out as text.
    """
    if is_address(value):
        raise ItemError(
            f"{value[:80]!r} is an address on the web or of a file; a data set's files lie on "
            f"disk, so fetch them and name the files by their paths in its folder"
        )
    if len(value) > _LONGEST_PATH and not _BASE64.search(value):
        raise ItemError(
            f"{value[:20]!r}... is perhaps an item that was written out as text; write its bytes "
            f"into a file, and name that"
        )


def file_of(value: str) -> str:
    """The file that a value of the pairs table lies in."""
    value = white_of(value)[0]
    match = _INSIDE.fullmatch(value) or _ROW.fullmatch(value)
    return match["file"] if match else value


def inside(root: Path, value: str) -> Path:
    """The file that a path of the data set names.

    Args:
        root: the data set's folder.
        value: the path.

    Returns:
        The path; whether anything lies there was not looked at.

    Raises:
        DataError: it is absolute, or leads out of the folder by ".." or by a symbolic link. Links
            within one cached repository of the Hugging Face hub are its own.
    """
    if "\0" in value or PurePath(value).is_absolute():
        raise DataError(
            f"{value[:80]!r}: not a path relative to the data set's folder; a data set may only "
            f"name its own files"
        )
    path = root / value
    try:
        real, home = path.resolve(), _resolved(root)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "a link to itself"
        raise DataError(f"{value[:80]!r}: names no file ({reason}); correct the path") from None
    if not real.is_relative_to(home) and not _same_repository(home, real):
        raise DataError(
            f"{value!r}: leads out of the data set's folder; a data set may only name its own files"
        )
    return path


@lru_cache(maxsize=64)
def _resolved(root: Path) -> Path:
    return root.resolve()


def _same_repository(home: Path, real: Path) -> bool:
    """Whether a file is a blob of the hub's cached repository that the folder is a snapshot of."""
    for snapshots in (home, *home.parents):
        if snapshots.parent.name == "snapshots":
            return real.is_relative_to(snapshots.parent.parent / "blobs")
    return False


@dataclass(frozen=True)
class Member:
    """A file in a tar: its name, and where its bytes lie."""

    name: str
    offset: int
    size: int


def tar_members(path: Path, name: str, count: int | None = None) -> list[Member]:
    """Every file in an uncompressed tar, in its order; a name may be there twice. Links are files.

    Args:
        path: of the tar.
        name: what errors call it.
        count: look at no more than this many members; None looks at all.

    Returns:
        Each with the place of its bytes.

    Raises:
        DataError: missing, damaged or compressed, or two tars in one file.
    """
    with guarded(name, "an uncompressed tar"), open_item(path, name, "tar") as file:
        size = path.stat().st_size
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                found = _members(islice(tar, count))
                ends = tar.offset
        except tarfile.TarError as error:
            raise DataError(
                f"{name}: not readable as an uncompressed tar ({plain_words(error)}); fetch it "
                f"again, or decompress it"
            ) from None
        if count is None:
            _check_end(file, ends, name)
    if any(member.offset + member.size > size for member in found):
        raise DataError(
            f"{name}: not readable as an uncompressed tar (its last member is cut off); fetch it "
            f"again"
        )
    return found


def _members(entries: Iterable[tarfile.TarInfo]) -> list[Member]:
    """Files; a link has the bytes of the member it names, or none where there is no such one."""
    found: list[Member] = []
    places: dict[str, Member] = {}
    for entry in entries:
        name = entry.name.removeprefix("./")
        if entry.islnk() or entry.issym():
            folder = PurePath(name).parent if entry.issym() else PurePath()
            target = places.get(os.path.normpath(folder / entry.linkname))
            member = replace(target, name=name) if target else Member(name, 0, 0)
        elif entry.isfile():
            member = Member(name, entry.offset_data, entry.size)
        else:
            continue
        found.append(member)
        places[os.path.normpath(name)] = member
    return found


def _check_end(file: BinaryIO, ends: int, name: str) -> None:
    """Refuse what lies behind the last member: tarfile stops without a word at a damaged header,
    and where one tar was put behind another.
    """
    file.seek(ends)
    while block := file.read(_BLOCK):
        if block.count(0) < len(block):
            raise DataError(
                f"{name}: there is more behind its last member, because of a damaged member or a "
                f"second tar; fetch it again, or unpack it with tar --ignore-zeros -xf and pack "
                f"it again"
            )


def _open_tar(path: Path, name: str) -> Callable[[str], BinaryIO]:
    members = {member.name: member for member in tar_members(path, name)}

    def open_member(name: str) -> BinaryIO:
        member = members[name]
        with path.open("rb") as file:
            file.seek(member.offset)
            return io.BytesIO(file.read(member.size))

    return open_member


def read_arrow(path: Path, name: str) -> Any:
    """A Hugging Face Arrow file, memory-mapped; both the stream and the file format.

    Args:
        path: of the file.
        name: what errors call it.

    Returns:
        A pyarrow Table, of which every offset was checked.

    Raises:
        DataError: missing, damaged, or pyarrow is not installed.
    """
    with needed_for(f"{name}: an Arrow file", DataError):
        import pyarrow as pa
    if what_is(path) != "a file":
        raise DataError(f"{name}: no such Arrow file; is the data set complete?")
    try:
        refuse_pointer_at(path, name, "table")
        source = pa.memory_map(str(path))
        try:
            stream = pa.ipc.open_stream(source)
            batches = _bounded(stream, name, path.stat().st_size)
            table = pa.Table.from_batches(batches, stream.schema)
        except pa.ArrowInvalid:
            source.seek(0)
            file = pa.ipc.open_file(source)
            found = map(file.get_batch, range(file.num_record_batches))
            batches = _bounded(found, name, path.stat().st_size)
            table = pa.Table.from_batches(batches, file.schema)
    except (pa.ArrowException, OSError, MemoryError, ValueError) as error:
        raise DataError(
            f"{name}: damaged Arrow file ({plain_words(error)}); fetch it again"
        ) from None
    return table


def _bounded(batches: Iterable[Any], name: str, size: int) -> Iterator[Any]:
    """Batches as they are unpacked, as long as they are sound and no bomb."""
    unpacked = 0
    for batch in batches:
        batch.validate(full=True)  # before a cell is looked at: a wrong offset ends the process
        unpacked += batch.nbytes
        refuse_bomb(name, unpacked, size)
        yield batch


def _open_arrow(path: Path, name: str) -> Callable[[str], BinaryIO]:
    table = read_arrow(path, name)
    return _open_cells(name, table.num_rows, table.column_names, lambda i, c: table.column(c)[i])


def _open_parquet(path: Path, name: str) -> Callable[[str], BinaryIO]:
    """Cells of a Parquet file; the row groups that were decoded last are kept."""
    file = ParquetFile(path, name)
    starts = list(accumulate(file.groups, initial=0))
    lock = threading.Lock()

    @lru_cache(maxsize=_ROW_GROUPS)
    def decoded(column: str, group: int) -> Any:
        return file.read([column], group).column(0)

    def cell(row: int, column: str) -> Any:
        group = bisect_right(starts, row) - 1
        with lock:  # each group is decoded once, whoever asks first
            return decoded(column, group)[row - starts[group]]

    return _open_cells(name, file.height, file.names, cell)


def _open_cells(
    name: str, height: int, columns: list[str], cell: Callable[[int, str], Any]
) -> Callable[[str], BinaryIO]:
    """The bytes of cells ROW/COLUMN; `cell` gives a pyarrow scalar."""

    def open_cell(member: str) -> BinaryIO:
        row, _, column = member.partition("/")
        if not row.isdecimal() or int(row) >= height or column not in columns:
            raise KeyError(member)
        found = cell(int(row), column).as_py()
        content = found.get("bytes") if isinstance(found, dict) else found
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
    ".parquet": _open_parquet,
    ".ts": _open_records,
    ".txt": _open_records,
}
