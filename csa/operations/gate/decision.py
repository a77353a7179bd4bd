"""What the gate decides: a verdict, its reason, and the numbers behind it.

It stands apart from the tests that lead to it, so that whoever only repeats a decision does not
wait for numpy, scipy and polars.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["promote", "keep"]


@dataclass(frozen=True)
class Decision:
    """A verdict with its reason and its numbers.

    Attributes:
        verdict: promote or keep (the champion).
        reason: one sentence for people.
        gain: challenger minus champion, mean over both directions; None if nothing was compared.
        low, high: its confidence interval.
        evidence: what else was measured, such as the slices; JSON-able.
    """

    verdict: Verdict
    reason: str
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    evidence: dict[str, Any] = field(default_factory=dict)


def already_champion(version: int) -> Decision:
    """The decision where there is nothing to decide."""
    return Decision("keep", f"version {version} is the champion already")
