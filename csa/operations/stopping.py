"""The end of a command by Ctrl-C, SIGTERM or SIGHUP: one line, everything that it started ended,
and exit code 130, 143 or 129 within seconds.

A thread sees to it, told by the interpreter's wakeup file: a library that sits in C code, waits for
an answer or has put its own handler in our place (Prefect does) cannot delay it. Nothing is wound
up in the command itself, as every file is written whole or not at all and the next run goes on from
what is there: an end is a kill with a word to the person.
"""

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from csa.storage.files import remove_unfinished

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_TIDY_SECONDS = 2.0  # for the processes that we started
_ALL_SECONDS = 4.5
_IMPORT_SECONDS = 5.0


class _State:
    """What is known of the end in this process."""

    def __init__(self) -> None:
        self.words = "stopped"
        self.number: int | None = None
        self.last_works: list[Callable[[str], None]] = []
        self.before: dict[int, Any] = {}


_state = _State()


def watch() -> None:
    """End this process tidily at a signal from here on; call it once, in the main thread.

    A signal that whoever started us has us ignore (nohup) stays ignored.
    """
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            _state.before[number] = signal.signal(number, _wait_for_the_end)
    ready = threading.Event()
    # an interpreter that ends while a thread imports may crash
    atexit.register(ready.wait, _IMPORT_SECONDS)

    def in_child() -> None:  # where the thread is not
        leave()
        atexit.unregister(ready.wait)

    os.register_at_fork(after_in_child=in_child)
    threading.Thread(target=_await, args=(read, ready), daemon=True).start()


def leave() -> None:
    """Leave signals to whom they were left before `watch`, such as a server that ends tidily by
    itself.
    """
    if _state.before:
        signal.set_wakeup_fd(-1)
    for number, handler in _state.before.items():
        signal.signal(number, handler)
    _state.before = {}


def say(words: str) -> None:
    """What the line shall say when this command is stopped."""
    _state.words = words


def begun() -> bool:
    """Whether the end has begun: what fails from now on fails for that."""
    return _state.number is not None


@contextmanager
def last_work(work: Callable[[str], None]) -> Iterator[None]:
    """While the block runs: what is still done at its end by a signal, in a second at most.

    Args:
        work: gets the signal's name; must not wait for anything.
    """
    _state.last_works.append(work)
    try:
        yield
    finally:
        _state.last_works.remove(work)


def _wait_for_the_end(number: int, frame: FrameType | None) -> None:
    """Nothing goes on in the main thread."""
    while True:
        time.sleep(60)


def _await(read: int, ready: threading.Event) -> None:
    with suppress(ImportError):  # before anything is held up: at the end nothing is imported
        import psutil  # noqa: F401
    ready.set()
    while True:
        for number in os.read(read, 1):
            if number in _state.before:
                _end(number)


def _end(number: int) -> None:
    _state.number = number
    threading.Thread(target=_at_the_latest, args=(128 + number,), daemon=True).start()
    with suppress(OSError):  # a terminal that is gone
        os.write(2, f"\ncsa: {_state.words}\n".encode()[not _after_a_line() :])
    with suppress(OSError):  # what libraries say of it is no news
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    _end_children()
    for work in reversed(_state.last_works):
        with suppress(Exception):
            work(signal.Signals(number).name)
    remove_unfinished()
    os._exit(128 + number)


def _after_a_line() -> bool:
    """Whether the cursor may stand in a line: after ^C, or in a progress bar."""
    with suppress(Exception):
        return os.isatty(2)
    return False


def _at_the_latest(code: int) -> None:
    time.sleep(_ALL_SECONDS)
    os._exit(code)


def _end_children() -> None:
    """End all that this process started: tidily, and after two seconds in any case."""
    psutil = sys.modules.get("psutil")
    if psutil is None:
        return
    for patience in (_TIDY_SECONDS, 0.5):
        with suppress(psutil.Error):
            living = psutil.Process().children(recursive=True)
            for child in living:
                with suppress(psutil.Error):
                    child.terminate() if patience == _TIDY_SECONDS else child.kill()
            psutil.wait_procs(living, timeout=patience)
