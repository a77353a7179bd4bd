"""Similarities of canonical coordinates, all in inner-product form: score(x, y) = left(a) .
right(b).

One GEMM scores a whole gallery, and any inner-product index can hold it. A new score is a subclass
of `Score` and a line in `SCORES`: `csa.CSA` then fits it, tries it where the score is "auto", and
`csa.load` reads it.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Self

import numpy as np

from csa.core.held import Held, mutual_information
from csa.core.matrices import Float64
from csa.core.preparation import unit

_KEPT_ENERGY = 0.999


@dataclass(frozen=True, eq=False)
class Score(ABC):
    """How the canonical coordinates a of x and b of y are compared: left(a) . right(b).

    Every field is an array with one entry a component; a subclass whose fields are others says how
    `leading`, `tensors` and `of_tensors` treat them.

    Attributes:
        name: what parameters and files call it.
        in_nats: whether it is a log-likelihood ratio as it stands.
        truncated: whether it keeps leading components only, `n_components` of them; else weights
            alone say how much a component counts.
        in_sample: whether its publication weights by in-sample correlations; named together with a
            shrinkage, it is then taken so.
        weights: of the components, shape (r,).
    """

    name: ClassVar[str]
    in_nats: ClassVar[bool] = False
    truncated: ClassVar[bool] = False
    in_sample: ClassVar[bool] = False

    weights: Float64

    @classmethod
    @abstractmethod
    def of(cls, held: Held) -> Self:
        """The score of all components, from what held-out folds say of each."""

    @abstractmethod
    def left(self, a: Float64) -> Float64:
        """First-view coordinates (n, r) to index vectors (n, k)."""

    @abstractmethod
    def right(self, b: Float64) -> Float64:
        """Second-view coordinates (m, r) to index vectors (m, k)."""

    @property
    def scales(self) -> tuple[Float64, Float64]:
        """Standard deviations, (r,) each, that it expects of coordinates it was not fitted on."""
        return np.ones(len(self.weights)), np.ones(len(self.weights))

    def leading(self, r: int) -> Self:
        """The score on at most r components: a fold can have one more than the whole, or fewer."""
        return type(self)(*(values[:r] for values in self.tensors().values()))

    def with_weights(self, held: Held) -> Self:
        """The same kind of score with what other folds say, on as many components if it is
        truncated.
        """
        whole = self.of(held)
        return whole.leading(len(self.weights)) if self.truncated else whole

    def tensors(self) -> dict[str, Float64]:
        """What a file keeps of it, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Float64]) -> Self:
        """The score of a file's tensors, among which are others.

        Raises:
            KeyError: one is missing.
        """
        return cls(*(tensors[field.name] for field in fields(cls)))

    @classmethod
    def candidates(
        cls, held: Held, n_components: int | None = None, per_doubling: int = 3
    ) -> list[Self]:
        """The scores of this kind worth comparing.

        Args:
            held: what held-out folds say.
            n_components: components that a truncated score keeps; None for a grid of them.
            per_doubling: numbers of components in the grid for each doubling.

        Returns:
            One score; of a truncated kind one a number of components.
        """
        whole = cls.of(held)
        if not cls.truncated:
            return [whole]
        sizes = [n_components] if n_components else component_grid(len(whole.weights), per_doubling)
        return [whole.leading(size) for size in sizes]


@dataclass(frozen=True, eq=False)
class CanonicalScore(Score):
    """The paper's canonical similarity (Li et al. 2024, eq. 4).

    S(x, y; s) = sum_{i <= s} w_i a_i b_i / (||a_{1:s}|| ||b_{1:s}||); a zero vector scores 0. With
    w = rho it is exactly the paper's, with equal weights the cosine of canonical coordinates.

    Attributes:
        weights: w, shape (s,), not negative.
    """

    name = "canonical"
    truncated = True
    in_sample = True

    @classmethod
    def of(cls, held: Held) -> Self:
        """The score with held-out correlations as weights."""
        return cls(held.weights)

    def left(self, a: Float64) -> Float64:
        """First-view coordinates (n, r) to index vectors (n, s)."""
        return self._vectors(a)

    def right(self, b: Float64) -> Float64:
        """Second-view coordinates (m, r) to index vectors (m, s)."""
        return self._vectors(b)

    def _vectors(self, coordinates: Float64) -> Float64:
        kept = coordinates[:, : len(self.weights)]
        vectors: Float64 = unit(kept) * np.sqrt(self.weights)
        return vectors


