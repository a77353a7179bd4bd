"""Torch tensors that lie on a GPU: their moments and their best matches are computed there, and
only what comes of it goes through the host.

The core does without torch; whoever has tensors has it. The functions take tensors of any device,
and are tested on the processor; the core hands them those of an NVIDIA GPU, since the sums need
float64, which Apple's have not.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Scores made at once: 1.6 GB in float32.
_BLOCK_SCORES = 400_000_000


def on_gpu(*matrices: Any) -> bool:
    """Whether all are real torch matrices on one NVIDIA GPU."""
    places = {
        str(one.device) if hasattr(one, "detach") and one.ndim == 2 else "host" for one in matrices
    }
    return len(places) == 1 and places.pop().startswith("cuda")


def best_there(left: Any, right: Any, k: int) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """The k best gallery rows of every query, as `csa.core.search.top_k`, where the tensors lie.

    Args:
        left: index vectors of queries, shape (n, d).
        right: index vectors of the gallery, shape (m, d), with m at least 1, on the same device.
        k: how many, at least 1; at most m are returned.

    Returns:
        (rows, scores), both (n, min(k, m)), best first; equal scores in gallery order.
    """
    import torch

    k, step = min(k, len(right)), max(1, _BLOCK_SCORES // len(right))
    found = []
    with torch.inference_mode():
        for start in range(0, len(left), step):
            scores = left.detach()[start : start + step] @ right.detach().mT
            best = scores.topk(min(k + 1, len(right)))
            rows = best.indices[:, :k]
            # which of equal scores are among the best is not said, where not all of them are
            tied = (best.values[:, k - 1 : k] == best.values[:, k : k + 1]).any(1)
            if tied.any():
                rows[tied] = scores[tied].argsort(dim=1, descending=True, stable=True)[:, :k]
            rows = rows.sort(dim=1).values
            values, order = scores.gather(1, rows).sort(dim=1, descending=True, stable=True)
            found.append((rows.gather(1, order).cpu().numpy(), values.cpu().numpy()))
    rows, values = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return rows.astype(np.intp, copy=False), values
