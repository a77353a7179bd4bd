"""Hubness correction: what an item scores with everybody is taken off what it scores with one.

The correction stands beside a score and works on its index vectors, whichever score they are of.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from csa.core.clusters import cluster_centres, distinct_rows
from csa.core.matrices import Float64
from csa.core.scores import Score

_MAX_CENTRES = 2000
_ITEMS_PER_CENTRE = 2
_BLOCK_ROWS = 4096


@dataclass(frozen=True, eq=False)
class HubnessCorrection:
    """A score less what each item scores with its nearest queries of the training set (NNN;
    Chowdhury et al. 2024).

    S'(x, y) = S(x, y) - strength (h(x) + h(y)), with h(y) the mean of y's `neighbours` highest
    scores against the first view's hub centres, and h(x) alike. An item near everything, a hub,
    stops being everybody's answer. The centres are cluster centres of training items' index
    vectors, fixed by the fit, and a centre's score is the mean score of its members: nothing is
    learned from the gallery, and no training item is kept.

    Attributes:
        hubs_left, hubs_right: hub centres of either view under the score, shapes (m, k) and
            (m', k).
        strength: share of h that is taken off.
        neighbours: centres that h averages over.
    """

    hubs_left: Float64
    hubs_right: Float64
    strength: float = 0.5
    neighbours: int = 8

    @classmethod
    def of(cls, score: Score, a: Float64, b: Float64, seed: int) -> "HubnessCorrection":
        """The correction of a score by the training items.

        Training coordinates are overfitted, so each is brought to the variance that held-out items
        have.

        Args:
            score: that is corrected.
            a, b: the items' coordinates, shapes (n, r) and (m, r).
            seed: of the cluster centres.

        Returns:
            The correction, with at most 2,000 centres a view.
        """
        scale_a, scale_b = score.scales
        return cls.of_vectors(
            score.left(_rescaled(a, scale_a)), score.right(_rescaled(b, scale_b)), seed
        )

    @classmethod
    def of_vectors(cls, left: Float64, right: Float64, seed: int) -> "HubnessCorrection":
        """The correction by items whose index vectors are at hand.

        Args:
            left, right: index vectors of either view's items, shapes (n, k) and (m, k).
            seed: of the cluster centres.

        Returns:
            The correction, with at most 2,000 centres a view.
        """
        return cls(_hub_centres(left, seed), _hub_centres(right, seed))

    def left(self, vectors: Float64) -> Float64:
        """First-view index vectors of the score (n, k) to corrected ones (n, k + 2)."""
        return np.column_stack(
            [vectors, -self._hubness(vectors, self.hubs_right), np.ones(len(vectors))]
        )

    def right(self, vectors: Float64) -> Float64:
        """Second-view index vectors of the score (m, k) to corrected ones (m, k + 2)."""
        return np.column_stack(
            [vectors, np.ones(len(vectors)), -self._hubness(vectors, self.hubs_left)]
        )

    def settings(self) -> dict[str, Any]:
        """What a file's header keeps of it."""
        return {"strength": self.strength, "neighbours": self.neighbours}

    def tensors(self) -> dict[str, Float64]:
        """What a file keeps of it, by name."""
        return {"hubs_left": self.hubs_left, "hubs_right": self.hubs_right}

    @classmethod
    def of_tensors(
        cls, settings: Mapping[str, Any], tensors: Mapping[str, Float64]
    ) -> "HubnessCorrection":
        """The correction that a file keeps.

        Args:
            settings: from the header.
            tensors: of the file, among which are others.

        Returns:
            The correction, bit for bit.

        Raises:
            KeyError: a tensor is missing.
        """
        return cls(tensors["hubs_left"], tensors["hubs_right"], **settings)

    def _hubness(self, vectors: Float64, hubs: Float64) -> Float64:
        k = min(self.neighbours, len(hubs))
        hubness = np.empty(len(vectors))
        for i in range(0, len(vectors), _BLOCK_ROWS):
            scores = vectors[i : i + _BLOCK_ROWS] @ hubs.T
            hubness[i : i + _BLOCK_ROWS] = np.partition(scores, -k, axis=1)[:, -k:].mean(axis=1)
        return self.strength * hubness


def _hub_centres(vectors: Float64, seed: int) -> Float64:
    return cluster_centres(
        vectors, max(1, min(_MAX_CENTRES, len(vectors) // _ITEMS_PER_CENTRE)), seed
    )


def _rescaled(coordinates: Float64, scale: Float64) -> Float64:
    """Distinct rows, each coordinate brought to standard deviation `scale`."""
    items = coordinates[distinct_rows(coordinates), : len(scale)]
    spread = items.std(axis=0)
    factor: Float64 = np.divide(
        scale[: items.shape[1]], spread, out=np.zeros_like(spread), where=spread > 0
    )
    return items * factor
