"""The sums of pairs of torch tensors, made on the device where they lie."""

from typing import Any

import numpy as np

from csa.core.accumulate import Accumulator, buffer_rows


def accumulated(X: Any, Y: Any, single: bool) -> Accumulator | None:
    """The sums of pairs and of their products, made where the tensors lie.

    They are those of `Accumulator`: products of blocks of as many rows, about the first's mean, in
    float32 or float64; sums over blocks in float64.

    Args:
        X: first view, shape (n, p), with n at least 1.
        Y: second view, shape (n, q), on the same device.
        single: multiply in float32.

    Returns:
        The accumulator, which judges whether float32 was enough; None where a sum is not finite.
    """
    sums = [one.cpu().numpy() for one in summed(X, Y, single)]
    if not all(np.isfinite(one).all() for one in sums[:3]):
        return None
    return Accumulator.of_sums(len(X), single, *sums)


def summed(X: Any, Y: Any, single: bool) -> tuple[Any, ...]:
    """What `Accumulator.of_sums` takes, as tensors of the same device: the provisional mean, sums
    and sums of squares about it, all (p + q,), and products (p, p), (q, q) and (p, q).

    Args:
        X: first view, shape (n, p), with n at least 1.
        Y: second view, shape (n, q), on the same device.
        single: multiply in float32.

    Returns:
        The mean in the type of the products, the others in float64.
    """
    import torch

    views, kind = (X.detach(), Y.detach()), torch.float32 if single else torch.float64
    p, q = X.shape[1], Y.shape[1]
    rows = buffer_rows(p, q, np.dtype(np.float32))

    def nothing(*shape: int) -> Any:
        return torch.zeros(shape, dtype=torch.float64, device=X.device)

    xx, yy, xy = nothing(p, p), nothing(q, q), nothing(p, q)
    sums, squares = (nothing(p), nothing(q)), (nothing(p), nothing(q))
    with torch.inference_mode():
        shift = [view[:rows].mean(0, dtype=torch.float64).to(kind) for view in views]
        for start in range(0, len(X), rows):
            x, y = (
                view[start : start + rows].to(kind) - mean
                for view, mean in zip(views, shift, strict=True)
            )
            xx += x.mT @ x
            yy += y.mT @ y
            xy += x.mT @ y
            for part, total, of_squares in zip((x, y), sums, squares, strict=True):
                total.add_(part.sum(0, dtype=torch.float64))
                of_squares.add_(part.double().square().sum(0))
        return torch.cat(shift), torch.cat(sums), torch.cat(squares), xx, yy, xy
