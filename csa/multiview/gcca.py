"""`GCCA`: one space for three views or more, and retrieval from any of them to any other, whichever
an item has.

>>> import numpy as np
>>> rng = np.random.default_rng(0)
>>> Z = rng.normal(size=(700, 3))
>>> def view():
...     return Z @ rng.normal(size=(3, 8)) + 0.7 * rng.normal(size=(700, 8))
>>> views = {name: view() for name in ("image", "text", "sound")}
>>> train = {name: X[:600] for name, X in views.items()}
>>> test = {name: X[600:] for name, X in views.items()}
>>> model = GCCA().fit(train)
>>> one = model.similarity({"image": test["image"]}, {"text": test["text"]})
>>> two = model.similarity({"image": test["image"], "sound": test["sound"]}, {"text": test["text"]})
>>> hits = [int((scores.argmax(axis=1) == np.arange(100)).sum()) for scores in (one, two)]
>>> hits[0] < hits[1]
True
"""

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

from csa.core.base import Estimator
from csa.core.held import Held
from csa.core.matrices import Array, Float64, check_features
from csa.core.preparation import Preparation
from csa.core.scores import NormalisedLikelihoodRatioScore, Score
from csa.core.search import best_ranks
from csa.core.shrinkage import climb, scale_odds, share_of
from csa.core.threads import each, one_thread_a_product
from csa.core.training import assign_folds, within_few_dimensions
from csa.errors import InputError
from csa.multiview.block_moments import BlockMoments
from csa.multiview.joint import JointDecomposition, JointFactors
from csa.multiview.views import Views

Shrinkages = tuple[float, ...]

_COMMON_LOG_ODDS = (-4.0, -2.0, 0.0, 2.0)
_STEP = 1.5
_TRIAL_DIMENSIONS = 256
_TRIAL_ITEMS = 6000
_MAX_FOLD_ITEMS = 1500
_VARIANCE_FLOOR = 0.05
_CORRELATION_CEILING = 0.999


