"""From features to the canonical decomposition, by the route that their shape and conditioning call
for.

| features | route |
|---|---|
| no more pairs than dimensions | thin singular value decompositions: the dual form, nothing d x d |
| well-conditioned, or shrunk | moments, then Cholesky or eigendecompositions (`csa.core.solve`) |
| worse than moments can carry | triangular factor of both views, in blocks: X, Y never squared |
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg

from csa.core.matrices import Array, Float64
from csa.core.moments import Moments
from csa.core.rows import Features, Rows, checked_pairs
from csa.core.solve import Decomposition, Factors, Spectrum, solve_by_cholesky, thin_svd
from csa.errors import FeatureError

# Rounding of float32 features, relative to their largest singular value: what is smaller is no
# signal.
_FLOAT32_CUT = 1e-7
# Moments square the condition: a matrix closer to singular than this has lost digits that the
# features still have.
_MOMENTS_LIMIT = 1e-10
_BLOCK_VALUES = 8_000_000


def decompose(
    X: ArrayLike | Rows,
    Y: ArrayLike | Rows,
    shrinkage: tuple[float, float] = (0.0, 0.0),
    moments: Moments | None = None,
) -> tuple[Moments, Decomposition]:
    """Moments and canonical decomposition of paired features.

    Args:
        X: first view, shape (n, p).
        Y: second view, shape (n, q).
        shrinkage: (gx, gy); each view's S becomes (1 - g) S + g (trace S / d) I.
        moments: of the same pairs, where they are at hand.

    Returns:
        The moments, and the decomposition of r components.

    Raises:
        FeatureError: unusable arrays, fewer than 2 pairs, or a constant view.

    >>> X = [[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 1.0]]
    >>> moments, decomposition = decompose(X, [[1.0], [3.0], [5.0], [7.0]])
    >>> moments.n, decomposition.rho.round(6).tolist()
    (4, [1.0])
    """
    x, y = checked_pairs(X, Y)
    if len(x) < 2:
        raise FeatureError(f"a fit needs at least 2 pairs, got {len(x)}")
    if moments is None:
        moments = Moments.from_arrays(x, y)
    if len(x) <= max(moments.shape):
        return moments, _thin_factors(np.asarray(x), np.asarray(y), moments).solve(shrinkage)
    decomposition = solve_by_cholesky(moments, shrinkage, _MOMENTS_LIMIT)
    if decomposition is not None:
        return moments, decomposition
    factors = _triangular_factors(x, y, moments) if min(shrinkage) == 0 else Factors.of(moments)
    return moments, factors.solve(shrinkage)


def _thin_factors(x: Array, y: Array, moments: Moments) -> Factors:
    """Spectra of both views from singular value decompositions of (n, d) matrices with n small."""
    root = np.sqrt(moments.n)
    Ux, sx, Vx = thin_svd((x - moments.mean_x) / root)
    Uy, sy, Vy = thin_svd((y - moments.mean_y) / root)
    x_view, keep_x = _spectrum(sx, Vx, x, moments.mean_x, "X")
    y_view, keep_y = _spectrum(sy, Vy, y, moments.mean_y, "Y")
    return Factors(
        x_view, y_view, sx[keep_x, None] * (Ux[:, keep_x].T @ Uy[:, keep_y]) * sy[keep_y]
    )


def _triangular_factors(x: Features, y: Features, moments: Moments) -> Factors:
    """Spectra of both views from the triangular factor R of [X Y] (Björck & Golub 1973), which
    has their singular values.
    """
    p, root = moments.shape[0], np.sqrt(moments.n)
    R = _triangle(x, y, moments) / root
    Ux, sx, Vx = thin_svd(R[:p, :p])
    Uy, sy, Vy = thin_svd(R[:, p:])
    x_view, keep_x = _spectrum(sx, Vx, x, moments.mean_x, "X")
    y_view, keep_y = _spectrum(sy, Vy, y, moments.mean_y, "Y")
    return Factors(
        x_view, y_view, sx[keep_x, None] * (Ux[:, keep_x].T @ Uy[:p, keep_y]) * sy[keep_y]
    )


def _triangle(x: Features, y: Features, moments: Moments) -> Float64:
    """R (p + q, p + q) with R'R the joint centred scatter, by stacking blocks of rows under it."""
    d = sum(moments.shape)
    R = np.zeros((0, d))
    for block in _centred_blocks(x, y, moments):
        R = linalg.qr(np.vstack([R, block]), mode="r", check_finite=False, overwrite_a=True)[0][:d]
    return np.vstack([R, np.zeros((d - len(R), d))])


def _centred_blocks(x: Features, y: Features, moments: Moments) -> Iterator[Float64]:
    rows = max(2 * sum(moments.shape), _BLOCK_VALUES // sum(moments.shape))
    for i in range(0, len(x), rows):
        yield np.hstack([x[i : i + rows] - moments.mean_x, y[i : i + rows] - moments.mean_y])


def _spectrum(
    s: Float64, V: Float64, view: Features, mean: Float64, name: str
) -> tuple[Spectrum, Array]:
    """A view's spectrum from its singular values, and which of them it keeps."""
    n, d = view.shape
    cut = _FLOAT32_CUT if view.dtype.itemsize <= 4 else max(n, d) * np.finfo(np.float64).eps
    keep = s > cut * s[0]
    keep[n - 1 :] = False
    spectrum = Spectrum(s[keep] ** 2, np.ascontiguousarray(V[:, keep]), float((s**2).sum()) / d)
    return spectrum.varying(mean, n, name), keep
