"""From moments to the canonical decomposition.

With Sxx, Syy, Sxy the (shrunk) second moments, T = Wx' Sxy Wy = U diag(rho) V' where Wx Wx' is the
(pseudo-)inverse of Sxx; then A = Wx U, B = Wy V satisfy A' Sxx A = B' Syy B = I and A' Sxy B =
diag(rho) (Hotelling 1936; Li et al. 2024, eq. 3).
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg
from scipy.linalg import lapack

from csa.core.matrices import Array, Float64
from csa.core.moments import Moments
from csa.errors import FeatureError

# In a space of few dimensions rounding does not shrink with them.
_FEW_DIMENSIONS = 256
# Below this reciprocal condition (1-norm, columns scaled to unit variance) eigenvalues tell signal
# from rounding.
_SAFE_RECIPROCAL_CONDITION = 1e-12
# Singular vectors from a Gram matrix are orthogonal to about eps over this, the square of the
# smallest correlation.
_LEAST_SQUARE = 1e-6
# Views that vary by less than this share of their mean are left to the eigenvalues too.
_NEARLY_CONSTANT = 1e-12
# Smaller correlations may be of directions that shrinkage alone made invertible.
_LEAST_CORRELATION = 1e-6
# Entries this close to a column's largest count as equally large, so that rounding does not pick
# the one that sets the sign.
_TIE = 1e-3


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigendecomposition of one view's second moment, kept so that every shrinkage reuses it.

    Attributes:
        values: the positive eigenvalues above the rank cut, descending, shape (rank,).
        vectors: their eigenvectors, shape (d, rank).
        mean_value: trace / d, the target that shrinkage pulls towards.
    """

    values: Float64
    vectors: Float64
    mean_value: float

    @classmethod
    def of(cls, scatter: Float64, mean: Float64, n: int, name: str) -> "Spectrum":
        """Decompose scatter / n; directions below the numerical rank are cut.

        Args:
            scatter: sum of centred products, shape (d, d).
            mean: of the view, shape (d,).
            n: number of pairs.
            name: of the view, for the message.

        Returns:
            The spectrum of scatter / n.

        Raises:
            FeatureError: the view is constant.
        """
        d, eps = len(scatter), float(np.finfo(scatter.dtype).eps)
        mean_value = float(np.trace(scatter)) / (n * d)
        values, vectors = linalg.eigh(
            scatter / scatter.dtype.type(n), check_finite=False, driver="evd", overwrite_a=True
        )
        values, vectors = values[::-1], vectors[:, ::-1]
        # Rounding of the scatter as it shows in its null space: of its entries in float64, of the
        # decomposition alone in float32. And n - 1 bounds the rank of centred data.
        rounding = (
            max(d, _FEW_DIMENSIONS) * eps if scatter.dtype == np.float64 else np.sqrt(d) * eps
        )
        keep = values > rounding * max(values[0], 0.0)
        keep[max(n - 1, 0) :] = False
        spectrum = cls(values[keep], np.ascontiguousarray(vectors[:, keep]), mean_value)
        return spectrum.varying(mean, n, name)

    def varying(self, mean: Float64, n: int, name: str) -> "Spectrum":
        """The spectrum itself, if the view varies.

        Args:
            mean: of the view, shape (d,).
            n: number of pairs.
            name: of the view, for the message.

        Returns:
            The same spectrum.

        Raises:
            FeatureError: the view is constant, up to what subtracting its mean leaves of a
                constant.
        """
        rounding = (np.finfo(np.float64).eps * np.abs(mean).max(initial=0.0)) ** 2
        if not len(self.values) or self.mean_value <= rounding:
            raise FeatureError(
                f"{name} is constant over its {n} rows, so nothing can be aligned; was one item "
                f"embedded for all?"
            )
        return self

    def whitening_scale(self, shrinkage: float) -> Float64:
        """1 / sqrt of the shrunk eigenvalues, (1 - g) value + g mean_value; shape (rank,)."""
        scale: Float64 = 1.0 / np.sqrt((1 - shrinkage) * self.values + shrinkage * self.mean_value)
        return scale


