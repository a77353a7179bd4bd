"""One pass over pairs to the sums of their products, as fast as the hardware multiplies matrices.

Both views are copied side by side into one buffer, shifted by a provisional mean, and one symmetric
product of the buffer gives all three scatter matrices. Products of float32 features are made in
float32 where that is measurably harmless and in float64 elsewhere; sums over buffers are float64
always (docs/decisions/0007-precision-and-routes.md).
"""

from typing import Any

import numpy as np
from scipy import linalg
from scipy.linalg import blas

from csa.core.matrices import Array, Float64, check_finite
from csa.errors import FeatureError

_BUFFER_BYTES = 50_000_000
_MAX_ROWS = 8192
# Sums of squares run in float32 over so many rows, then in float64: what single precision cannot
# add up is the diagonal.
_GROUP_ROWS = 64
# Below this many multiplications float64 costs under a tenth of a second, so nothing is to be
# gained.
_WORTH_FLOAT32 = 10**10
# Fewer rows a dimension say too little of the smallest eigenvalue.
_ROWS_PER_DIMENSION = 4
# Rounding of one entry of a float32 product relative to the norms of its columns: for columns that
# agree, and for unrelated ones (measured: 0.9-1.4e-7 and 0.4-1.0e-8 on five kinds of features and
# two OpenBLAS kernels, benchmarks/precision.py).
_ROUNDING_ALIKE, _ROUNDING_UNRELATED = 1.2e-7, 1e-8
# The estimated error of a canonical correlation that float32 products may cause; the promise is
# 1e-5.
_TOLERANCE = 3e-6
_PROBES = 8
# With fewer buffers than these, finding out early saves little; and the estimate from the first is
# this much too high.
_SEVERAL = 3


class PrecisionError(Exception):
    """Float32 products turned out too coarse for these features; internal, the caller repeats
    the pass in float64.
    """


