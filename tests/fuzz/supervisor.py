"""A worker process that answers cases, and is started again after it died or hung."""

import multiprocessing
from collections.abc import Callable
from typing import Any

import psutil

SHARED = 6


class Supervisor:
    """Hands cases to a worker process.

    Args:
        work: what the process does: it gets its end of a pipe and the arguments, and answers each
            case with a text.
        arguments: further arguments of `work`.
    """

    def __init__(self, work: Callable[..., None], *arguments: str) -> None:
        self._work, self._arguments = work, arguments
        self._context = multiprocessing.get_context("spawn")
        self.slowest = 0.0  # seconds of processor time that a case took
        self._start()

    def _start(self) -> None:
        self._pipe, other = self._context.Pipe()
        self._process = self._context.Process(
            target=self._work, args=(other, *self._arguments), daemon=True
        )
        self._process.start()
        other.close()
        self._is_fresh = True

    def ask(self, case: Any, seconds: float, first_seconds: float) -> str:
        """What became of a case.

        Args:
            case: what the worker gets.
            seconds: of processor time that it may take; as other work may share the machine, its
                answer is waited for six times as long.
            first_seconds: the same for a fresh worker, which loads its libraries.
        """
        allowed = first_seconds if self._is_fresh else seconds
        self._is_fresh = False
        try:
            before = self._worked()
            self._pipe.send(case)
            if self._pipe.poll(SHARED * allowed):
                outcome = str(self._pipe.recv())
                worked = self._worked() - before
                self.slowest = max(self.slowest, worked if allowed == seconds else 0)
                return outcome if worked <= allowed else f"{worked:.0f} s of processor time"
            said = f"no answer in {SHARED * allowed:g} s, {self._worked() - before:.0f} s at work"
        except (EOFError, OSError):
            self._process.join()
            said = f"the worker died: exit {self._process.exitcode}"
        self.renew()
        return said

    def _worked(self) -> float:
        """Seconds of processor time of the worker and of what it has started and waited for."""
        times = psutil.Process(self._process.pid).cpu_times()
        return sum((times.user, times.system, times.children_user, times.children_system))

    def renew(self) -> None:
        """End the worker and start another: what libraries keep of many thousand cases (polars some
        100 kB of each Parquet file) is no fault of the next.
        """
        self.stop()
        self._start()

    def stop(self) -> None:
        """End the worker."""
        self._process.kill()
        self._process.join()