@dataclass(frozen=True, eq=False)
class Decomposition:
    """Canonical projections and their correlations.

    Attributes:
        A, B: projections, shapes (p, r) and (q, r).
        rho: canonical correlations, descending, in [0, 1], shape (r,).
    """

    A: Float64
    B: Float64
    rho: Float64

    def coordinates(self, moments: Moments, X: Array, Y: Array) -> tuple[Float64, Float64]:
        """Canonical coordinates a = (x - mean_x) A and b = (y - mean_y) B.

        Args:
            moments: of the pairs that were decomposed, for their means.
            X, Y: features, shapes (n, p) and (m, q).

        Returns:
            Coordinates (n, r) and (m, r).
        """
        return (X - moments.mean_x) @ self.A, (Y - moments.mean_y) @ self.B


@dataclass(frozen=True, eq=False)
class Factors:
    """Both views' spectra and the cross moment between them: what is shared by all shrinkages.

    Attributes:
        x, y: spectra of the two views.
        cross: Vx' Sxy Vy, shape (rank x, rank y).
    """

    x: Spectrum
    y: Spectrum
    cross: Float64

    @classmethod
    def of(cls, moments: Moments) -> "Factors":
        """Decompose both views of the moments.

        Raises:
            FeatureError: fewer than 2 pairs, or a constant view.
        """
        _check_enough(moments)
        x = Spectrum.of(moments.cxx, moments.mean_x, moments.n, "X")
        y = Spectrum.of(moments.cyy, moments.mean_y, moments.n, "Y")
        return cls(x, y, x.vectors.T @ (moments.cxy / moments.n) @ y.vectors)

    def solve(self, shrinkage: tuple[float, float]) -> Decomposition:
        """The canonical decomposition under scale-free shrinkage (gx, gy), each in [0, 1]."""
        scale_x, scale_y = (
            self.x.whitening_scale(shrinkage[0]),
            self.y.whitening_scale(shrinkage[1]),
        )
        U, rho, V = _singular_vectors(scale_x[:, None] * self.cross * scale_y)
        return _signed(
            self.x.vectors @ (scale_x[:, None] * U), self.y.vectors @ (scale_y[:, None] * V), rho
        )


def solve(moments: Moments, shrinkage: tuple[float, float] = (0.0, 0.0)) -> Decomposition:
    """Canonical decomposition of the moments, by the fastest route that their conditioning allows.

    Both views well-conditioned: Cholesky factors and the Gram matrix of the smaller view. Else:
    eigendecompositions of both views, with their numerical null spaces cut. Where both apply they
    agree.

    Args:
        moments: of at least 2 pairs.
        shrinkage: (gx, gy); each view's S becomes (1 - g) S + g (trace S / d) I.

    Returns:
        A (p, r), B (q, r) and rho (r,) with A' Sxx A = B' Syy B = I and A' Sxy B = diag(rho) (Li et
        al. 2024, eq. 3).

    Raises:
        FeatureError: fewer than 2 pairs, or a constant view.
    """
    _check_enough(moments)
    return solve_by_cholesky(moments, shrinkage) or Factors.of(moments).solve(shrinkage)


def _check_enough(moments: Moments) -> None:
    if moments.n < 2:
        raise FeatureError(f"a fit needs at least 2 pairs, got {moments.n}")


def solve_by_cholesky(
    moments: Moments, shrinkage: tuple[float, float], limit: float = _SAFE_RECIPROCAL_CONDITION
) -> Decomposition | None:
    """The decomposition by Cholesky factors, where the conditioning allows it.

    Sxx = L L', T = Lx^-1 Sxy Ly'^-1 = U diag(rho) V', A = Lx'^-1 U, B = Ly'^-1 V.

    Args:
        moments: of at least 2 pairs.
        shrinkage: (gx, gy), each in [0, 1].
        limit: least reciprocal condition (1-norm, columns at unit variance) of either view.

    Returns:
        The decomposition, or None if a view's reciprocal condition is under `limit`.
    """
    if moments.n <= max(moments.shape) and min(shrinkage) == 0:
        return None
    x = _Triangle.of(moments.cxx, moments.mean_x, moments.n, shrinkage[0], limit)
    y = (
        None
        if x is None
        else _Triangle.of(moments.cyy, moments.mean_y, moments.n, shrinkage[1], limit)
    )
    if x is None or y is None:
        return None
    T = y.whiten(x.whiten(moments.cxy / moments.n).T).T
    U, rho, V = _singular_vectors(T)
    r = min(len(rho), moments.n - 1)
    # perhaps directions without any variance, which only eigenvalues tell
    if not r or rho[r - 1] < _LEAST_CORRELATION:
        return None
    return _signed(x.unwhiten(U[:, :r]), y.unwhiten(V[:, :r]), rho[:r])


