"""The estimator `CSA` and the frozen `Alignment` it produces.

>>> import numpy as np
>>> rng = np.random.default_rng(0)
>>> signal = rng.normal(size=(500, 3))
>>> X = np.hstack([signal + 0.1 * rng.normal(size=(500, 3)), rng.normal(size=(500, 5))])
>>> Y = np.hstack([rng.normal(size=(500, 2)), signal + 0.1 * rng.normal(size=(500, 3))])
>>> model = CSA().fit(X[:400], Y[:400])
>>> bool((model.similarity(X[400:], Y[400:]).argmax(axis=1) == np.arange(100)).mean() > 0.5)
True
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from csa.container import load_tensors, save_tensors
from csa.crossfit import CrossFit, Held, Shrinkage
from csa.errors import InputError
from csa.moments import Array, Float64, Moments, check_features, check_pairs
from csa.routes import decompose
from csa.scores import CanonicalScore, LikelihoodRatioScore, Score, ScoreName, effective_dimension, mutual_information
from csa.select import assign_folds, canonical_candidates, held_out_retrieval, likelihood_ratio
from csa.solve import Decomposition, solve


@dataclass(frozen=True, eq=False)
class Alignment:
    """Two views in one space: what a fit leaves behind. Holds no training data.

    Attributes:
        mean_x, mean_y: training means, shapes (p,) and (q,).
        A, B: canonical projections, shapes (p, r) and (q, r).
        canonical_correlations: in-sample correlations rho, descending, shape (r,).
        score: how pairs of coordinates are compared.
        shrinkage: (gx, gy) that was used.
        n_pairs: training pairs.
        notes: JSON-able facts for people and lineage, such as diagnostics.
    """

    mean_x: Float64
    mean_y: Float64
    A: Float64
    B: Float64
    canonical_correlations: Float64
    score: Score
    shrinkage: Shrinkage
    n_pairs: int
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def score_name(self) -> ScoreName:
        """`likelihood_ratio` or `canonical`."""
        return "likelihood_ratio" if isinstance(self.score, LikelihoodRatioScore) else "canonical"

    def transform(self, X: ArrayLike | None = None, Y: ArrayLike | None = None) -> Any:
        """Canonical coordinates of either view, or of both.

        Args:
            X: first-view features, shape (n, p).
            Y: second-view features, shape (m, q).

        Returns:
            (X - mean_x) A, shape (n, r); or (Y - mean_y) B, shape (m, r); a tuple of both when both are given.

        Raises:
            FeatureError: a shape that does not fit, NaN or infinity.
            InputError: neither view was given.
        """
        views = []
        if X is not None:
            views.append((check_features(X, "X", len(self.mean_x)) - self.mean_x) @ self.A)
        if Y is not None:
            views.append((check_features(Y, "Y", len(self.mean_y)) - self.mean_y) @ self.B)
        if not views:
            raise InputError("transform needs X, Y or both; got neither")
        return views[0] if len(views) == 1 else tuple(views)

    def index_vectors(self, X: ArrayLike | None = None, Y: ArrayLike | None = None) -> Any:
        """Vectors whose inner products are the similarities: what an inner-product index should hold.

        Args and errors as of `transform`; returns matrices (n, k), (m, k) for one k.
        """
        left = None if X is None else self.score.left(self.transform(X=X))
        right = None if Y is None else self.score.right(self.transform(Y=Y))
        if left is None and right is None:
            raise InputError("index_vectors needs X, Y or both; got neither")
        return (left, right) if left is not None and right is not None else right if left is None else left

    def similarity(self, X: ArrayLike, Y: ArrayLike) -> Float64:
        """Similarity of every row of X (n, p) to every row of Y (m, q); shape (n, m), higher is more alike."""
        left, right = self.index_vectors(X, Y)
        scores: Float64 = left @ right.T
        return scores

    def score_pairs(self, X: ArrayLike, Y: ArrayLike) -> Float64:
        """Similarity of row i of X (n, p) to row i of Y (n, q); shape (n,)."""
        left, right = self.index_vectors(*check_pairs(X, Y))
        scores: Float64 = np.einsum("ik,ik->i", left, right)
        return scores

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, atomically and with the same bytes for the same alignment; no pickle, no training data."""
        tensors = {
            "mean_x": self.mean_x,
            "mean_y": self.mean_y,
            "A": self.A,
            "B": self.B,
            "canonical_correlations": self.canonical_correlations,
            "weights": self.score.weights,
        }
        if isinstance(self.score, LikelihoodRatioScore):
            tensors |= {"scale_a": self.score.scale_a, "scale_b": self.score.scale_b}
        header = {
            "score": self.score_name,
            "shrinkage": list(self.shrinkage),
            "n_pairs": self.n_pairs,
            "notes": self.notes,
        }
        save_tensors(Path(path), "alignment", header, tensors)

    def __str__(self) -> str:
        p, q = len(self.mean_x), len(self.mean_y)
        rho, w = self.canonical_correlations, self.score.weights
        return (
            f"CSA alignment of {p}-d and {q}-d features, fitted on {self.n_pairs} pairs\n"
            f"  score      {self.score_name.replace('_', ' ')}, {len(w)} components\n"
            f"  shrinkage  {self.shrinkage[0]:.3g} and {self.shrinkage[1]:.3g}\n"
            f"  weights    {', '.join(f'{v:.2f}' for v in w[:5])}{', …' if len(w) > 5 else ''}"
            f" (in-sample correlations {', '.join(f'{v:.2f}' for v in rho[:3])}, …)\n"
            f"  signal     {mutual_information(np.minimum(w, 0.999)):.1f} nats, effective dimension {effective_dimension(w):.0f}"
        )


