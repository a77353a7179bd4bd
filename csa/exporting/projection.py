"""The index vectors of a fitted alignment as a torch module, from which ONNX is made.

It computes in float64 what `Alignment.index_vectors` computes, and gives float32.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn.functional import normalize

from csa.core.alignment import Alignment
from csa.core.bridge import FittedBridge
from csa.core.matrices import Array
from csa.core.preparation import Preparation
from csa.core.scores import (
    CanonicalScore,
    LikelihoodRatioScore,
    NormalisedLikelihoodRatioScore,
    Score,
)
from csa.errors import InputError

Step = Callable[[Any], Any]


class Projection(torch.nn.Module):
    """Features of one view (n, d), float32, to index vectors (n, k), float32.

    Args:
        alignment: the fit.
        first: whether of its first view.

    Raises:
        InputError: a score that was added to `csa.core.scores.SCORES` and is not known here.
    """

    def __init__(self, alignment: Alignment, first: bool):
        super().__init__()
        self.width = alignment.dimensions[0 if first else 1]
        mean, matrix = (alignment.mean_x, alignment.A) if first else (alignment.mean_y, alignment.B)
        self._mean, self._matrix = _tensor(mean), _tensor(matrix)
        self._prepare = _preparation(alignment.prepare_x if first else alignment.prepare_y)
        self._score = _score(alignment.score, first)
        self._bridge = None if alignment.bridge is None else _bridge(alignment.bridge, first)
        self._hubs: Step | None = None
        if alignment.hubness is not None:
            hubs = alignment.hubness.hubs_right if first else alignment.hubness.hubs_left
            count = min(alignment.hubness.neighbours, len(hubs))
            self._hubs = _hubness(hubs, count, alignment.hubness.strength)
        self._first = first

    def forward(self, features: Any) -> Any:
        """Index vectors."""
        given = features.double()
        vectors = self._score((self._prepare(given) - self._mean) @ self._matrix)
        if self._bridge is not None:
            vectors = torch.cat([vectors, self._bridge(given)], dim=1)
        if self._hubs is not None:
            hubness = self._hubs(vectors)
            ones = torch.ones_like(hubness)
            more = [-hubness, ones] if self._first else [ones, -hubness]
            vectors = torch.cat([vectors, *more], dim=1)
        return vectors.float()


def _tensor(values: Array) -> Any:
    return torch.from_numpy(np.array(values, dtype=np.float64))


def _unit(rows: Any) -> Any:
    """Rows at unit length; a zero row stays zero."""
    return normalize(rows, dim=1, eps=1e-300)


def _preparation(how: Preparation) -> Step:
    if how.name == "raw":
        return lambda features: features
    if how.name == "unit":
        return _unit
    if how.name == "root":
        return lambda features: _unit(torch.sign(features) * torch.sqrt(torch.abs(features)))
    centres, mixing = _tensor(how.centres), _tensor(how.mixing)
    lengths = (centres**2).sum(1)

    def kernel(features: Any) -> Any:
        rows = _unit(features)
        squared = (rows**2).sum(1, keepdim=True) - 2 * rows @ centres.T + lengths
        return torch.exp(-how.width * torch.clamp(squared, min=0.0)) @ mixing

    return kernel


def _score(score: Score, first: bool) -> Step:
    if type(score) is CanonicalScore:
        roots = _tensor(np.sqrt(score.weights))
        return lambda coordinates: _unit(coordinates[:, : len(roots)]) * roots
    if isinstance(score, LikelihoodRatioScore):
        return _likelihood_ratio(score, first)
    raise InputError(
        f"--format onnx does not know the score {score.name!r}; export parquet or "
        f"sentence-transformers, or fit with one of CSA's own scores"
    )


def _likelihood_ratio(score: LikelihoodRatioScore, first: bool) -> Step:
    keep = np.flatnonzero(score.weights > 0)
    scale = _tensor((score.scale_a if first else score.scale_b)[keep])
    weights = score.weights[keep]
    squares, columns = _tensor(weights**2), torch.from_numpy(keep)
    factor, penalty = (_tensor(w / (1 - weights**2)) for w in (weights, weights**2))
    expected = float(np.linalg.norm(weights))
    of_one_length = isinstance(score, NormalisedLikelihoodRatioScore)
    known = score.mutual_information if first else 0.0

    def vectors(coordinates: Any) -> Any:
        rows = torch.index_select(coordinates, 1, columns) / scale
        if of_one_length:
            length = torch.sqrt(rows**2 @ squares).unsqueeze(1)
            rows = rows / torch.clamp(length, min=1e-300) * expected
        lost = (known - (rows**2) @ penalty / 2).unsqueeze(1)
        ones = torch.ones_like(lost)
        parts = [rows * factor, lost, ones] if first else [rows, ones, lost]
        return torch.cat(parts, dim=1)

    return vectors


def _bridge(bridge: FittedBridge, first: bool) -> Step:
    if (bridge.head.view == "x") != first:
        mean_other = _tensor(bridge.mean_other)
        return lambda features: _unit(features - mean_other)
    head, bias, labels = (
        _tensor(part)
        for part in (bridge.head.weights, bridge.head.bias, bridge.head.label_features)
    )
    mean_place = _tensor(bridge.mean_place)

    def placed(features: Any) -> Any:
        shares = torch.softmax((features @ head.T + bias) / bridge.temperature, dim=1)
        return bridge.weight * _unit(shares @ labels - mean_place)

    return placed


def _hubness(hubs: Array, count: int, strength: float) -> Step:
    centres = _tensor(hubs)

    def mean_of_best(vectors: Any) -> Any:
        best = torch.topk(vectors @ centres.T, count, dim=1).values
        return strength * best.mean(1, keepdim=True)

    return mean_of_best
