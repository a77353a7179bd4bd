"""Training pairs with their folds: what cross-validation inside a fit works on."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg

from csa.core.clusters import distinct_rows
from csa.core.crossfit import CrossFit, Held, Shrinkage
from csa.core.matrices import Array
from csa.core.moments import Moments
from csa.core.preparation import Preparation
from csa.errors import FeatureError

# A view of far fewer items than dimensions is turned into the span of its items, where everything
# is cheaper.
_SPAN_SHARE = 0.75
_SPAN_CUT = 1e-6


@dataclass(frozen=True, eq=False)
class Training:
    """Training pairs and their folds.

    Attributes:
        X, Y: features, (n, p) and (n, q).
        group: group number of each pair; pairs of one group are relevant to each other.
        fold: fold number of each pair.
        seed: of all random choices.
        dimensions: principal dimensions of either view that cross-fitting looks at; None for all.
    """

    X: Array
    Y: Array
    group: NDArray[np.intp]
    fold: NDArray[np.intp]
    seed: int
    dimensions: int | None = None

    @classmethod
    def of(cls, X: Array, Y: Array, groups: ArrayLike, folds: int, seed: int) -> "Training":
        """Assign folds.

        Raises:
            FeatureError: fewer than 2 groups.
        """
        group: NDArray[np.intp] = np.unique(np.asarray(groups), return_inverse=True)[1]
        return cls(X, Y, group, assign_folds(group, folds, seed), seed)

    @property
    def groups(self) -> int:
        """Number of groups."""
        return int(self.group.max()) + 1

    def prepared(self, prepare_x: Preparation, prepare_y: Preparation) -> "Training":
        """The same pairs with prepared features."""
        return replace(self, X=prepare_x(self.X), Y=prepare_y(self.Y))

    def sample(self, pairs: int) -> "Training":
        """About so many of the pairs, whole groups in folds of their own; all if there are no
        more.
        """
        if len(self.X) <= pairs:
            return self
        order = np.random.default_rng(self.seed).permutation(self.groups)
        rows = np.flatnonzero(
            np.isin(self.group, order[: max(2, round(len(order) * pairs / len(self.X)))])
        )
        return Training.of(
            self.X[rows], self.Y[rows], self.group[rows], int(self.fold.max()) + 1, self.seed
        ).sketched(self.dimensions)

    def sketched(self, dimensions: int | None) -> "Training":
        """The same pairs, cross-fitted in so many principal dimensions."""
        return replace(self, dimensions=dimensions)

    def some(self, rows: NDArray[np.intp], most: int) -> NDArray[np.intp]:
        """At most so many of the rows, at random, ascending."""
        if len(rows) <= most:
            return rows
        return np.sort(np.random.default_rng(self.seed).choice(rows, most, replace=False))

    @cached_property
    def compact(self) -> "Compact":
        """The pairs in the spans of their items, with cross-fitting ready."""
        return Compact(self)


class Compact:
    """Pairs in fewer dimensions: within the spans of their views' items, and within their principal
    dimensions where so asked.

    Shrinkage pulls towards the mean eigenvalue. Where that is c times the mean over all dimensions,
    the same fit has shrinkage odds 1 / c times as large; `widened` and `narrowed` translate.

    Attributes:
        X, Y: the features in fewer dimensions.
        crossfit: from the folds' moments.
        moments: of the features as they are, where no dimension was left out; else None.
    """

    def __init__(self, training: Training):
        self.X, self._ratio_x = within_few_dimensions(training.X, training.dimensions)
        self.Y, self._ratio_y = within_few_dimensions(training.Y, training.dimensions)
        self.crossfit = CrossFit(Moments.of_folds(self.X, self.Y, training.fold))
        whole = self.X is training.X and self.Y is training.Y
        self.moments = self.crossfit.total if whole else None

    def widened(self, shrinkage: Shrinkage) -> Shrinkage:
        """The shrinkage of the whole space that gives the same fit."""
        return scale_odds(shrinkage[0], self._ratio_x), scale_odds(shrinkage[1], self._ratio_y)

    def narrowed(self, shrinkage: Shrinkage) -> Shrinkage:
        """The shrinkage within the spans that gives the same fit."""
        return scale_odds(shrinkage[0], 1 / self._ratio_x), scale_odds(
            shrinkage[1], 1 / self._ratio_y
        )

    def held(self, shrinkage: Shrinkage) -> Held:
        """Held-out weights and scales, the scales in the units of the whole space's coordinates."""
        held, (unit_x, unit_y) = (
            self.crossfit.measure(self.narrowed(shrinkage)),
            self.units(shrinkage),
        )
        return Held(held.weights, held.scale_a * unit_x, held.scale_b * unit_y)

    def units(self, shrinkage: Shrinkage) -> tuple[float, float]:
        """By how much coordinates of the whole space are longer: both whiten by one matrix but
        for the factor 1 - g before it.
        """
        pairs = zip(self.narrowed(shrinkage), shrinkage, strict=True)
        unit_x, unit_y = (
            float(np.sqrt((1 - narrow) / (1 - wide))) if wide < 1 else 1.0 for narrow, wide in pairs
        )
        return unit_x, unit_y


def within_few_dimensions(features: Array, dimensions: int | None) -> tuple[Array, float]:
    """Features (n, d') in principal axes of their items, and the ratio of mean eigenvalues; as
    they are where it saves little.
    """
    rows, d = distinct_rows(features), features.shape[1]
    most = min(dimensions or d, d)
    if most == d and len(rows) > _SPAN_SHARE * d:
        return features, 1.0
    items = features[rows].astype(np.float64)
    items -= items.mean(axis=0)
    if len(rows) < d:
        _, s, Vt = linalg.svd(items, full_matrices=False, check_finite=False)
        values, vectors = s**2, Vt.T
    else:
        values, vectors = linalg.eigh(items.T @ items, check_finite=False, driver="evd")
        values, vectors = values[::-1], vectors[:, ::-1]
    rank = min(int((values > _SPAN_CUT**2 * values[0]).sum()), most)
    if rank == 0:
        return features, 1.0
    ratio = float(values[:rank].mean() / (values.sum() / d))
    return (features - features.mean(axis=0, dtype=np.float64)) @ vectors[:, :rank], ratio


def scale_odds(share: float, factor: float) -> float:
    """The share whose odds are `factor` times as large."""
    if factor == 1.0:
        return share
    return share * factor / (share * factor + 1 - share)


def assign_folds(groups: ArrayLike, folds: int, seed: int) -> NDArray[np.intp]:
    """Fold number of every pair; a group is never split and folds have as equal numbers of groups
    as can be.

    Raises:
        FeatureError: fewer than 2 groups.
    """
    _, group_of = np.unique(np.asarray(groups), return_inverse=True)
    count = int(group_of.max(initial=-1)) + 1
    if count < 2:
        raise FeatureError(
            f"cross-fitting needs pairs of at least 2 groups, got {count}; fix shrinkage and "
            f"score by hand, or add pairs"
        )
    fold_of_group = np.random.default_rng(seed).permutation(count) % min(folds, count)
    fold: NDArray[np.intp] = fold_of_group[group_of]
    return fold