class GCCA(Estimator):
    """Generalised canonical correlation analysis (MAXVAR) with shrinkage, and the likelihood ratio
    of any views against others.

    Of each component, held-out folds tell the covariance C (m, m) of the views' coordinates. What
    the query's views say of the gallery's is the first canonical pair of C's blocks; its
    correlations are the weights of the (normalised) likelihood ratio. So a query of two views is
    one query, and what is missing is integrated out, not filled in.

    Args:
        shrinkage: "auto" (by retrieval between all pairs of views in held-out folds), one number,
            or view name -> number; in [0, 1].
        preparation: what is done to features first: one name for all views, or view name -> name
            (see `csa.core.preparation`).
        folds, seed: of the cross-fitting.

    Attributes, after fit:
        views_: names, in the order they were given.
        shrinkage_: view name -> number in use.
        correlations_: rho of the joint decomposition, descending, shape (r,); of two views the
            canonical correlations.
    """

    def __init__(
        self,
        shrinkage: Literal["auto"] | float | Mapping[str, float] = "auto",
        preparation: str | Mapping[str, str] = "raw",
        folds: int = 5,
        seed: int = 0,
    ):
        self.shrinkage = shrinkage
        self.preparation = preparation
        self.folds = folds
        self.seed = seed

    def fit(self, views: Mapping[str, ArrayLike], groups: ArrayLike | None = None) -> "GCCA":
        """Fit on the items that have all views.

        Args:
            views: two or more, name -> features (n, d); a row of NaN is an item without that view.
            groups: label of the item each row belongs to, shape (n,); a group is never split
                between folds.

        Returns:
            The estimator itself, fitted.

        Raises:
            FeatureError: unusable features, or too few items that have all views.
            InputError: fewer than two views, a parameter out of range.
        """
        with one_thread_a_product():
            return self._fit(Views.of(views), groups)

    def _fit(self, views: Views, groups: ArrayLike | None) -> "GCCA":
        names, rows = tuple(views.features), views.rows_with(*views.features)
        if len(names) < 2:
            raise InputError(f"at least two views are needed, got {', '.join(names)}")
        label = np.arange(views.n) if groups is None else np.asarray(groups)
        if label.shape != (views.n,):
            raise InputError(
                f"groups must have one label per item, shape ({views.n},); got shape {label.shape}"
            )
        group = np.unique(label[rows], return_inverse=True)[1]
        raw = [views.features[name][rows] for name in names]
        self._prepare = {
            name: Preparation.fit(self._named(name), X, self.seed)
            for name, X in zip(names, raw, strict=True)
        }
        prepared = [self._prepare[name](X) for name, X in zip(names, raw, strict=True)]
        fold = assign_folds(group, self.folds, self.seed)
        shrinkage = self._given(names) or _choose_shrinkage(
            prepared, group, names, self.folds, self.seed
        )
        folds = _Folds(BlockMoments.of_folds(prepared, fold), names)
        self.views_, self.shrinkage_ = names, dict(zip(names, shrinkage, strict=True))
        self._widths = {name: X.shape[1] for name, X in zip(names, raw, strict=True)}
        decomposition = JointFactors.of(folds.total, names).solve(shrinkage)
        self._means = [folds.total.mean(v) for v in range(len(names))]
        self._covariances = folds.covariances(shrinkage)[: len(decomposition.rho)]
        r = len(self._covariances)
        self._projections = [A[:, :r] for A in decomposition.projections]
        self.correlations_ = decomposition.rho
        return self

    def transform(self, view: str, features: ArrayLike) -> Float64:
        """Coordinates of one view's features.

        Args:
            view: name of a view of the fit.
            features: of that view, shape (n, d).

        Returns:
            (x - mean_v) A_v of prepared features, shape (n, r).

        Raises:
            InputError: not fitted, or an unknown view.
            FeatureError: a shape that does not fit, NaN or infinity.
        """
        v = self._number(view)
        prepared = self._prepare[view](check_features(features, view, self._widths[view]))
        coordinates: Float64 = (prepared - self._means[v]) @ self._projections[v]
        return coordinates

    def similarity(
        self, queries: Mapping[str, ArrayLike], gallery: Mapping[str, ArrayLike]
    ) -> Float64:
        """Similarity of every query to every gallery item.

        Args:
            queries: view name -> (n, d), one view or several; a row of NaN is a query without that
                view.
            gallery: view name -> (m, d), other views than the queries'.

        Returns:
            Likelihood ratios, shape (n, m); higher is more alike.

        Raises:
            InputError: an unknown view, one on both sides, or an item without any view.
        """
        self._fitted()
        left, right = Views.of(queries, self._widths), Views.of(gallery, self._widths)
        both = set(left.features) & set(right.features)
        if both:
            raise InputError(
                f"view {min(both)!r} is on both sides; compare a view with itself by the cosine "
                f"of its features"
            )
        scores = np.empty((left.n, right.n))
        for these, rows in left.patterns():
            for those, columns in right.patterns():
                if not these or not those:
                    side, number = ("query", rows[0]) if not these else ("gallery item", columns[0])
                    raise InputError(f"{side} {number} has no view at all; leave it out")
                a, b = (
                    {name: self.transform(name, side.features[name][some]) for name in chosen}
                    for side, chosen, some in ((left, these, rows), (right, those, columns))
                )
                scores[np.ix_(rows, columns)] = self._compare(a, b)
        return scores

    def _compare(self, a: dict[str, Float64], b: dict[str, Float64]) -> Float64:
        score, left, right = _score(
            self._covariances, *([self._number(name) for name in side] for side in (a, b))
        )
        first = np.einsum("vni,iv->ni", np.stack(list(a.values())), left)
        second = np.einsum("vni,iv->ni", np.stack(list(b.values())), right)
        product: Float64 = score.left(first) @ score.right(second).T
        return product

    def _fitted(self) -> None:
        if not hasattr(self, "views_"):
            raise InputError(
                "this GCCA is not fitted yet; call fit({'image': X, 'text': Y, ...}) first"
            )

    def _number(self, view: str) -> int:
        self._fitted()
        if view not in self.views_:
            raise InputError(f"unknown view {view!r}; the fit had {', '.join(self.views_)}")
        return self.views_.index(view)

    def _named(self, view: str) -> str:
        return (
            self.preparation
            if isinstance(self.preparation, str)
            else self.preparation.get(view, "raw")
        )

    def _given(self, names: tuple[str, ...]) -> Shrinkages | None:
        asked = self.shrinkage
        if isinstance(asked, str):
            if asked == "auto":
                return None
            raise InputError(
                f"shrinkage must be 'auto', a number, or a number per view; got {asked!r}"
            )
        values = (
            [asked.get(name, np.nan) for name in names]
            if isinstance(asked, Mapping)
            else [asked] * len(names)
        )
        if not all(0 <= value <= 1 for value in values):
            raise InputError(
                f"shrinkage must give every view ({', '.join(names)}) a number in [0, 1]; got "
                f"{asked!r}"
            )
        return tuple(float(value) for value in values)


