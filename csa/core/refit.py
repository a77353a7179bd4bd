"""The recipe of a fit on other pairs: without one fold, or without pairs that somebody doubts.

Nothing is chosen anew: preparation, shrinkage and kind of score are the fit's own. Means,
projections, weights and hub centres are made again from the pairs that stay.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from csa.core import diagnostics
from csa.core.alignment import Alignment
from csa.core.crossfit import CrossFit
from csa.core.matrices import Array
from csa.core.moments import Moments
from csa.core.scores import CanonicalScore, HubnessCorrectedScore, PairScore, Score, leading
from csa.core.select import MAX_HUB_ITEMS, hubness_corrected, likelihood_ratio
from csa.core.solve import Decomposition, solve
from csa.core.training import assign_folds


class Refit:
    """An alignment's recipe, ready to be fitted to some of its training pairs.

    Args:
        alignment: whose recipe.
        X, Y: features of the training pairs, shapes (n, p) and (n, q).
        groups: label of the item each pair belongs to, shape (n,); a group is never split between
            folds.
        folds, seed: of the folds.
    """

    def __init__(
        self, alignment: Alignment, X: Array, Y: Array, groups: Array, folds: int = 5, seed: int = 0
    ):
        self._alignment, self._seed = alignment, seed
        self._x, self._y = alignment.prepare_x(X), alignment.prepare_y(Y)
        self.fold = assign_folds(groups, folds, seed)

    def on(self, kept: NDArray[np.bool_]) -> "Refitted":
        """Fit to the pairs that are kept, shape (n,).

        Raises:
            FeatureError: too few are, or they are constant.
        """
        rows = np.flatnonzero(kept)
        moments = Moments.of_folds(self._x[rows], self._y[rows], self.fold[rows])
        return Refitted(
            self._alignment, CrossFit(moments), self._x, self._y, self.fold, rows, self._seed
        )


class Refitted:
    """Alignments of the same recipe: to all kept pairs, and to those outside one fold."""

    def __init__(
        self,
        alignment: Alignment,
        crossfit: CrossFit,
        x: Array,
        y: Array,
        fold: NDArray[np.intp],
        rows: NDArray[np.intp],
        seed: int,
    ):
        self._like, self._crossfit, self._x, self._y, self._fold, self._rows, self._seed = (
            alignment,
            crossfit,
            x,
            y,
            fold,
            rows,
            seed,
        )

    @property
    def folds(self) -> int:
        """Number of folds."""
        return len(self._crossfit.complements)

    def whole(self) -> Alignment:
        """Fitted to all kept pairs."""
        moments = self._crossfit.total
        return self._alignment(moments, solve(moments, self._like.shrinkage), self._rows)

    def without(self, k: int) -> Alignment:
        """Fitted to the kept pairs outside fold k: the fold's moments are subtracted."""
        decomposition = self._crossfit.decompositions(self._like.shrinkage)[k]
        return self._alignment(
            self._crossfit.complements[k], decomposition, self._rows[self._fold[self._rows] != k]
        )

    def _alignment(
        self, moments: Moments, decomposition: Decomposition, rows: NDArray[np.intp]
    ) -> Alignment:
        base = leading(self._base_score(decomposition), len(decomposition.rho))
        score: Score = base
        if self._like.hubness_corrected:
            some = np.sort(np.random.default_rng(self._seed).permutation(rows)[:MAX_HUB_ITEMS])
            score = hubness_corrected(
                base, self._x[some], self._y[some], moments, decomposition, self._seed
            )
        return replace(
            self._like,
            mean_x=moments.mean_x,
            mean_y=moments.mean_y,
            A=decomposition.A,
            B=decomposition.B,
            canonical_correlations=decomposition.rho,
            training_correlations=diagnostics.training_correlations(decomposition, moments),
            score=score,
            n_pairs=moments.n,
            notes={},
        )

    def _base_score(self, decomposition: Decomposition) -> PairScore:
        score = (
            self._like.score.base
            if isinstance(self._like.score, HubnessCorrectedScore)
            else self._like.score
        )
        if not isinstance(score, CanonicalScore):
            return likelihood_ratio(self._crossfit.measure(self._like.shrinkage), score.normalised)
        published = self._like.published
        weights = (
            decomposition.rho if published else self._crossfit.measure(self._like.shrinkage).weights
        )
        return CanonicalScore(weights[: len(score.weights)])
