"""One thread in every matrix product, and independent products at once.

Threads inside products of a few hundred dimensions wait for each other, and on a shared machine for
other processes too: a fit of 2,000 pairs that takes half a minute in one thread took over ten
minutes with two on a busy machine. They also round differently, so the number of cores would show
in the last bits of a result.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

T = TypeVar("T")
R = TypeVar("R")

# Up to this many rows are worked on in one piece, as a product's last bits may depend on how many
# rows it has; more go block by block, so that what is made on the way does not grow with them.
WHOLE_ROWS = 50_000
_BLOCK_ROWS = 8192
_AT_ONCE = 4


@contextmanager
def one_thread_a_product() -> Iterator[None]:
    """Within it numpy and scipy multiply in one thread; the limit that was set before comes back
    afterwards.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        yield


def each(work: Callable[[T], R], tasks: Iterable[T]) -> list[R]:
    """Work on independent tasks, as many at a time as there are cores.

    Args:
        work: what is done with each task.
        tasks: a few, independent of each other.

    Returns:
        Results in the order of the tasks.
    """
    todo = list(tasks)
    workers = min(cores(), len(todo))
    if workers < 2:
        return [work(task) for task in todo]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, todo))


def row_blocks(rows: int, step: int | None = None) -> list[slice]:
    """The blocks that so many rows are worked on in; they depend on nothing else.

    Args:
        rows: how many there are.
        step: rows of a block; None: all in one up to 50,000, and else 8,192.

    Returns:
        The blocks, in order.

    >>> row_blocks(50_000), len(row_blocks(50_001))
    ([slice(0, 50000, None)], 7)
    """
    step = step or (rows if rows <= WHOLE_ROWS else _BLOCK_ROWS)
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step or 1)]


def in_blocks(work: Callable[[slice], R], rows: int, step: int | None = None) -> Iterator[R]:
    """Work on rows block by block, a few blocks at a time.

    Args:
        work: takes the rows of a block.
        rows: how many there are.
        step: as of `row_blocks`.

    Yields:
        What came of each block, in their order.
    """
    blocks = row_blocks(rows, step)
    for start in range(0, len(blocks), _AT_ONCE):
        yield from each(work, blocks[start : start + _AT_ONCE])


def by_rows(work: Callable[[NDArray[Any]], NDArray[Any]], matrix: NDArray[Any]) -> NDArray[Any]:
    """A map of rows, made block by block where there are many.

    Args:
        work: takes some rows, shape (k, d), and gives as many, shape (k, m).
        matrix: all rows, shape (n, d).

    Returns:
        Shape (n, m).
    """
    if len(matrix) <= WHOLE_ROWS:
        return work(matrix)
    like = work(matrix[:1])
    made = np.empty((len(matrix), *like.shape[1:]), like.dtype)

    def of_block(block: slice) -> None:
        made[block] = work(matrix[block])

    for _ in in_blocks(of_block, len(matrix)):
        pass
    return made


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
