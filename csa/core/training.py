"""Training pairs with their folds: what cross-validation inside a fit works on."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg

from csa.core.clusters import distinct_rows
from csa.core.crossfit import CrossFit
from csa.core.matrices import Array, Float64
from csa.core.moments import Moments
from csa.core.preparation import Preparation
from csa.core.principal_axes import PrincipalAxes, in_axes
from csa.core.rows import Features, GatheredRows, are_many
from csa.core.shrinkage import Spans
from csa.core.threads import WHOLE_ROWS, by_rows, in_blocks
from csa.errors import FeatureError

# A view of far fewer items than dimensions is turned into the span of its items, where everything
# is cheaper.
_SPAN_SHARE = 0.75
_SPAN_CUT = 1e-6
# Retrieval inside a fold needs no more pairs than this to rank a handful of candidates, nor hub
# centres more items.
_MAX_FOLD_PAIRS = 2000
MAX_HUB_ITEMS = 4000


class FoldSums:
    """Moments of each fold of pairs, taken once however many ask for them.

    Args:
        X, Y: features, (n, p) and (n, q).
        fold: fold number of each pair.
    """

    def __init__(self, X: Features, Y: Features, fold: NDArray[np.intp]):
        self._pairs = X, Y, fold

    @cached_property
    def moments(self) -> list[Moments]:
        """By fold number."""
        return Moments.of_folds(*self._pairs)


@dataclass(frozen=True, eq=False)
class Training:
    """Training pairs and their folds.

    Attributes:
        X, Y: features, (n, p) and (n, q).
        group: group number of each pair; pairs of one group are relevant to each other.
        fold: fold number of each pair.
        seed: of all random choices.
        dimensions: principal dimensions of either view that cross-fitting looks at; None for all.
        given_sums: the folds' moments, where they are shared with the same pairs in other
            dimensions.
    """

    X: Features
    Y: Features
    group: NDArray[np.intp]
    fold: NDArray[np.intp]
    seed: int
    dimensions: int | None = None
    given_sums: FoldSums | None = None

    @classmethod
    def of(
        cls, X: Features, Y: Features, groups: ArrayLike, folds: int = 5, seed: int = 0
    ) -> "Training":
        """Training pairs with folds assigned.

        Args:
            X, Y: features, shapes (n, p) and (n, q).
            groups: label of the item each pair belongs to, shape (n,).
            folds: how many; fewer where there are fewer groups.
            seed: of all random choices.

        Returns:
            The pairs, in the order given.

        Raises:
            FeatureError: fewer than 2 groups.
        """
        group: NDArray[np.intp] = np.unique(np.asarray(groups), return_inverse=True)[1]
        return cls(X, Y, group, assign_folds(group, folds, seed), seed)

    @property
    def groups(self) -> int:
        """Number of groups."""
        return int(self.group.max()) + 1

    @property
    def many(self) -> bool:
        """Whether there are too many pairs for a copy of all their features."""
        return are_many(self.X)

    @cached_property
    def sums(self) -> FoldSums:
        """The folds' moments, in all dimensions."""
        return self.given_sums or FoldSums(self.X, self.Y, self.fold)

    def prepared(self, prepare_x: Preparation, prepare_y: Preparation) -> "Training":
        """The same pairs with prepared features.

        Args:
            prepare_x, prepare_y: the preparation of either view.

        Returns:
            Training pairs in the same folds.
        """
        X, Y = _prepared(prepare_x, self.X), _prepared(prepare_y, self.Y)
        return replace(self, X=X, Y=Y, given_sums=None)

    def sample(self, pairs: int) -> "Training":
        """About this many of the pairs, whole groups in folds of their own; all if there are no
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
        """The same pairs, cross-fitted in this many principal dimensions."""
        return replace(self, dimensions=dimensions, given_sums=self.sums)

    def of_fold(self, k: int) -> NDArray[np.intp]:
        """Rows of the pairs that stand for a fold in retrieval, ascending: at most 2,000."""
        return self.some(np.flatnonzero(self.fold == k), _MAX_FOLD_PAIRS)

    @property
    def for_hubs(self) -> NDArray[np.intp]:
        """Rows of the pairs that hub centres are made from, ascending: at most 4,000."""
        return self.some(np.arange(len(self.X)), MAX_HUB_ITEMS)

    def outside_fold(self, k: int) -> NDArray[np.intp]:
        """Rows of the pairs that a fold's hub centres are made from, ascending: at most 4,000."""
        return self.some(np.flatnonzero(self.fold != k), MAX_HUB_ITEMS)

    def some(self, rows: NDArray[np.intp], most: int) -> NDArray[np.intp]:
        """Some of the rows, at random.

        Args:
            rows: row numbers, shape (k,).
            most: how many at most.

        Returns:
            min(k, most) of them, ascending.
        """
        if len(rows) <= most:
            return rows
        return np.sort(np.random.default_rng(self.seed).choice(rows, most, replace=False))

    @cached_property
    def compact(self) -> "Compact":
        """The pairs in the spans of their items, with cross-fitting ready."""
        return Compact.of(self)


