"""What held-out folds say about a decomposition, and how much signal that is."""

from dataclasses import dataclass

import numpy as np

from csa.core.matrices import Float64


@dataclass(frozen=True, eq=False)
class Held:
    """What held-out folds say about one shrinkage, averaged over folds.

    Attributes:
        weights: held-out correlation of each canonical pair, in [0, 1), shape (r,).
        scale_a, scale_b: held-out standard deviation of each coordinate, shape (r,).
    """

    weights: Float64
    scale_a: Float64
    scale_b: Float64

    @classmethod
    def unscaled(cls, weights: Float64) -> "Held":
        """Weights (r,) of coordinates whose variance is 1, such as in-sample correlations."""
        return cls(weights, np.ones(len(weights)), np.ones(len(weights)))

    @property
    def mutual_information(self) -> float:
        """In nats."""
        return mutual_information(self.weights)


def mutual_information(weights: Float64) -> float:
    """Mutual information of jointly Gaussian coordinates with correlations `weights` (r,), in nats.

    I = sum_i -log(1 - w_i^2) / 2
    """
    return float(-0.5 * np.log1p(-(weights**2)).sum())


def effective_dimension(weights: Float64) -> float:
    """(sum w^2)^2 / sum w^4: how many equally strong components would carry the same signal; 0
    without any.
    """
    total = float((weights**2).sum())
    return total**2 / float((weights**4).sum()) if total > 0 else 0.0
