"""Shrinkage of either view's second moment, in the whole space or within a span, and its search.

S becomes (1 - g) S + g m I, with m = trace S / d the mean eigenvalue. Within the span of a view's
items the mean eigenvalue is `ratio` times as large, so the same fit has a smaller g there: its odds
g / (1 - g) are 1 / ratio times as large. The two numbers have types of their own, and `Spans` alone
turns one into the other.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, TypeVar

import numpy as np

Point = TypeVar("Point")


class Shrinkage(NamedTuple):
    """Shrinkage of both views in the whole space of their features, each in [0, 1]."""

    x: float
    y: float

    def raised(self, step_x: float, step_y: float) -> "Shrinkage":
        """More of it.

        Args:
            step_x, step_y: what is added to either log-odds, log(g / (1 - g)).

        Returns:
            The shrinkage so raised.
        """
        return Shrinkage(
            scale_odds(self.x, float(np.exp(step_x))), scale_odds(self.y, float(np.exp(step_y)))
        )


class SpanShrinkage(NamedTuple):
    """Shrinkage of both views within the spans that their moments were taken in."""

    x: float
    y: float


@dataclass(frozen=True)
class Spans:
    """The subspaces in which moments were taken, as far as shrinkage depends on them.

    Attributes:
        ratio_x, ratio_y: mean eigenvalue within the span over that of the whole space.
    """

    ratio_x: float = 1.0
    ratio_y: float = 1.0

    def narrowed(self, shrinkage: Shrinkage) -> SpanShrinkage:
        """The shrinkage within the spans that gives the same fit."""
        x, y = shrinkage
        return SpanShrinkage(scale_odds(x, 1 / self.ratio_x), scale_odds(y, 1 / self.ratio_y))

    def widened(self, shrinkage: SpanShrinkage) -> Shrinkage:
        """The shrinkage of the whole space that gives the same fit."""
        x, y = shrinkage
        return Shrinkage(scale_odds(x, self.ratio_x), scale_odds(y, self.ratio_y))

    def units(self, shrinkage: Shrinkage) -> tuple[float, float]:
        """By how much coordinates of the whole space are longer: both whiten by one matrix but
        for the factor 1 - g before it.
        """
        pairs = zip(self.narrowed(shrinkage), shrinkage, strict=True)
        unit_x, unit_y = (
            float(np.sqrt((1 - narrow) / (1 - wide))) if wide < 1 else 1.0 for narrow, wide in pairs
        )
        return unit_x, unit_y


WHOLE = Spans()
"""Moments of the features as they are."""


def scale_odds(share: float, factor: float) -> float:
    """The share whose odds are `factor` times as large.

    Args:
        share: in [0, 1].
        factor: above 0.

    Returns:
        A share in [0, 1]; 0 and 1 stay.
    """
    if factor == 1.0:
        return share
    return share * factor / (share * factor + 1 - share)


def share_of(log_odds: float) -> float:
    """The share g whose log(g / (1 - g)) is given."""
    return float(1 / (1 + np.exp(-log_odds)))


def log_odds_of(shrinkage: SpanShrinkage, most: float) -> tuple[float, float]:
    """log(g / (1 - g)) of both views.

    Args:
        shrinkage: (gx, gy).
        most: that either may be, up or down.

    Returns:
        Both log-odds.
    """
    least = share_of(-most)
    x, y = (float(np.log(g / (1 - g))) for g in np.clip(shrinkage, least, 1 - least))
    return x, y


def climb(
    start: Point,
    value: Callable[[Point], float],
    neighbours: Callable[[Point], Iterable[Point]],
    steepest: bool = False,
) -> tuple[Point, float]:
    """Hill climbing: from point to neighbour for as long as the value rises.

    Args:
        start: the first point; hashable.
        value: of a point; asked once a point.
        neighbours: of a point, in the order in which they are tried.
        steepest: go to the best of the neighbours, which suits values that cost little; else to
            the first that is better.

    Returns:
        A point without a better neighbour, and its value.
    """
    height = cache(value)
    while True:
        better = (point for point in neighbours(start) if height(point) > height(start))
        following = max(better, key=height, default=None) if steepest else next(better, None)
        if following is None:
            return start, height(start)
        start = following
