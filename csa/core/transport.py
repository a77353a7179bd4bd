"""Pools of unpaired items, matched softly: scores of all against all, an entropic transport plan,
and the moments of the plan.

Everything that a fit needs of pairs is their moments, so a plan P between a pool of either view is
as good as pairs: items weighted by its margins, products by its entries. Large pools are met in
parts of bounded size, other parts in every round.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csa.core.matrices import Array, Float32, Float64
from csa.core.moments import Moments

# A part of the pools that meets as a whole: 100 MB of scores in float32.
MAX_PART = 5000
_SINKHORN_ROUNDS = 15


@dataclass(frozen=True, eq=False)
class Parts:
    """Which items of two pools meet: part c of the one, and part c + turn of the other.

    Attributes:
        left, right: row numbers of either pool, as many parts of each.
    """

    left: list[NDArray[np.intp]]
    right: list[NDArray[np.intp]]

    @classmethod
    def of(cls, n: int, m: int, largest: int = MAX_PART) -> "Parts":
        """Divide pools into parts of equal sizes, as few as the bound allows.

        Args:
            n, m: sizes of the pools.
            largest: number of items that a part may have.

        Returns:
            Parts of every c-th item, so that each is like the whole.
        """
        count = max(1, -(-max(n, m) // largest))
        return cls(
            *([np.arange(c, size, count) for c in range(count)] for size in (n, m)),
        )

    def meetings(self, turn: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """The parts that meet in one turn; after as many turns as there are parts all have met."""
        count = len(self.left)
        return [(rows, self.right[(c + turn) % count]) for c, rows in enumerate(self.left)]


def scores_of(left: Array, right: Array) -> Float32:
    """Scores of all against all.

    A correction for hubs would change nothing: what is added to a row or to a column of the scores,
    the plan's margins take off again.

    Args:
        left: index vectors of one pool, shape (n, k).
        right: index vectors of the other, shape (m, k).

    Returns:
        Their inner products, shape (n, m).
    """
    scores: Float32 = np.matmul(left.astype(np.float32), right.astype(np.float32).T)
    return scores


def transport_plan(scores: Float32, rounds: int = _SINKHORN_ROUNDS) -> Float32:
    """The entropic transport plan with uniform margins (Cuturi 2013).

    P = diag(u) exp(S) diag(v): the distribution over pairs with margins 1/n and 1/m of the highest
    mean score plus entropy; scores are in nats, so the temperature is 1.

    Args:
        scores: S, shape (n, m); overwritten.
        rounds: of Sinkhorn's iteration.

    Returns:
        P, shape (n, m); column sums are 1/m, row sums come near 1/n with the rounds.
    """
    n, m = scores.shape
    scores -= scores.max(axis=1, keepdims=True)
    kernel = np.exp(scores, out=scores)
    v: Float32 = np.ones(m, np.float32)
    for _ in range(rounds):
        u = _share(n, kernel @ v)
        v = _share(m, u @ kernel)
    kernel *= u[:, None]
    kernel *= v
    return kernel


def _share(count: int, sums: Array) -> Float32:
    """1 / (count sums), kept finite where an item is far from all others."""
    shares: Array = np.float32(1 / count) / np.maximum(sums, np.finfo(np.float32).tiny)
    return shares


def plan_moments(plan: Float32, U: Float64, V: Float64) -> Moments:
    """Moments of the pairs of a plan, as if pair (i, j) were there P_ij times.

    With a = P 1, b = P' 1 and mass 1 = sum P: means a'U and b'V, scatters n Uc' diag(a) Uc and
    n Vc' diag(b) Vc, cross scatter n Uc' P Vc. Both come from the same weighted items.

    Args:
        plan: P, shape (n, m).
        U: features of one pool, shape (n, p).
        V: features of the other, shape (m, q).

    Returns:
        Moments that count n pairs.
    """
    total = float(plan.sum(dtype=np.float64))
    a = plan.sum(axis=1, dtype=np.float64) / total
    b = plan.sum(axis=0, dtype=np.float64) / total
    n, mean_x, mean_y = len(U), a @ U, b @ V
    x, y = U - mean_x, V - mean_y
    crossed = (x.T.astype(np.float32) @ plan).astype(np.float64) @ y / total
    return Moments(
        n, mean_x, mean_y, n * (x.T @ (a[:, None] * x)), n * (y.T @ (b[:, None] * y)), n * crossed
    )


def mixed(pairs: Moments, pool: Moments, weight: float) -> Moments:
    """Moments of pairs and of a plan, mixed.

    Args:
        pairs: moments of true pairs.
        pool: moments of a plan.
        weight: g in [0, 1], the share of the plan.

    Returns:
        (1 - g) pairs + g pool, means merged exactly; it counts as many pairs as both together. The
        pairs' own moments where g is 0.
    """
    if weight == 0:
        return pairs
    n = pairs.n + pool.n
    share, rest = weight, 1 - weight
    dx, dy = pool.mean_x - pairs.mean_x, pool.mean_y - pairs.mean_y

    def merge(ours: Float64, theirs: Float64, between: Float64) -> Float64:
        own = ours * (rest / max(pairs.n, 1)) + theirs * (share / pool.n)
        together: Float64 = n * (own + share * rest * between)
        return together

    return Moments(
        n,
        pairs.mean_x + share * dx,
        pairs.mean_y + share * dy,
        merge(pairs.cxx, pool.cxx, np.outer(dx, dx)),
        merge(pairs.cyy, pool.cyy, np.outer(dy, dy)),
        merge(pairs.cxy, pool.cxy, np.outer(dx, dy)),
    )


def average(moments: list[Moments]) -> Moments:
    """The moments of the mean of several plans between the same pools.

    Args:
        moments: of each plan, which all count the same number of pairs.

    Returns:
        Moments that count as many pairs.
    """
    total = sum(moments[1:], start=moments[0])
    n, share = moments[0].n, 1 / len(moments)
    return Moments(
        n, total.mean_x, total.mean_y, total.cxx * share, total.cyy * share, total.cxy * share
    )


def in_order(pool: Array) -> NDArray[np.intp]:
    """Rows of a pool in an order that depends on the items alone, not on how they were given."""
    rows = np.ascontiguousarray(pool)
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    order: NDArray[np.intp] = np.argsort(keys, kind="stable")
    return order