class _Folds:
    """Folds of items in all views: their complements, decomposed for any shrinkage."""

    def __init__(self, folds: list[BlockMoments], names: tuple[str, ...]):
        self._folds = folds
        self.total = sum(folds[1:], start=folds[0])
        self.complements = [self.total - fold for fold in folds]
        self._factors = each(
            lambda complement: JointFactors.of(complement, names), self.complements
        )

    def decompositions(self, shrinkage: Shrinkages) -> list[JointDecomposition]:
        """Of each fold's complement."""
        return each(lambda factors: factors.solve(shrinkage), self._factors)

    def covariances(
        self, shrinkage: Shrinkages, decompositions: list[JointDecomposition] | None = None
    ) -> Float64:
        """Held-out second moments (r, m, m) of the views' coordinates, component by component,
        averaged over folds.
        """
        found = decompositions or self.decompositions(shrinkage)
        r = min(len(decomposition.rho) for decomposition in found)
        m = len(self.total.widths)
        mean = np.zeros((r, m, m))
        for fold, complement, decomposition in zip(
            self._folds, self.complements, found, strict=True
        ):
            A = [projection[:, :r] for projection in decomposition.projections]
            shift = [(fold.mean(v) - complement.mean(v)) @ A[v] for v in range(m)]
            for v in range(m):
                for w in range(v, m):
                    product = (
                        np.einsum("ir,ir->r", A[v], fold.scatter(v, w) @ A[w]) / fold.n
                        + shift[v] * shift[w]
                    )
                    mean[:, v, w] += product / len(self._folds)
                    mean[:, w, v] = mean[:, v, w]
        diagonal = np.arange(m)
        mean[:, diagonal, diagonal] = np.maximum(mean[:, diagonal, diagonal], _VARIANCE_FLOOR)
        return _smooth(mean)


def _score(
    covariances: Float64, these: list[int], those: list[int]
) -> tuple[Score, Float64, Float64]:
    """The score of some views against others, and each side's combination (r, views):
    unit-variance predictors of each other.
    """
    left, right = _whitener(covariances, these), _whitener(covariances, those)
    U, s, Vt = np.linalg.svd(np.swapaxes(left, 1, 2) @ covariances[:, these][:, :, those] @ right)
    first, second = (
        (left @ U[:, :, :1])[:, :, 0],
        (right @ np.swapaxes(Vt, 1, 2)[:, :, :1])[:, :, 0],
    )
    # A pair of vectors may be turned round together; so turned that the views add up.
    sign = np.where(first.sum(axis=1, keepdims=True) < 0, -1.0, 1.0)
    held = Held.unscaled(np.clip(s[:, 0], 0.0, _CORRELATION_CEILING))
    return NormalisedLikelihoodRatioScore.of(held), first * sign, second * sign


