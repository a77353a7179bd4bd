"""Held-out moments of one fold's canonical coordinates under many shrinkages, at the cost of few.

With C the cross moment between the views' eigenbases and D = diag(d) their whitening scales, T = Dx
C Dy and T'T = Dy (C' Dx^2 C) Dy. All that a pair (gx, gy) needs from the larger view are three
matrices of the smaller view's size, made once per gx. Where the views are large, products are made
in float32 and the smaller view is restricted to the span of its leading canonical directions at two
reference shrinkages (Rayleigh and Ritz): shrinkage turns the leading directions, but little out of
that span.
"""

from typing import Any

import numpy as np
from scipy import linalg

from csa.core.matrices import Array, Float64
from csa.core.moments import Moments
from csa.core.solve import Spectrum

# Views of fewer dimensions are treated exactly and in float64: their products cost little.
_EXACT_DIMENSIONS = 384
# One reference alone looked good at itself and misjudged shrinkages far from it.
_REFERENCES = (0.05, 0.6)
_DIRECTIONS_PER_REFERENCE = 128


class FoldPreview:
    """One fold, ready for any shrinkage.

    Args:
        complement: moments of the training pairs.
        fold: moments of the held-out pairs.
    """

    def __init__(self, complement: Moments, fold: Moments):
        dtype: type[np.floating[Any]] = (
            np.float64 if max(complement.shape) <= _EXACT_DIMENSIONS else np.float32
        )
        x = Spectrum.of(complement.cxx.astype(dtype), complement.mean_x, complement.n, "X")
        y = Spectrum.of(complement.cyy.astype(dtype), complement.mean_y, complement.n, "Y")
        sxx, syy, sxy = _about(fold, complement, dtype)
        cross = complement.cxy.astype(dtype) / dtype(complement.n)
        self._swapped = len(x.values) < len(y.values)
        if self._swapped:
            x, y, sxx, syy, sxy, cross = y, x, syy, sxx, sxy.T, cross.T
        self._large, self._mean_small = x, y.mean_value
        C = x.vectors.T @ (cross @ y.vectors)
        basis = self._leading_directions(C, y)
        small = y.vectors if basis is None else y.vectors @ basis
        self._values = np.diag(y.values) if basis is None else (basis.T * y.values) @ basis
        self._C = C if basis is None else C @ basis
        self._H_large = sxx
        self._H_small = small.T @ syy @ small
        self._H_cross = x.vectors.T @ (sxy @ small)
        self._reduced: dict[float, tuple[Array, Array, Array]] = {}

    def _leading_directions(self, C: Array, small: Spectrum) -> Array | None:
        """Orthonormal basis of what the search needs of the smaller view, or nothing if that is
        all.
        """
        if len(small.values) <= _EXACT_DIMENSIONS:
            return None
        found = []
        for reference in _REFERENCES:
            scale = small.whitening_scale(reference)
            TC = self._large.whitening_scale(reference)[:, None] * C * scale
            vectors = linalg.eigh(TC.T @ TC, check_finite=False, driver="evd", overwrite_a=True)[1]
            found.append(scale[:, None] * vectors[:, : -_DIRECTIONS_PER_REFERENCE - 1 : -1])
        directions = np.hstack(found)
        basis: Array = linalg.qr(
            directions / np.linalg.norm(directions, axis=0), mode="economic", check_finite=False
        )[0]
        return basis

    def held_out_moments(self, shrinkage: tuple[float, float]) -> Float64:
        """Rows: held-out E[a_i^2], E[b_i^2], E[a_i b_i] of the leading canonical coordinates;
        shape (3, r).
        """
        g_large, g_small = reversed(shrinkage) if self._swapped else shrinkage
        G, P, Q = self._reduce(g_large)
        S = (1 - g_small) * self._values
        S[np.diag_indices_from(S)] += g_small * self._mean_small
        L = linalg.cholesky(S, lower=True, check_finite=False)
        half = linalg.solve_triangular(L, G, lower=True, check_finite=False)
        T2 = linalg.solve_triangular(L, half.T, lower=True, check_finite=False)
        values, V = linalg.eigh(T2, check_finite=False, driver="evd", overwrite_a=True)
        keep = values > values[-1] * 1e3 * np.finfo(values.dtype).eps
        rho = np.sqrt(values[keep][::-1])
        W = linalg.solve_triangular(L, V[:, keep][:, ::-1], lower=True, trans=1, check_finite=False)
        large, small, cross = (
            _diagonal(W, P) / rho**2,
            _diagonal(W, self._H_small),
            _diagonal(W, Q) / rho,
        )
        return np.array(
            [small, large, cross] if self._swapped else [large, small, cross], dtype=np.float64
        )

    def _reduce(self, shrinkage: float) -> tuple[Array, Array, Array]:
        if shrinkage not in self._reduced:
            DC = self._large.whitening_scale(shrinkage)[:, None] ** 2 * self._C
            turned = self._large.vectors @ DC
            self._reduced[shrinkage] = (
                self._C.T @ DC,
                turned.T @ (self._H_large @ turned),
                DC.T @ self._H_cross,
            )
        return self._reduced[shrinkage]


def _about(
    fold: Moments, complement: Moments, dtype: type[np.floating[Any]]
) -> tuple[Array, Array, Array]:
    """Second moments of a fold about the *training* means, as they are met when the fold is
    projected.
    """
    dx, dy = (
        (a - b).astype(dtype)
        for a, b in ((fold.mean_x, complement.mean_x), (fold.mean_y, complement.mean_y))
    )
    scatters = (fold.cxx, dx, dx), (fold.cyy, dy, dy), (fold.cxy, dx, dy)
    xx, yy, xy = (
        scatter.astype(dtype) / dtype(fold.n) + a[:, None] * b for scatter, a, b in scatters
    )
    return xx, yy, xy


def _diagonal(W: Array, S: Array) -> Array:
    """diag(W' S W)."""
    diagonal: Array = np.einsum("ir,ir->r", W, S @ W)
    return diagonal
