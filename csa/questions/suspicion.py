"""Mislabelled training pairs: every pair scored by alignments that were fitted without it, and a
refit without the worst.

What counts is not how high a pair scores but what its items score elsewhere: a caption that fits
few photos well still fits its own best. The suspicion of pair i is the mean of its two items' ten
best scores with strangers, less the score of the pair itself.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from csa.core.alignment import Alignment
from csa.core.matrices import Array, Float64
from csa.core.refit import Refit, Refitted
from csa.core.search import best_ranks
from csa.core.training import Training, assign_folds
from csa.errors import DataError, InputError
from csa.evaluation.bootstrap import group_draws, mean_estimate, number_groups
from csa.evaluation.mismatch import strangers
from csa.params.measure import EvaluateParams
from csa.results.estimate import Estimate

ROUNDS = 2
TRIM_SHARES = (0.02, 0.05, 0.1, 0.2, 0.3)
_NEAREST = 10
_BLOCK_SCORES = 8_000_000
# Of the most stranger-like pairs, the part that the share of mislabelled pairs is read off.
_TAIL = 0.5
_MAX_FOLD_PAIRS = 4000
_CHOICE_PAIRS = 12_000
_CHOICE_FOLDS = 3
_MIN_PAIRS = 10


@dataclass(frozen=True, eq=False)
class Suspicion:
    """How every training pair looks to alignments that never saw it.

    Attributes:
        score: out-of-fold similarity of the pair, shape (n,).
        suspicion: what pairs are ranked by, higher is worse, shape (n,).
        probability: that the pair is no better than two strangers, shape (n,), rising with
            suspicion.
        share: estimated share of pairs that are no better than strangers; above the share of wrong
            ones where the encoders do not see what some right pairs have in common.
        above: share of strangers' second items that score at least as high with the first item,
            shape (n,).
        better: the pair whose second item scores highest with the first item, among strangers of
            its fold, shape (n,).
        better_score: that score, shape (n,).
    """

    score: Float64
    suspicion: Float64
    probability: Float64
    share: float
    above: Float64
    better: NDArray[np.intp]
    better_score: Float64

    @property
    def ranking(self) -> NDArray[np.intp]:
        """Pairs, the most suspect first."""
        return np.argsort(-self.suspicion, kind="stable")

    def worst(self, share: float) -> NDArray[np.bool_]:
        """Which pairs are among the given share of the most suspect, shape (n,).

        Raises:
            InputError: a share outside [0, 1), or one that leaves fewer than 10 pairs.
        """
        n = len(self.suspicion)
        if not 0 <= share < 1 or n - round(share * n) < _MIN_PAIRS:
            raise InputError(
                f"cannot set aside a share of {share!r} of {n} pairs: at least {_MIN_PAIRS} must "
                f"stay to be fitted"
            )
        chosen = np.zeros(n, dtype=np.bool_)
        chosen[self.ranking[: round(share * n)]] = True
        return chosen


def find_suspects(
    refit: Refit, training: Training, rounds: int = ROUNDS, seed: int = 0
) -> Suspicion:
    """Score every training pair by alignments of the same recipe that were fitted without its fold.

    After each round but the last, the share of pairs that looks mislabelled is left out of the fits
    (not of the scoring): wrong pairs then have less say about themselves and each other.

    Args:
        refit: the fit's recipe on the same pairs.
        training: the pairs, their features as the encoders gave them.
        rounds: 1 scores once.
        seed: of the strangers that pairs are compared with.

    Returns:
        How suspect each pair is.

    Raises:
        DataError: a fold with pairs of one group alone, so that there are no strangers.
    """
    n = len(training.X)
    suspicion = _score(refit.on(np.ones(n, dtype=np.bool_)), training, seed)
    for _ in range(rounds - 1):
        kept = ~suspicion.worst(min(suspicion.share, 1 - _MIN_PAIRS / n, _TAIL))
        suspicion = _score(refit.on(kept), training, seed)
    return suspicion


def choose_share(
    alignment: Alignment, X: Array, Y: Array, groups: Any, params: EvaluateParams
) -> tuple[float, dict[float, Estimate]]:
    """The share of the most suspect pairs to leave out, by retrieval of *all* pairs of held-out
    folds; and what each gained.

    The suspects of each training part are found inside it. Were they found with the held-out fold's
    help, pairs that disagree with the fold would go, and leaving out would look good on any data.

    Args:
        alignment: whose recipe.
        X, Y: features of the training pairs, shapes (n, p) and (n, q); of more than 12,000 pairs a
            random part is looked at.
        groups: label of the item each pair belongs to, shape (n,).
        params: resamples, confidence and seed of the intervals.

    Returns:
        (share, {share: paired difference of reciprocal ranks against leaving nothing out}); the
        share is 0 unless the best one's interval is above 0.
    """
    rows = _some_groups(number_groups(groups), params.seed)
    X, Y, group = X[rows], Y[rows], number_groups(np.asarray(groups)[rows])
    fold = assign_folds(group, _CHOICE_FOLDS, params.seed)
    gains: dict[float, list[Float64]] = {share: [] for share in TRIM_SHARES}
    of_query = []
    for k in range(int(fold.max()) + 1):
        inside, out = np.flatnonzero(fold != k), np.flatnonzero(fold == k)[:_MAX_FOLD_PAIRS]
        training = Training.of(X[inside], Y[inside], group[inside], _CHOICE_FOLDS, params.seed)
        refit = Refit(alignment, training)
        everything = np.ones(len(inside), dtype=np.bool_)
        before = _reciprocal_ranks(refit.on(everything).whole(), X[out], Y[out], group[out])
        suspicion = find_suspects(refit, training, seed=params.seed)
        for share in TRIM_SHARES:
            after = _reciprocal_ranks(trimmed(refit, suspicion, share), X[out], Y[out], group[out])
            gains[share].append(after - before)
        of_query += [group[out], group[out]]
    queries = number_groups(np.concatenate(of_query))
    draws = group_draws(int(queries.max()) + 1, params.bootstrap, params.seed)
    estimates = {
        share: mean_estimate(np.concatenate(gains[share]), queries, draws, params.confidence)
        for share in TRIM_SHARES
    }
    best = max(estimates, key=lambda share: estimates[share].value)
    return (best if estimates[best].low > 0 else 0.0), estimates


def trimmed(refit: Refit, suspicion: Suspicion, share: float) -> Alignment:
    """The recipe on all pairs but the most suspect.

    Args:
        refit: the fit's recipe on the pairs.
        suspicion: of the same pairs.
        share: of them, that is left out.

    Returns:
        The alignment of the others.
    """
    return refit.on(~suspicion.worst(share)).whole()


def _reciprocal_ranks(alignment: Alignment, X: Array, Y: Array, group: NDArray[np.intp]) -> Float64:
    """Of every pair's two items as queries; first all forward, then all backward."""
    left, right = _vectors(alignment, X, Y)
    query, gallery = np.nonzero(group[:, None] == group)
    ranks = [best_ranks(left, right, (query, gallery)), best_ranks(right, left, (query, gallery))]
    return 1 / np.concatenate(ranks)


