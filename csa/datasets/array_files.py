"""Files of features computed elsewhere, one row an item: .npy (memory-mapped), .npz,
.safetensors, .parquet.
"""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from csa.errors import DataError


def open_array(path: Path, name: str) -> NDArray[Any]:
    """The one matrix in a features file, shape (rows, dimensions), of its own number type.

    Args:
        path: the file; its ending says how it is read. A .npz or .safetensors holds exactly one
            array. A .parquet holds either
        one
            column of lists or one number column per dimension.
        name: what errors call it.

    Raises:
        DataError: missing, damaged, of another kind or shape, or not of real numbers.
    """
    readers: dict[str, Callable[[Path], NDArray[Any]]] = {
        ".npy": lambda file: np.load(file, mmap_mode="r", allow_pickle=False),
        ".npz": _read_npz,
        ".safetensors": _read_safetensors,
        ".parquet": _read_parquet,
    }
    from safetensors import SafetensorError

    read = readers.get(path.suffix.lower())
    if read is None:
        raise DataError(
            f"{name}: features cannot be read from {path.suffix or 'no'} files; use "
            f"{', '.join(readers)}"
        )
    if not path.is_file():
        raise DataError(f"{name}: no such features file; correct dataset.arrays")
    try:
        array = read(path)
    except (
        OSError,
        ValueError,
        EOFError,
        zipfile.BadZipFile,
        SafetensorError,
        TypeError,
        pl.exceptions.PolarsError,
    ) as error:
        words = " ".join(str(error).replace(str(path), name).split())
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
    return array


class ArrayRows:
    """Rows of feature files by their value in the pairs table, FILE#ROW; each file is opened
    once.
    """

    def __init__(self, find: Callable[[str], Path]):
        self._find = find
        self._open: dict[str, NDArray[Any]] = {}

    def __call__(self, value: str) -> NDArray[np.float32]:
        """One row as float32, shape (dimensions,).

        Raises:
            DataError: no such file or row.
        """
        name, _, row = value.rpartition("#")
        if name not in self._open:
            self._open[name] = open_array(self._find(name), name)
        array = self._open[name]
        if not row.isdecimal() or int(row) >= len(array):
            raise DataError(f"{value}: no such row; {name} has {len(array)} rows, counted from 0")
        # what float32 cannot hold becomes infinite, and is refused as that
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(array[int(row)], dtype="<f4")


def _only(names: list[str]) -> str:
    if len(names) != 1:
        raise ValueError(
            f"it holds {len(names)} arrays ({', '.join(names[:5])}); exactly one is expected"
        )
    return names[0]


def _read_npz(path: Path) -> NDArray[Any]:
    with np.load(path, allow_pickle=False) as arrays:
        array: NDArray[Any] = arrays[_only(arrays.files)]
        return array


def _read_safetensors(path: Path) -> NDArray[Any]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        array: NDArray[Any] = file.get_tensor(_only(list(file.keys())))
        return array


def _read_parquet(path: Path) -> NDArray[Any]:
    frame = pl.read_parquet(path)
    if frame.width == 1 and isinstance(frame.dtypes[0], pl.List | pl.Array):
        return _stack(frame.to_series())
    if any(not dtype.is_numeric() for dtype in frame.dtypes):
        raise ValueError(
            f"expected one column of lists, or number columns alone, got "
            f"{', '.join(map(str, frame.dtypes[:5]))}"
        )
    # A null becomes NaN, which is refused row by row.
    return frame.select(pl.all().cast(pl.Float32)).to_numpy()


def _stack(rows: pl.Series) -> NDArray[Any]:
    widths = (
        (rows.arr.len() if isinstance(rows.dtype, pl.Array) else rows.list.len()).unique().to_list()
    )
    if rows.null_count() or len(widths) != 1:
        raise ValueError(
            f"its lists have lengths {widths[:5]}; every row needs the same number of values"
        )
    return rows.explode().cast(pl.Float32).to_numpy().reshape(len(rows), -1)
