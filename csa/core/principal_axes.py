"""The leading principal axes of a view, found from its moments, and moments in them."""

from dataclasses import dataclass

from scipy import linalg

from csa.core.matrices import Float64
from csa.core.moments import Moments
from csa.core.rows import Features, MappedRows


@dataclass(frozen=True, eq=False)
class PrincipalAxes:
    """The leading principal axes of one view.

    Attributes:
        mean: of the features, shape (d,).
        axes: shape (d, d'); None if no dimension is left out.
        ratio: mean eigenvalue within the axes over that of all dimensions.
    """

    mean: Float64
    axes: Float64 | None = None
    ratio: float = 1.0

    @classmethod
    def of(cls, mean: Float64, scatter: Float64, dimensions: int | None) -> "PrincipalAxes":
        """The axes of centred features with this scatter.

        Args:
            mean: of the features, shape (d,).
            scatter: sum of outer products about the mean, shape (d, d).
            dimensions: how many axes at most; None for all, which are the features' own.

        Returns:
            The axes.
        """
        if dimensions is None or dimensions >= len(scatter):
            return cls(mean)
        values, vectors = linalg.eigh(scatter, check_finite=False, driver="evd")
        kept = slice(-1, -dimensions - 1, -1)
        return cls(mean, vectors[:, kept], float(values[kept].mean() / values.mean()))

    @property
    def whole(self) -> bool:
        """Whether no dimension is left out."""
        return self.axes is None

    def of_rows(self, features: Features) -> Features:
        """Features (n, d) in the axes, (n, d')."""
        axes = self.axes
        return features if axes is None else MappedRows(features, lambda x: (x - self.mean) @ axes)

    def of_mean(self, mean: Float64) -> Float64:
        """A mean in the axes."""
        return mean if self.axes is None else (mean - self.mean) @ self.axes

    def of_scatter(self, scatter: Float64, other: "PrincipalAxes") -> Float64:
        """Sums of products with another view's features, in both views' axes.

        Args:
            scatter: about the means, shape (d, e).
            other: the axes of the view of dimension e.

        Returns:
            Shape (d', e').
        """
        left = scatter if self.axes is None else self.axes.T @ scatter
        return left if other.axes is None else left @ other.axes


def in_axes(moments: Moments, x: PrincipalAxes, y: PrincipalAxes) -> Moments:
    """Moments of pairs in the axes of both views, without a look at the pairs.

    Args:
        moments: in all dimensions.
        x, y: the axes of either view.

    Returns:
        What `Moments.from_arrays` would say of `x.of_rows(X)` and `y.of_rows(Y)`.
    """
    return Moments(
        moments.n,
        x.of_mean(moments.mean_x),
        y.of_mean(moments.mean_y),
        x.of_scatter(moments.cxx, x),
        y.of_scatter(moments.cyy, y),
        x.of_scatter(moments.cxy, y),
    )