@dataclass(frozen=True, eq=False)
class Compact:
    """Pairs in fewer dimensions: within the spans of their views' items, and within their principal
    dimensions where so asked.

    Attributes:
        X, Y: the features in fewer dimensions.
        crossfit: from the folds' moments; it takes and gives what belongs to the whole space.
        moments: of the features as they are, where no dimension was left out; else None.
    """

    X: Features
    Y: Features
    crossfit: CrossFit
    moments: Moments | None = None

    @classmethod
    def of(cls, training: Training) -> "Compact":
        """The compact form of training pairs."""
        if training.many:
            return cls._of_many(training)
        given = np.asarray(training.X), np.asarray(training.Y)
        X, ratio_x = within_few_dimensions(given[0], training.dimensions)
        Y, ratio_y = within_few_dimensions(given[1], training.dimensions)
        whole = X is training.X and Y is training.Y
        folds = training.sums.moments if whole else Moments.of_folds(X, Y, training.fold)
        crossfit = CrossFit(folds, Spans(ratio_x, ratio_y))
        return cls(X, Y, crossfit, crossfit.total if whole else None)

    @classmethod
    def _of_many(cls, training: Training) -> "Compact":
        """The same from moments: those in principal dimensions are made of those in all, and of the
        features only the rows are read that retrieval inside the folds asks for.
        """
        folds = training.sums.moments
        total = sum(folds[1:], start=folds[0])
        x = PrincipalAxes.of(total.mean_x, total.cxx, training.dimensions)
        y = PrincipalAxes.of(total.mean_y, total.cyy, training.dimensions)
        numbers = range(len(folds))
        asked = [training.of_fold(k) for k in numbers] + [training.outside_fold(k) for k in numbers]
        rows = np.unique(np.concatenate(asked))
        crossfit = CrossFit([in_axes(fold, x, y) for fold in folds], Spans(x.ratio, y.ratio))
        return cls(
            GatheredRows(x.of_rows(training.X), rows),
            GatheredRows(y.of_rows(training.Y), rows),
            crossfit,
            crossfit.total if x.whole and y.whole else None,
        )


def within_few_dimensions(features: Array, dimensions: int | None) -> tuple[Array, float]:
    """Features in the principal axes of their items; as they are where that saves little.

    Args:
        features: of one view, shape (n, d).
        dimensions: how many axes at most; None for all that the items span.

    Returns:
        Features (n, d'), and their mean eigenvalue over that of the features given.
    """
    rows, d = distinct_rows(features), features.shape[1]
    most = min(dimensions or d, d)
    if most == d and len(rows) > _SPAN_SHARE * d:
        return features, 1.0
    if len(rows) < d:
        _, s, Vt = linalg.svd(_centred(features, rows), full_matrices=False, check_finite=False)
        values, vectors = s**2, Vt.T
    else:
        values, vectors = linalg.eigh(_scatter(features, rows), check_finite=False, driver="evd")
        values, vectors = values[::-1], vectors[:, ::-1]
    rank = min(int((values > _SPAN_CUT**2 * values[0]).sum()), most)
    if rank == 0:
        return features, 1.0
    ratio = float(values[:rank].mean() / (values.sum() / d))
    mean, axes = features.mean(axis=0, dtype=np.float64), vectors[:, :rank]
    return _made_of(features, lambda rows: (rows - mean) @ axes), ratio


def _prepared(prepare: Preparation, features: Features) -> Features:
    if prepare.name == "raw" or are_many(features):
        return prepare.of_rows(features)
    return _made_of(np.asarray(features), prepare)


def _made_of(features: Array, work: Callable[[Array], Array]) -> Array:
    """A map of features; of many rows it is kept as precisely as these came."""
    if len(features) <= WHOLE_ROWS:
        return work(features)
    kept = np.result_type(features, np.float32)
    return by_rows(lambda rows: work(rows).astype(kept, copy=False), features)


def _centred(features: Array, rows: NDArray[np.intp]) -> Float64:
    """Some rows in float64, less their mean."""
    items: Float64 = features[rows].astype(np.float64)
    items -= items.mean(axis=0)
    return items


def _scatter(features: Array, rows: NDArray[np.intp]) -> Float64:
    """Sum of outer products of some rows, less their mean; shape (d, d)."""
    if len(rows) <= WHOLE_ROWS:
        items = _centred(features, rows)
        return items.T @ items
    sums = in_blocks(lambda block: features[rows[block]].sum(axis=0, dtype=np.float64), len(rows))
    mean = sum(sums) / len(rows)

    def of_block(block: slice) -> Float64:
        items: Float64 = features[rows[block]] - mean
        return items.T @ items

    nothing = np.zeros((features.shape[1],) * 2)
    return sum(in_blocks(of_block, len(rows)), nothing)


def assign_folds(groups: ArrayLike, folds: int, seed: int) -> NDArray[np.intp]:
    """Assign every pair to a fold: a group is never split, and folds have as equal numbers of
    groups as can be.

    Args:
        groups: label of the item each pair belongs to, shape (n,).
        folds: how many; fewer where there are fewer groups.
        seed: of the shuffle.

    Returns:
        Fold numbers from 0, shape (n,).

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
