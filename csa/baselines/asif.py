"""ASIF: two views meet in their similarities to the training pairs (Norelli et al. 2023, arXiv
2210.01738).
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from csa.core.base import PairModel, one_or_both
from csa.core.matrices import Array, Float64, check_features, check_pairs
from csa.core.preparation import unit
from csa.core.training import assign_folds
from csa.errors import InputError

_POWERS = (1.0, 2.0, 4.0, 8.0)
_MAX_KEPT = 800
_BLOCK_SCORES = 8_000_000


class ASIF(PairModel):
    """Relative representations: an item is the vector of its similarities to all training items of
    its own view.

    Both views' features are brought to unit length; of the cosines with the training items the
    `kept` highest stay, negative ones become 0, the rest is raised to `power`, and the vector is
    brought to unit length. Pairs are compared by inner product. The training features are the
    model. Representations are sparse and made in blocks: a dense queries x training matrix is never
    kept.

    Args:
        kept: similarities kept per item, or "auto": a tenth of the pairs, at most 800.
        power: exponent, or "auto": the best of 1, 2, 4 and 8 by mean reciprocal rank in held-out
            folds.
        folds, seed: of the choice of the power.
    """

    def __init__(
        self,
        kept: Literal["auto"] | int = "auto",
        power: Literal["auto"] | float = "auto",
        folds: int = 5,
        seed: int = 0,
    ):
        self.kept = kept
        self.power = power
        self.folds = folds
        self.seed = seed

    def fit(self, X: ArrayLike, Y: ArrayLike, groups: ArrayLike | None = None) -> "ASIF":
        """Keep paired features as anchors.

        Args:
            X: first view, shape (n, p).
            Y: second view, shape (n, q); row i belongs to row i of X.
            groups: label of the item each pair belongs to, shape (n,); a group is never split
                between folds.

        Returns:
            The estimator itself, fitted.

        Raises:
            InputError: a parameter out of range.
            FeatureError: unusable arrays: shapes, NaN or infinity.
        """
        x, y = check_pairs(X, Y)
        if self.kept != "auto" and self.kept < 1:
            raise InputError(f"kept must be 'auto' or a whole number from 1 up, got {self.kept!r}")
        if self.power != "auto" and self.power <= 0:
            raise InputError(f"power must be 'auto' or a number above 0, got {self.power!r}")
        self.anchors_x_, self.anchors_y_ = unit(x), unit(y)
        self.kept_ = (
            max(1, min(_MAX_KEPT, len(x) // 10))
            if self.kept == "auto"
            else min(int(self.kept), len(x))
        )
        group = np.unique(
            np.arange(len(x)) if groups is None else np.asarray(groups), return_inverse=True
        )[1]
        self.power_ = self._choose(group) if self.power == "auto" else float(self.power)
        return self

    def _choose(self, group: Array) -> float:
        fold, total = assign_folds(group, self.folds, self.seed), np.zeros(len(_POWERS))
        for k in range(int(fold.max()) + 1):
            out = np.flatnonzero(fold == k)
            kept = min(self.kept_, int((fold != k).sum()))
            a, b = (
                _nearest(view[out], view[fold != k], kept)
                for view in (self.anchors_x_, self.anchors_y_)
            )
            same = group[out][:, None] == group[out]
            for i, power in enumerate(_POWERS):
                scores = (_powered(a, power) @ _powered(b, power).T).toarray()
                total[i] += _mean_reciprocal_rank(scores, same) + _mean_reciprocal_rank(
                    scores.T, same
                )
        return _POWERS[int(total.argmax())]

    def index_vectors(self, X: ArrayLike | None = None, Y: ArrayLike | None = None) -> Any:
        """Sparse relative representations of either view, or of both.

        Args:
            X: first-view features, shape (n, p).
            Y: second-view features, shape (m, q).

        Returns:
            Sparse matrices (n, training pairs) or (m, training pairs); a tuple of both when both
            views are given.

        Raises:
            FeatureError: a shape that does not fit, NaN or infinity.
            InputError: neither view was given.
        """
        views = [
            None
            if features is None
            else _powered(
                _nearest(
                    unit(check_features(features, name, anchors.shape[1])), anchors, self.kept_
                ),
                self.power_,
            )
            for features, name, anchors in ((X, "X", self.anchors_x_), (Y, "Y", self.anchors_y_))
        ]
        return one_or_both(*views)

    def similarity(self, X: ArrayLike, Y: ArrayLike) -> Float64:
        """Similarity of every item of the first view to every item of the second.

        Args:
            X: first-view features, shape (n, p).
            Y: second-view features, shape (m, q).

        Returns:
            Cosines of relative representations, shape (n, m); higher is more alike.

        Raises:
            FeatureError: a shape that does not fit, NaN or infinity.
        """
        left, right = self.index_vectors(X, Y)
        scores: Float64 = (left @ right.T).toarray()
        return scores

    def score_pairs(self, X: ArrayLike, Y: ArrayLike) -> Float64:
        """Similarity of each pair.

        Args:
            X: first-view features, shape (n, p).
            Y: second-view features, shape (n, q); row i belongs to row i of X.

        Returns:
            Similarities, shape (n,).

        Raises:
            FeatureError: a shape that does not fit, NaN or infinity.
        """
        left, right = self.index_vectors(*check_pairs(X, Y))
        scores: Float64 = np.asarray(left.multiply(right).sum(axis=1)).ravel()
        return scores


def _nearest(items: Array, anchors: Array, kept: int) -> sparse.csr_array:
    """The `kept` highest positive cosines of unit vectors with the anchors; sparse, shape
    (items, anchors).
    """
    rows = max(1, _BLOCK_SCORES // len(anchors))
    blocks = []
    for i in range(0, len(items), rows):
        scores = items[i : i + rows] @ anchors.T
        best = np.argpartition(-scores, kept - 1, axis=1)[:, :kept]
        values = np.maximum(np.take_along_axis(scores, best, axis=1), 0).astype(np.float64)
        starts = np.arange(0, best.size + 1, kept)
        blocks.append(sparse.csr_array((values.ravel(), best.ravel(), starts), shape=scores.shape))
    return sparse.vstack(blocks, format="csr") if blocks else sparse.csr_array((0, len(anchors)))


def _powered(cosines: sparse.csr_array, power: float) -> sparse.csr_array:
    """Entries raised to a power, rows to unit length; a row of zeros stays."""
    raised = cosines.power(power)
    norm = np.sqrt(raised.power(2).sum(axis=1))
    scale = np.divide(1.0, norm, out=np.zeros_like(norm), where=norm > 0)
    return sparse.csr_array(sparse.diags_array(scale) @ raised)


def _mean_reciprocal_rank(scores: Float64, relevant: Array) -> float:
    """Ties count against the query, as in `csa.core.search.best_ranks`."""
    best = np.where(relevant, scores, -np.inf).max(axis=1, keepdims=True)
    return float((1 / (1 + ((scores >= best) & ~relevant).sum(axis=1))).mean())
