"""Two numbers that the literature on alignment without pairs reports beside recall.

Both look at one true partner a query, so pairs stand in rows.
"""

import numpy as np
from numpy.typing import NDArray

from csa.core.matrices import Array, Float64

_BLOCK_SCORES = 20_000_000


def foscttm(left: Array, right: Array) -> float:
    """Fraction of samples closer than the true match, averaged over both directions (Liu et al.
    2019).

    (rank - 1) / (n - 1), where a wrong item that ties with the right one counts half; 0 is perfect,
    0.5 is chance.

    Args:
        left: index vectors of the first view, shape (n, k).
        right: index vectors of the second, shape (n, k); row i belongs to row i of `left`.

    Returns:
        A fraction in [0, 1].

    Raises:
        ValueError: fewer than 2 pairs, or different numbers of rows.

    >>> import numpy as np
    >>> foscttm(np.eye(3), np.eye(3)), foscttm(np.eye(3), np.eye(3)[::-1])
    (0.0, 0.5)
    """
    if len(left) != len(right) or len(left) < 2:
        raise ValueError(
            f"FOSCTTM needs 2 pairs or more, row by row; got {len(left)} and {len(right)} rows"
        )
    return float((_closer(left, right).mean() + _closer(right, left).mean()) / 2)


def _closer(queries: Array, gallery: Array) -> Float64:
    """Share of the other items that score higher than the right one, ties half, shape (n,)."""
    n = len(queries)
    step = max(1, _BLOCK_SCORES // n)
    shares = np.empty(n)
    for start in range(0, n, step):
        rows: NDArray[np.intp] = np.arange(start, min(start + step, n))
        scores = queries[rows] @ gallery.T
        own = scores[np.arange(len(rows)), rows][:, None]
        ties = (scores == own).sum(axis=1) - 1
        shares[rows] = ((scores > own).sum(axis=1) + ties / 2) / (n - 1)
    return shares


def fidelity(a: Float64, b: Float64, weights: Float64) -> float:
    """Median cosine between the partner that a predicts and the true one, in whitened coordinates.

    E[b | a] = w a under probabilistic CCA (Bach & Jordan 2005).

    Args:
        a: canonical coordinates of held-out items of the first view, shape (n, r).
        b: of their partners, shape (n, r).
        weights: cross-fitted correlations w, shape (r,) or the leading ones.

    Returns:
        A cosine in [-1, 1].

    Raises:
        ValueError: no pair.

    >>> import numpy as np
    >>> a = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    >>> round(fidelity(a, 2 * a, np.array([0.5, 0.5])), 12)
    1.0
    """
    if not len(a):
        raise ValueError("fidelity needs a pair; got none")
    r = len(weights)
    predicted, true = a[:, :r] * weights, b[:, :r]
    norms = np.linalg.norm(predicted, axis=1) * np.linalg.norm(true, axis=1)
    inner = np.einsum("ij,ij->i", predicted, true)
    cosines = np.divide(inner, norms, out=np.zeros(len(a)), where=norms > 0)
    return float(np.median(cosines))
