"""Which held-out items a page shows: retrieval both ways, the hardest failures, the pairs that
look most wrong.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl

from csa.evaluation.held_out import HeldOut
from csa.evaluation.plots import strangers
from csa.evaluation.ranked import RankedQueries, Way
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
        ranked: the held-out queries.
        show: one for each view, in order.
    """

    def __init__(self, ranked: RankedQueries, show: tuple[Shower, Shower]):
        self._ranked, self._show = ranked, show

    def directions(self, shown: int) -> list[Direction]:
        """Both directions, with `shown` queries evenly spread from the best ranked to the worst."""
        return [self._direction(way, shown) for way in self._ranked.ways]

    def suspects(self, pairs: pl.DataFrame) -> list[Suspect]:
        """The held-out pairs with the lowest scores, lowest first.

        Args:
            pairs: the evaluation's table of pairs: pair_id, score, stranger_score.
        """
        values = {row["pair_id"]: row for row in self._ranked.held_out.pairs.to_dicts()}
        wrong = np.sort(strangers(pairs))
        first, second = self._ranked.held_out.views
        suspects = []
        for pair_id, score in (
            pairs.sort("score", "pair_id").head(_SUSPECTS).select("pair_id", "score").iter_rows()
        ):
            row = values[pair_id]
            above = 1 - np.searchsorted(wrong, score, side="left") / len(wrong)
            one, other = self._show[0](row[first.name]), self._show[1](row[second.name])
            suspects.append(Suspect(str(pair_id), one, other, float(score), float(above)))
        return suspects

    def look_up(self, way: Way, chosen: list[int], most: int = FOUND) -> list[Example]:
        """What is found for some queries.

        Args:
            way: the direction.
            chosen: query numbers, in the order of the held-out items.
            most: results to show.

        Returns:
            An example each, in the order chosen.
        """
        if not chosen:
            return []
        ranks, (top, scores) = self._ranked.ranks(way), self._ranked.found(way, chosen, most)
        queries, gallery = (self._ranked.vectors[side] for side in (way.source, 1 - way.source))
        show_query, show = self._show[way.source], self._show[1 - way.source]
        examples = []
        for i, query in enumerate(chosen):
            answers = way.answers(query)
            best = answers[int(np.argmax(gallery[answers] @ queries[query]))]
            found = [
                Found(show(way.gallery.values[item]), float(score), int(item) in answers)
                for item, score in zip(top[i], scores[i], strict=True)
            ]
            examples.append(
                Example(
                    show_query(way.query.values[query]),
                    found,
                    show(way.gallery.values[best]),
                    int(ranks[query]),
                    len(way.gallery.items),
                )
            )
        return examples

    def _direction(self, way: Way, shown: int) -> Direction:
        ranks = self._ranked.ranks(way)
        worst = one_a_group(np.argsort(-ranks, kind="stable"), way.query.groups, _FAILURES)
        return Direction(
            name=way.name,
            source=way.query.name,
            target=way.gallery.name,
            queries=len(ranks),
            gallery=len(way.gallery.items),
            examples=self.look_up(way, spread(ranks, shown)),
            failures=self.look_up(way, [i for i in worst if ranks[i] > 1]),
        )


def chance_recall(held_out: HeldOut, source: int, k: int) -> float:
    """Expected recall at k of a random ranking: mean over queries of 1 - C(n - m, k) / C(n, k),
    with m right of n items.

    Args:
        held_out: the held-out pairs.
        source: number of the view that queries are of, 0 or 1.
        k: number of results that are looked at.

    Returns:
        The mean over queries, in [0, 1].
    """
    view, gallery = held_out.views[source], held_out.views[1 - source]
    n = len(gallery.items)
    queries, _ = held_out.relevant(source)
    right = np.bincount(queries, minlength=view.asking).astype(np.float64)
    miss = np.ones(len(right))
    for i in range(min(k, n)):
        miss *= np.clip(n - right - i, 0, None) / (n - i)
    return float(np.mean(1 - miss))


def one_a_group(order: Iterable[int], groups: list[str], most: int) -> list[int]:
    """The first of each group, so that one odd image does not fill the list with its captions.

    Args:
        order: item numbers, the most wanted first.
        groups: of all items.
        most: how many to choose.

    Returns:
        At most `most` item numbers, in that order.
    """
    chosen: dict[str, int] = {}
    for i in order:
        if len(chosen) == most:
            break
        chosen.setdefault(groups[i], int(i))
    return list(chosen.values())
