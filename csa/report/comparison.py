"""The page of two registered versions: paired differences, queries won and lost, and what
differs in their making.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from csa.core.alignment import Alignment
from csa.evaluation.held_out import HeldOut
from csa.evaluation.ranked import RankedQueries, Way
from csa.figures.retrieval import forest_chart, recalls_chart
from csa.report.examples import Example, Examples, one_a_group
from csa.report.html import Section, render_page
from csa.report.shown import Shower, Shown
from csa.report.source import Loader
from csa.results.compared import Difference
from csa.results.words import arrow, metric_name

BOTH = "both ways"
"""What is measured over both directions."""

_SHOWN = 6
_FOUND = 3
_LINEAGE = ("git_commit", "params_hash", "evaluation_id", "alignment_sha256", "created")


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two versions.

    Attributes:
        version: its number.
        aliases: such as champion.
        queries: its per-query table.
        run: its run record as a mapping.
        alignment: None if its encoders are not those of the workspace's features, so that it
            cannot be asked.
    """

    version: int
    aliases: tuple[str, ...]
    queries: pl.DataFrame
    run: dict[str, Any]
    alignment: Alignment | None

    @property
    def name(self) -> str:
        """What the page calls it."""
        return f"version {self.version}"


@dataclass(frozen=True, eq=False)
class Versus:
    """Two versions and how they differ on the same held-out queries.

    Attributes:
        model: registered name.
        sides: first and second.
        differences: over `BOTH` directions, then in each.
        slices: rows of slice, gain and at_most, the lowest first; none where they could not be
            told.
        confidence: of the intervals.
        held_out: None if the workspace holds other pairs than both were measured on: then
            nothing can be shown.
        loaders: of the items of each view.
        modalities: of each view.
    """

    model: str
    sides: tuple[Side, Side]
    differences: dict[str, list[Difference]]
    slices: list[dict[str, Any]]
    confidence: float
    held_out: HeldOut | None
    loaders: tuple[Loader, Loader]
    modalities: tuple[str, ...]


@dataclass(frozen=True)
class Duel:
    """A query, its right answer, and for each version the rank and, where it can be asked, what
    it found.
    """

    query: Shown
    answer: Shown
    ranks: tuple[int, int]
    gallery: int
    found: tuple[Example | None, Example | None]


def comparison(versus: Versus) -> str:
    """The page; the same input gives the same bytes."""
    first, second = versus.sides
    sections = [
        Section("differences", "Paired differences", _differences(versus)),
        Section("slices", "Slices that fare worst", versus.slices),
        Section("duels", "Queries won and lost", _duels(versus)),
        Section("changes", "What differs", _changes(first, second)),
    ]
    title = f"{versus.model}: {first.name} and {second.name}"
    mrr = next(row for row in versus.differences[BOTH] if row.metric == "mrr")
    verdict = (
        "better than"
        if mrr.low > 0
        else "worse than"
        if mrr.high < 0
        else "not clearly better or worse than"
    )
    lead = f"{second.name.capitalize()} is {verdict} {first.name}"
    return render_page(
        "comparison.html",
        [section for section in sections if section.facts],
        title=title,
        versus=versus,
        lead=lead,
        mrr=mrr,
    )


def _differences(versus: Versus) -> dict[str, Any]:
    tables = {
        arrow(way): {metric_name(row.metric): row for row in rows}
        for way, rows in versus.differences.items()
    }
    forest = {
        f"{metric} {way}": row.estimate
        for way, rows in tables.items()
        for metric, row in rows.items()
    }
    names = (versus.sides[0].name, versus.sides[1].name)
    curves = [
        recalls_chart(
            [side.queries.filter(pl.col("direction") == direction) for side in versus.sides],
            names,
            direction,
        )
        for direction in versus.sides[0].queries["direction"].unique(maintain_order=True)
    ]
    unit = f"{names[1]} minus {names[0]}, with {versus.confidence:.0%} intervals"
    return {
        "tables": tables,
        "forest": forest_chart(forest, unit),
        "curves": curves,
        "names": names,
    }


