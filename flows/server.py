"""A Prefect server of this state folder's own, where no other is named, and the slot that lets
one retraining in at a time.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from csa.errors import ArtifactError, WorkspaceError
from csa.masking import masked
from csa.operations.scheduler import SERVER_MARK, answers, note_of_server, running
from csa.pipeline.workspace import Workspace
from csa.storage.files import read_json, write_json

SLOT = "csa-retrain"
Command = Callable[[int], tuple[list[str], dict[str, str]]]
"""A port -> the command of a server there, and its variables."""
_FOR_ONE_RUN = {
    "PREFECT_UI_ENABLED": "0",
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
}
"""Variables of a server without pages, with only the services that a single run needs."""

_START_SECONDS = 120  # for a server to answer; longer only while it computes, as on a busy machine
_START_WORK = 60.0  # seconds of processor time; a server needs 10 to 25
_STILL_SECONDS = 10.0  # a server that computes nothing for so long is not starting any more
_LOOK_SECONDS = 2.0  # between two looks at another process's server, which is gone after
_MISSED = 3  # looks in vain
# A killed holder's slot comes free when its lease ends; a run on the same machine, which holds the
# file lock, waits for that.
_LEASE_SECONDS = 60
_LEASE_GRACE = 30


@contextmanager
def local_server(ws: Workspace) -> Iterator[str]:
    """A Prefect server with its scheduler, on a free port of this machine, until the block ends;
    PREFECT_API_URL points at it.

    Where PREFECT_API_URL is set, that server is used and none is started.

    Yields:
        The address of its API.

    Raises:
        WorkspaceError: it ends, or does not answer within two minutes though it has the processor.
    """
    if "PREFECT_API_URL" in os.environ:
        yield os.environ["PREFECT_API_URL"]
        return
    ws.prepare_state()
    ws.prefect_home.mkdir(exist_ok=True)
    lock = FileLock(ws.prefect_home / "server.lock", thread_local=False)
    address = _hold_or_find(ws, lock)
    if address is not None:
        with _named(address):
            yield address
        return
    try:
        with _started(ws, _with_pages) as ours:
            write_json(note_of_server(ws), {"address": ours, "process": os.getpid()})
            yield ours
    finally:
        note_of_server(ws).unlink(missing_ok=True)
        lock.release()


def _hold_or_find(ws: Workspace, lock: FileLock) -> str | None:
    """The address of the server that another process of this state folder has started, or is
    about to start; None if there is no other, and the lock is held.
    """
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            address = running(ws)
            if address is not None:
                return address
        else:
            return None
        if time.monotonic() > deadline:
            raise _unusable(ws, "another process has its server and does not let it answer")
        time.sleep(0.5)


def take_over_from_another(ws: Workspace, address: str, say: Callable[[str], None]) -> None:
    """Where the server belongs to another process of this state folder: begin anew, as this command
    was called, when it has ended; else nothing would ever fire again.

    Args:
        ws: whose state folder.
        address: of the server's API.
        say: tells of it.
    """
    try:
        owner = read_json(note_of_server(ws))
    except ArtifactError:
        return
    if owner["address"] != address or owner.get("process") == os.getpid():
        return

    def watch() -> None:
        missed = 0
        while missed < _MISSED:
            time.sleep(_LOOK_SECONDS)
            missed = 0 if answers(address) else missed + 1
        say(
            f"the schedule whose Prefect server this one used has ended ({address}); beginning anew"
        )
        del os.environ["PREFECT_API_URL"]
        os.execv(sys.executable, [sys.executable, "-m", "csa.cli", *sys.argv[1:]])

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def server_of_a_run(ws: Workspace) -> Iterator[None]:
    """Where no Prefect server is named, one that serves this process alone and ends with the block.

    Prefect starts such a server by itself where it needs one. To do so it imports all of its server
    into the run's own process, which costs seconds of processor time, and then starts the same
    program as is started here.

    Raises:
        WorkspaceError: it ends, or does not answer within two minutes though it has the processor.
    """
    from prefect.context import refresh_global_settings_context
    from prefect.settings import PREFECT_API_URL

    if PREFECT_API_URL.value():  # of the environment, or of a profile of Prefect's
        yield
        return
    with _started(ws, command_for_one_run):
        refresh_global_settings_context()
        yield
    refresh_global_settings_context()


def command_for_one_run(port: int) -> tuple[list[str], dict[str, str]]:
    """The command and the variables of a server that ends with this process.

    Args:
        port: where it listens.
    """
    command = ["csa.flows.prefect_server", str(port), str(os.getpid())]
    return [sys.executable, "-m", *command], _FOR_ONE_RUN


def _with_pages(port: int) -> tuple[list[str], dict[str, str]]:
    command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    address = f"http://127.0.0.1:{port}/api"
    return [sys.executable, "-m", *command], {
        SERVER_MARK: "1",
        "PREFECT_SERVER_UI_API_URL": address,
    }


@contextmanager
def slot(wait: float) -> Iterator[None]:
    """Hold the one retraining slot of a Prefect server that several machines share; without such a
    server there is none to hold.

    Args:
        wait: seconds to wait for it.

    Raises:
        WorkspaceError: another retraining holds it.
    """
    if "PREFECT_API_URL" not in os.environ:
        yield
        return
    from prefect.client.orchestration import get_client
    from prefect.concurrency.sync import concurrency

    address = masked(os.environ["PREFECT_API_URL"])
    seconds = max(wait, _LEASE_SECONDS + _LEASE_GRACE)
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(SLOT, 1)
        taken = client.read_global_concurrency_limit_by_name(SLOT).active_slots
    if taken:
        print(
            f"note: another retraining holds the slot {SLOT!r} at {address}; waiting for it, at "
            f"most {seconds:.0f} s "
            f"(a killed one's comes free within {_LEASE_SECONDS} s)",
            file=sys.stderr,
        )
    with ExitStack() as held:
        try:
            held.enter_context(
                concurrency(
                    SLOT, timeout_seconds=seconds, lease_duration=_LEASE_SECONDS, strict=True
                )
            )
        except TimeoutError:
            raise WorkspaceError(
                f"another retraining holds the slot {SLOT!r} at {address} and did not end within "
                f"{seconds:.0f} s; "
                "wait for it, or give --wait"
            ) from None
        yield


@contextmanager
def prefect_at_work(ws: Workspace) -> Iterator[None]:
    """Says in one line what Prefect cannot do: its server is out of reach, or cannot write its
    database.

    Raises:
        WorkspaceError: the slot is held for longer than that.
    """
    import httpx
    from prefect.exceptions import PrefectException

    try:
        yield
    except (PrefectException, httpx.HTTPError) as error:
        words = " ".join(str(error).split())[:120] or type(error).__name__
        raise _unusable(ws, words) from error


def _unusable(ws: Workspace, words: str) -> WorkspaceError:
    named = os.environ.get("PREFECT_API_URL")
    where, cause = (
        (f"Prefect at {named}", "is the server up, and its address right?")
        if named
        else (
            f"Prefect, which keeps its database in {ws.prefect_home},",
            "is this machine too busy, its disk full, or the folder not yours to write?",
        )
    )
    return WorkspaceError(
        f"{where} cannot be used ({words}): {cause} The next `csa run` goes on from here"
    )


@contextmanager
def _started(ws: Workspace, command_at: Command) -> Iterator[str]:
    """A server on a free port, whose address PREFECT_API_URL is in the block."""
    port = free_port()
    address, log = f"http://127.0.0.1:{port}/api", ws.prefect_home / "server.log"
    command, variables = command_at(port)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        output = log.open("wb")
    except OSError as error:
        raise _unusable(ws, f"{log}: {error.strerror}") from None
    with output:
        process = subprocess.Popen(
            command,
            env=os.environ | variables,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        _await_answer(ws, address, process, log)
        with _named(address):
            yield address
    finally:
        _end(process)


@contextmanager
def _named(address: str) -> Iterator[None]:
    """PREFECT_API_URL is this address in the block, and not set after it. Where Prefect is imported
    already it is told so too: else it would start a server of its own, on the same database.
    """
    os.environ["PREFECT_API_URL"] = address
    try:
        with _told(address) if "prefect" in sys.modules else nullcontext():
            yield
    finally:
        os.environ.pop("PREFECT_API_URL", None)


def _told(address: str) -> AbstractContextManager[Any]:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    return temporary_settings({PREFECT_API_URL: address})


def free_port() -> int:
    """A port of this machine that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_answer(ws: Workspace, address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    began = time.monotonic()
    starting = _starting(process.pid)
    while not answers(address):
        waited = time.monotonic() - began
        if process.poll() is not None or (waited > _START_SECONDS and not starting()):
            said = [line for line in _lines(log) if "Error" in line]
            why = said[-1].strip()[:120] if said else f"no answer within {waited:.0f} s"
            raise _unusable(ws, f"its server did not start: {why}; all it said is in {log}")
        time.sleep(0.1)


def _starting(pid: int) -> Callable[[], bool]:
    """Whether a process that does not answer yet is at work on it, which takes long where others
    have the processor: it has computed something lately, and not more than it takes to start.
    """
    last = (time.monotonic(), 0.0)

    def starting() -> bool:
        nonlocal last
        work = 0.0
        with suppress(psutil.Error):
            server = psutil.Process(pid)
            for one in (server, *server.children(recursive=True)):
                with suppress(psutil.Error):
                    work += one.cpu_times().user + one.cpu_times().system
        if work > last[1]:
            last = (time.monotonic(), work)
        return work < _START_WORK and time.monotonic() - last[0] < _STILL_SECONDS

    return starting


def _lines(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").splitlines()


def _end(process: subprocess.Popen[bytes]) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, sign)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                continue
