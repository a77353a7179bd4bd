"""The recipe of a fit on other pairs: without one fold, or without pairs that somebody doubts.

Nothing is chosen anew: preparation, shrinkage and kind of score are the fit's own. Means,
projections, weights and hub centres are made again from the pairs that stay.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from csa.core.alignment import Alignment
from csa.core.crossfit import CrossFit
from csa.core.held import Held
from csa.core.hubness import HubnessCorrection
from csa.core.moments import Moments
from csa.core.solve import Decomposition, solve
from csa.core.training import MAX_HUB_ITEMS, Training


class Refit:
    """An alignment's recipe, ready to be fitted to some of its training pairs.

    Args:
        alignment: whose recipe.
        training: its training pairs, their features as the encoders gave them.

    Attributes:
        fold: fold number of each pair, shape (n,).
    """

    def __init__(self, alignment: Alignment, training: Training):
        self._alignment = alignment
        self._training = training.prepared(alignment.prepare_x, alignment.prepare_y)
        self.fold = training.fold

    def on(self, kept: NDArray[np.bool_]) -> "Refitted":
        """Fit to the pairs that are kept, shape (n,).

        Raises:
            FeatureError: too few are, or they are constant.
        """
        rows, pairs = np.flatnonzero(kept), self._training
        moments = Moments.of_folds(pairs.X[rows], pairs.Y[rows], self.fold[rows])
        return Refitted(self._alignment, pairs, rows, CrossFit(moments))


@dataclass(frozen=True, eq=False)
class Refitted:
    """Alignments of the same recipe: to all kept pairs, and to those outside one fold.

    Attributes:
        like: whose recipe.
        training: all pairs, prepared.
        rows: of the pairs that are kept.
        crossfit: of the kept pairs' folds.
    """

    like: Alignment
    training: Training
    rows: NDArray[np.intp]
    crossfit: CrossFit

    @property
    def folds(self) -> int:
        """Number of folds."""
        return len(self.crossfit.complements)

    def whole(self) -> Alignment:
        """Fitted to all kept pairs."""
        moments = self.crossfit.total
        return self._alignment(moments, solve(moments, self.like.shrinkage), self.rows)

    def without(self, k: int) -> Alignment:
        """Fitted to the kept pairs outside fold k: the fold's moments are subtracted."""
        decomposition = self.crossfit.decompositions(self.like.shrinkage)[k]
        outside = self.rows[self.training.fold[self.rows] != k]
        return self._alignment(self.crossfit.complements[k], decomposition, outside)

    def _alignment(
        self, moments: Moments, decomposition: Decomposition, rows: NDArray[np.intp]
    ) -> Alignment:
        like, pairs = self.like, self.training
        held = (
            Held.unscaled(decomposition.rho)
            if like.published
            else self.crossfit.measure(like.shrinkage)
        )
        score, correction = like.score.with_weights(held).leading(len(decomposition.rho)), None
        if like.hubness is not None:
            some = np.sort(np.random.default_rng(pairs.seed).permutation(rows)[:MAX_HUB_ITEMS])
            a, b = decomposition.coordinates(moments, pairs.X[some], pairs.Y[some])
            correction = HubnessCorrection.of(score, a, b, pairs.seed)
        return replace(
            Alignment.of(moments, decomposition, like.shrinkage, score),
            hubness=correction,
            prepare_x=like.prepare_x,
            prepare_y=like.prepare_y,
        )
