"""The lock that lets one process at a time change what a state folder's workspaces hold."""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from filelock import FileLock, Timeout

from csa.errors import WorkspaceError
from csa.pipeline.workspace import Workspace


@contextmanager
def only_run(ws: Workspace, wait: float = 0) -> Iterator[None]:
    """Hold the state folder's lock; a second run waits, or is refused and told who holds it. The
    lock dies with its process.

    Args:
        ws: any workspace of the state folder.
        wait: seconds to wait for another run to end.

    Yields:
        Nothing; the lock is held for the block.

    Raises:
        WorkspaceError: another run holds it.
    """
    ws.prepare_state()
    holder = ws.state / "run.holder"
    lock = FileLock(ws.state / "run.lock", timeout=0, is_singleton=True, thread_local=False)
    try:
        with lock.acquire(timeout=wait, poll_interval=1):
            holder.write_text(
                f"{getpass.getuser()}, process {os.getpid()}, workspace {ws.name}, since "
                f"{datetime.now():%H:%M:%S}"
            )
            yield
    except Timeout:
        said = holder.read_text() if holder.is_file() else "unknown"
        raise WorkspaceError(
            f"{ws.state}: another run is at work here ({said}); wait for it to end"
        ) from None
