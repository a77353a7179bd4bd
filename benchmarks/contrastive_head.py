"""The trained competitor: two linear heads under InfoNCE, stopped early by cross-validation."""

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from csa.core.base import PairModel, one_or_both
from csa.core.matrices import Array
from csa.core.preparation import Preparation
from csa.core.search import best_ranks
from csa.core.training import assign_folds

_DIMENSIONS, _BATCH, _DROPOUT, _RATE, _DECAY = 256, 256, 0.5, 1e-3, 0.1
_CAPTIONS = 5


class ContrastiveHead(PairModel):
    """Linear heads to 256 dimensions, symmetric InfoNCE with a learned temperature, AdamW, dropout
    on the features.

    One caption of each image a batch. Features are prepared as CSA prefers them (root and unit).
    The number of epochs is the one with the best mean reciprocal rank in held-out folds; the heads
    are then trained on all pairs for as long. Dropout, rate and decay were the best of a few on a
    part of the training images.
    """

    def __init__(self, folds: int = 3, seed: int = 0):
        self.folds = folds
        self.seed = seed

    def fit(self, X: ArrayLike, Y: ArrayLike, groups: ArrayLike) -> "ContrastiveHead":
        """Fit on X (n, p), Y (n, q) and the image of each pair."""
        x, y = (self._scaled(np.asarray(view), name) for view, name in ((X, "root"), (Y, "unit")))
        group = np.unique(np.asarray(groups), return_inverse=True)[1]
        steps = _CAPTIONS * max(1, (int(group.max()) + 1) // _BATCH)
        epochs = int(np.clip(600 // steps, 12, 100))
        fold, totals = assign_folds(group, self.folds, self.seed), np.zeros(epochs)
        for k in range(int(fold.max()) + 1):
            inside, out = fold != k, fold == k
            relevant = np.nonzero(group[out][:, None] == group[out])
            for epoch, heads in enumerate(
                _train(x[inside], y[inside], group[inside], epochs, self.seed)
            ):
                a, b = _embed(heads[0], x[out]), _embed(heads[1], y[out])
                totals[epoch] += (1 / best_ranks(a, b, relevant)).mean() + (
                    1 / best_ranks(b, a, relevant)
                ).mean()
        self.epochs_ = int(totals.argmax()) + 1
        *_, self.heads_ = _train(x, y, group, self.epochs_, self.seed)
        return self

    def _scaled(self, view: Array, name: str) -> Array:
        prepared = Preparation.fit(name, view, self.seed)(view)
        mean = prepared.mean(axis=0)
        scale = np.sqrt(((prepared - mean) ** 2).mean())
        setattr(self, f"scaling_{name}_", (mean, scale))
        return ((prepared - mean) / scale).astype(np.float32)

    def index_vectors(self, X: ArrayLike | None = None, Y: ArrayLike | None = None) -> Any:
        """Unit vectors of either view."""
        views = []
        for features, name, head in ((X, "root", self.heads_[0]), (Y, "unit", self.heads_[1])):
            mean, scale = getattr(self, f"scaling_{name}_")
            if features is None:
                views.append(None)
                continue
            raw = np.asarray(features)
            views.append(_embed(head, (Preparation.fit(name, raw, self.seed)(raw) - mean) / scale))
        return one_or_both(*views)


def _train(x: Array, y: Array, group: Array, epochs: int, seed: int) -> Any:
    """Yield the heads after every epoch."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    captions = [np.flatnonzero(group == g) for g in np.unique(group)]
    heads = torch.nn.Linear(x.shape[1], _DIMENSIONS), torch.nn.Linear(y.shape[1], _DIMENSIONS)
    log_scale = torch.nn.Parameter(torch.tensor(float(np.log(1 / 0.07))))
    optimiser = torch.optim.AdamW(
        [*heads[0].parameters(), *heads[1].parameters(), log_scale], lr=_RATE, weight_decay=_DECAY
    )
    for _ in range(epochs):
        for _ in range(_CAPTIONS):
            rows = np.array([rng.choice(own) for own in captions])[rng.permutation(len(captions))]
            for i in range(0, max(1, len(rows) - len(rows) % _BATCH), _BATCH):
                batch = rows[i : i + _BATCH]
                a, b = (
                    torch.nn.functional.normalize(
                        head(torch.nn.functional.dropout(torch.from_numpy(view[batch]), _DROPOUT))
                    )
                    for head, view in zip(heads, (x, y), strict=True)
                )
                logits, target = log_scale.exp().clamp(max=100) * a @ b.T, torch.arange(len(batch))
                cross_entropy = torch.nn.functional.cross_entropy
                loss = (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        yield heads


def _embed(head: Any, features: Array) -> Array:
    with torch.no_grad():
        return (
            torch.nn.functional.normalize(head(torch.from_numpy(features.astype(np.float32))))
            .numpy()
            .astype(np.float64)
        )
