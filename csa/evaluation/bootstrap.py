"""Confidence intervals by resampling groups: the queries of one image stand or fall together.

A resample draws as many groups as there are, with replacement; it is kept as how often each group
was drawn.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csa.core.moments import Float64
from csa.results.estimate import Estimate


@lru_cache(maxsize=1)  # every measure of an evaluation asks for the same
def group_draws(n_groups: int, resamples: int, seed: int) -> Float64:
    """How often each group is drawn in each resample, shape (resamples, n_groups); read only.

    Args:
        n_groups: number of groups.
        resamples: number of resamples.
        seed: of the draws.

    Returns:
        Counts, shape (resamples, n_groups), float64; each row sums to n_groups.
    """
    probability = np.full(n_groups, 1 / n_groups)
    draws: Float64 = (
        np.random.default_rng(seed)
        .multinomial(n_groups, probability, size=resamples)
        .astype(np.float64)
    )
    draws.flags.writeable = False
    return draws


def interval(draws: Float64, confidence: float) -> tuple[float, float]:
    """The central percentile interval of bootstrap values.

    Args:
        draws: the values, shape (resamples,).
        confidence: share of the values inside, such as 0.95.

    Returns:
        Its lower and its upper end.
    """
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def mean_estimate(
    values: Float64, group: NDArray[np.intp], draws: Float64, confidence: float
) -> Estimate:
    """The mean of per-query values, with an interval over groups.

    Args:
        values: one per query, shape (n,).
        group: group number of each query, in 0..draws.shape[1]-1.
        draws: from `group_draws`.
        confidence: such as 0.95.

    Returns:
        The mean over all queries, with the ends of its interval.
    """
    n_groups = draws.shape[1]
    sums, counts = np.bincount(group, values, n_groups), np.bincount(group, minlength=n_groups)
    return Estimate(float(values.mean()), *interval(draws @ sums / (draws @ counts), confidence))


def estimate(
    statistic: Callable[[Float64], float],
    group: NDArray[np.intp],
    draws: Float64,
    confidence: float,
) -> Estimate:
    """Any statistic of weighted queries, with an interval over groups.

    Args:
        statistic: takes the weight of each query, shape (n,), and returns the statistic.
        group: group number of each query.
        draws: from `group_draws`.
        confidence: such as 0.95.

    Returns:
        The statistic of all queries, each with weight 1, with the ends of its interval.
    """
    resampled = np.array([statistic(draw[group]) for draw in draws])
    return Estimate(statistic(np.ones(len(group))), *interval(resampled, confidence))


def number_groups(groups: Any) -> NDArray[np.intp]:
    """Labels to group numbers 0..k-1."""
    numbers: NDArray[np.intp] = np.unique(np.asarray(groups), return_inverse=True)[1]
    return numbers


def group_means(values: Float64, group: NDArray[np.intp]) -> Float64:
    """The mean of each group's rows.

    Args:
        values: shape (n, d).
        group: group label of each row, shape (n,).

    Returns:
        Shape (groups, d), in the order of the labels.
    """
    number = number_groups(group)
    sums = np.zeros((int(number.max()) + 1, values.shape[1]))
    np.add.at(sums, number, values)
    means: Float64 = sums / np.bincount(number)[:, None]
    return means
