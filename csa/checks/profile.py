"""What drift is measured against: mean and covariance of the training groups, and of a pool's
unpaired items, in a model's leading canonical coordinates; kept with every fit.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from csa.core.alignment import Alignment
from csa.core.matrices import Array, Float64
from csa.core.rows import Features, are_many
from csa.core.threads import by_rows
from csa.evaluation.bootstrap import group_means, number_groups
from csa.results.fit import KeptProfile

_COMPONENTS = 32
_GROUPS_PER_COMPONENT = 10
# Of many pairs, so many groups say where a view lies.
_MOST_GROUPS = 10_000
_SEED = 0


@dataclass(frozen=True, eq=False)
class Profile:
    """Mean and covariance, over training groups or a pool's items, of leading canonical
    coordinates.

    Attributes:
        groups: how many groups, or items of a pool.
        mean: shape (v, r): of both views of pairs, of the one view of a pool.
        covariance: shape (v, r, r).
        sampled: how many of the groups mean and covariance are of; None where they are of all.
    """

    groups: int
    mean: Float64
    covariance: Float64
    sampled: int | None = None

    @property
    def looked_at(self) -> int:
        """How many groups mean and covariance are of."""
        return self.sampled or self.groups

    @classmethod
    def of(
        cls, alignment: Alignment, X: Features, Y: Features, group: NDArray[np.intp]
    ) -> "Profile":
        """The profile of pairs in the leading coordinates, one for ten groups, at most 32.

        Args:
            alignment: whose coordinates.
            X, Y: features of the pairs, shapes (n, p) and (n, q); of many pairs, 10,000 groups are
                looked at.
            group: group number of each pair, shape (n,).

        Returns:
            The profile, in which each group counts by the mean of its pairs.
        """
        groups = int(group.max()) + 1
        if are_many(group) and groups > _MOST_GROUPS:
            chosen = np.random.default_rng(_SEED).permutation(groups)[:_MOST_GROUPS]
            rows = np.flatnonzero(np.isin(group, chosen))
            some = cls.of(alignment, X[rows], Y[rows], number_groups(group[rows]))
            return replace(some, groups=groups, sampled=_MOST_GROUPS)
        r = _how_many(alignment, groups)
        return cls._of(
            [
                group_means(_leading(alignment, np.asarray(features), view, r), group)
                for view, features in enumerate((X, Y))
            ]
        )

    @classmethod
    def of_pool(cls, alignment: Alignment, items: Array, view: int) -> "Profile":
        """The profile of unpaired items in the leading coordinates, one for ten items, at most 32.

        Args:
            alignment: whose coordinates.
            items: features, shape (n, d).
            view: 0 for the first, 1 for the second.

        Returns:
            The profile of this view.
        """
        r = _how_many(alignment, len(items))
        return cls._of([_leading(alignment, items, view, r)])

    @classmethod
    def _of(cls, views: list[Float64]) -> "Profile":
        return cls(
            len(views[0]),
            np.stack([view.mean(axis=0) for view in views]),
            np.stack([np.atleast_2d(np.cov(view.T, bias=True)) for view in views]),
        )

    @classmethod
    def of_record(cls, kept: KeptProfile) -> "Profile":
        """What `record` gave."""
        return cls(kept.groups, np.asarray(kept.mean), np.asarray(kept.covariance), kept.sampled)

    @property
    def record(self) -> KeptProfile:
        """As fit.json holds it."""
        return KeptProfile(self.groups, self.mean.tolist(), self.covariance.tolist(), self.sampled)

    def leading(self, r: int) -> "Profile":
        """The first r coordinates alone."""
        return replace(self, mean=self.mean[:, :r], covariance=self.covariance[:, :r, :r])


def _how_many(alignment: Alignment, groups: int) -> int:
    enough = min(groups // _GROUPS_PER_COMPONENT, len(alignment.canonical_correlations))
    return max(1, min(_COMPONENTS, enough))


def _leading(alignment: Alignment, features: Array, view: int, r: int) -> Float64:
    """The first r canonical coordinates of a view's items."""
    name = "XY"[view]
    return by_rows(lambda rows: alignment.transform(**{name: rows})[:, :r], features)