def _smooth(covariances: Float64) -> Float64:
    """Correlations between views that do not rise with the component and are not negative, the
    variances as they are.

    What is measured of one component is noise to a good part. Combinations of views would be chosen
    by that noise: of two views that say nothing, the difference says something in every sample.
    """
    smooth = covariances.copy()
    for v, w in combinations(range(covariances.shape[1]), 2):
        scale = np.sqrt(covariances[:, v, v] * covariances[:, w, w])
        correlation = isotonic_regression(covariances[:, v, w] / scale, increasing=False).x
        smooth[:, v, w] = smooth[:, w, v] = np.clip(correlation, 0.0, _CORRELATION_CEILING) * scale
    return smooth


def _whitener(covariances: Float64, views: list[int]) -> Float64:
    """W (r, k, k) with W' C W = I for the block C of the views."""
    values, vectors = np.linalg.eigh(covariances[:, views][:, :, views])
    whitener: Float64 = (
        vectors
        / np.sqrt(np.maximum(values, _VARIANCE_FLOOR * values.max(axis=1, keepdims=True)))[
            :, None, :
        ]
    )
    return whitener


def _choose_shrinkage(
    views: list[Array], group: NDArray[np.intp], names: tuple[str, ...], folds: int, seed: int
) -> Shrinkages:
    """By mean reciprocal rank between all pairs of views in held-out folds: a common one first,
    then each view's.
    """
    count = int(group.max()) + 1
    some = np.random.default_rng(seed).permutation(count)[
        : max(2, round(count * min(1.0, _TRIAL_ITEMS / len(group))))
    ]
    rows = np.flatnonzero(np.isin(group, some))
    reduced = [within_few_dimensions(view[rows], _TRIAL_DIMENSIONS) for view in views]
    trial = _Trial([view for view, _ in reduced], group[rows], names, folds, seed)
    ratios = [ratio for _, ratio in reduced]

    @cache
    def value(log_odds: tuple[float, ...]) -> float:
        shares = zip(map(share_of, log_odds), ratios, strict=True)
        return trial.held_out_mrr(tuple(scale_odds(g, 1 / ratio) for g, ratio in shares))

    best = max(((odds,) * len(names) for odds in _COMMON_LOG_ODDS), key=value)
    return tuple(map(share_of, climb(best, value, _neighbours)[0]))


def _neighbours(point: tuple[float, ...]) -> Iterator[tuple[float, ...]]:
    """A step up and down in the log-odds of each view."""
    for v, odds in enumerate(point):
        for step in (_STEP, -_STEP):
            yield (*point[:v], odds + step, *point[v + 1 :])


class _Trial:
    """Retrieval inside held-out folds under any shrinkage."""

    def __init__(
        self,
        views: list[Array],
        group: NDArray[np.intp],
        names: tuple[str, ...],
        folds: int,
        seed: int,
    ):
        self._views, self._group, self._fold = views, group, assign_folds(group, folds, seed)
        self._folds = _Folds(BlockMoments.of_folds(views, self._fold), names)

    def held_out_mrr(self, shrinkage: Shrinkages) -> float:
        """Mean reciprocal rank over folds and ordered pairs of views."""
        decompositions = self._folds.decompositions(shrinkage)
        covariances = self._folds.covariances(shrinkage, decompositions)
        r, values = len(covariances), []
        for k, (complement, decomposition) in enumerate(
            zip(self._folds.complements, decompositions, strict=True)
        ):
            rows = np.flatnonzero(self._fold == k)[:_MAX_FOLD_ITEMS]
            relevant = np.nonzero(self._group[rows][:, None] == self._group[rows])
            a = [
                (view[rows] - complement.mean(v)) @ decomposition.projections[v][:, :r]
                for v, view in enumerate(self._views)
            ]
            for v, w in combinations(range(len(a)), 2):
                score, first, second = _score(covariances, [v], [w])
                left, right = score.left(a[v] * first[:, 0]), score.right(a[w] * second[:, 0])
                for x, y in ((left, right), (right, left)):
                    values.append(
                        (
                            1
                            / best_ranks(
                                x.astype(np.float32),
                                y.astype(np.float32),
                                (relevant[0], relevant[1]),
                            )
                        ).mean()
                    )
        return float(np.mean(values))