def _duels(versus: Versus) -> dict[str, Any]:
    ways = []
    for direction in versus.sides[0].queries["direction"].unique(maintain_order=True):
        ranks = _ranks(versus, direction)
        gain = np.log(ranks[:, 0]) - np.log(ranks[:, 1])
        ways.append(
            {
                "title": arrow(direction),
                "won": int((gain > 0).sum()),
                "lost": int((gain < 0).sum()),
                "tied": int((gain == 0).sum()),
                "lists": [
                    ("Most won", _shown(versus, direction, ranks, gain)),
                    ("Most lost", _shown(versus, direction, ranks, -gain)),
                ],
            }
        )
    return {
        "ways": ways,
        "names": (versus.sides[0].name, versus.sides[1].name),
        "shown": versus.held_out is not None,
    }


def _ranks(versus: Versus, direction: str) -> np.ndarray[Any, Any]:
    """Ranks of the same queries with both versions, shape (n, 2)."""
    first, second = (side.queries.filter(pl.col("direction") == direction) for side in versus.sides)
    joined = first.select("query", "rank").join(
        second.select("query", other="rank"), on="query", maintain_order="left"
    )
    return joined.select("rank", "other").to_numpy()


def _shown(
    versus: Versus, direction: str, ranks: np.ndarray[Any, Any], gain: np.ndarray[Any, Any]
) -> list[Duel]:
    """The queries with the largest gains, one of each group."""
    if versus.held_out is None:
        return []
    names = [view.name for view in versus.held_out.views]
    source = names.index(direction.partition("_to_")[0])
    view, gallery = versus.held_out.views[source], versus.held_out.views[1 - source]
    way = Way(source, view, gallery)
    chosen = one_a_group(
        (int(i) for i in np.argsort(-gain, kind="stable") if gain[i] > 0), view.groups, _SHOWN
    )
    show = tuple(
        Shower(name, kind, load)
        for name, kind, load in zip(names, versus.modalities, versus.loaders, strict=True)
    )
    found = [
        Examples(
            RankedQueries(side.alignment, versus.held_out, side.queries), (show[0], show[1])
        ).look_up(way, chosen, _FOUND)
        if side.alignment is not None
        else [None] * len(chosen)
        for side in versus.sides
    ]
    duels = []
    for number, query in enumerate(chosen):
        here = found[0][number], found[1][number]
        asked = [example for example in here if example is not None]
        best = min(asked, key=lambda example: example.rank).answer if asked else None
        answer = best or show[1 - source](
            gallery.values[int(gallery.of_pair[view.of_pair == query][0])]
        )
        pair = int(ranks[query, 0]), int(ranks[query, 1])
        duels.append(Duel(show[source](view.values[query]), answer, pair, len(gallery.items), here))
    return duels


def _changes(first: Side, second: Side) -> dict[str, Any]:
    lineage = [
        (name, first.run[name], second.run[name], first.run[name] == second.run[name])
        for name in _LINEAGE
    ]
    return {
        "params": list(_differing(first.run["params"], second.run["params"])),
        "versions": list(_differing(first.run["versions"], second.run["versions"])),
        "outputs": list(_differing(first.run["outputs"], second.run["outputs"])),
        "encoders": list(_differing(first.run["encoders"], second.run["encoders"])),
        "lineage": lineage,
        "names": (first.name, second.name),
    }


def _differing(first: Any, second: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Leaves of two nested mappings that are not equal: dotted name, first value, second value;
    None if there is none.
    """
    if isinstance(first, dict) or isinstance(second, dict):
        first, second = first or {}, second or {}
        for key in [*first, *(key for key in second if key not in first)]:
            yield from _differing(
                first.get(key), second.get(key), f"{path}.{key}" if path else str(key)
            )
    elif first != second:
        yield path, first, second
