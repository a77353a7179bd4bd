"""Steps of a run: named pieces of work, with the rule for trying them again."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from csa.errors import CSAError, RegistryError

T = TypeVar("T")

PAUSE_SECONDS = 10.0
"""Between two tries of a step."""


@dataclass(frozen=True)
class Step(Generic[T]):
    """One step of a run.

    Attributes:
        kind: what sort of step it is, such as `run_stage`.
        name: what a person sees, such as `stage fit`.
        work: carries it out.
        retries: how often it is tried again where that can help, see `may_pass`.
    """

    kind: str
    name: str
    work: Callable[[], T]
    retries: int = 0


class Runner(Protocol):
    """Carries out a step, with its retries."""

    def __call__(self, step: Step[T], /) -> T:
        """What the step's work returns."""


def may_pass(error: object) -> bool:
    """Whether trying again can help: errors we raise on purpose come again, a network's or a
    registry's may not.
    """
    return isinstance(error, RegistryError) or not isinstance(error, CSAError)


def plainly(step: Step[T]) -> T:
    """Carry out a step in this process, with nothing around it."""
    for _ in range(step.retries):
        try:
            return step.work()
        except Exception as error:
            if not may_pass(error):
                raise
        time.sleep(PAUSE_SECONDS)
    return step.work()
