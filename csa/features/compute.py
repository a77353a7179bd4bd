"""Where independent parts of the work are computed: in threads of this process, or on a Dask
cluster, by the same code.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Executor,
    Future,
    ThreadPoolExecutor,
    wait,
)
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from numpy.typing import ArrayLike

from csa.core.moments import Moments
from csa.core.threads import cores
from csa.errors import FeatureError, InputError, WorkspaceError
from csa.extras import needed_for

T = TypeVar("T")
R = TypeVar("R")

# Tasks in hand for each worker: one at work, one waiting.
_AHEAD = 2


@contextmanager
def workers(dask: str | None = None) -> Iterator[Executor]:
    """Workers for independent tasks, as an executor of the standard library's kind.

    Args:
        dask: None for threads of this process, one a core; "local" for a Dask cluster on this
            machine, which speaks with this process alone; else the address of a Dask scheduler,
            such as tls://10.0.0.5:8786, whose workers see the same files under the same paths.
            Certificates for tls:// stand in Dask's own settings.

    Raises:
        InputError: Dask is not installed, or no scheduler answers.
    """
    if dask is None:
        with ThreadPoolExecutor(cores()) as pool:
            yield pool
        return
    with _client(dask) as client:
        pool = client.get_executor()
        # what `as_finished` sizes its window by
        pool._max_workers = max(1, sum(client.nthreads().values()))
        yield pool


def as_finished(
    pool: Executor, work: Callable[[T], R], tasks: Iterable[T]
) -> Iterator[tuple[T, R]]:
    """Run every task on the pool; tasks come with their results as they finish, with only a few in
    hand at a time.

    An error in a task is raised here, and what is still waiting is cancelled. So is what waits when
    a cluster's scheduler is gone, or a task has taken several of its workers along.

    Args:
        pool: from `workers`.
        work: what is run on every task; Dask must be able to pickle it.
        tasks: read only as fast as they are worked on.

    Yields:
        A task and its result, in the order in which they finish.

    Raises:
        WorkspaceError: the cluster is gone, or its workers die of a task.
    """
    window = _AHEAD * int(getattr(pool, "_max_workers", 1) or 1)
    running: dict[Future[R], T] = {}
    todo = iter(tasks)
    try:
        while True:
            for task in islice(todo, window - len(running)):
                running[pool.submit(work, task)] = task
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), _result(future)
    finally:
        for future in running:
            future.cancel()


def _result(future: Future[R]) -> R:
    kept = "what came back is kept, so run again"
    try:
        return future.result()
    except CancelledError:
        raise WorkspaceError(
            f"compute.dask: the scheduler went away; start it, or set compute.dask to null: {kept}"
        ) from None
    except Exception as error:
        if type(error).__name__ != "KilledWorker":  # of Dask, which need not be installed
            raise
        raise WorkspaceError(
            f"compute.dask: several workers died one after the other of the same batch, most "
            f"likely for want of memory; give them more, or the view a smaller batch_size: {kept}"
        ) from None


def moments_of_parts(
    pool: Executor, parts: Iterable[Iterable[tuple[ArrayLike, ArrayLike]]]
) -> Moments:
    """Moments of pairs that lie in several parts, such as groups of shards; each part is read where
    it is computed.

    The sum runs in the order of the parts, so it is the same bits on any number of workers and any
    kind of pool.

    Args:
        pool: from `workers`.
        parts: each a stream of blocks as `Moments.from_blocks` takes it, such as a
            `csa.core.streams.ParquetPairs`.

    Returns:
        Moments of the pairs of all parts.

    Raises:
        FeatureError: no parts, or an unusable one.
    """
    total: Moments | None = None
    waiting: dict[int, Moments] = {}
    turn = 0
    for (number, _), moments in as_finished(pool, _moments_of_part, enumerate(parts)):
        waiting[number] = moments
        while turn in waiting:
            part = waiting.pop(turn)
            total = part if total is None else total + part
            turn += 1
    if total is None:
        raise FeatureError("no parts to make moments of; check the list of shards")
    return total


def _moments_of_part(part: tuple[int, Iterable[tuple[ArrayLike, ArrayLike]]]) -> Moments:
    return Moments.from_blocks(part[1])


@contextmanager
def _client(address: str) -> Iterator[Any]:
    with needed_for("compute.dask (null does without)", InputError):
        from distributed import Client, LocalCluster
        from distributed.security import Security

        # only who holds these certificates, made for this cluster, is spoken with: whoever else
        # works on this machine reaches its ports too, and what is sent there is unpickled
        ours = Security.temporary() if address == "local" else None  # type: ignore[no-untyped-call]
    if ours is not None:
        with (
            LocalCluster(
                n_workers=cores(),
                threads_per_worker=1,
                dashboard_address=None,
                security=ours,
            ) as cluster,  # type: ignore[no-untyped-call]
            Client(cluster) as client,  # type: ignore[no-untyped-call]
        ):
            yield client
        return
    try:
        client = Client(address, timeout=20)  # type: ignore[no-untyped-call]
    # of settings for TLS that lack or forbid something, Dask speaks in the last two
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        said = " ".join(str(error).split())[:150]
        raise InputError(
            f"compute.dask: no scheduler answers at {address!r} ({said}); start it, set Dask's own "
            f"settings for TLS (docs/threat-model.md), or set compute.dask to null"
        ) from None
    with client:
        yield client
