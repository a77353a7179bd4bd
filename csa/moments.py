"""Sufficient statistics of paired features: all that a fit needs to know of the data.

Moments add and subtract exactly, so shards, days, teams and folds merge, and a fold or a deleted item leaves, without a second
look at the features (Chan, Golub & LeVeque 1983, the pairwise update of means and scatter matrices).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from csa.container import load_tensors, save_tensors
from csa.errors import FeatureError

Array = NDArray[Any]
Float64 = NDArray[np.float64]

_BLOCK_ROWS = 4096


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, means and centred scatter matrices of n pairs (x, y).

    Attributes:
        n: number of pairs.
        mean_x, mean_y: means, shapes (p,) and (q,).
        cxx, cyy, cxy: sums over pairs of centred products, shapes (p, p), (q, q) and (p, q); divided by n they are the second
            moments Sxx, Syy and Sxy.
    """

    n: int
    mean_x: Float64
    mean_y: Float64
    cxx: Float64
    cyy: Float64
    cxy: Float64

    @classmethod
    def empty(cls, p: int, q: int) -> "Moments":
        """The moments of no pairs: the neutral element of addition."""
        return cls(0, np.zeros(p), np.zeros(q), np.zeros((p, p)), np.zeros((q, q)), np.zeros((p, q)))

    @classmethod
    def from_arrays(cls, X: ArrayLike, Y: ArrayLike) -> "Moments":
        """Moments of paired features X (n, p) and Y (n, q), in one pass and float64 whatever the input's type.

        Raises:
            FeatureError: not two finite matrices with the same number of rows.

        >>> m = Moments.from_arrays([[0.0], [2.0]], [[1.0], [5.0]])
        >>> m.n, m.mean_y.tolist(), m.cxy.tolist()
        (2, [3.0], [[4.0]])
        """
        X, Y = check_pairs(X, Y)
        blocks = ((X[i : i + _BLOCK_ROWS], Y[i : i + _BLOCK_ROWS]) for i in range(0, len(X), _BLOCK_ROWS))
        return sum((cls._of_block(x, y) for x, y in blocks), start=cls.empty(X.shape[1], Y.shape[1]))

    @classmethod
    def from_blocks(cls, blocks: Iterable[tuple[ArrayLike, ArrayLike]]) -> "Moments":
        """Moments of a stream of blocks of pairs, for features that do not fit in memory.

        Raises:
            FeatureError: no block at all, or an unusable one.
        """
        parts = (cls.from_arrays(x, y) for x, y in blocks)
        first = next(parts, None)
        if first is None:
            raise FeatureError("no blocks of features; the stream was empty, so check what it reads")
        return sum(parts, start=first)

    @classmethod
    def _of_block(cls, X: Array, Y: Array) -> "Moments":
        x, y = X.astype(np.float64), Y.astype(np.float64)
        mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
        x -= mean_x
        y -= mean_y
        return cls(len(x), mean_x, mean_y, x.T @ x, y.T @ y, x.T @ y)

    @property
    def shape(self) -> tuple[int, int]:
        """Dimensions (p, q) of the two views."""
        p, q = self.cxy.shape
        return p, q

    def __add__(self, other: "Moments") -> "Moments":
        """Moments of both sets of pairs together."""
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
            raise FeatureError(f"cannot take {other.n} pairs out of {self.n}: they are not a part of these moments")
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
                f"moments of {self.shape} and {other.shape} dimensions do not combine; they come from other encoders"
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
        return cls(n=header["n"], **tensors)


def check_pairs(X: ArrayLike, Y: ArrayLike) -> tuple[Array, Array]:
    """Two finite real matrices with the same number of rows, or one clear error."""
    x, y = check_features(X, "X"), check_features(Y, "Y")
    if len(x) != len(y):
        raise FeatureError(
            f"X has {len(x)} rows and Y has {len(y)}: row i of both must be one pair; repeat an image once per caption"
        )
    return x, y


def check_features(features: ArrayLike, name: str, dimension: int | None = None) -> Array:
    """A finite real matrix (n, d), its floating-point type kept; `dimension` is the d that is expected.

    Raises:
        FeatureError: another shape or type, NaN or infinity; the message names the first bad row and column.
    """
    matrix = np.asarray(features)
    if matrix.ndim != 2:
        raise FeatureError(f"{name} must be a matrix (items, dimensions), got shape {matrix.shape}; reshape one item to (1, d)")
    if not np.issubdtype(matrix.dtype, np.number) or np.issubdtype(matrix.dtype, np.complexfloating):
        raise FeatureError(f"{name} must hold real numbers, got {matrix.dtype}")
    if not np.issubdtype(matrix.dtype, np.floating):
        matrix = matrix.astype(np.float64)
    if matrix.shape[1] == 0 or dimension not in (None, matrix.shape[1]):
        raise FeatureError(
            f"{name} has {matrix.shape[1]} dimensions, expected {dimension or 'at least 1'}; was another encoder used for it?"
        )
    finite = np.isfinite(matrix)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise FeatureError(
            f"{name} has {(~finite).sum()} values that are NaN or infinite, the first at row {row}, column {column}; "
            "drop those rows or repair the encoder's output"
        )
    return matrix
