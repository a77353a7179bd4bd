"""Calls of many threads that arrive together are worked on together."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class _Call(Generic[T, R]):
    """What one thread asked for, and what came of it."""

    def __init__(self, asked: T) -> None:
        self.asked = asked
        self.found: R | None = None
        self.error: Exception | None = None
        self.done = False
        self.leads: list[_Call[T, R]] = []
        """Calls that its thread is to work on."""
        self.turn = threading.Lock()
        """Held until the thread has something to do: its answer is there, or it leads."""
        self.turn.acquire()


@dataclass(frozen=True)
class Room:
    """How much is worked on together.

    Attributes:
        most: of what is taken up at once, as `size` counts it; a single call may be more.
        at_once: threads that work at a time.
    """

    most: int
    at_once: int


class Together(Generic[T, R]):
    """Work for many threads: one of those that wait works for all of them.

    A thread that finds nobody at work begins at once. Others wait until half as much has come
    together as is being worked on, or until somebody is ready: then the first of them works on all
    that waits. So many small calls cost few large ones, and each thread is woken once.

    Args:
        work: gives what came of each of several calls, in order.
        size: of a call.
        room: how much is worked on together.

    Attributes:
        passes: how often calls were taken up.
        taken: the sizes of all calls that were, together.

    >>> Together(lambda numbers: [n * n for n in numbers], lambda n: 1, Room(8, 2))(7)
    49
    """

    def __init__(
        self, work: Callable[[list[T]], list[R]], size: Callable[[T], int], room: Room
    ) -> None:
        self._work, self._size, self._room = work, size, room
        self._lock = threading.Lock()
        self._waiting: deque[_Call[T, R]] = deque()
        self._due = self._under_way = self._busy = 0
        self.passes = self.taken = 0

    def __call__(self, asked: T) -> R:
        """What comes of one call.

        Args:
            asked: of the work.

        Returns:
            What came of it.

        Raises:
            Exception: what the work raises of this call, whoever it was taken up with.
        """
        mine: _Call[T, R] = _Call(asked)
        with self._lock:
            self._waiting.append(mine)
            self._due += self._size(asked)
            self._begin()
        while not mine.done:
            mine.turn.acquire()
            together, mine.leads = mine.leads, []
            if together:
                self._lead(together, mine)
        if mine.error is not None:
            raise mine.error
        return mine.found  # type: ignore[return-value]  # an R, as there was no error

    def _begin(self) -> None:
        """Have the first of those that wait lead, as often as that is worth it now."""
        while (
            self._waiting
            and self._busy < self._room.at_once
            and (2 * self._due >= self._under_way or self._due >= self._room.most)
        ):
            together: list[_Call[T, R]] = []
            count = 0
            while self._waiting and (
                not together or count + self._size(self._waiting[0].asked) <= self._room.most
            ):
                together.append(self._waiting.popleft())
                count += self._size(together[-1].asked)
            self._due -= count
            self._under_way += count
            self._busy += 1
            self.passes += 1
            self.taken += count
            together[0].leads = together
            together[0].turn.release()

    def _lead(self, together: list[_Call[T, R]], mine: _Call[T, R]) -> None:
        try:
            self._answer(together)
        finally:
            with self._lock:
                self._busy -= 1
                self._under_way -= sum(self._size(call.asked) for call in together)
                self._begin()
            for call in together:
                call.done = True
                if call is not mine:
                    call.turn.release()

    def _answer(self, together: list[_Call[T, R]]) -> None:
        try:
            for call, found in zip(
                together, self._work([call.asked for call in together]), strict=True
            ):
                call.found = found
        except Exception as error:
            if len(together) == 1:
                together[0].error = error
                return
            for call in together:  # what one cannot be answered is its own fault
                self._answer([call])
