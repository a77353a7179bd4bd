"""The estimator `CSA`.

>>> import numpy as np
>>> rng = np.random.default_rng(0)
>>> signal = rng.normal(size=(500, 3))
>>> X = np.hstack([signal + 0.1 * rng.normal(size=(500, 3)), rng.normal(size=(500, 5))])
>>> Y = np.hstack([rng.normal(size=(500, 2)), signal + 0.1 * rng.normal(size=(500, 3))])
>>> model = CSA().fit(X[:400], Y[:400])
>>> bool((model.similarity(X[400:], Y[400:]).argmax(axis=1) == np.arange(100)).mean() > 0.5)
True
"""

from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from csa.core.alignment import Alignment
from csa.core.asked import Asked
from csa.core.base import PairModel
from csa.core.bridge import LabelBridge
from csa.core.fitting import fit_moments, fit_pairs
from csa.core.ground import Unpaired
from csa.core.matrices import Array, Float64, check_features, check_pairs
from csa.core.moments import Moments
from csa.core.pools import Pool
from csa.core.scores import Score
from csa.core.select import TRIAL_DIMENSIONS
from csa.core.shrinkage import Shrinkage
from csa.core.threads import one_thread_a_product
from csa.core.training import Training
from csa.core.unpaired import fit_unpaired, fit_without_pairs, stand_ins
from csa.errors import InputError


