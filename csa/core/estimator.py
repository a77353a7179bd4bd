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

import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from csa.core import diagnostics
from csa.core.alignment import Alignment
from csa.core.base import PairModel
from csa.core.bridge import LabelBridge
from csa.core.crossfit import CrossFit
from csa.core.ground import Unpaired
from csa.core.held import Held
from csa.core.hubness import HubnessCorrection
from csa.core.matrices import Array, Float64, check_features, check_pairs, check_varies
from csa.core.moments import Moments
from csa.core.pools import Pool
from csa.core.preparation import Preparation
from csa.core.routes import decompose
from csa.core.scores import SCORES, LikelihoodRatioScore, Score
from csa.core.select import (
    TRIAL_DIMENSIONS,
    best_shrinkage,
    choose_recipe,
    held_out_retrieval,
    hub_items,
)
from csa.core.shrinkage import Shrinkage
from csa.core.solve import solve
from csa.core.threads import one_thread_a_product
from csa.core.training import Training
from csa.core.unpaired import fit_unpaired, fit_without_pairs, stand_ins
from csa.errors import InputError

_log = logging.getLogger(__name__)

# Assumed scatter, over groups, of the difference between two scores' reciprocal ranks: those of one
# query mostly agree.
_MRR_SCATTER = 0.2


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
                return self._fit(X, Y, groups)
            return self._fit_with_unpaired((X, Y, groups), (unpaired_x, unpaired_y), bridge)

    def _fit_with_unpaired(
        self,
        pairs: tuple[ArrayLike, ArrayLike, ArrayLike | None],
        pools: tuple[ArrayLike | None, ArrayLike | None],
        bridge: LabelBridge | None,
    ) -> "CSA":
        self._check_parameters()
        if self._fixed_by_hand() or self.shrinkage != "auto":
            raise InputError(
                "unpaired items change the shrinkage, which true pairs then choose; leave it on "
                "'auto', or fit without them"
            )
        X, Y, groups = pairs
        x, y = check_pairs(X, Y)
        unpaired = self._unpaired((x, y), pools, bridge)
        self._fit(x, y, groups)
        labels = np.arange(len(x)) if groups is None else np.asarray(groups)
        dimensions = TRIAL_DIMENSIONS if self._whole_recipe() else None
        training = Training.of(x, y, labels, self.folds, self.seed).sketched(dimensions)
        plain = self._fitted()
        alignment, tried = fit_unpaired(
            training, unpaired, plain, self._named(plain), self._corrected(plain)
        )
        self.alignment_ = alignment
        self.tried_["unpaired"] = tried
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
        training = stand_ins(unpaired, self.folds, self.seed)
        self._fit(training.X, training.Y, training.group)
        plain = self._fitted()
        self.alignment_ = fit_without_pairs(
            training, unpaired, plain, self._named(plain), self._corrected(plain)
        )
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

    def _named(self, plain: Alignment) -> Score | None:
        """The score that was asked for by name, as the fit has it."""
        return None if self.score == "auto" else plain.score

    def _corrected(self, plain: Alignment) -> bool:
        """Whether a fit with unpaired items is to be corrected for hubs: the pools are a bank that
        costs nothing.
        """
        return plain.hubness_corrected or (self.hubness == "auto" and self._whole_recipe())

    def _fit(self, X: ArrayLike, Y: ArrayLike, groups: ArrayLike | None) -> "CSA":
        self._check_parameters()
        self.tried_: dict[str, list[dict[str, Any]]] = {"recipes": [], "scores": []}
        x, y = check_pairs(X, Y)
        labels = np.arange(len(x)) if groups is None else np.asarray(groups)
        if labels.shape != (len(x),):
            raise InputError(
                f"groups must have one label per pair, shape ({len(x)},); got shape {labels.shape}"
            )
        if self._fixed_by_hand():
            return self._fit_by_hand(x, y)
        for view, name in ((x, "X"), (y, "Y")):
            check_varies(view, name)  # here, since a fold's error would count that fold's rows
        training = Training.of(x, y, labels, self.folds, self.seed)
        if self._whole_recipe():
            recipe, trials = choose_recipe(training)
            self.tried_["recipes"] = [asdict(trial) for trial in trials]
            return self._cross_fit(
                recipe.training, (recipe.prepare_x, recipe.prepare_y), recipe.shrinkage
            )
        prepare = self._given_preparation(x, y)
        training = training.prepared(*prepare)
        return self._cross_fit(
            training, prepare, self._given_shrinkage() or best_shrinkage(training)
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
            return self._fit_moments(moments, folds)

    def _fit_moments(self, moments: Moments, folds: list[Moments] | None) -> "CSA":
        self._check_parameters()
        self.tried_ = {"recipes": [], "scores": []}
        if self.preparation not in ("auto", "raw", ("raw", "raw")) or self.hubness is True:
            raise InputError(
                "preparation and hubness need features, and moments are all there is; fit on "
                "features"
            )
        shrinkage = self._given_shrinkage()
        if shrinkage is not None and self._fixed_by_hand():
            decomposition = solve(moments, shrinkage)
            score = self._candidates(Held.unscaled(decomposition.rho))[0]
            alignment = Alignment.of(moments, decomposition, shrinkage, score)
            self.alignment_ = replace(alignment, notes=self._in_sample(alignment))
            return self
        if folds is None:
            raise InputError(
                "total moments cannot be cross-fitted; give folds=[...] (moments of each fold), "
                'or fix everything: score="canonical", shrinkage=..., n_components=...'
            )
        crossfit = CrossFit(folds)
        shrinkage = shrinkage or crossfit.best_shrinkage()
        held, decomposition = crossfit.measure(shrinkage), solve(crossfit.total, shrinkage)
        candidates = self._candidates(
            Held.unscaled(decomposition.rho) if self._published() else held
        )
        if self.score != "auto" and len(candidates) > 1:
            raise InputError(
                f"moments cannot choose n_components of the {self.score} score; give it, or fit "
                f"on features"
            )
        score = LikelihoodRatioScore.of(held) if self.score == "auto" else candidates[0]
        alignment = Alignment.of(
            crossfit.total, decomposition, shrinkage, score.leading(len(decomposition.rho))
        )
        notes = diagnostics.held_out(alignment.training_correlations, held, moments.n, None)
        self.alignment_ = replace(alignment, notes=notes)
        return self

    def _fit_by_hand(self, x: Array, y: Array) -> "CSA":
        shrinkage = self._given_shrinkage() or Shrinkage(0.0, 0.0)
        prepare_x, prepare_y = self._given_preparation(x, y)
        X, Y = prepare_x(x), prepare_y(y)
        moments, decomposition = decompose(X, Y, shrinkage)
        score = self._candidates(Held.unscaled(decomposition.rho))[0]
        alignment = Alignment.of(moments, decomposition, shrinkage, score)
        correction = None
        if self.hubness is True:
            a, b = decomposition.coordinates(moments, X, Y)
            correction = HubnessCorrection.of(score, a, b, self.seed)
        self.alignment_ = replace(
            alignment,
            hubness=correction,
            notes=self._in_sample(alignment),
            prepare_x=prepare_x,
            prepare_y=prepare_y,
        )
        return self

    def _cross_fit(
        self, training: Training, prepare: tuple[Preparation, Preparation], shrinkage: Shrinkage
    ) -> "CSA":
        """Choose the score where there is a choice, in the dimensions of `training`; then fit it
        in all dimensions.
        """
        exact = training if training.dimensions is None else training.sketched(None)
        moments, decomposition = decompose(training.X, training.Y, shrinkage, exact.compact.moments)
        held, hubness = training.compact.crossfit.measure(shrinkage), self.hubness is True
        candidates = self._candidates(
            Held.unscaled(decomposition.rho) if self._published() else held
        )
        values = held_out_retrieval(training, shrinkage, candidates, hubness)
        self.tried_["scores"] = [
            _trial(score, hubness, mrr) for score, mrr in zip(candidates, values, strict=True)
        ]
        chosen = int(np.argmax(values))
        if self.score == "auto" and values[0] > values[chosen] - _MRR_SCATTER / np.sqrt(
            training.groups
        ):
            chosen = 0  # as good as can be told from so many groups
        best, value = candidates[chosen], values[chosen]
        if self.hubness == "auto" and self._whole_recipe() and best.weights.max(initial=0.0) > 0:
            corrected = held_out_retrieval(training, shrinkage, [best], hubness=True)[0]
            self.tried_["scores"].append(_trial(best, True, corrected))
            hubness, value = corrected > value, max(corrected, value)
        _log.info(
            "chose %s%s: held-out MRR %.3f; fitting it in all dimensions",
            best.name,
            ", hubness corrected" * hubness,
            value,
        )
        if exact is not training:
            held = exact.compact.crossfit.measure(shrinkage)
            best = best.with_weights(held)
        best, correction = best.leading(len(decomposition.rho)), None
        if hubness:
            rows = hub_items(training)
            a, b = decomposition.coordinates(moments, training.X[rows], training.Y[rows])
            correction = HubnessCorrection.of(best, a, b, self.seed)
        alignment = Alignment.of(moments, decomposition, shrinkage, best)
        self.alignment_ = replace(
            alignment,
            hubness=correction,
            notes=diagnostics.held_out(
                alignment.training_correlations, held, training.groups, value
            ),
            prepare_x=prepare[0],
            prepare_y=prepare[1],
        )
        return self

    def _candidates(self, held: Held) -> list[Score]:
        """Scores to choose from, the preferred one first: it wins ties."""
        size = None if self.n_components == "auto" else int(self.n_components)
        if self.score != "auto":
            return [*SCORES[self.score].candidates(held, size)]
        return [
            score
            for kind in SCORES.values()
            for score in kind.candidates(held, size, per_doubling=1)
        ]

    def _in_sample(self, alignment: Alignment) -> dict[str, Any]:
        return diagnostics.in_sample(
            alignment.canonical_correlations,
            (alignment.n_pairs, len(alignment.A), len(alignment.B)),
            unshrunk=self._given_shrinkage() == (0.0, 0.0),
        )

    # What the parameters ask for.

    def _fixed_by_hand(self) -> bool:
        return self._published() and (
            self.n_components != "auto" or not SCORES[self.score].truncated
        )

    def _published(self) -> bool:
        """Whether the named score is to be weighted by in-sample correlations."""
        return self.score != "auto" and SCORES[self.score].in_sample and self.shrinkage != "auto"

    def _whole_recipe(self) -> bool:
        return self.score == "auto" and self.shrinkage == "auto" and self.preparation == "auto"

    def _check_parameters(self) -> None:
        if self.score not in ("auto", *SCORES):
            raise InputError(
                f"score must be 'auto', {', '.join(map(repr, SCORES))}; got {self.score!r}"
            )
        size = self.n_components
        if size != "auto" and (not isinstance(size, int | np.integer) or size < 1):
            raise InputError(
                f"n_components must be 'auto' or a whole number from 1 up, got {size!r}"
            )
        if not isinstance(self.folds, int | np.integer) or self.folds < 2:
            raise InputError(f"folds must be a whole number from 2 up, got {self.folds!r}")
        if self.hubness not in ("auto", True, False):
            raise InputError(f"hubness must be 'auto', True or False, got {self.hubness!r}")
        self._given_shrinkage()

    def _given_shrinkage(self) -> Shrinkage | None:
        if isinstance(self.shrinkage, str):
            if self.shrinkage == "auto":
                return None
            raise InputError(
                f"shrinkage must be 'auto', a number or a pair of numbers, got {self.shrinkage!r}"
            )
        values = np.atleast_1d(np.asarray(self.shrinkage, dtype=np.float64))
        if values.shape not in ((1,), (2,)) or not ((values >= 0) & (values <= 1)).all():
            raise InputError(
                f"shrinkage must be one number or a pair, each in [0, 1]; got {self.shrinkage!r}"
            )
        return Shrinkage(float(values[0]), float(values[-1]))

    def _given_preparation(self, x: Array, y: Array) -> tuple[Preparation, Preparation]:
        """As named, fitted to the features; raw where it is left on "auto" and score or
        shrinkage are not.
        """
        names = (
            self.preparation
            if isinstance(self.preparation, tuple | list)
            else (self.preparation,) * 2
        )
        if len(names) != 2:
            raise InputError(
                f"preparation must be 'auto', one name or a pair of names, got {self.preparation!r}"
            )
        first, second = ("raw" if name == "auto" else name for name in names)
        return Preparation.fit(first, x, self.seed), Preparation.fit(second, y, self.seed)

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


def _trial(score: Score, hubness: bool, held_out_mrr: float) -> dict[str, Any]:
    return {
        "score": score.name,
        "n_components": len(score.weights) if score.truncated else None,
        "hubness_corrected": hubness,
        "held_out_mrr": held_out_mrr,
    }
