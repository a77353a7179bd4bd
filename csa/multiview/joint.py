"""From block moments to the joint canonical decomposition of m views (MAXVAR; Horst 1961,
Kettenring 1971).

With W_v whitening view v's (shrunk) second moment, R has blocks W_v' S_vw W_w and identities on its
diagonal. An eigenvector u = (u_1 … u_m) of R gives the coordinates a_v = (x_v - mean_v) sqrt(m) W_v
u_v, whose sum over the views has the greatest variance, in units of what independent views would
have: the eigenvalue 1 + (m - 1) rho. Two views give exactly the canonical correlation analysis of
`csa.core.solve`.
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from csa.core.matrices import Float64
from csa.core.solve import Spectrum
from csa.errors import FeatureError
from csa.multiview.block_moments import BlockMoments

# Components that connect nothing have the eigenvalue 1, up to rounding.
_CONNECTED = 1e-9
# A view that takes this little part in a component does not decide its sign.
_PART = 1e-6
_TIE = 1e-3


@dataclass(frozen=True, eq=False)
class JointDecomposition:
    """Projections of every view, (d_v, r) each, and rho (r,), descending: the mean correlation
    between views, in (0, 1].
    """

    projections: tuple[Float64, ...]
    rho: Float64


@dataclass(frozen=True, eq=False)
class JointFactors:
    """Spectra of all views and the cross moments between their eigenbases: what is shared by all
    shrinkages.
    """

    spectra: tuple[Spectrum, ...]
    cross: dict[tuple[int, int], Float64]

    @classmethod
    def of(cls, moments: BlockMoments, names: tuple[str, ...]) -> "JointFactors":
        """Decompose every view.

        Args:
            moments: of at least 2 items in m views.
            names: of the views, for messages.

        Returns:
            Spectra of the m views and their cross moments.

        Raises:
            FeatureError: fewer than 2 items, or a constant view.
        """
        if moments.n < 2:
            raise FeatureError(f"a fit needs at least 2 items that have all views, got {moments.n}")
        m = len(moments.widths)
        spectra = tuple(
            Spectrum.of(moments.scatter(v, v), moments.mean(v), moments.n, names[v])
            for v in range(m)
        )
        cross = {
            (v, w): spectra[v].vectors.T @ (moments.scatter(v, w) / moments.n) @ spectra[w].vectors
            for v in range(m)
            for w in range(v + 1, m)
        }
        return cls(spectra, cross)

    def solve(self, shrinkage: tuple[float, ...]) -> JointDecomposition:
        """The decomposition under scale-free shrinkage, one in [0, 1] per view."""
        m, ranks = len(self.spectra), [len(spectrum.values) for spectrum in self.spectra]
        scales = [
            spectrum.whitening_scale(g) for spectrum, g in zip(self.spectra, shrinkage, strict=True)
        ]
        start = np.concatenate([[0], np.cumsum(ranks)])
        R = np.eye(start[-1])
        for (v, w), cross in self.cross.items():
            block = scales[v][:, None] * cross * scales[w]
            R[start[v] : start[v + 1], start[w] : start[w + 1]] = block
            R[start[w] : start[w + 1], start[v] : start[v + 1]] = block.T
        values, vectors = linalg.eigh(R, check_finite=False, driver="evd", overwrite_a=True)
        keep = values > 1 + _CONNECTED
        values, vectors = values[keep][::-1], vectors[:, keep][:, ::-1]
        parts = [vectors[start[v] : start[v + 1]] for v in range(m)]
        projections = [
            spectrum.vectors @ ((np.sqrt(m) * scale)[:, None] * part)
            for spectrum, scale, part in zip(self.spectra, scales, parts, strict=True)
        ]
        sign = _signs(projections, [(part**2).sum(axis=0) for part in parts])
        return JointDecomposition(
            tuple(A * sign for A in projections), np.clip((values - 1) / (m - 1), 0.0, 1.0)
        )


def joint_solve(
    moments: BlockMoments, shrinkage: tuple[float, ...], names: tuple[str, ...]
) -> JointDecomposition:
    """The joint canonical decomposition of the moments; see `JointFactors`.

    Args:
        moments: of at least 2 items in m views.
        shrinkage: one number in [0, 1] a view.
        names: of the views, for messages.

    Returns:
        The decomposition of r components.

    Raises:
        FeatureError: fewer than 2 items, or a constant view.
    """
    return JointFactors.of(moments, names).solve(shrinkage)


def _signs(projections: list[Float64], parts: list[Float64]) -> Float64:
    """For every component the sign that makes the largest entry of its first view positive, of
    the first that takes part.
    """
    r = projections[0].shape[1]
    sign, open_ = np.ones(r), np.ones(r, dtype=np.bool_)
    for A, part in zip(projections, parts, strict=True):
        size = np.abs(A)
        first_large = (size >= (1 - _TIE) * size.max(axis=0, initial=0.0)).argmax(axis=0)
        decides = open_ & (part > _PART)
        sign[decides] = np.where(A[first_large, np.arange(r)] < 0, -1.0, 1.0)[decides]
        open_ &= ~decides
    return sign
