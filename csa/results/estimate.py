"""A number with its interval, and one without."""

from dataclasses import dataclass

from csa.results.record import Record


@dataclass(frozen=True)
class Value(Record):
    """A number that has no interval."""

    value: float


@dataclass(frozen=True)
class Estimate(Record):
    """A value and its percentile confidence interval."""

    value: float
    low: float
    high: float
