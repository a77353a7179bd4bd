"""The held-out queries as an alignment ranked them, and what it finds for each."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl
from numpy.typing import NDArray

from csa.core.alignment import Alignment
from csa.core.search import top_k
from csa.evaluation.held_out import HeldOut, HeldOutView


@dataclass(frozen=True)
class Way:
    """One direction of retrieval: queries of one view, a gallery of the other.

    Attributes:
        source: number of the view that queries are of, 0 or 1.
        query, gallery: the two views.
    """

    source: int
    query: HeldOutView
    gallery: HeldOutView

    @property
    def name(self) -> str:
        """As in the tables, such as image_to_text."""
        return f"{self.query.name}_to_{self.gallery.name}"

    def answers(self, query: int) -> list[int]:
        """Item numbers of a query's right answers, ascending."""
        return sorted(set(self.gallery.of_pair[self.query.of_pair == query].tolist()))


@dataclass(frozen=True, eq=False)
class RankedQueries:
    """The held-out queries of both directions, ranked by an alignment.

    Attributes:
        alignment: the fitted alignment.
        held_out: the held-out pairs.
        queries: their ranks, from `csa.evaluation.retrieval.rank_queries`.
    """

    alignment: Alignment
    held_out: HeldOut
    queries: pl.DataFrame

    @cached_property
    def vectors(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Index vectors of the items of either view, shapes (n, k) and (m, k)."""
        first, second = self.held_out.views
        left, right = self.alignment.index_vectors(first.features, second.features)
        return left, right

    @property
    def ways(self) -> tuple[Way, Way]:
        """Both directions."""
        first, second = self.held_out.views
        return Way(0, first, second), Way(1, second, first)

    def way(self, direction: str) -> Way:
        """A direction by its name, such as image_to_text."""
        return next(way for way in self.ways if way.name == direction)

    def ranks(self, way: Way) -> NDArray[Any]:
        """Rank of every query's best right answer, from 1 up, in the order of the items."""
        ranks: NDArray[Any] = self.queries.filter(pl.col("direction") == way.name)[
            "rank"
        ].to_numpy()
        return ranks

    def found(
        self, way: Way, chosen: list[int], most: int
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """What is found for some queries.

        Args:
            way: the direction.
            chosen: query numbers, in the order of the held-out items.
            most: results of each query.

        Returns:
            Item numbers and scores, best first, each of shape (len(chosen), at most `most`).
        """
        return top_k(self.vectors[way.source][chosen], self.vectors[1 - way.source], most)