@dataclass(frozen=True, eq=False)
class LikelihoodRatioScore(Score):
    """Log-likelihood ratio of "one pair" against "two strangers", in nats, under probabilistic CCA
    (Bach & Jordan 2005).

    L(x, y) = sum_i [(w_i a_i b_i - w_i^2 (a_i^2 + b_i^2) / 2) / (1 - w_i^2) - log(1 - w_i^2) / 2],
    where a_i and b_i are first divided by their held-out standard deviations. Components with w_i =
    0 add nothing and are left out.

    Attributes:
        weights: w, correlations measured on held-out folds, shape (r,), in [0, 1).
        scale_a, scale_b: held-out standard deviations of the coordinates, shape (r,).
    """

    name = "likelihood_ratio"
    in_nats = True

    scale_a: Float64
    scale_b: Float64

    @classmethod
    def of(cls, held: Held) -> Self:
        """The score with cross-fitted weights and scales.

        Canonical pairs come in descending strength, so weights that rise with the component are
        noise of the folds: they are replaced by their closest descending sequence (isotonic
        regression). The tail that carries next to nothing is left out.
        """
        from scipy.optimize import isotonic_regression

        weights: Float64 = np.clip(
            isotonic_regression(held.weights, increasing=False).x,
            0.0,
            held.weights.max(initial=0.0),
        )
        energy = np.cumsum(weights**2)
        weights[np.searchsorted(energy, _KEPT_ENERGY * energy[-1]) + 1 :] = 0.0
        return cls(weights, held.scale_a, held.scale_b)

    def left(self, a: Float64) -> Float64:
        """First-view coordinates (n, r) to index vectors (n, k + 2), k the number of weights
        above 0.
        """
        w, a = self._informative(a, self.scale_a)
        penalty = -(a**2) @ (w**2 / (1 - w**2)) / 2 + self.mutual_information
        return np.column_stack([a * (w / (1 - w**2)), penalty, np.ones(len(a))])

    def right(self, b: Float64) -> Float64:
        """Second-view coordinates (m, r) to index vectors (m, k + 2)."""
        w, b = self._informative(b, self.scale_b)
        penalty = -(b**2) @ (w**2 / (1 - w**2)) / 2
        return np.column_stack([b, np.ones(len(b)), penalty])

    @property
    def scales(self) -> tuple[Float64, Float64]:
        """Held-out standard deviations of either view's coordinates, shape (r,)."""
        return self.scale_a, self.scale_b

    @property
    def mutual_information(self) -> float:
        """sum_i -log(1 - w_i^2) / 2, in nats: what one view tells of the other."""
        return mutual_information(self.weights)

    def _informative(self, coordinates: Float64, scale: Float64) -> tuple[Float64, Float64]:
        """Weights above 0, (k,), and their coordinates at unit held-out variance, (n, k)."""
        keep = self.weights > 0
        return self.weights[keep], coordinates[:, : len(keep)][:, keep] / scale[keep]


@dataclass(frozen=True, eq=False)
class NormalisedLikelihoodRatioScore(LikelihoodRatioScore):
    """The likelihood ratio of items brought to their expected length (as length normalisation in
    PLDA, Garcia-Romero & Espy-Wilson 2011).

    a is first scaled so that what it predicts of the other view has its expected length, sum w_i^2
    a_i^2 = sum w_i^2, and b alike. Real features have heavier tails than the Gaussian of the model,
    and a long vector would otherwise be paid for its length. The score is then no longer in nats.
    """

    name = "normalised_likelihood_ratio"
    in_nats = False

    def _informative(self, coordinates: Float64, scale: Float64) -> tuple[Float64, Float64]:
        w, scaled = super()._informative(coordinates, scale)
        length = np.sqrt(scaled**2 @ w**2)[:, None]
        expected: Float64 = np.divide(
            scaled, length, out=np.zeros_like(scaled), where=length > 0
        ) * np.linalg.norm(w)
        return w, expected


SCORES: dict[str, type[Score]] = {
    kind.name: kind
    for kind in (NormalisedLikelihoodRatioScore, LikelihoodRatioScore, CanonicalScore)
}
"""Name -> kind of score. In this order "auto" compares them, the preferred one first."""


def component_grid(r: int, per_doubling: int = 3) -> list[int]:
    """Numbers of canonical dimensions worth trying.

    Args:
        r: dimensions that there are, from 1 up.
        per_doubling: numbers for each doubling.

    Returns:
        Ascending, from 1 to r.
    """
    steps = per_doubling * int(np.ceil(np.log2(max(r, 2)))) + 1
    return sorted({min(r, round(2 ** (k / per_doubling))) for k in range(steps)})
