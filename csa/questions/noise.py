"""Planted mismatches: some pairs get the second item of another group."""

import numpy as np
from numpy.typing import NDArray


def shuffled_pairs(group: NDArray[np.intp], share: float, seed: int) -> NDArray[np.intp]:
    """For every pair the pair whose second item it gets: itself, or, for a share of them, one of
    another group.

    The chosen pairs exchange their second items among themselves, so every item keeps its place in
    the set.

    Args:
        group: group number of each pair, shape (n,).
        share: of the pairs that are chosen, in [0, 1].
        seed: of the choice.

    Returns:
        Row numbers, shape (n,). Where one group has most of the chosen pairs, some of them may keep
        a partner of their own group.
    """
    source = np.arange(len(group))
    chosen = np.random.default_rng(seed).choice(
        len(group), round(share * len(group)), replace=False
    )
    chosen = chosen[np.argsort(group[chosen], kind="stable")]
    if len(chosen):
        # Rolling the pairs, sorted by group, by the largest group's size moves every pair out of
        # its group.
        source[chosen] = np.roll(chosen, -int(np.bincount(group[chosen]).max()))
    return source
