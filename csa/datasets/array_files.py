"""Files of features computed elsewhere, one row an item: .npy (memory-mapped), .npz,
.safetensors, .parquet.
"""

import fnmatch
import json
import math
import re
import struct
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from csa.datasets.containers import inside
from csa.datasets.parquet import ParquetFile
from csa.datasets.reading import Reading
from csa.datasets.table_parts import by_numbers
from csa.errors import DataError
from csa.storage.files import plain_words, refuse_bomb, refuse_pointer_at, what_is
from csa.storage.mapped import release_pages

_NPY = b"\x93NUMPY"
_INDEX_NAMES = re.compile(
    r"(?i:(.*[._ -])?(id|ids|idx|index|row|rowid|uid|uuid|imgid|imageid|itemid|sampleid|sentid|key"
    r"|label|labels|class|target|group|split|fold|unnamed: \d+)|__.*__)|.*[a-z](Id|ID|Idx|Index)"
)
_COLUMNS = "say in dataset.columns which columns are, such as VIEW: 'd*'"
_LOOKED_AT = 1000
_MAPPED_BYTES = 64_000_000
_DISTINCT = 20


def open_array(path: Path, name: str, columns: str = "") -> NDArray[Any]:
    """The one matrix in a features file, shape (rows, dimensions), of its own number type.

    Args:
        path: the file; its ending says how it is read. A .npz or .safetensors holds exactly one
            array. A .parquet holds either one column of lists or one number column per dimension.
        name: what errors call it.
        columns: of a .parquet, the columns that are dimensions: names with * for any letters,
            separated by commas; "" for all.

    Returns:
        Shape (rows, dimensions).

    Raises:
        DataError: missing, damaged, of another kind or shape, not of real numbers, or with a
            column that counts its rows.
    """
    suffix = path.suffix.lower()
    if suffix not in _ENDINGS:
        raise DataError(
            f"{name}: features cannot be read from {path.suffix or 'no'} files; use "
            f"{', '.join(_ENDINGS)}"
        )
    if what_is(path) != "a file":
        raise DataError(f"{name}: no such features file; correct dataset.arrays")
    try:
        refuse_pointer_at(path, name, "array of features")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="csa|numpy")  # of headers in old spellings
            read = _READERS.get(suffix)
            array = read(path) if read else _read_parquet(path, name, columns)
    except DataError:
        raise
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # polars' PanicException is no Exception
        words = plain_words(error).replace(str(path), name)
        raise DataError(
            f"{name}: the features cannot be read ({words}); write the file again"
        ) from None
    if array.ndim != 2 or 0 in array.shape:
        raise DataError(
            f"{name}: features have shape {array.shape}; expected (rows, dimensions), one row an "
            f"item"
        )
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise DataError(
            f"{name}: features are of type {array.dtype}; expected real numbers, such as float32"
        )
    if suffix != ".parquet":
        _refuse_identifiers(array, name, [])
        release_pages(array)
    return array


def _refuse_identifiers(array: NDArray[Any], name: str, names: list[str]) -> None:
    """Refuse a column that counts the rows, or that holds whole numbers of which none comes twice
    where other columns do not.

    Raises:
        DataError: there is one; it would be a dimension of both views, and align them falsely.
    """
    if len(array) < 3 or array.shape[1] < 2:
        return
    with np.errstate(invalid="ignore"):
        head = np.asarray(array[:_LOOKED_AT], np.float64)
        whole = (head == np.rint(head)).all(axis=0)
        counts = whole & (np.abs(head[1] - head[0]) == 1)
    distinct = whole & (not whole.all() and len(array) >= _DISTINCT)
    for k in np.flatnonzero(counts | distinct):
        if len(np.unique(head[:, k])) < len(head):
            continue
        column = np.asarray(array[:, k], np.float64)
        counting = bool((np.abs(np.diff(column)) == 1).all())
        if counting or (distinct[k] and len(np.unique(column)) == len(column)):
            shown = ", ".join(f"{value:.0f}" for value in column[:3])
            called = f"column {names[k]!r}" if names else f"column {k}, counted from 0,"
            remedy = _COLUMNS if names else f"write the file without its column {k}"
            raise DataError(
                f"{name}: {called} names or counts the rows ({shown}), so it is not a feature; "
                f"{remedy}"
            )