def load(path: str | Path) -> Alignment:
    """Read an alignment that `save` wrote, bit for bit.

    Raises:
        ArtifactError: no such file, not an alignment, or a damaged one.
    """
    header, tensors = load_tensors(Path(path), "alignment")
    weights = tensors.pop("weights")
    score: Score = (
        LikelihoodRatioScore(weights, tensors.pop("scale_a"), tensors.pop("scale_b"))
        if header["score"] == "likelihood_ratio"
        else CanonicalScore(weights)
    )
    gx, gy = header["shrinkage"]
    return Alignment(score=score, shrinkage=(gx, gy), n_pairs=header["n_pairs"], notes=header["notes"], **tensors)


class CSA:
    """Canonical Similarity Analysis of paired features.

    What is left on "auto" is chosen by grouped cross-fitting inside the training pairs; what is fixed by hand costs none.
    `CSA(score="canonical", shrinkage=0.0, n_components=s)` is exactly the published method (Li et al. 2024).

    Args:
        score: "auto", "likelihood_ratio" or "canonical".
        shrinkage: "auto", one number for both views, or a pair (gx, gy); each in [0, 1]: S becomes (1 - g) S + g (trace S / d) I.
        n_components: canonical dimensions that the canonical score keeps, or "auto"; the likelihood ratio uses all.
        folds: folds of the cross-fitting; fewer when there are fewer groups.
        seed: shuffles groups into folds.

    Attributes, after fit:
        alignment_: the frozen `Alignment`.
        canonical_correlations_: in-sample correlations, descending, shape (r,).
        weights_: weights of the components in the score. Cross-fitted, unless the canonical score was asked for with a shrinkage
            fixed by hand: then the in-sample correlations, as published.
        shrinkage_: (gx, gy) in use.
        n_components_: components in use.
        score_: the score in use.
    """

    def __init__(
        self,
        score: Literal["auto", "likelihood_ratio", "canonical"] = "auto",
        shrinkage: Literal["auto"] | float | tuple[float, float] = "auto",
        n_components: Literal["auto"] | int = "auto",
        folds: int = 5,
        seed: int = 0,
    ):
        self.score = score
        self.shrinkage = shrinkage
        self.n_components = n_components
        self.folds = folds
        self.seed = seed

    def fit(self, X: ArrayLike, Y: ArrayLike, groups: ArrayLike | None = None) -> "CSA":
        """Fit on paired features.

        Args:
            X: first view, shape (n, p).
            Y: second view, shape (n, q); row i belongs to row i of X.
            groups: label of the item each pair belongs to, shape (n,); a group is never split between folds. Give the image's id
                when images have several captions. Default: every pair is its own group.

        Raises:
            FeatureError: unusable arrays: shapes, NaN, a constant view, too few pairs or groups.
            InputError: a parameter out of range.
        """
        x, y = check_pairs(X, Y)
        fixed = self._fixed_by_hand()
        if fixed is not None:
            moments, decomposition = decompose(x, y, fixed[0])
            return self._finish(moments, *fixed, decomposition=decomposition)
        labels = np.arange(len(x)) if groups is None else np.asarray(groups)
        if labels.shape != (len(x),):
            raise InputError(f"groups must have one label per pair, shape ({len(x)},); got shape {labels.shape}")
        group = np.unique(labels, return_inverse=True)[1]
        fold = assign_folds(group, self.folds, self.seed)
        return self._cross_fit(Moments.of_folds(x, y, fold), (x, y, group, fold))

    def fit_moments(self, moments: Moments, folds: list[Moments] | None = None) -> "CSA":
        """Fit on moments alone, without features.

        Args:
            moments: of all training pairs.
            folds: the same pairs' moments, fold by fold, from which shrinkage and weights are cross-fitted; without them
                everything must be fixed by hand. Choosing a score needs features: "auto" takes the likelihood ratio.

        Raises:
            InputError: something is left on "auto" that moments cannot decide.
        """
        fixed = self._fixed_by_hand()
        if fixed is not None:
            return self._finish(moments, *fixed)
        if folds is None:
            raise InputError(
                "total moments cannot be cross-fitted; give folds=[...] (moments of each fold), "
                'or fix everything: score="canonical", shrinkage=..., n_components=...'
            )
        return self._cross_fit(folds, None)

    def _cross_fit(self, folds: list[Moments], features: tuple[Array, Array, NDArray[np.intp], NDArray[np.intp]] | None) -> "CSA":
        crossfit = CrossFit(folds)
        shrinkage = self._given_shrinkage() or crossfit.best_shrinkage()
        held = crossfit.measure(shrinkage)
        candidates = self._candidates(held, crossfit.total, shrinkage)
        if features is None and self.score == "canonical" and len(candidates) > 1:
            raise InputError("moments cannot choose n_components of the canonical score; give it, or fit on features")
        if len(candidates) == 1 or features is None:
            return self._finish(crossfit.total, shrinkage, candidates[0], held)
        fits = list(zip(crossfit.complements, crossfit.decompositions(shrinkage), strict=True))
        values = held_out_retrieval(*features, fits, candidates)
        return self._finish(crossfit.total, shrinkage, candidates[int(np.argmax(values))], held, max(values))

    def _candidates(self, held: Held, total: Moments, shrinkage: Shrinkage) -> list[Score]:
        """Scores to choose from, the preferred one first: it wins ties, and it is taken where there is nothing to choose by."""
        size = None if self.n_components == "auto" else self.n_components
        candidates: list[Score] = []
        if self.score in ("auto", "likelihood_ratio"):
            candidates.append(likelihood_ratio(held))
        if self.score in ("auto", "canonical"):
            published = self.score == "canonical" and self.shrinkage != "auto"
            weights = solve(total, shrinkage).rho if published else held.weights
            candidates += canonical_candidates(weights, size)
        return candidates

    def _finish(
        self,
        moments: Moments,
        shrinkage: Shrinkage,
        score: Score | int,
        held: Held | None = None,
        held_out_mrr: float | None = None,
        decomposition: Decomposition | None = None,
    ) -> "CSA":
        decomposition = decomposition or solve(moments, shrinkage)
        if isinstance(score, int):
            score = CanonicalScore(decomposition.rho[:score])
        self.alignment_ = Alignment(
            mean_x=moments.mean_x,
            mean_y=moments.mean_y,
            A=decomposition.A,
            B=decomposition.B,
            canonical_correlations=decomposition.rho,
            score=_cut(score, len(decomposition.rho)),
            shrinkage=shrinkage,
            n_pairs=moments.n,
            notes={} if held is None else _diagnostics(decomposition, held, held_out_mrr),
        )
        return self

    def _fixed_by_hand(self) -> tuple[Shrinkage, int] | None:
        """(shrinkage, n_components) when the canonical score was asked for with both given; else None. Checks the parameters."""
        if self.score not in ("auto", *get_args(ScoreName)):
            raise InputError(f"score must be 'auto', 'likelihood_ratio' or 'canonical', got {self.score!r}")
        size = self.n_components
        if size != "auto" and (not isinstance(size, int | np.integer) or size < 1):
            raise InputError(f"n_components must be 'auto' or a whole number from 1 up, got {size!r}")
        if not isinstance(self.folds, int | np.integer) or self.folds < 2:
            raise InputError(f"folds must be a whole number from 2 up, got {self.folds!r}")
        shrinkage = self._given_shrinkage()
        return (shrinkage, int(size)) if self.score == "canonical" and shrinkage and size != "auto" else None

    def _given_shrinkage(self) -> Shrinkage | None:
        if isinstance(self.shrinkage, str):
            if self.shrinkage == "auto":
                return None
            raise InputError(f"shrinkage must be 'auto', a number or a pair of numbers, got {self.shrinkage!r}")
        values = np.atleast_1d(np.asarray(self.shrinkage, dtype=np.float64))
        if values.shape not in ((1,), (2,)) or not ((values >= 0) & (values <= 1)).all():
            raise InputError(f"shrinkage must be one number or a pair, each in [0, 1]; got {self.shrinkage!r}")
        return float(values[0]), float(values[-1])

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
        """Weights of the components in the score, shape (n_components_,)."""
        return self._fitted().score.weights

    @property
    def shrinkage_(self) -> Shrinkage:
        """(gx, gy) in use."""
        return self._fitted().shrinkage

    @property
    def score_(self) -> ScoreName:
        """The score in use."""
        return self._fitted().score_name

    @property
    def n_components_(self) -> int:
        """Components in use."""
        return len(self._fitted().score.weights)

    def transform(self, X: ArrayLike | None = None, Y: ArrayLike | None = None) -> Any:
        """See `Alignment.transform`."""
        return self._fitted().transform(X, Y)

    def similarity(self, X: ArrayLike, Y: ArrayLike) -> Float64:
        """See `Alignment.similarity`."""
        return self._fitted().similarity(X, Y)

    def score_pairs(self, X: ArrayLike, Y: ArrayLike) -> Float64:
        """See `Alignment.score_pairs`."""
        return self._fitted().score_pairs(X, Y)

    def save(self, path: str | Path) -> None:
        """See `Alignment.save`."""
        self._fitted().save(path)


def _cut(score: Score, r: int) -> Score:
    """The score on at most r components: folds can have one more than the whole, or the whole fewer than was asked for."""
    if isinstance(score, CanonicalScore):
        return CanonicalScore(score.weights[:r])
    return LikelihoodRatioScore(score.weights[:r], score.scale_a[:r], score.scale_b[:r])


def _diagnostics(decomposition: Decomposition, held: Held, held_out_mrr: float | None) -> dict[str, Any]:
    r = min(len(held.weights), len(decomposition.rho))
    return {
        "mutual_information_nats": held.mutual_information,
        "effective_dimension": effective_dimension(held.weights),
        "overfit_gap": float((decomposition.rho[:r] - held.weights[:r]).mean()),
        "held_out_mrr": held_out_mrr,
    }
