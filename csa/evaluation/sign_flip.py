"""Confidence bounds of a paired gain by the sign-flip test over groups.

Where two models are equal, exchanging them in any group changes nothing that could be foretold: the
sign of each group's difference is as good as a coin's. A gain is refused as a hypothesis where too
few of all flips of the differences less that gain would look as good as what was measured (Fisher
1935). A flip of signs is a choice of groups, and it looks as good where the mean of the chosen
groups is not above the hypothesis. So the bounds are quantiles of the mean gains of random subsets
of groups, each group in with probability 1/2 (the typical values of Hartigan 1969). They hold
exactly for any number of groups where each group's difference is symmetric about the gain.
"""

import numpy as np
from scipy import special

from csa.core.matrices import Float64

EXACT_GROUPS = 16
"""Up to this many groups every subset is looked at; beyond, subsets are drawn."""
_BLOCK = 1 << 22
# Means that differ by rounding alone are the same.
_DECIMALS = 12


def fewest_groups(alpha: float) -> int:
    """How many groups it takes before agreement of all of them is rarer than `alpha` by chance.

    Args:
        alpha: the allowed share of false alarms, of one side.

    Returns:
        The smallest number of groups with 2**-groups <= alpha.

    >>> fewest_groups(0.025), fewest_groups(0.001)
    (6, 10)
    """
    return int(np.ceil(-np.log2(alpha)))


def interval(
    sums: Float64, weights: Float64, alpha: float, rounds: int, seed: int
) -> tuple[float, float]:
    """Bounds of a weighted mean, each wrong with probability `alpha`.

    Args:
        sums: weighted sum of the differences of each group, shape (groups,).
        weights: total weight of each group, positive, shape (groups,).
        alpha: allowed share of false alarms, of one side.
        rounds: how many subsets are drawn where there are more than `EXACT_GROUPS` groups.
        seed: of the draws.

    Returns:
        The lower and the upper bound; infinite where there are fewer than `fewest_groups`.

    >>> sums = np.array([0.01, 0.02, 0.03, 0.01, 0.02, 0.03])
    >>> interval(sums, np.full(6, 1 / 6), 0.025, 1000, 0)
    (0.06, 0.18)
    """
    low = lower_bound(sums, weights, alpha, rounds, seed)
    return low, 0.0 - lower_bound(-sums, weights, alpha, rounds, seed)


def lower_bound(sums: Float64, weights: Float64, alpha: float, rounds: int, seed: int) -> float:
    """The largest gain below which the test refuses every hypothesis; see `interval`.

    Args:
        sums: weighted sum of the differences of each group, shape (groups,).
        weights: total weight of each group, positive, shape (groups,).
        alpha: allowed share of false alarms, of one side.
        rounds: how many subsets are drawn where there are more than `EXACT_GROUPS` groups.
        seed: of the draws.

    Returns:
        The bound; minus infinity where there are fewer than `fewest_groups`.
    """
    groups = len(sums)
    if groups < fewest_groups(alpha):
        return -np.inf
    above = sums - sums.sum() / weights.sum() * weights
    tilts = _tilts(above, float(-special.ndtri(alpha)))
    means, share = _subset_means(sums, weights, tilts, rounds, seed)
    order = np.argsort(means, kind="stable")
    # the flip of no group at all is the measurement itself, and looks as good as it
    passed = 0.5**groups + np.cumsum(share[order])
    first = min(int(np.searchsorted(passed, alpha, side="right")), len(order) - 1)
    return float(means[order[first]])


def p_value(sums: Float64, weights: Float64, rounds: int, seed: int) -> float:
    """How often flips look at least as good as what was measured where there is no gain: the
    smallest `alpha` of which `lower_bound` is above 0.

    Args:
        sums: weighted sum of the differences of each group, shape (groups,).
        weights: total weight of each group, positive, shape (groups,).
        rounds: how many subsets are drawn where there are more than `EXACT_GROUPS` groups.
        seed: of the draws.

    Returns:
        The share of flips, at least 2**-groups.

    >>> p_value(np.array([1.0, 1.0, 1.0, -1.0]), np.full(4, 1 / 4), 1000, 0)
    0.3125
    """
    size = float(np.sqrt((sums**2).sum()))
    tilts = _tilts(sums, max(0.0, float(sums.sum()) / size) if size > 0 else 0.0)
    means, share = _subset_means(sums, weights, tilts, rounds, seed)
    return min(1.0, float(0.5 ** len(sums) + share[means <= 0].sum()))


def _subset_means(
    sums: Float64, weights: Float64, tilts: Float64, rounds: int, seed: int
) -> tuple[Float64, Float64]:
    """The mean gain of all subsets of groups but the empty one, or of subsets that are drawn by
    `tilts`, and the share of all subsets that each stands for."""
    groups = len(sums)
    if groups <= EXACT_GROUPS:
        chosen, weight = _subset_sums(sums)[1:], _subset_sums(weights)[1:]
        share = np.full(len(chosen), 0.5**groups)
    else:
        chosen, weight, share = _drawn(sums, weights, tilts, rounds, seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.where(weight > 0, np.round(chosen / weight, _DECIMALS), -np.inf)
    return means, share


def _tilts(differences: Float64, deviations: float) -> Float64:
    """How much less often each group is drawn than not, in log odds, for about half of all draws to
    lie more than so many standard deviations below the mean of random subsets."""
    spread = float(np.sqrt((differences**2).sum()))
    return 2 * deviations / spread * differences if spread > 0 else np.zeros(len(differences))


def _subset_sums(values: Float64) -> Float64:
    """The sum of every subset, the empty one first, shape (2**n,)."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums, sums + value])
    return sums


def _drawn(
    sums: Float64, weights: Float64, tilts: Float64, rounds: int, seed: int
) -> tuple[Float64, Float64, Float64]:
    """Sums and weights of drawn subsets, and the share of all subsets that each stands for.

    A group with a tilt above 0 is drawn less often than one below, so that about half of the draws
    lie beyond what is asked about, however rare that is; each draw counts by how much likelier it
    would have been with probabilities of 1/2 (exponential tilting, Davison & Hinkley 1997, 9.4).
    """
    probability = special.expit(-tilts)
    columns = np.column_stack([sums, weights, tilts])
    rng, parts = np.random.default_rng(seed), []
    for block in np.array_split(np.arange(rounds), -(-rounds * len(sums) // _BLOCK)):
        coins = rng.random((len(block), len(sums)))
        parts.append((coins < probability).astype(np.float64) @ columns)
    chosen, weight, tilted = np.concatenate(parts).T
    likelier = tilted + np.logaddexp(0, -tilts).sum() - len(sums) * np.log(2)
    return chosen, weight, np.exp(likelier) / rounds