class ArrayRows:
    """Rows of feature files by their value in the pairs table, FILE#ROW, or FILE!COLUMNS#ROW of a
    Parquet file; each file is opened once.

    Args:
        find: the path of a file by its name in the pairs table.
    """

    def __init__(self, find: Callable[[str], Path]):
        self._find = find
        self._open: dict[str, NDArray[Any]] = {}
        self._mapped = 0  # bytes of rows since memory was last given back

    def __call__(self, value: str) -> NDArray[np.float32]:
        """One row as float32, shape (dimensions,).

        Raises:
            DataError: no such file or row.
        """
        name, _, row = value.rpartition("#")
        if name not in self._open:
            file, _, columns = name.partition(".parquet!")
            file = f"{file}.parquet" if columns else file
            self._open[name] = open_array(self._find(file), file, columns)
        array = self._open[name]
        if not row.isdecimal() or int(row) >= len(array):
            raise DataError(f"{value}: no such row; {name} has {len(array)} rows, counted from 0")
        self._mapped += array[:1].nbytes
        if self._mapped > _MAPPED_BYTES:  # the system counts what was read of a file as ours
            self._mapped = 0
            for opened in self._open.values():
                release_pages(opened)
        # what float32 cannot hold becomes infinite, and is refused as that
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(array[int(row)], dtype="<f4")


def array_rows(
    reading: Reading,
    height: int | None,
    owner: str,
    tables: Sequence[tuple[str, int]] = (),
) -> dict[str, list[str | None]]:
    """The FILE#ROW values of every view in `dataset.arrays`.

    A folder in place of a file holds parts, which are read in the order of their numbers.

    Args:
        reading: of the data set.
        height: how many rows each must have; None: as many as the first has.
        owner: what has that many rows, for errors.
        tables: the parts of a table that the rows are of, each with its number of rows.

    Returns:
        View -> the value of each row.

    Raises:
        DataError: a file is unusable, or its number of rows differs.
    """
    values: dict[str, list[str | None]] = {}
    parts = {owner: list(tables)}
    for view, name in reading.params.arrays.items():
        parts[name] = _parts(reading, name, reading.params.columns.get(view, ""))
        values[view] = [f"{part}#{row}" for part, count in parts[name] for row in range(count)]
        count = len(values[view])
        if height is None:
            height, owner = count, name
        if count != height:
            raise DataError(
                f"{name} has {count} rows but {owner} has {height}; row i of each belongs "
                f"together, so the counts must agree"
            )
    _compare_parts(reading, {name: found for name, found in parts.items() if len(found) > 1})
    return values


def _compare_parts(reading: Reading, parts: dict[str, list[tuple[str, int]]]) -> None:
    """Refuse parts that belong to others, and note where their sizes differ.

    Raises:
        DataError: there are as many of them, with other numbers.
    """
    (first, mine), *others = parts.items() or [("", [])]
    for other, theirs in others:
        ours, found = ([_numbers(part) for part, _ in one] for one in (mine, theirs))
        if len(ours) == len(found) and ours != found:
            at = next(k for k, (one, two) in enumerate(zip(ours, found, strict=True)) if one != two)
            raise DataError(
                f"{theirs[at][0]} would be read with {mine[at][0]}, as parts are missing in "
                f"{first} or in {other}; row i of each belongs together, so fetch the missing parts"
            )
        if [count for _, count in mine] != [count for _, count in theirs]:
            reading.notes.append(
                f"the parts of {first} and of {other} have different numbers of rows; row i of all "
                f"parts of one is taken to belong to row i of all parts of the other"
            )


def _numbers(name: str) -> list[int]:
    """The numbers in the name of a part, by which it comes among its like."""
    return by_numbers(name.partition("!")[0])[0]


def _parts(reading: Reading, name: str, columns: str) -> list[tuple[str, int]]:
    """Each file of a view's features as the pairs table names it, with its number of rows."""
    chosen = f"!{columns}" if columns else ""
    if what_is(inside(reading.root, name)) != "a folder":
        return [(name + chosen, len(open_array(reading.open(name), name, columns)))]
    files = [file for file in reading.below(name) if Path(file).suffix.lower() in _ENDINGS]
    if not files:
        raise DataError(f"{name}: a folder without {', '.join(_ENDINGS)}; correct dataset.arrays")
    files.sort(key=by_numbers)
    arrays = {file: open_array(reading.open(file), file, columns) for file in files}
    widths = {array.shape[1] for array in arrays.values()}
    if len(widths) > 1:
        raise DataError(f"{name}: its parts have {sorted(widths)} dimensions; they must agree")
    reading.notes.append(f"{name}: {len(files)} parts, read in the order {files[0]} to {files[-1]}")
    return [(file + chosen, len(array)) for file, array in arrays.items()]