def _some_groups(group: NDArray[np.intp], seed: int) -> NDArray[np.intp]:
    count = int(group.max()) + 1
    order = np.random.default_rng(seed).permutation(count)
    return np.flatnonzero(
        np.isin(group, order[: max(2, round(count * min(1.0, _CHOICE_PAIRS / len(group))))])
    )


def _score(fitted: Refitted, training: Training, seed: int) -> Suspicion:
    X, Y, group, n = training.X, training.Y, training.group, len(training.X)
    score, own, strange, above, better_score = (np.empty(n) for _ in range(5))
    better = np.empty(n, dtype=np.intp)
    for k in range(fitted.folds):
        rows = np.flatnonzero(training.fold == k)
        left, right = _vectors(fitted.without(k), X[rows], Y[rows])
        forward, backward = (
            _among_strangers(left, right, group[rows]),
            _among_strangers(right, left, group[rows]),
        )
        if not np.isfinite(forward.level).all():
            raise DataError(
                f"fold {k} has pairs of one group alone, so none has strangers to be compared "
                f"with; use fewer folds"
            )
        partner = strangers(number_groups(group[rows]), seed)
        score[rows] = np.einsum("ik,ik->i", left, right)
        own[rows] = (forward.level + backward.level) / 2 - score[rows]
        strange[rows] = (forward.level + backward.level[partner]) / 2 - np.einsum(
            "ik,ik->i", left, right[partner]
        )
        above[rows], better[rows], better_score[rows] = (
            forward.above,
            rows[forward.best],
            forward.best_score,
        )
    share, probability = _mislabelled(own, strange)
    return Suspicion(score, own, probability, share, above, better, better_score)


def _vectors(alignment: Alignment, X: Array, Y: Array) -> tuple[Array, Array]:
    left, right = alignment.index_vectors(X, Y)
    return left.astype(np.float32), right.astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Strangers:
    """What each item of one view scores with the other view's items of other groups."""

    level: Float64  # mean of the ten best scores
    above: Float64  # share that scores at least as high as its own partner
    best: NDArray[np.intp]
    best_score: Float64


def _among_strangers(left: Array, right: Array, group: NDArray[np.intp]) -> _Strangers:
    n = len(left)
    level, above, best_score, best = (
        np.empty(n),
        np.empty(n),
        np.empty(n),
        np.empty(n, dtype=np.intp),
    )
    own = np.einsum("ik,ik->i", left, right)
    size = max(1, _BLOCK_SCORES // n)
    for block in (slice(i, min(i + size, n)) for i in range(0, n, size)):
        scores = left[block] @ right.T
        same = group[block][:, None] == group
        scores[same] = -np.inf
        others = n - same.sum(axis=1)
        nearest = int(min(_NEAREST, max(others.min(), 1)))
        level[block] = np.partition(scores, n - nearest, axis=1)[:, n - nearest :].mean(axis=1)
        above[block] = (scores >= own[block][:, None]).sum(axis=1) / np.maximum(others, 1)
        best[block] = scores.argmax(axis=1)
        best_score[block] = scores.max(axis=1)
    return _Strangers(level, above, best, best_score)


def _mislabelled(observed: Float64, strange: Float64) -> tuple[float, Float64]:
    """Share of pairs that are no better than strangers, and each pair's probability to be one of
    them.

    The share: among the most stranger-like pairs there are few right ones, so their number against
    that of real strangers is the share (Storey 2002, with strangers as the null). The probability:
    share times the ratio of the strangers' density to that of the pairs, the ratio made monotone
    (isotonic regression).
    """
    n = len(observed)
    share = min(1.0, float((observed > np.quantile(strange, 1 - _TAIL)).sum()) / (n * _TAIL))
    values, labels = np.concatenate([observed, strange]), np.repeat([0.0, 1.0], n)
    # ties: a stranger first, so that no pair is blamed for one
    order = np.lexsort((-labels, values))
    stranger = np.empty(2 * n)
    stranger[order] = isotonic_regression(labels[order]).x
    odds = stranger[:n] / np.maximum(1 - stranger[:n], 1 / (2 * n))
    probability: Float64 = np.minimum(1.0, share * odds)
    return share, probability
