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
from typing import TypeVar

from threadpoolctl import threadpool_limits

T = TypeVar("T")
R = TypeVar("R")


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


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
