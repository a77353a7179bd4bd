"""A worker process that answers cases, and is started again after it died or hung."""

import multiprocessing
from collections.abc import Callable
from typing import Any


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
            seconds: how long its answer is waited for.
            first_seconds: the same for a fresh worker, which loads its libraries.
        """
        patience = first_seconds if self._is_fresh else seconds
        self._is_fresh = False
        try:
            self._pipe.send(case)
            if self._pipe.poll(patience):
                return str(self._pipe.recv())
            said = f"no answer in {patience:g} s"
        except (EOFError, OSError):
            self._process.join()
            said = f"the worker died: exit {self._process.exitcode}"
        self.stop()
        self._start()
        return said

    def stop(self) -> None:
        """End the worker."""
        self._process.kill()
        self._process.join()
