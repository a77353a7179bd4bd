"""Moments of three views or more: the pairwise kind, with all views but the last standing side
by side in its first view.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import ArrayLike

from csa.core.matrices import Array, Float64, as_matrix
from csa.core.moments import Moments, Precision
from csa.errors import FeatureError, InputError


@dataclass(frozen=True, eq=False)
class BlockMoments:
    """Count, means and centred scatter blocks of n items seen in m views. Adds and subtracts as
    `Moments` does.

    Attributes:
        joint: moments of (all views but the last, joined; the last). Of two views they are just
            their moments.
        widths: dimensions of each view, m of them.
    """

    joint: Moments
    widths: tuple[int, ...]

    @classmethod
    def from_arrays(
        cls, views: Sequence[ArrayLike], precision: Precision = "auto"
    ) -> "BlockMoments":
        """Moments of m views of the same items.

        Args:
            views: m matrices of the same items, (n, d_v) each.
            precision: as of `Moments.from_arrays`.

        Returns:
            Moments of the n items.

        Raises:
            InputError: fewer than 2 views.
            FeatureError: views of different numbers of rows, NaN or infinity.
        """
        matrices = same_rows(views)
        *first, last = matrices
        joined = first[0] if len(first) == 1 else np.hstack(first)
        return cls(
            Moments.from_arrays(joined, last, precision), tuple(view.shape[1] for view in matrices)
        )

    @classmethod
    def of_folds(cls, views: Sequence[Array], fold: Array) -> list["BlockMoments"]:
        """Moments of each fold.

        Args:
            views: m matrices of the same items, (n, d_v) each.
            fold: number of each item's fold from 0, shape (n,).

        Returns:
            Moments by fold number.

        Raises:
            InputError: fewer than 2 views.
            FeatureError: views of different numbers of rows, NaN or infinity.
        """
        *first, last = same_rows(views)
        joined = first[0] if len(first) == 1 else np.hstack(first)
        widths = tuple(view.shape[1] for view in (*first, last))
        return [cls(moments, widths) for moments in Moments.of_folds(joined, last, fold)]

    @property
    def n(self) -> int:
        """Number of items."""
        return self.joint.n

    def mean(self, v: int) -> Float64:
        """Mean of view v, shape (d_v,)."""
        return self.joint.mean_y if v == len(self.widths) - 1 else self.joint.mean_x[self._slice(v)]

    def scatter(self, v: int, w: int) -> Float64:
        """Scatter between two views.

        Args:
            v, w: numbers of two views, from 0.

        Returns:
            Sum of centred products, shape (d_v, d_w).
        """
        last = len(self.widths) - 1
        if v == last:
            return self.joint.cyy if w == last else self.joint.cxy[self._slice(w)].T
        return (
            self.joint.cxy[self._slice(v)]
            if w == last
            else self.joint.cxx[self._slice(v), self._slice(w)]
        )

    def __add__(self, other: "BlockMoments") -> "BlockMoments":
        """Moments of both sets of items together."""
        self._check_same_views(other)
        return BlockMoments(self.joint + other.joint, self.widths)

    def __sub__(self, other: "BlockMoments") -> "BlockMoments":
        """Moments of what remains when a part is taken out."""
        self._check_same_views(other)
        return BlockMoments(self.joint - other.joint, self.widths)

    def _check_same_views(self, other: "BlockMoments") -> None:
        if self.widths != other.widths:
            raise FeatureError(
                f"moments of views of {self.widths} and {other.widths} dimensions do not combine; "
                f"they come from other encoders"
            )

    def _slice(self, v: int) -> slice:
        ends = list(accumulate(self.widths))
        return slice(ends[v] - self.widths[v], ends[v])


def same_rows(views: Sequence[ArrayLike]) -> list[Array]:
    """Two views or more as matrices of the same number of rows; their values are not looked at."""
    if len(views) < 2:
        raise InputError(f"at least two views are needed, got {len(views)}")
    matrices = [as_matrix(view, f"view {v}") for v, view in enumerate(views)]
    rows = [len(matrix) for matrix in matrices]
    if len(set(rows)) > 1:
        raise FeatureError(
            f"views have {rows} rows: row i of all must be one item; repeat an image once per "
            f"caption"
        )
    return matrices