class Accumulator:
    """Sums of pairs (x, y) and of their products, about a provisional mean.

    Args:
        p, q: dimensions of the views.
        single: multiply in float32 for as long as it is harmless; for features of at most 32 bits.
        rows: of the whole set, if known; a smaller buffer then serves a smaller set.
        early: judge float32 on the first full buffer too, while its rows are still here and cost
            nothing to multiply again.
    """

    def __init__(self, p: int, q: int, single: bool, rows: int | None = None, early: bool = False):
        self.p, self.q = p, q
        self._early = early
        self._rows_limit = rows
        self._flushed = 0
        self._shift: Array | None = None
        self._sums = np.zeros(p + q)
        self._squares = np.zeros(p + q)
        # In float64 only the upper triangles of xx and yy are filled before the result.
        self._xx, self._yy, self._xy = np.zeros((p, p)), np.zeros((q, q)), np.zeros((p, q))
        self._use(np.dtype(np.float32 if single else np.float64))

    @classmethod
    def of_sums(cls, rows: int, single: bool, *sums: Array) -> "Accumulator":
        """What was added up elsewhere, by the same rules; nothing is to be added.

        Args:
            rows: how many pairs.
            single: whether products were made in float32.
            sums: the provisional mean, and about it sums and sums of squares, all of shape
                (p + q,), and of products, shapes (p, p), (q, q) and (p, q).

        Returns:
            An accumulator that gives the result.
        """
        shift, values, squares, xx, yy, xy = sums
        total = cls(len(xx), len(yy), single, rows=1)
        total._flushed, total._shift = rows, shift
        total._sums, total._squares, total._xx, total._yy, total._xy = values, squares, xx, yy, xy
        return total

    def _use(self, dtype: np.dtype[Any]) -> None:
        rows = buffer_rows(self.p, self.q, dtype)
        rows = rows if self._rows_limit is None else min(rows, max(self._rows_limit, 1))
        self._buffer = np.empty((rows, self.p + self.q), dtype)
        self._block_product = (
            np.empty((self.p + self.q, self.p + self.q), dtype) if self.single else None
        )
        self._filled = 0

    @property
    def single(self) -> bool:
        """Whether products are made in float32."""
        return bool(self._buffer.dtype == np.float32)

    def add(self, X: Array, Y: Array) -> None:
        """Take in pairs.

        Args:
            X: rows of the first view, shape (m, p).
            Y: rows of the second view, shape (m, q).

        Raises:
            FeatureError: NaN or infinity.
        """
        start = 0
        while start < len(X):
            stop = min(len(X), start + len(self._buffer) - self._filled)
            here = slice(self._filled, self._filled + stop - start)
            for view, part in ((slice(None, self.p), X), (slice(self.p, None), Y)):
                target = self._buffer[here, view]
                if self._shift is None:
                    np.copyto(target, part[start:stop], casting="same_kind")
                else:
                    np.subtract(
                        part[start:stop],
                        self._shift[view],
                        out=target,
                        casting="same_kind",
                        dtype=self._buffer.dtype,
                    )
            self._filled = here.stop
            start = stop
            if self._filled == len(self._buffer):
                self._flush(full=True)

    def result(self) -> tuple[int, Float64, Float64, Float64, Float64, Float64]:
        """Count, means (p,) and (q,), and centred scatter matrices (p, p), (q, q) and (p, q);
        nothing can be added afterwards.

        Raises:
            FeatureError: NaN or infinity.
            PrecisionError: the products were made in float32 and that was too coarse.
        """
        self._flush(full=False)
        if self.single and self._error() > _TOLERANCE:
            raise PrecisionError
        n, p = max(self._flushed, 1), self.p
        for view, products in ((slice(None, p), self._xx), (slice(p, None), self._yy)):
            if not self.single:
                _mirror_upper(products)
            np.fill_diagonal(products, self._squares[view])
            _subtract_outer(products, self._sums[view], self._sums[view] / n)
        _subtract_outer(self._xy, self._sums[:p], self._sums[p:] / n)
        mean = self._sums / n if self._shift is None else self._shift + self._sums / n
        return self._flushed, mean[:p].copy(), mean[p:].copy(), self._xx, self._yy, self._xy

    def _flush(self, full: bool) -> None:
        rows = self._buffer[: self._filled]
        if not len(rows):
            return
        self._filled = 0
        first = self._shift is None
        raw = rows.copy() if first and self.single and self._early else None
        if first:
            with np.errstate(invalid="ignore", over="ignore"):
                mean = rows.mean(axis=0, dtype=np.float64)
            self._check(rows, mean)
            self._shift = mean.astype(rows.dtype)
            rows -= self._shift
        self._multiply(rows)
        self._flushed += len(rows)
        if raw is not None and (not full or self._error() > _TOLERANCE):
            self._start_again_in_double(raw)
        several = (self._rows_limit or 0) >= _SEVERAL * self._flushed
        # Few rows make the least eigenvalue look smaller than it is; what is refused here was
        # hopeless.
        if (
            raw is None
            and first
            and full
            and self.single
            and several
            and self._error() > _SEVERAL * _TOLERANCE
        ):
            raise PrecisionError

    def _multiply(self, rows: Array) -> None:
        grouped = len(rows) // _GROUP_ROWS * _GROUP_ROWS
        groups = rows[:grouped].reshape(-1, _GROUP_ROWS, rows.shape[1])
        with np.errstate(invalid="ignore", over="ignore"):
            for part in (groups, rows[None, grouped:]):
                squares = np.einsum("gid,gid->gd", part, part).sum(axis=0, dtype=np.float64)
                self._check(rows, squares)
                self._squares += squares
                self._sums += np.einsum("gid->gd", part).sum(axis=0, dtype=np.float64)
        p = self.p
        if self._block_product is None:
            x, y = rows[:, :p].T, rows[:, p:].T
            blas.dsyrk(1.0, x, 1.0, self._xx.T, lower=1, overwrite_c=1)
            blas.dsyrk(1.0, y, 1.0, self._yy.T, lower=1, overwrite_c=1)
            blas.dgemm(1.0, y, x, 1.0, self._xy.T, trans_b=1, overwrite_c=1)
        else:  # numpy sees that both factors are one matrix and makes the symmetric product
            np.matmul(rows.T, rows, out=self._block_product)
            self._xx += self._block_product[:p, :p]
            self._yy += self._block_product[p:, p:]
            self._xy += self._block_product[:p, p:]

    def _check(self, rows: Array, sums: Float64) -> None:
        """Tell apart features that are not finite, those too large for float32, and those too
        large for any square.
        """
        if np.isfinite(sums).all():
            return
        check_finite(rows[:, : self.p], "X", self._flushed)
        check_finite(rows[:, self.p :], "Y", self._flushed)
        if self.single:
            raise PrecisionError
        raise FeatureError(
            "features are so large that their squares overflow; divide them by a constant"
        )

    def _start_again_in_double(self, raw: Array) -> None:
        assert self._shift is not None
        shift = self._shift.astype(np.float64)
        for total in (self._sums, self._squares, self._xx, self._yy, self._xy):
            total[:] = 0.0
        self._use(np.dtype(np.float64))
        self._shift = shift
        self._flushed = 0
        self.add(raw[:, : self.p], raw[:, self.p :])

    def _error(self) -> float:
        """Estimated error of canonical correlations from float32 products: of both views
        together.
        """
        if self._flushed < _ROWS_PER_DIMENSION * max(self.p, self.q):
            return float("inf")
        bias = (
            np.divide(
                np.r_[np.diag(self._xx), np.diag(self._yy)],
                self._squares,
                where=self._squares > 0,
                out=np.ones(self.p + self.q),
            )
            - 1
        )
        alike = max(_ROUNDING_ALIKE, float(np.sqrt((bias**2).mean())))
        x, y = slice(None, self.p), slice(self.p, None)
        return self._view_error(self._xx, x, alike) + self._view_error(self._yy, y, alike)

    def _view_error(self, products: Float64, view: slice, alike: float) -> float:
        """What rounding does at most to the directions of one view, once they are scaled to unit
        variance.

        With R the correlations between columns, the error in direction u is u'Eu / u'Ru, where the
        entries of E are independent with standard deviation sqrt((alike R_ij)^2 + unrelated^2), and
        none on the diagonal.
        """
        scale = np.sqrt(self._squares[view]).astype(np.float32)
        seen = scale > 0  # a constant column is exactly zero, and the solver cuts it
        if not seen.any():
            return 0.0
        R = products.astype(np.float32)
        scale, sums = scale[seen], self._sums[view][seen].astype(np.float32)
        R = R if seen.all() else R[np.ix_(seen, seen)]
        R /= scale
        R /= scale[:, None]
        share = sums / scale / np.float32(np.sqrt(self._flushed))
        R -= share[:, None] * share
        np.fill_diagonal(R, 1 - share**2)
        least = _least_eigenvalue(R)
        if least <= 0:
            return float("inf")
        np.fill_diagonal(R, 0.0)
        overlap = max(float(R.max()), -float(R.min()))
        return float(np.hypot(alike * overlap, _ROUNDING_UNRELATED)) / least


