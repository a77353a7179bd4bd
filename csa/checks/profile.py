"""What drift is measured against: mean and covariance of the training groups in a model's leading
canonical coordinates, kept with every fit.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csa.core.alignment import Alignment
from csa.core.matrices import Array, Float64
from csa.core.threads import by_rows
from csa.evaluation.bootstrap import group_means
from csa.results.fit import KeptProfile

_COMPONENTS = 32
_GROUPS_PER_COMPONENT = 10


@dataclass(frozen=True, eq=False)
class Profile:
    """Mean and covariance over training groups of each view's leading canonical coordinates.

    Attributes:
        groups: how many groups.
        mean: shape (2, r).
        covariance: shape (2, r, r).
    """

    groups: int
    mean: Float64
    covariance: Float64

    @classmethod
    def of(cls, alignment: Alignment, X: Array, Y: Array, group: NDArray[np.intp]) -> "Profile":
        """The profile of pairs in the leading coordinates, one for ten groups, at most 32.

        Args:
            alignment: whose coordinates.
            X, Y: features of the pairs, shapes (n, p) and (n, q).
            group: group number of each pair, shape (n,).

        Returns:
            The profile, in which each group counts by the mean of its pairs.
        """
        groups = int(group.max()) + 1
        r = max(
            1,
            min(
                _COMPONENTS, groups // _GROUPS_PER_COMPONENT, len(alignment.canonical_correlations)
            ),
        )
        leading = (
            by_rows(lambda rows: alignment.transform(X=rows)[:, :r], X),
            by_rows(lambda rows: alignment.transform(Y=rows)[:, :r], Y),
        )
        views = [group_means(coordinates, group) for coordinates in leading]
        return cls(
            groups,
            np.stack([view.mean(axis=0) for view in views]),
            np.stack([np.atleast_2d(np.cov(view.T, bias=True)) for view in views]),
        )

    @classmethod
    def of_record(cls, kept: KeptProfile) -> "Profile":
        """What `record` gave."""
        return cls(kept.groups, np.asarray(kept.mean), np.asarray(kept.covariance))

    @property
    def record(self) -> KeptProfile:
        """As fit.json holds it."""
        return KeptProfile(self.groups, self.mean.tolist(), self.covariance.tolist())

    def leading(self, r: int) -> "Profile":
        """The first r coordinates alone."""
        return Profile(self.groups, self.mean[:, :r], self.covariance[:, :r, :r])
