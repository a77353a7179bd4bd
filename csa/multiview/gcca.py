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

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from csa.core.base import Estimator
from csa.core.matrices import Float64, check_features
from csa.core.preparation import Preparation
from csa.core.threads import one_thread_a_product
from csa.core.training import assign_folds
from csa.errors import InputError
from csa.multiview.block_moments import BlockMoments
from csa.multiview.choice import choose_shrinkage
from csa.multiview.comparison import HeldOutCovariances, Shrinkages, score_of
from csa.multiview.joint import JointFactors
from csa.multiview.views import Views


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

    Attributes:
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
        shrinkage = self._given(names) or choose_shrinkage(
            prepared, group, names, self.folds, self.seed
        )
        folds = HeldOutCovariances(BlockMoments.of_folds(prepared, fold), names)
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
        score, left, right = score_of(
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
