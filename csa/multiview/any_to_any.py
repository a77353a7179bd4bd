"""`AnyToAny`: a CSA for every pair of views, their scores calibrated so that they can be added up
over the pairs an item has.

After Any2Any (Li et al. 2024, arXiv 2411.10513). Pairs of views that no item has both of are left
out.

>>> import numpy as np
>>> rng = np.random.default_rng(0)
>>> Z = rng.normal(size=(700, 3))
>>> def view():
...     return Z @ rng.normal(size=(3, 8)) + 0.7 * rng.normal(size=(700, 8))
>>> views = {name: view() for name in ("image", "text", "sound")}
>>> train = {name: X[:600] for name, X in views.items()}
>>> test = {name: X[600:] for name, X in views.items()}
>>> test["image"][:50] = np.nan  # half of the queries have no image
>>> model = AnyToAny(csa=CSA(score="likelihood_ratio")).fit(train)
>>> asked = {"image": test["image"], "sound": test["sound"]}
>>> scores = model.similarity(asked, {"text": test["text"]})
>>> bool((scores.argmax(axis=1) == np.arange(100)).mean() > 0.3)
True
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit

from csa.core.alignment import Alignment
from csa.core.base import Estimator
from csa.core.estimator import CSA
from csa.core.matrices import Array, Float64
from csa.core.refit import Refit
from csa.core.training import Training
from csa.errors import FeatureError, InputError
from csa.multiview.views import Views

Combination = Literal["log_odds", "cdf"]

_MAX_CALIBRATION_ITEMS = 1000
# Keeps the slope finite where calibration pairs and strangers do not overlap at all.
_SLOPE_PENALTY = 1e-3


@dataclass(frozen=True, eq=False)
class Calibrated:
    """One pair of views: its alignment, and what a score means on pairs that took no part in the
    fit.

    Attributes:
        alignment: of the two views.
        true_scores: scores of true calibration pairs, ascending, shape (k,).
        slope, intercept: of the log-odds of "true pair" against "strangers" as a linear function of
            the score.
    """

    alignment: Alignment
    true_scores: Float64
    slope: float
    intercept: float

    def probability(self, scores: Float64) -> Float64:
        """Share of true calibration pairs that score no higher: their empirical CDF (Any2Any,
        first stage).
        """
        below: Float64 = np.searchsorted(self.true_scores, scores, side="right") / (
            len(self.true_scores) + 1
        )
        return below

    def log_odds(self, scores: Float64) -> Float64:
        """Log-odds of a true pair against strangers."""
        return self.slope * scores + self.intercept


class AnyToAny(Estimator):
    """Retrieval between any views that query and gallery item happen to have.

    The score of a query with a gallery item is summed up over the pairs of (query's view, gallery's
    view) that both have and that was fitted: "cdf" takes the mean of the calibrated probabilities,
    as published; "log_odds" the sum of calibrated log-odds, so that a pair of views that tells
    little counts little.

    Args:
        combine: "log_odds" or "cdf".
        calibration: "cross_fit": scores are calibrated on folds that took no part in a refit of the
            same recipe, and all items are fitted; or, as published, a share of groups that no fit
            sees.
        csa: the estimator of every pair of views; it is not changed. Default: `CSA()`.
        seed: of the calibration split.

    Attributes:
        pairs_: (first view, second view) -> `Calibrated`.
    """

    def __init__(
        self,
        combine: Combination = "log_odds",
        calibration: Literal["cross_fit"] | float = "cross_fit",
        csa: CSA | None = None,
        seed: int = 0,
    ):
        self.combine = combine
        self.calibration = calibration
        self.csa = csa
        self.seed = seed

    def fit(self, views: Mapping[str, ArrayLike], groups: ArrayLike | None = None) -> "AnyToAny":
        """Fit every pair of views on the items that have both, and calibrate it.

        Args:
            views: two or more, name -> features (n, d); a row of NaN is an item without that view.
            groups: label of the item each row belongs to, shape (n,).

        Returns:
            The estimator itself, fitted.

        Raises:
            FeatureError: unusable features, or no two views that enough items share.
            InputError: fewer than two views, a parameter out of range.
        """
        if self.combine not in get_args(Combination):
            raise InputError(
                f"combine must be one of {', '.join(get_args(Combination))}; got {self.combine!r}"
            )
        if self.calibration != "cross_fit" and not (
            isinstance(self.calibration, float) and 0 < self.calibration < 1
        ):
            raise InputError(
                f"calibration must be 'cross_fit' or a share of the groups between 0 and 1; got "
                f"{self.calibration!r}"
            )
        checked = Views.of(views)
        if len(checked.features) < 2:
            raise InputError(f"at least two views are needed, got {', '.join(checked.features)}")
        label = np.arange(checked.n) if groups is None else np.asarray(groups)
        if label.shape != (checked.n,):
            raise InputError(
                f"groups must have one label per item, shape ({checked.n},); got shape "
                f"{label.shape}"
            )
        group = np.unique(label, return_inverse=True)[1]
        self._widths = {name: X.shape[1] for name, X in checked.features.items()}
        self.pairs_: dict[tuple[str, str], Calibrated] = {}
        for first, second in combinations(checked.features, 2):
            rows = checked.rows_with(first, second)
            if len(rows):
                X, Y = checked.features[first][rows], checked.features[second][rows]
                self.pairs_[first, second] = self._fit_pair(
                    X, Y, group[rows], f"views {first!r} and {second!r}"
                )
        if not self.pairs_:
            raise FeatureError(
                f"no item has two of the views {', '.join(checked.features)}, so nothing can be "
                f"aligned"
            )
        return self

    def _fit_pair(self, X: Array, Y: Array, group: NDArray[np.intp], named: str) -> Calibrated:
        estimator = CSA(**(self.csa or CSA()).get_params())
        if self.calibration == "cross_fit":
            alignment = estimator.fit(X, Y, groups=group).alignment_
            training = Training.of(X, Y, group, estimator.folds, estimator.seed)
            refit = Refit(alignment, training)
            fitted = refit.on(np.ones(len(X), dtype=np.bool_))
            parts = [
                (fitted.without(k), np.flatnonzero(refit.fold == k)) for k in range(fitted.folds)
            ]
        else:
            groups = int(group.max()) + 1
            out = np.random.default_rng(self.seed).random(groups)[group] < self.calibration
            if len(np.unique(group[out])) < 2:
                raise FeatureError(
                    f"{named}: {out.sum()} items are left to calibrate on, and they need at least "
                    f"2 groups; add items that have "
                    "both, or raise calibration"
                )
            alignment = estimator.fit(X[~out], Y[~out], groups=group[~out]).alignment_
            parts = [(alignment, np.flatnonzero(out))]
        true, strangers = [], []
        for outsider, rows in parts:
            some = rows[:_MAX_CALIBRATION_ITEMS]
            scores = outsider.similarity(X[some], Y[some])
            true.append(np.diag(scores))
            strangers.append(scores[group[some][:, None] != group[some]])
        slope, intercept = _log_odds(np.concatenate(true), np.concatenate(strangers))
        return Calibrated(alignment, np.sort(np.concatenate(true)), slope, intercept)

    def similarity(
        self, queries: Mapping[str, ArrayLike], gallery: Mapping[str, ArrayLike]
    ) -> Float64:
        """Similarity of every query to every gallery item.

        Args:
            queries: view name -> (n, d); a row of NaN is a query without that view.
            gallery: view name -> (m, d), likewise. A view may be on both sides; it is not compared
                with itself.

        Returns:
            Sums of log-odds, or means of probabilities, shape (n, m); higher is more alike.

        Raises:
            InputError: an unknown view, or a query and a gallery item with no fitted pair of views
                between them.
        """
        if not hasattr(self, "pairs_"):
            raise InputError(
                "this AnyToAny is not fitted yet; call fit({'image': X, 'text': Y, ...}) first"
            )
        left, right = Views.of(queries, self._widths), Views.of(gallery, self._widths)
        total, count = np.zeros((left.n, right.n)), np.zeros((left.n, right.n), dtype=np.intp)
        for (first, second), pair in self.pairs_.items():
            for v, w in ((first, second), (second, first)):
                if v in left.features and w in right.features:
                    cells = np.ix_(np.flatnonzero(left.there[v]), np.flatnonzero(right.there[w]))
                    a, b = left.features[v][cells[0].ravel()], right.features[w][cells[1].ravel()]
                    scores = (
                        pair.alignment.similarity(a, b)
                        if v == first
                        else pair.alignment.similarity(b, a).T
                    )
                    total[cells] += (
                        pair.log_odds(scores)
                        if self.combine == "log_odds"
                        else pair.probability(scores)
                    )
                    count[cells] += 1
        if not count.all():
            query, item = np.argwhere(count == 0)[0]
            raise InputError(
                f"query {query} and gallery item {item} have no pair of views that was fitted; "
                f"leave one out, or fit on items "
                "that have both"
            )
        return total if self.combine == "log_odds" else total / count


def _log_odds(true: Float64, strangers: Float64) -> tuple[float, float]:
    """Slope (not negative) and intercept of the log-odds of a true pair, both kinds weighing the
    same (logistic regression).
    """
    centre, spread = float(strangers.mean()), float(strangers.std()) or 1.0
    positive, negative = (true - centre) / spread, (strangers - centre) / spread

    def loss(theta: Float64) -> tuple[float, Float64]:
        p, q = theta[0] * positive + theta[1], theta[0] * negative + theta[1]
        value = (
            np.logaddexp(0, -p).mean() + np.logaddexp(0, q).mean() + _SLOPE_PENALTY * theta[0] ** 2
        )
        wrong, right = -expit(-p) / len(p), expit(q) / len(q)
        slope = wrong @ positive + right @ negative + 2 * _SLOPE_PENALTY * theta[0]
        return value, np.array([slope, wrong.sum() + right.sum()])

    slope, intercept = minimize(
        loss, np.array([1.0, 0.0]), jac=True, bounds=[(0, None), (None, None)]
    ).x
    return float(slope / spread), float(intercept - slope * centre / spread)