def _least_eigenvalue(R: Array) -> float:
    """Of a symmetric matrix, by block inverse iteration; 0 if it is not positive definite."""
    try:
        factor = linalg.cho_factor(R, lower=False, check_finite=False)
    except linalg.LinAlgError:
        return 0.0
    U = np.random.default_rng(0).standard_normal((len(R), min(_PROBES, len(R))), dtype=np.float32)
    for _ in range(4):
        U = np.linalg.qr(linalg.cho_solve(factor, U, check_finite=False))[0]
    return float(np.linalg.eigvalsh(U.T @ (R @ U))[0])


def _mirror_upper(matrix: Float64) -> None:
    """Copy the upper triangle onto the lower one, in place and in blocks that stay in the cache."""
    for i in range(0, len(matrix), 64):
        rows = slice(i, i + 64)
        matrix[rows, rows] = np.triu(matrix[rows, rows]) + np.triu(matrix[rows, rows], 1).T
        matrix[i + 64 :, rows] = matrix[rows, i + 64 :].T


def _subtract_outer(matrix: Float64, a: Float64, b: Float64) -> None:
    """matrix -= a b', in place."""
    blas.dger(-1.0, b, a, a=matrix.T, overwrite_a=1)


def worth_single(p: int, q: int, n: int = 100_000) -> bool:
    """Whether n pairs, or the many of a stream, are enough for float32 products to pay.

    Args:
        p, q: dimensions of the views.
        n: number of pairs.

    Returns:
        Whether float32 is worth its check.
    """
    return n * (p + q) ** 2 >= _WORTH_FLOAT32 and n >= _ROWS_PER_DIMENSION * max(p, q)


def buffer_rows(p: int, q: int, dtype: np.dtype[Any]) -> int:
    """Rows multiplied at once: about 50 MB, and enough of them to judge the conditioning of wide
    views.

    Args:
        p, q: dimensions of the views.
        dtype: float32 or float64, in which products are made.

    Returns:
        Rows of the buffer.
    """
    fitting = min(_BUFFER_BYTES // (dtype.itemsize * (p + q)), _MAX_ROWS)
    return max(fitting, _ROWS_PER_DIMENSION * max(p, q) if dtype.itemsize == 4 else 256)
