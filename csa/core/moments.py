"""Sufficient statistics of paired features: all that a fit needs to know of the data.

Moments add and subtract exactly, so shards, days, teams and folds merge, and a fold or a deleted
item leaves, without a second look at the features (Chan, Golub & LeVeque 1983, the pairwise update
of means and scatter matrices).
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from csa.core.accumulate import (
    Accumulator,
    PrecisionError,
    buffer_rows,
    worth_single,
)
from csa.core.device_sums import accumulated
from csa.core.matrices import Array, Float64, check_features, check_pairs, paired_matrices
from csa.core.on_device import on_gpu
from csa.core.rows import Features, Rows, are_many, checked_pairs, paired_rows
from csa.core.threads import each
from csa.errors import ArtifactError, FeatureError, InputError
from csa.storage.container import load_tensors, save_tensors
from csa.storage.mapped import release_pages

__all__ = ["Array", "Float64", "Moments", "Precision", "check_features", "check_pairs"]

Precision = Literal["auto", "float64"]

# Rows that are read together where they are not all in memory, and blocks in hand at a time.
_BLOCK_ROWS = 4096
_TURNS = 4


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, means and centred scatter matrices of n pairs (x, y).

    Attributes:
        n: number of pairs.
        mean_x, mean_y: means, shapes (p,) and (q,).
        cxx, cyy, cxy: sums over pairs of centred products, shapes (p, p), (q, q) and (p, q);
            divided by n they are the second moments Sxx, Syy and Sxy.
    """

    n: int
    mean_x: Float64
    mean_y: Float64
    cxx: Float64
    cyy: Float64
    cxy: Float64

    @classmethod
    def empty(cls, p: int, q: int) -> "Moments":
        """The moments of no pairs: the neutral element of addition.

        Args:
            p, q: dimensions of the views.

        Returns:
            Moments of n = 0 pairs.
        """
        return cls(
            0, np.zeros(p), np.zeros(q), np.zeros((p, p)), np.zeros((q, q)), np.zeros((p, q))
        )

    @classmethod
    def from_arrays(cls, X: ArrayLike, Y: ArrayLike, precision: Precision = "auto") -> "Moments":
        """Moments of paired features, in one pass; sums are float64 whatever the features' type.

        Memory beside the features is of the size of the moments plus 50 MB: X and Y may be mapped
        files larger than memory.

        Args:
            X: first view, shape (n, p): numpy, torch or anything that numpy reads, of any real
                type. Torch tensors on an NVIDIA GPU are summed up there.
            Y: second view, shape (n, q); row i belongs to row i of X.
            precision: "auto" multiplies large sets of float32, float16 or bfloat16 features in
                float32, if their measured conditioning shows that no canonical correlation moves by
                1e-5, and else in float64. "float64" always does: then moments of parts add up to
                those of the whole to 1e-10, where "auto" promises 1e-6.

        Returns:
            Moments of the n pairs.

        Raises:
            FeatureError: not two finite matrices with the same number of rows.

        >>> m = Moments.from_arrays([[0.0], [2.0]], [[1.0], [5.0]])
        >>> m.n, m.mean_y.tolist(), m.cxy.tolist()
        (2, [3.0], [[4.0]])
        """
        if on_gpu(X, Y):
            there = cls.of_tensors(X, Y, precision)
            if there is not None:
                return there
        x, y = paired_rows(X, Y)
        if isinstance(x, Rows) or isinstance(y, Rows):
            turns = np.arange(len(x)) // _BLOCK_ROWS % _TURNS
            parts = cls.of_folds(x, y, turns, precision)
            return sum(parts[1:], start=parts[0])
        return cls._of_rows(x, y, None, _may_be_single(x, y, precision))[0]

    @classmethod
    def of_tensors(cls, X: Any, Y: Any, precision: Precision = "auto") -> "Moments | None":
        """Moments of paired torch tensors, summed up on the device where they lie; `from_arrays`
        calls it for tensors on a GPU.

        Args:
            X: first view, shape (n, p).
            Y: second view, shape (n, q), on the same device.
            precision: as of `from_arrays`.

        Returns:
            Moments of the n pairs; None where they are of no use: other numbers of rows, numbers
            that are not real, or not finite.
        """
        kinds = [tensor.is_floating_point() for tensor in (X, Y)]
        if not all(kinds) or not len(X) or len(X) != len(Y):
            return None
        p, q = X.shape[1], Y.shape[1]
        single = _may_be_single(X, Y, precision) and worth_single(p, q, len(X))
        for in_single in (True, False) if single else (False,):
            total = accumulated(X, Y, in_single)
            if total is not None:
                with suppress(PrecisionError):
                    return cls(*total.result())
        return None

    @classmethod
    def of_folds(
        cls, X: ArrayLike, Y: ArrayLike, fold: ArrayLike, precision: Precision = "auto"
    ) -> list["Moments"]:
        """Moments of each fold of paired features; the first fold that needs float64 decides for
        those that follow.

        Args:
            X: first view, shape (n, p).
            Y: second view, shape (n, q); row i belongs to row i of X.
            fold: number of each pair's fold, 0 to the number of folds less 1, shape (n,).
            precision: as of `from_arrays`.

        Returns:
            Moments by fold number.

        Raises:
            FeatureError: not two finite matrices with the same number of rows.
        """
        x, y = paired_rows(X, Y)
        numbers = np.asarray(fold)
        single, folds = _may_be_single(x, y, precision), []
        if isinstance(x, Rows) or isinstance(y, Rows) or are_many(x):
            return cls._of_folds_in_one_pass(x, y, numbers, single)
        for k in range(int(numbers.max(initial=-1)) + 1):
            moments, single = cls._of_rows(x, y, np.flatnonzero(numbers == k), single)
            folds.append(moments)
        return folds

    @classmethod
    def _of_folds_in_one_pass(
        cls, x: Features, y: Features, fold: NDArray[np.intp], single: bool
    ) -> list["Moments"]:
        """Moments of each fold, every row looked at once: some blocks are read at a time, and the
        folds are summed up side by side.
        """
        counts = np.bincount(fold)
        single = single and worth_single(
            x.shape[1], y.shape[1], int(counts[counts > 0].min(initial=len(x)))
        )
        sums = [Accumulator(x.shape[1], y.shape[1], single, rows=int(n)) for n in counts]
        blocks = [slice(i, i + _BLOCK_ROWS) for i in range(0, len(x), _BLOCK_ROWS)]
        try:
            for at in range(0, len(blocks), _TURNS):
                read = each(lambda block: (block, x[block], y[block]), blocks[at : at + _TURNS])

                def add(k: int, read: list[tuple[slice, Array, Array]] = read) -> None:
                    for block, left, right in read:
                        mine = fold[block] == k
                        sums[k].add(left[mine], right[mine])

                each(add, range(len(sums)))
                for _, left, right in read:
                    release_pages(left)
                    release_pages(right)
            return [cls(*total.result()) for total in sums]
        except PrecisionError:
            return cls._of_folds_in_one_pass(x, y, fold, single=False)
        except FeatureError:
            checked_pairs(x, y)
            raise

    @classmethod
    def _of_rows(
        cls, x: Array, y: Array, rows: NDArray[np.intp] | None, single: bool
    ) -> tuple["Moments", bool]:
        """Moments of some rows or of all, and whether float32 was not found to be too coarse."""
        n, p, q = len(x) if rows is None else len(rows), x.shape[1], y.shape[1]
        step = buffer_rows(p, q, np.dtype(np.float32))
        taken = (
            slice(i, i + step) if rows is None else rows[i : i + step] for i in range(0, n, step)
        )
        try:
            worth = single and worth_single(p, q, n)
            total = Accumulator(p, q, worth, rows=n)
            return cls._in_one_pass(((x[part], y[part]) for part in taken), total), single
        except PrecisionError:
            return cls._of_rows(x, y, rows, single=False)
        except FeatureError:
            check_pairs(x, y)  # counts all that is not finite, not only what one buffer held
            raise

    @classmethod
    def from_blocks(
        cls, blocks: Iterable[tuple[ArrayLike, ArrayLike]], precision: Precision = "auto"
    ) -> "Moments":
        """Moments of a stream of blocks of pairs, for features that do not fit in memory.

        Args:
            blocks: pairs of matrices as `from_arrays` takes them, of any numbers of rows. Something
                that can be iterated over twice (a list, an object with `__iter__`, not a generator)
                can be read again where float32 proves too coarse late.
            precision: as of `from_arrays`.

        Returns:
            Moments of the pairs of all blocks.

        Raises:
            FeatureError: no block at all, or an unusable one; a generator whose conditioning
                worsened too much to go on.
        """
        stream = iter(blocks)
        first = next(stream, None)
        if first is None:
            raise FeatureError(
                "no blocks of features; the stream was empty, so check what it reads"
            )
        x, y = paired_matrices(*first)
        p, q = x.shape[1], y.shape[1]
        single = _may_be_single(x, y, precision) and worth_single(p, q)
        try:
            return cls._in_one_pass(_rest(x, y, stream), Accumulator(p, q, single, early=True))
        except PrecisionError:
            if stream is blocks:
                raise FeatureError(
                    "the stream's features turned out too ill-conditioned for float32 after most "
                    "of it was read, and a generator "
                    'cannot be read again; give precision="float64"'
                ) from None
            return cls.from_blocks(blocks, precision="float64")

    @classmethod
    def _in_one_pass(cls, blocks: Iterable[tuple[Array, Array]], total: Accumulator) -> "Moments":
        for x, y in blocks:
            total.add(x, y)
            release_pages(x)
            release_pages(y)
        return cls(*total.result())

    @property
    def shape(self) -> tuple[int, int]:
        """Dimensions (p, q) of the two views."""
        p, q = self.cxy.shape
        return p, q

    def __add__(self, other: "Moments") -> "Moments":
        """Moments of both sets of pairs together.

        With d = m2 - m1, the mean is m1 + (n2 / n) d and the scatter C1 + C2 + (n1 n2 / n) d d'
        (Chan, Golub & LeVeque 1983).
        """
        self._check_same_shape(other)
        if not self.n or not other.n:
            return other if not self.n else self
        n = self.n + other.n
        dx, dy = other.mean_x - self.mean_x, other.mean_y - self.mean_y
        between = self.n * other.n / n
        return Moments(
            n,
            self.mean_x + dx * (other.n / n),
            self.mean_y + dy * (other.n / n),
            self.cxx + other.cxx + between * np.outer(dx, dx),
            self.cyy + other.cyy + between * np.outer(dy, dy),
            self.cxy + other.cxy + between * np.outer(dx, dy),
        )

    def __sub__(self, other: "Moments") -> "Moments":
        """Moments of the pairs that remain when those of `other`, a part of them, are taken out.

        Raises:
            FeatureError: `other` has more pairs, so it cannot be a part.
        """
        self._check_same_shape(other)
        n = self.n - other.n
        if n < 0:
            raise FeatureError(
                f"cannot take {other.n} pairs out of {self.n}: they are not a part of these moments"
            )
        if not other.n:
            return self
        if not n:
            return Moments.empty(*self.shape)
        mean_x = self.mean_x + (self.mean_x - other.mean_x) * (other.n / n)
        mean_y = self.mean_y + (self.mean_y - other.mean_y) * (other.n / n)
        dx, dy = other.mean_x - mean_x, other.mean_y - mean_y
        between = n * other.n / self.n
        return Moments(
            n,
            mean_x,
            mean_y,
            self.cxx - other.cxx - between * np.outer(dx, dx),
            self.cyy - other.cyy - between * np.outer(dy, dy),
            self.cxy - other.cxy - between * np.outer(dx, dy),
        )

    def _check_same_shape(self, other: "Moments") -> None:
        if self.shape != other.shape:
            raise FeatureError(
                f"moments of {self.shape} and {other.shape} dimensions do not combine; they come "
                f"from other encoders"
            )

    def save(self, path: str | Path) -> None:
        """Write to a safetensors file, atomically and with the same bytes every time."""
        tensors = {
            "mean_x": self.mean_x,
            "mean_y": self.mean_y,
            "cxx": self.cxx,
            "cyy": self.cyy,
            "cxy": self.cxy,
        }
        save_tensors(Path(path), "moments", {"n": self.n}, tensors)

    @classmethod
    def load(cls, path: str | Path) -> "Moments":
        """Read what `save` wrote, bit for bit.

        Raises:
            ArtifactError: not a file of moments, or a damaged one.
        """
        header, tensors = load_tensors(Path(path), "moments")
        if tensors.keys() != {"mean_x", "mean_y", "cxx", "cyy", "cxy"}:
            raise ArtifactError(
                f"{path}: holds {', '.join(tensors)}, not moments; compute it again"
            )
        p, q = (tensors[name].shape[:1] for name in ("mean_x", "mean_y"))
        shapes = {"mean_x": p, "mean_y": q, "cxx": p + p, "cyy": q + q, "cxy": p + q}
        n = header.get("n")
        wrong = [name for name, shape in shapes.items() if not _is_sum(tensors[name], shape)]
        if wrong or not isinstance(n, int) or n < 0:
            raise ArtifactError(
                f"{path}: its {(wrong or ['n'])[0]} cannot be that of moments; the file is damaged "
                f"or was made up: restore it, or compute it again"
            )
        return cls(n=n, **{name: tensors[name] for name in shapes})


def _is_sum(values: Array, shape: tuple[int, ...]) -> bool:
    return values.dtype.kind == "f" and values.shape == shape and bool(np.isfinite(values).all())


def _may_be_single(x: Any, y: Any, precision: Precision) -> bool:
    if precision not in ("auto", "float64"):
        raise InputError(f"precision must be 'auto' or 'float64', got {precision!r}")
    return precision == "auto" and max(x.dtype.itemsize, y.dtype.itemsize) <= 4


def _rest(
    x: Array, y: Array, stream: Iterable[tuple[ArrayLike, ArrayLike]]
) -> Iterable[tuple[Array, Array]]:
    """The first block and those that follow it, each checked against it."""
    yield x, y
    p, q = x.shape[1], y.shape[1]
    del x, y
    for X, Y in stream:
        x, y = paired_matrices(X, Y)
        if (x.shape[1], y.shape[1]) != (p, q):
            raise FeatureError(
                f"blocks of {(p, q)} and {(x.shape[1], y.shape[1])} dimensions do not combine; "
                f"they come from other encoders"
            )
        yield x, y
