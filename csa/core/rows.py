"""Features that are read when they are asked for: matrices larger than memory.

A fit on many pairs looks at samples of rows, and once at all rows for their moments. So it needs no
matrix in memory, only something that gives the rows it names.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sized
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csa.core.matrices import Array, as_matrix, check_finite, check_same_rows

_MANY_PAIRS = 100_000

Picked = slice | NDArray[np.intp]
"""Rows by their numbers, or a range of them."""


class Rows(ABC):
    """A matrix whose rows are read when they are asked for.

    Attributes:
        shape: (n, d).
        dtype: of the numbers.
    """

    ndim = 2

    def __init__(self, shape: tuple[int, int], dtype: np.dtype[Any]):
        self.shape, self.dtype = shape, dtype

    def __len__(self) -> int:
        return self.shape[0]

    @abstractmethod
    def __getitem__(self, rows: Picked) -> Array:
        """Some rows, shape (k, d).

        Args:
            rows: their numbers, shape (k,), or a slice.

        Raises:
            FeatureError: NaN or infinity among them.
        """

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """All rows in memory, for whoever asks numpy for them."""
        return np.asarray(self[:], dtype=dtype)


Features = Array | Rows
"""Features of one view, shape (n, d): in memory, or read when they are asked for."""


def are_many(pairs: Sized) -> bool:
    """Whether a fit keeps no copy of all features of so many pairs: more than 100,000.

    They are prepared block by block and summed up to moments once, and everything else is asked of
    samples (docs/decisions/0040-a-million-pairs.md).
    """
    return len(pairs) > _MANY_PAIRS


def paired_rows(X: Any, Y: Any) -> tuple[Features, Features]:
    """Two real matrices with the same number of rows, which may lie elsewhere.

    Args:
        X: first view, shape (n, p): `Rows`, or what `csa.core.matrices.as_matrix` takes.
        Y: second view, shape (n, q); row i belongs to row i of X.

    Returns:
        Both; their values are not looked at.

    Raises:
        FeatureError: another shape or type, or different numbers of rows.
    """
    x, y = (
        features if isinstance(features, Rows) else as_matrix(features, name)
        for features, name in ((X, "X"), (Y, "Y"))
    )
    check_same_rows(x, y)
    return x, y


def checked_pairs(X: Any, Y: Any) -> tuple[Features, Features]:
    """The same, and no value in memory is NaN or infinite; `Rows` see to this as they are read.
    Few pairs are read into memory.

    Args:
        X: first view, shape (n, p).
        Y: second view, shape (n, q).

    Returns:
        Both.

    Raises:
        FeatureError: not two finite real matrices with the same number of rows.
    """
    x, y = paired_rows(X, Y)
    if not are_many(x):
        x, y = np.asarray(x), np.asarray(y)
    for features, name in ((x, "X"), (y, "Y")):
        if not isinstance(features, Rows):
            check_finite(features, name)
    return x, y


class MappedRows(Rows):
    """A map of rows that is made when they are asked for, such as prepared features.

    Args:
        rows: what is mapped, shape (n, d).
        work: takes some rows, shape (k, d), and gives as many, shape (k, m).
    """

    def __init__(self, rows: Features, work: Callable[[Array], Array]):
        self._rows, self._work = rows, work
        dtype = np.result_type(rows.dtype, np.float32)  # as precise as these came
        super().__init__((len(rows), work(rows[:1]).shape[1]), dtype)

    def __getitem__(self, rows: Picked) -> Array:
        return self._work(self._rows[rows]).astype(self.dtype, copy=False)


class PickedRows(Rows):
    """Some rows of a matrix in an order of their own, such as an image's once per caption.

    Args:
        rows: shape (n, d).
        numbers: which of them, shape (k,).
    """

    def __init__(self, rows: Features, numbers: NDArray[np.intp]):
        super().__init__((len(numbers), rows.shape[1]), rows.dtype)
        self._rows, self._numbers = rows, numbers

    def __getitem__(self, rows: Picked) -> Array:
        return self._rows[self._numbers[rows]]


class GatheredRows(Rows):
    """A few rows of many, read together when the first of them is asked for.

    Args:
        rows: where they are read, shape (n, d).
        numbers: of those that can be asked for, ascending.
    """

    def __init__(self, rows: Features, numbers: NDArray[np.intp]):
        super().__init__((len(rows), rows.shape[1]), rows.dtype)
        self._rows, self._numbers, self._reading = rows, numbers, Lock()
        self._gathered: Array | None = None

    def __getitem__(self, rows: Picked) -> Array:
        with self._reading:  # folds are worked on side by side, and one of them reads for all
            if self._gathered is None:
                self._gathered = self._rows[self._numbers]
        wanted = np.arange(len(self))[rows]
        place = np.searchsorted(self._numbers, wanted)
        if (self._numbers.take(place, mode="clip") != wanted).any():
            raise IndexError("a row is asked for that was not gathered")
        return self._gathered[place]


def some_rows(rows: Features, most: int, seed: int) -> Array:
    """All rows, or of many a random part in order.

    Args:
        rows: shape (n, d).
        most: how many of many.
        seed: of the choice.

    Returns:
        Shape (n, d) or (most, d).
    """
    if not are_many(rows):
        return np.asarray(rows)
    chosen = np.random.default_rng(seed).choice(len(rows), min(most, len(rows)), replace=False)
    return rows[np.sort(chosen)]
