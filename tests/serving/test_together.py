"""Calls that arrive together are worked on together, and each gets its own answer."""

import threading

import numpy as np
import pytest

from csa.serving.together import Room, Together

PATIENCE = 60


class Slow:
    """Work that begins when it may, and squares numbers."""

    def __init__(self, most, at_once):
        self.begun, self.go_on = threading.Semaphore(0), threading.Semaphore(0)
        self.together = []
        self.all = Together(self.work, lambda number: 1, Room(most, at_once))
        self.found = {}
        self._threads = []

    def work(self, numbers):
        self.together.append(numbers)
        self.begun.release()
        assert self.go_on.acquire(timeout=PATIENCE)
        return [number**2 for number in numbers]

    def ask(self, *numbers):
        for number in numbers:
            waiting = len(self.all._waiting)
            thread = threading.Thread(target=self._one, args=(number,))
            thread.start()
            self._threads.append(thread)
            while len(self.all._waiting) == waiting and not self.begun.acquire(timeout=0.01):
                assert thread.is_alive()

    def _one(self, number):
        self.found[number] = self.all(number)

    def end(self):
        for _ in self._threads:
            self.go_on.release()
        for thread in self._threads:
            thread.join(PATIENCE)
        assert self.found == {number: number**2 for number in self.found}
        return self.together


def test_what_waits_is_taken_up_together():
    slow = Slow(most=8, at_once=1)
    slow.ask(*range(9))
    slow.go_on.release()
    assert slow.end() == [[0], [1, 2, 3, 4, 5, 6, 7, 8]]
    assert (slow.all.passes, slow.all.taken, len(slow.found)) == (2, 9, 9)


def test_no_more_than_fits_is_taken_up():
    slow = Slow(most=3, at_once=1)
    slow.ask(*range(8))
    assert slow.end() == [[0], [1, 2, 3], [4, 5, 6], [7]]


def test_a_second_thread_begins_where_half_as_much_waits():
    slow = Slow(most=8, at_once=2)
    slow.ask(0, 1, 2, 3, 4)  # 1 is more than half of 1, and 2 to 4 find both at work
    slow.go_on.release()
    assert slow.begun.acquire(timeout=PATIENCE)
    slow.go_on.release()
    while 1 not in slow.found:
        assert len(slow.together) == 3
    slow.ask(5)  # less than half of three
    assert len(slow.together) == 3
    slow.ask(6)
    assert slow.end() == [[0], [1], [2, 3, 4], [5, 6]]


def test_an_error_is_that_of_its_own_call():
    begun = threading.Barrier(4)

    def work(numbers):
        return [1 / number for number in numbers]

    found, together = {}, Together(work, lambda number: 1, Room(8, 1))

    def ask(number):
        begun.wait(PATIENCE)
        try:
            found[number] = together(number)
        except ZeroDivisionError as error:
            found[number] = str(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in (1, 2, 0, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert found == {1: 1.0, 2: 0.5, 4: 0.25, 0: "division by zero"}


@pytest.mark.parametrize("at_once", [1, 3])
def test_many_threads_lose_nothing(at_once):
    together = Together(lambda calls: [call * 2 for call in calls], len, Room(16, at_once))
    wrong = []

    def ask(seed):
        rng = np.random.default_rng(seed)
        for _ in range(200):
            asked = rng.integers(0, 100, rng.integers(1, 20))
            if not np.array_equal(together(asked), asked * 2):
                wrong.append(asked)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert not wrong and together._busy == together._due == together._under_way == 0
