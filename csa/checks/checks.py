"""A check: a number, the two limits it is held against, and what follows."""

from dataclasses import dataclass
from typing import Literal

from csa.errors import RefusedError
from csa.params.checks import ChecksParams
from csa.results.record import Record

Outcome = Literal["pass", "warn", "refuse"]


@dataclass(frozen=True)
class Check(Record):
    """One thing that was looked at.

    Attributes:
        name: as in the parameters.
        value: what was measured.
        warn, refuse: its limits; None: no limit.
        outcome: pass, warn or refuse.
        said: the finding in words.
    """

    name: str
    value: float
    warn: float | None
    refuse: float | None
    outcome: Outcome
    said: str


def judge(
    name: str, value: float, limits: ChecksParams, said: str, low_is_bad: bool = False
) -> Check:
    """Hold a number against [warn, refuse]: beyond a limit is above it, or below it where low is
    bad.

    Args:
        name: of the check, and of the parameter with its two limits.
        value: what was measured.
        limits: those of all checks.
        said: the finding in words.
        low_is_bad: whether low numbers are beyond the limits.

    Returns:
        The check with its outcome: refuse beyond the second limit, else warn beyond the first, else
        pass.
    """
    warn, refuse = getattr(limits, name)

    def beyond(limit: float | None) -> bool:
        return limit is not None and (value < limit if low_is_bad else value > limit)

    outcome: Outcome = "refuse" if beyond(refuse) else "warn" if beyond(warn) else "pass"
    return Check(name, float(value), warn, refuse, outcome, said)


def admit(checks: list[Check]) -> None:
    """Do nothing where no check refuses.

    Raises:
        RefusedError: one does; the message names the first, its number and its limit.
    """
    refused = [check for check in checks if check.outcome == "refuse"]
    if refused:
        first = refused[0]
        more = (
            f" (and {', '.join(check.name for check in refused[1:])})" if len(refused) > 1 else ""
        )
        raise RefusedError(
            f"{first.name}: {first.said}; the limit is {first.refuse:g}{more}; mend the data, or "
            f"if this is meant change "
            f"checks.{first.name} in the parameters"
        )
