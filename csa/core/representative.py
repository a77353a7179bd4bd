"""Items that stand for a crowd: near them lies most of what lies near nothing that is known."""

import numpy as np
from numpy.typing import NDArray

from csa.core.matrices import Array
from csa.core.preparation import unit


def representative(crowd: Array, known: Array, count: int) -> NDArray[np.intp]:
    """Items of a crowd, each of which adds most to how near the crowd is to something that is known
    or chosen: the sum over the crowd of the largest cosine, after its mean was taken off.

    The sum grows less with every further item, so an item whose gain of an earlier round is not
    large enough need not be looked at again (Minoux 1978).

    Args:
        crowd: features, shape (n, d).
        known: features of what is known already, shape (m, d); m may be 0.
        count: how many to choose.

    Returns:
        Rows of the crowd, the most telling first; min(count, n) of them.
    """
    centre = unit(crowd).mean(axis=0)
    points, anchors = (unit(unit(features) - centre) for features in (crowd, known))
    near = points @ points.T
    reached = (points @ anchors.T).max(axis=1, initial=-1.0)
    gain_at_most = np.full(len(crowd), np.inf)
    chosen: list[int] = []
    while len(chosen) < min(count, len(crowd)):
        best = int(gain_at_most.argmax())
        gain_at_most[best] = np.maximum(near[best] - reached, 0).sum(dtype=np.float64)
        if gain_at_most[best] == gain_at_most.max():
            chosen.append(best)
            reached = np.maximum(reached, near[best])
            gain_at_most[best] = -1
    return np.array(chosen, dtype=np.intp)