class CSA(PairModel):
    """Canonical Similarity Analysis of paired features.

    What is left on "auto" is chosen by grouped cross-fitting inside the training pairs; what is
    fixed by hand costs none. `CSA(score="canonical", shrinkage=0.0, n_components=s)` is exactly the
    published method (Li et al. 2024). A score that is named is taken exactly so, on the features as
    they are; only where both score and shrinkage are "auto" are preparation and hubness correction
    chosen as well.

    Args:
        score: "auto", or a name in `csa.core.scores.SCORES`: "normalised_likelihood_ratio",
            "likelihood_ratio" or "canonical".
        shrinkage: "auto", one number for both views, or a pair (gx, gy); each in [0, 1]: S becomes
            (1 - g) S + g (trace S / d) I.
        n_components: canonical dimensions that the canonical score keeps, or "auto"; the likelihood
            ratios use all.
        folds: folds of the cross-fitting; fewer when there are fewer groups.
        seed: of folds, cluster centres and samples.
        preparation: what is done to either view's features first: "auto", one name for both views,
            or a pair; "raw", "unit", "root" or "kernel" (see `csa.core.preparation`).
        hubness: whether to correct the score for hubs (see `csa.core.hubness`), or "auto".

    Attributes:
        alignment_: the frozen `Alignment`; like all that follow, it is there after `fit`.
        canonical_correlations_: in-sample canonical correlations, descending, shape (r,); with
            shrinkage, the singular values of the shrunk cross moment, at most 1.
        weights_: weights of the components in the score. Cross-fitted, unless the canonical score
            was asked for with a shrinkage fixed by hand: then the in-sample correlations, as
            published.
        shrinkage_: (gx, gy) in use.
        n_components_: components in use.
        score_: the score in use.
        tried_: JSON-able; "recipes" and "scores" that were compared on held-out folds, in order;
            empty lists where nothing was. With unpaired items also "unpaired", a round each.
    """

    def __init__(
        self,
        score: str = "auto",
        shrinkage: Literal["auto"] | float | tuple[float, float] = "auto",
        n_components: Literal["auto"] | int = "auto",
        folds: int = 5,
        seed: int = 0,
        preparation: str | tuple[str, str] = "auto",
        hubness: Literal["auto"] | bool = "auto",
    ):
        self.score = score
        self.shrinkage = shrinkage
        self.n_components = n_components
        self.folds = folds
        self.seed = seed
        self.preparation = preparation
        self.hubness = hubness

    def _asked(self) -> Asked:
        return Asked(**{field.name: getattr(self, field.name) for field in fields(Asked)})

    def fit(
        self,
        X: ArrayLike | None = None,
        Y: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        unpaired_x: ArrayLike | None = None,
        unpaired_y: ArrayLike | None = None,
        bridge: LabelBridge | None = None,
    ) -> "CSA":
        """Fit on paired features, and on unpaired ones where true pairs say that it helps.

        Unpaired items and a bridge count only if held-out true pairs are found better by more than
        chance; else the fit is as it was without them (`csa.core.unpaired`). Without any pair, a
        bridge and both pools are a fit, and `alignment_.notes["unpaired"]` says that nothing was
        checked on a true pair.

        Args:
            X: first view, shape (n, p): numpy, a torch tensor, a polars or pandas frame.
            Y: second view, shape (n, q); row i belongs to row i of X.
            groups: label of the item each pair belongs to, shape (n,); a group is never split
                between folds. Give the image's id when images have several captions. Default: every
                pair is its own group.
            unpaired_x: items of the first view without a partner, shape (N, p), in any order.
            unpaired_y: items of the second view without a partner, shape (M, q).
            bridge: labels that one view's encoder was trained on.

        Returns:
            The estimator itself, fitted.

        Raises:
            FeatureError: unusable arrays: shapes, NaN, a constant view, too few pairs or groups.
            InputError: a parameter out of range; unpaired items where everything is fixed by hand.

        >>> rng = np.random.default_rng(0)
        >>> signal = rng.normal(size=(1600, 4))
        >>> X, Y = (signal @ rng.normal(size=(4, 6)) + 0.1 * rng.normal(size=(1600, 6))
        ...         for _ in range(2))
        >>> model = CSA().fit(X[:20], Y[:20], unpaired_x=X[20:800], unpaired_y=Y[800:])
        >>> model.alignment_.notes["unpaired"]["items"]
        [780, 800]
        """
        with one_thread_a_product():
            if X is None and Y is None:
                return self._fit_without_pairs(unpaired_x, unpaired_y, bridge)
            if X is None or Y is None:
                raise InputError("a fit needs both X and Y, or neither and a bridge; got one")
            if unpaired_x is None and unpaired_y is None and bridge is None:
                self.alignment_, self.tried_ = fit_pairs(self._asked(), X, Y, groups)
                return self
            return self._fit_with_unpaired((X, Y, groups), (unpaired_x, unpaired_y), bridge)

    def _fit_with_unpaired(
        self,
        pairs: tuple[ArrayLike, ArrayLike, ArrayLike | None],
        pools: tuple[ArrayLike | None, ArrayLike | None],
        bridge: LabelBridge | None,
    ) -> "CSA":
        asked = self._asked()
        if asked.fixed_by_hand or asked.shrinkage != "auto":
            raise InputError(
                "unpaired items change the shrinkage, which true pairs then choose; leave it on "
                "'auto', or fit without them"
            )
        X, Y, groups = pairs
        x, y = check_pairs(X, Y)
        unpaired = self._unpaired((x, y), pools, bridge)
        plain, tried = fit_pairs(asked, x, y, groups)
        labels = np.arange(len(x)) if groups is None else np.asarray(groups)
        dimensions = TRIAL_DIMENSIONS if asked.whole_recipe else None
        training = Training.of(x, y, labels, asked.folds, asked.seed).sketched(dimensions)
        self.alignment_, rounds = fit_unpaired(training, unpaired, plain, *_kept(asked, plain))
        self.tried_ = tried | {"unpaired": rounds}
        return self

    def _fit_without_pairs(
        self, U: ArrayLike | None, V: ArrayLike | None, bridge: LabelBridge | None
    ) -> "CSA":
        if U is None or V is None or bridge is None:
            raise InputError(
                "a fit without pairs needs unpaired_x, unpaired_y and a bridge; give all three, or "
                "pairs"
            )
        u, v = check_features(U, "unpaired_x"), check_features(V, "unpaired_y")
        unpaired = self._unpaired((u[:0], v[:0]), (u, v), bridge)
        asked = self._asked()
        training = stand_ins(unpaired, asked.folds, asked.seed)
        plain, self.tried_ = fit_pairs(asked, training.X, training.Y, training.group)
        self.alignment_ = fit_without_pairs(training, unpaired, plain, *_kept(asked, plain))
        return self

    def _unpaired(
        self,
        pairs: tuple[Array, Array],
        pools: tuple[ArrayLike | None, ArrayLike | None],
        bridge: LabelBridge | None,
    ) -> Unpaired:
        (x, y), (U, V) = pairs, pools
        if bridge is not None:
            bridge.check_dimensions(x.shape[1], y.shape[1])
        return Unpaired(
            Pool.of(U, x, "unpaired_x", self.seed), Pool.of(V, y, "unpaired_y", self.seed), bridge
        )

    def fit_moments(self, moments: Moments, folds: list[Moments] | None = None) -> "CSA":
        """Fit on moments alone, without features.

        Args:
            moments: of all training pairs.
            folds: the same pairs' moments, fold by fold, from which shrinkage and weights are
                cross-fitted; without them everything must be fixed by hand. Choosing a score needs
                features: "auto" takes the likelihood ratio.

        Returns:
            The estimator itself, fitted.

        Raises:
            InputError: something is asked for, or left on "auto", that moments cannot decide.
        """
        with one_thread_a_product():
            self.alignment_ = fit_moments(self._asked(), moments, folds)
        self.tried_ = {"recipes": [], "scores": []}
        return self

    # After a fit, the estimator answers for its alignment.

    def _fitted(self) -> Alignment:
        if not hasattr(self, "alignment_"):
            raise InputError("this CSA is not fitted yet; call fit(X, Y) first")
        return self.alignment_

    @property
    def canonical_correlations_(self) -> Float64:
        """In-sample canonical correlations, descending, shape (r,)."""
        return self._fitted().canonical_correlations

    @property
    def weights_(self) -> Float64:
        """Weights of the components in the score, shape (r,)."""
        return self._fitted().score.weights

    @property
    def shrinkage_(self) -> Shrinkage:
        """(gx, gy) in use."""
        return self._fitted().shrinkage

    @property
    def score_(self) -> str:
        """The score in use."""
        return self._fitted().score_name

    @property
    def n_components_(self) -> int:
        """Components in use."""
        return len(self._fitted().score.weights)

    def transform(self, X: ArrayLike | None = None, Y: ArrayLike | None = None) -> Any:
        """Canonical coordinates of either view, or of both.

        Args:
            X: first-view features, shape (n, p).
            Y: second-view features, shape (m, q).

        Returns:
            (X - mean_x) A, shape (n, r), X prepared; or (Y - mean_y) B, shape (m, r); a tuple of
            both when both are given.

        Raises:
            FeatureError: a shape that does not fit, NaN or infinity.
            InputError: not fitted, or neither view was given.
        """
        return self._fitted().transform(X, Y)

    def index_vectors(self, X: ArrayLike | None = None, Y: ArrayLike | None = None) -> Any:
        """Vectors whose inner products are the similarities.

        Args:
            X: first-view features, shape (n, p).
            Y: second-view features, shape (m, q).

        Returns:
            Vectors (n, k) or (m, k); a tuple of both when both views are given.

        Raises:
            FeatureError: a shape that does not fit, NaN or infinity.
            InputError: not fitted, or neither view was given.
        """
        return self._fitted().index_vectors(X, Y)

    def save(self, path: str | Path) -> None:
        """See `Alignment.save`."""
        self._fitted().save(path)


def _kept(asked: Asked, plain: Alignment) -> tuple[Score | None, bool]:
    """What a fit with unpaired items keeps of the one without: the score that was asked for by
    name, as the fit has it; and whether it is corrected for hubs, for which the pools are a bank
    that costs nothing.
    """
    named = None if asked.score == "auto" else plain.score
    return named, plain.hubness_corrected or (asked.hubness == "auto" and asked.whole_recipe)
