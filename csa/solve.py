"""From moments to the canonical decomposition.

With Sxx, Syy, Sxy the (shrunk) second moments, T = Wx' Sxy Wy = U diag(rho) V' where Wx Wx' is the (pseudo-)inverse of Sxx; then
A = Wx U, B = Wy V satisfy A' Sxx A = B' Syy B = I and A' Sxy B = diag(rho) (Hotelling 1936; Li et al. 2024, eq. 3).
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from csa.errors import FeatureError
from csa.moments import Float64, Moments


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

        Raises:
            FeatureError: the view is constant.
        """
        d = len(scatter)
        mean_value = float(np.trace(scatter)) / (n * d)
        values, vectors = linalg.eigh(scatter / n, check_finite=False, driver="evd")
        values, vectors = values[::-1], vectors[:, ::-1]
        # The usual rank tolerance max(n, d) eps, on eigenvalues of a product matrix; n - 1 bounds the rank of centred data.
        keep = values > max(n, d) * np.finfo(np.float64).eps * max(values[0], 0.0)
        keep[max(n - 1, 0) :] = False
        rounding = (
            np.finfo(np.float64).eps * np.abs(mean).max(initial=0.0)
        ) ** 2  # what subtracting the mean leaves of a constant
        if mean_value <= rounding or not keep.any():
            raise FeatureError(f"{name} is constant over its {n} rows, so nothing can be aligned; was one item embedded for all?")
        return cls(values[keep], np.ascontiguousarray(vectors[:, keep]), mean_value)

    def whitening_scale(self, shrinkage: float) -> Float64:
        """1 / sqrt of the shrunk eigenvalues, (1 - g) value + g mean_value; shape (rank,)."""
        scale: Float64 = 1.0 / np.sqrt((1 - shrinkage) * self.values + shrinkage * self.mean_value)
        return scale


@dataclass(frozen=True, eq=False)
class Decomposition:
    """Canonical projections A (p, r), B (q, r) and their correlations rho (r,), descending, in [0, 1]."""

    A: Float64
    B: Float64
    rho: Float64


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
        if moments.n < 2:
            raise FeatureError(f"a fit needs at least 2 pairs, got {moments.n}")
        x = Spectrum.of(moments.cxx, moments.mean_x, moments.n, "X")
        y = Spectrum.of(moments.cyy, moments.mean_y, moments.n, "Y")
        return cls(x, y, x.vectors.T @ (moments.cxy / moments.n) @ y.vectors)

    def solve(self, shrinkage: tuple[float, float]) -> Decomposition:
        """The canonical decomposition under scale-free shrinkage (gx, gy), each in [0, 1]."""
        scale_x, scale_y = self.x.whitening_scale(shrinkage[0]), self.y.whitening_scale(shrinkage[1])
        T = scale_x[:, None] * self.cross * scale_y
        U, rho, Vt = _svd(T)
        U, V = _fix_signs(U, Vt.T)
        return Decomposition(
            A=self.x.vectors @ (scale_x[:, None] * U),
            B=self.y.vectors @ (scale_y[:, None] * V),
            rho=np.clip(rho, 0.0, 1.0),
        )


def solve(moments: Moments, shrinkage: tuple[float, float] = (0.0, 0.0)) -> Decomposition:
    """Canonical decomposition of the moments.

    Args:
        moments: of at least 2 pairs.
        shrinkage: (gx, gy); each view's S becomes (1 - g) S + g (trace S / d) I.

    Raises:
        FeatureError: fewer than 2 pairs, or a constant view.
    """
    return Factors.of(moments).solve(shrinkage)


def _svd(T: Float64) -> tuple[Float64, Float64, Float64]:
    try:
        U, rho, Vt = linalg.svd(T, full_matrices=False, check_finite=False, lapack_driver="gesdd")
    except linalg.LinAlgError:  # gesdd fails to converge on rare matrices that gesvd solves
        U, rho, Vt = linalg.svd(T, full_matrices=False, check_finite=False, lapack_driver="gesvd")
    return U, rho, Vt


def _fix_signs(U: Float64, V: Float64) -> tuple[Float64, Float64]:
    """Make the largest entry of each column of U positive, turning both views together, so that signs never vary."""
    largest = U[np.abs(U).argmax(axis=0), np.arange(U.shape[1])]
    sign = np.where(largest < 0, -1.0, 1.0)
    return U * sign, V * sign