@dataclass(frozen=True, eq=False)
class _Triangle:
    """Cholesky factor of a view's shrunk second moment, its columns scaled to unit variance: S =
    D L L' D.
    """

    L: Float64
    scale: Float64

    @classmethod
    def of(
        cls, scatter: Float64, mean: Float64, n: int, shrinkage: float, limit: float
    ) -> "_Triangle | None":
        """Factorise; nothing if the matrix is not definite by a safe margin, or the view may be
        constant.
        """
        if np.trace(scatter) <= n * len(scatter) * (_NEARLY_CONSTANT * np.abs(mean).max()) ** 2:
            return None
        S = scatter * ((1 - shrinkage) / n)
        diagonal = np.diag(S) + shrinkage * np.trace(scatter) / (n * len(S))
        if not (diagonal > 0).all():
            return None
        scale = np.sqrt(diagonal)
        S /= scale
        S /= scale[:, None]
        np.fill_diagonal(S, 1.0)
        norm = lapack.dlange("1", S)
        L, failed = lapack.dpotrf(S.T, lower=1, clean=1, overwrite_a=1)
        if failed or lapack.dpocon(L, norm, uplo="L")[0] < limit:
            return None
        return cls(L, scale)

    def whiten(self, M: Float64) -> Float64:
        """L^-1 D^-1 M."""
        solved: Float64 = linalg.solve_triangular(
            self.L, M / self.scale[:, None], lower=True, check_finite=False, overwrite_b=True
        )
        return solved

    def unwhiten(self, M: Float64) -> Float64:
        """D^-1 L'^-1 M."""
        solved = linalg.solve_triangular(self.L, M, lower=True, trans=1, check_finite=False)
        return np.ascontiguousarray(solved) / self.scale[:, None]


def _singular_vectors(T: Float64) -> tuple[Float64, Float64, Float64]:
    """(U, rho, V) with T = U diag(rho) V', from the Gram matrix of the smaller side where that
    loses nothing.
    """
    tall = T if T.shape[0] >= T.shape[1] else T.T
    squares, small = linalg.eigh(tall.T @ tall, check_finite=False, driver="evd")
    if squares[0] < _LEAST_SQUARE:
        return thin_svd(T)
    rho, small = np.sqrt(squares[::-1]), small[:, ::-1]
    large = (tall @ small) / rho
    return (large, rho, small) if tall is T else (small, rho, large)


def thin_svd(M: Float64) -> tuple[Float64, Float64, Float64]:
    """(U, s, V) of a matrix, M = U diag(s) V'."""
    try:
        U, s, Vt = linalg.svd(M, full_matrices=False, check_finite=False, lapack_driver="gesdd")
    except linalg.LinAlgError:  # gesdd fails to converge on rare matrices that gesvd solves
        U, s, Vt = linalg.svd(M, full_matrices=False, check_finite=False, lapack_driver="gesvd")
    return U, s, Vt.T


def _signed(A: Float64, B: Float64, rho: Float64) -> Decomposition:
    """Turn each canonical pair so that the largest entry of its column of A is positive: signs
    never vary, whatever the route.
    """
    size = np.abs(A)
    first_large = (size >= (1 - _TIE) * size.max(axis=0)).argmax(axis=0)
    sign = np.where(A[first_large, np.arange(A.shape[1])] < 0, -1.0, 1.0)
    return Decomposition(A * sign, B * sign, np.clip(rho, 0.0, 1.0))
