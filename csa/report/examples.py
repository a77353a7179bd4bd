"""Which held-out items a page shows: retrieval both ways, the hardest failures, the pairs that
look most wrong.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from csa.core.alignment import Alignment
from csa.core.search import top_k
from csa.evaluation.held_out import HeldOut, HeldOutView
from csa.evaluation.plots import strangers
from csa.figures.sheets import spread
from csa.report.shown import Shower, Shown

FOUND = 5
_FAILURES = 6
_SUSPECTS = 24


@dataclass(frozen=True)
class Found:
    """One retrieved item, its score, and whether it is a right answer."""

    item: Shown
    score: float
    right: bool


@dataclass(frozen=True)
class Example:
    """A query, what was found for it, best first, and its best right answer with its rank."""

    query: Shown
    found: list[Found]
    answer: Shown
    rank: int
    gallery: int


@dataclass(frozen=True)
class Direction:
    """One direction of retrieval: `name` as in the tables, such as image_to_text, and what to
    show of it.
    """

    name: str
    source: str
    target: str
    queries: int
    gallery: int
    examples: list[Example]
    failures: list[Example]


@dataclass(frozen=True)
class Suspect:
    """A held-out pair that scores low, and the share of mismatched pairs that score at least as
    high.
    """

    pair_id: str
    first: Shown
    second: Shown
    score: float
    strangers_above: float


class Examples:
    """Looks things up among the held-out pairs.

    Args:
        alignment: the fitted alignment.
        held_out: the held-out pairs.
        queries: their ranks, from `csa.evaluation.retrieval.rank_queries`.
        show: one for each view, in order.
    """

    def __init__(
        self,
        alignment: Alignment,
        held_out: HeldOut,
        queries: pl.DataFrame,
        show: tuple[Shower, Shower],
    ):
        self._alignment, self._held_out, self._queries, self._show = (
            alignment,
            held_out,
            queries,
            show,
        )

    @cached_property
    def _vectors(self) -> tuple[NDArray[Any], NDArray[Any]]:
        first, second = self._held_out.views
        left, right = self._alignment.index_vectors(first.features, second.features)
        return left, right

    def directions(self, shown: int) -> list[Direction]:
        """Both directions, with `shown` queries evenly spread from the best ranked to the worst."""
        return [self._direction(0, 1, shown), self._direction(1, 0, shown)]

    def suspects(self, pairs: pl.DataFrame) -> list[Suspect]:
        """The held-out pairs with the lowest scores, lowest first.

        Args:
            pairs: the evaluation's table of pairs: pair_id, score, stranger_score.
        """
        values = {row["pair_id"]: row for row in self._held_out.pairs.to_dicts()}
        wrong = np.sort(strangers(pairs))
        first, second = self._held_out.views
        suspects = []
        for pair_id, score in (
            pairs.sort("score", "pair_id").head(_SUSPECTS).select("pair_id", "score").iter_rows()
        ):
            row = values[pair_id]
            above = 1 - np.searchsorted(wrong, score, side="left") / len(wrong)
            one, other = self._show[0](row[first.name]), self._show[1](row[second.name])
            suspects.append(Suspect(str(pair_id), one, other, float(score), float(above)))
        return suspects

    def look_up(self, direction: str, chosen: list[int], most: int = FOUND) -> list[Example]:
        """What is found for some queries.

        Args:
            direction: such as image_to_text.
            chosen: query numbers, in the order of the held-out items.
            most: results to show.
        """
        source = [view.name for view in self._held_out.views].index(direction.partition("_to_")[0])
        ranks = self._queries.filter(pl.col("direction") == direction)["rank"].to_numpy()
        return self._look_up(source, 1 - source, chosen, ranks, most)

    def _direction(self, source: int, target: int, shown: int) -> Direction:
        view, gallery = self._held_out.views[source], self._held_out.views[target]
        name = f"{view.name}_to_{gallery.name}"
        ranks = self._queries.filter(pl.col("direction") == name)["rank"].to_numpy()
        worst = one_a_group(np.argsort(-ranks, kind="stable"), view.groups, _FAILURES)
        return Direction(
            name=name,
            source=view.name,
            target=gallery.name,
            queries=len(ranks),
            gallery=len(gallery.items),
            examples=self._look_up(source, target, spread(ranks, shown), ranks),
            failures=self._look_up(source, target, [i for i in worst if ranks[i] > 1], ranks),
        )

    def _look_up(
        self,
        source: int,
        target: int,
        chosen: list[int],
        ranks: NDArray[np.int64],
        most: int = FOUND,
    ) -> list[Example]:
        if not chosen:
            return []
        view, gallery = self._held_out.views[source], self._held_out.views[target]
        queries, vectors = self._vectors[source][chosen], self._vectors[target]
        top, scores = top_k(queries, vectors, most)
        examples = []
        for i, query in enumerate(chosen):
            answers = _answers(view, gallery, query)
            best = answers[int(np.argmax(vectors[answers] @ queries[i]))]
            found = [
                Found(self._show[target](gallery.values[item]), float(score), int(item) in answers)
                for item, score in zip(top[i], scores[i], strict=True)
            ]
            examples.append(
                Example(
                    self._show[source](view.values[query]),
                    found,
                    self._show[target](gallery.values[best]),
                    int(ranks[query]),
                    len(gallery.items),
                )
            )
        return examples


def chance_recall(held_out: HeldOut, source: int, k: int) -> float:
    """Expected recall at k of a random ranking: mean over queries of 1 - C(n - m, k) / C(n, k),
    with m right of n items.
    """
    view, gallery = held_out.views[source], held_out.views[1 - source]
    n = len(gallery.items)
    right = np.bincount(view.of_pair, minlength=len(view.items)).astype(np.float64)
    miss = np.ones(len(right))
    for i in range(min(k, n)):
        miss *= np.clip(n - right - i, 0, None) / (n - i)
    return float(np.mean(1 - miss))


def _answers(view: HeldOutView, gallery: HeldOutView, query: int) -> list[int]:
    return sorted(set(gallery.of_pair[view.of_pair == query].tolist()))


def one_a_group(order: Iterable[int], groups: list[str], most: int) -> list[int]:
    """The first of each group, so that one odd image does not fill the list with its captions."""
    chosen: dict[str, int] = {}
    for i in order:
        if len(chosen) == most:
            break
        chosen.setdefault(groups[i], int(i))
    return list(chosen.values())
