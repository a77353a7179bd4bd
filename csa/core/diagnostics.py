"""Is there a shared signal, how much, and how far does the fit flatter itself: what comes with
every fit (method, section 4).
"""

from typing import Any

import numpy as np

from csa.core.crossfit import projected_moments
from csa.core.held import Held, effective_dimension
from csa.core.matrices import Float64
from csa.core.moments import Moments
from csa.core.solve import Decomposition

# Held-out correlations of independent views scatter around 0 with standard error 1 / sqrt(n);
# chance passes this about once in 500.
_SIGNAL_Z = 3.0
_SIGNAL_COMPONENTS = (1, 2, 4)


def null_edge(n: int, p: int, q: int) -> float:
    """The largest sample canonical correlation of independent views, as n, p and q grow (Wachter
    1980).

    sqrt(c1 + c2 - 2 c1 c2 + 2 sqrt(c1 c2 (1 - c1) (1 - c2))), c1 = p / n, c2 = q / n; 1 where p + q
    >= n.

    Args:
        n: number of pairs.
        p, q: dimensions of the views.

    Returns:
        A correlation in (0, 1].

    >>> round(null_edge(2000, 200, 100), 3)
    0.52
    """
    c1, c2 = p / n, q / n
    if c1 + c2 >= 1:
        return 1.0
    return float(np.sqrt(c1 + c2 - 2 * c1 * c2 + 2 * np.sqrt(c1 * c2 * (1 - c1) * (1 - c2))))


def in_sample(rho: Float64, shape: tuple[int, int, int], unshrunk: bool) -> dict[str, Any]:
    """What can be said without held-out folds: without shrinkage, the null edge and whether a
    correlation exceeds it.

    Args:
        rho: in-sample canonical correlations, descending, shape (r,).
        shape: (n, p, q), the number of pairs and the dimensions of the views.
        unshrunk: whether the fit was made without shrinkage.

    Returns:
        null_edge and shared_signal; nothing with shrinkage, or where p + q >= n.
    """
    n, p, q = shape
    if not unshrunk or p + q >= n:
        return {}
    edge = null_edge(n, p, q)
    # The largest null correlation scatters around the edge on the scale n^(-2/3) (Johnstone 2008).
    return {
        "null_edge": edge,
        "shared_signal": bool(rho[0] > edge * (1 + 2 * n ** (-2 / 3))),
    }


def training_correlations(decomposition: Decomposition, moments: Moments) -> Float64:
    """Correlation of each canonical pair over the pairs it was fitted on.

    A_i' Sxy B_i / sqrt(A_i' Sxx A_i B_i' Syy B_i). Without shrinkage these are the canonical
    correlations; with it, the singular values that order the pairs are not correlations.

    Args:
        decomposition: of the pairs, r components.
        moments: of the same pairs.

    Returns:
        Correlations, shape (r,), in [0, 1].
    """
    a2, b2, ab = projected_moments(decomposition, moments, moments)
    variance = np.sqrt(a2 * b2)
    correlations: Float64 = np.clip(
        np.divide(ab, variance, out=np.zeros_like(ab), where=variance > 0), 0.0, 1.0
    )
    return correlations


def held_out(
    training: Float64, held: Held, groups: int, held_out_mrr: float | None
) -> dict[str, Any]:
    """What held-out folds say.

    Args:
        training: correlations over the training pairs, shape (r,), from `training_correlations`.
        held: weights and scales from the folds.
        groups: independent items behind the pairs.
        held_out_mrr: of the chosen score, where retrieval was measured.

    Returns:
        mutual_information_nats, effective_dimension, overfit_gap (mean of in-sample correlation
        less weight), held_out_mrr, shared_signal (False: the folds do not show any).
    """
    r = min(len(held.weights), len(training))
    leading = [held.weights[:s].sum() * np.sqrt(groups / s) for s in _SIGNAL_COMPONENTS if s <= r]
    return {
        "mutual_information_nats": held.mutual_information,
        "effective_dimension": effective_dimension(held.weights),
        "overfit_gap": float((training[:r] - held.weights[:r]).mean()),
        "held_out_mrr": held_out_mrr,
        "shared_signal": bool(max(leading, default=0.0) > _SIGNAL_Z),
    }