def _only(names: list[str]) -> str:
    if len(names) != 1:
        raise ValueError(
            f"it holds {len(names)} arrays ({', '.join(names[:5])}); exactly one is expected"
        )
    return names[0]


def _read_npy(path: Path) -> NDArray[Any]:
    with path.open("rb") as file:
        if file.read(len(_NPY)) != _NPY:
            raise ValueError(
                "it does not begin as a NumPy file; a raw memory dump or a pickle? save it with "
                "numpy.save"
            )
        file.seek(0)
        _check_header(file, path.stat().st_size)
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _read_npz(path: Path) -> NDArray[Any]:
    with zipfile.ZipFile(path) as archive:
        size = path.stat().st_size
        refuse_bomb(path.name, sum(one.file_size for one in archive.infolist()), size)
        for one in archive.infolist():
            with archive.open(one) as member:
                _check_header(member, one.file_size)
    with np.load(path, allow_pickle=False) as arrays:
        array: NDArray[Any] = arrays[_only(arrays.files)]
        return array


def _check_header(file: IO[bytes], size: int) -> None:
    """Refuse an array whose header promises more than is there: memory is taken before it is read.

    Raises:
        ValueError: it does, or the header cannot be read.
    """
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0
    if version > (1, 0):
        read = np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    promised = math.prod(shape) * dtype.itemsize
    if promised > size and not dtype.hasobject:
        raise ValueError(f"its header promises {promised:,} bytes, but it holds {size:,}")


def _read_safetensors(path: Path) -> NDArray[Any]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        key = _only(list(file.keys()))
        if file.get_slice(key).get_dtype() == "BF16":
            return _read_bfloat16(path, key)
        array: NDArray[Any] = file.get_tensor(key)
        return array


def _read_bfloat16(path: Path, key: str) -> NDArray[np.float32]:
    """The upper halves of float32, which NumPy has no type for; safetensors checked the header."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    entry = json.loads(content[8 : 8 + length])[key]
    start, end = entry["data_offsets"]
    halves = np.frombuffer(content[8 + length + start : 8 + length + end], "<u2")
    return (halves.astype("<u4") << 16).view("<f4").reshape(entry["shape"])


def _read_parquet(path: Path, name: str, columns: str) -> NDArray[Any]:
    file = ParquetFile(path, name)
    names = _chosen(name, file.names, columns)
    frame = pl.DataFrame(pl.from_arrow(file.read(names)))
    if frame.width == 1 and isinstance(frame.dtypes[0], pl.List | pl.Array):
        return _stack(name, frame.to_series())
    if any(not dtype.is_numeric() for dtype in frame.dtypes):
        raise DataError(
            f"{name}: expected one column of lists, or number columns alone, got "
            f"{', '.join(map(str, frame.dtypes[:5]))}; dataset.columns can name the columns that "
            f"are dimensions, such as 'd*'"
        )
    named = [] if columns else [column for column in names if _INDEX_NAMES.fullmatch(column)]
    if named and len(names) > 1:
        raise DataError(
            f"{name}: column {named[0]!r} names or counts the rows, or says their class, so it is "
            f"not a feature; {_COLUMNS}"
        )
    # A null becomes NaN, which is refused row by row.
    array = frame.select(pl.all().cast(pl.Float32)).to_numpy()
    if not columns:
        _refuse_identifiers(array, name, names)
    return array


def _chosen(file: str, names: list[str], columns: str) -> list[str]:
    patterns = [pattern.strip() for pattern in columns.split(",") if pattern.strip()]
    if not patterns:
        return names
    chosen = [name for name in names if any(fnmatch.fnmatchcase(name, one) for one in patterns)]
    if not chosen:
        raise DataError(
            f"{file}: no column is called {columns!r}; the columns are {', '.join(names[:9])}"
        )
    return chosen


def _stack(name: str, rows: pl.Series) -> NDArray[Any]:
    widths = (
        (rows.arr.len() if isinstance(rows.dtype, pl.Array) else rows.list.len()).unique().to_list()
    )
    if rows.null_count() or len(widths) != 1:
        raise DataError(
            f"{name}: its lists have lengths {widths[:5]}; every row needs the same number of "
            f"values"
        )
    return rows.explode().cast(pl.Float32).to_numpy().reshape(len(rows), -1)


_READERS: dict[str, Callable[[Path], NDArray[Any]]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".safetensors": _read_safetensors,
}
_ENDINGS = (*_READERS, ".parquet")
