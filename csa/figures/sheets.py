"""The retrieval sheets of an evaluation, one for each direction."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from csa.evaluation.ranked import RankedQueries, Way
from csa.figures.sheet import Result, Row, draw_sheet
from csa.figures.shown import shown_or_gone

_SHOWN_RESULTS = 5

Loader = Callable[[str], Any]


def held_out_sheets(
    ranked: RankedQueries, loaders: tuple[Loader, Loader], shown: int, folder: Path
) -> None:
    """Draw `sheet_<direction>.png` for both directions: queries evenly spread from the best ranked
    to the worst.

    Args:
        ranked: the held-out queries.
        loaders: of the items of each view.
        shown: queries on a sheet.
        folder: where to write.
    """
    for way in ranked.ways:
        load_query, load_result = loaders[way.source], loaders[1 - way.source]
        ranks = ranked.ranks(way)
        chosen = spread(ranks, shown)
        top, scores = ranked.found(way, chosen, _SHOWN_RESULTS)
        rows = []
        for query, found, values in zip(chosen, top, scores, strict=True):
            answers = way.answers(query)
            results = [
                Result(
                    shown_or_gone(load_result, way.gallery.values[item]),
                    float(value),
                    int(item) in answers,
                )
                for item, value in zip(found, values, strict=True)
            ]
            asked = shown_or_gone(load_query, way.query.values[query])
            rows.append(Row(asked, results, f"right answer: rank {ranks[query]}"))
        draw_sheet(rows, _title(way), folder / f"sheet_{way.name}.png")


def _title(way: Way) -> str:
    return (
        f"Held-out {way.query.name} → {way.gallery.name}: best ranked at the top, worst at the "
        f"bottom, evenly spread; gallery of {len(way.gallery.items):,}, right answers framed green"
    )


def spread(ranks: np.ndarray[Any, Any], shown: int) -> list[int]:
    """Queries evenly spread from the best ranked to the worst.

    Args:
        ranks: of all queries, shape (n,).
        shown: how many to choose.

    Returns:
        At most `shown` row numbers, those of the best ranks first.
    """
    order = np.argsort(ranks, kind="stable")
    places = np.linspace(0, len(order) - 1, min(shown, len(order))).round().astype(int)
    return [int(i) for i in order[places]]
