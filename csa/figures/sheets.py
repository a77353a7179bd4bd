"""The retrieval sheets of an evaluation, one for each direction."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from csa.core.alignment import Alignment
from csa.core.search import top_k
from csa.evaluation.held_out import HeldOut, HeldOutView
from csa.figures.sheet import Result, Row, draw_sheet
from csa.figures.shown import shown_or_gone

_SHOWN_RESULTS = 5

Loader = Callable[[str], Any]


def held_out_sheets(
    alignment: Alignment,
    held_out: HeldOut,
    queries: pl.DataFrame,
    loaders: list[Loader],
    shown: int,
    folder: Path,
) -> None:
    """Draw `sheet_<direction>.png` for both directions: queries evenly spread from the best ranked
    to the worst.

    Args:
        alignment: the fitted alignment.
        held_out: the held-out pairs.
        queries: their ranks, from `csa.evaluation.retrieval.rank_queries`.
        loaders: of the items of each view.
        shown: queries on a sheet.
        folder: where to write.
    """
    first, second = held_out.views
    left, right = alignment.index_vectors(first.features, second.features)
    sides = ((first, second, left, right, loaders), (second, first, right, left, loaders[::-1]))
    for view, other, query_vectors, gallery_vectors, (load_query, load_result) in sides:
        direction = f"{view.name}_to_{other.name}"
        ranks = queries.filter(pl.col("direction") == direction)["rank"].to_numpy()
        chosen = spread(ranks, shown)
        top, scores = top_k(query_vectors[chosen], gallery_vectors, _SHOWN_RESULTS)
        rows = []
        for query, found, values in zip(chosen, top, scores, strict=True):
            right_answers = set(other.of_pair[view.of_pair == query].tolist())
            results = [
                Result(
                    shown_or_gone(load_result, other.values[item]),
                    float(value),
                    int(item) in right_answers,
                )
                for item, value in zip(found, values, strict=True)
            ]
            rows.append(
                Row(
                    shown_or_gone(load_query, view.values[query]),
                    results,
                    f"right answer: rank {ranks[query]}",
                )
            )
        draw_sheet(rows, _title(view, other), folder / f"sheet_{direction}.png")


def _title(view: HeldOutView, other: HeldOutView) -> str:
    return (
        f"Held-out {view.name} → {other.name}: best ranked at the top, worst at the bottom, "
        f"evenly spread; "
        f"gallery of {len(other.items):,}, right answers framed green"
    )


def spread(ranks: np.ndarray[Any, Any], shown: int) -> list[int]:
    """Row numbers evenly spread from the best rank to the worst."""
    order = np.argsort(ranks, kind="stable")
    places = np.linspace(0, len(order) - 1, min(shown, len(order))).round().astype(int)
    return [int(i) for i in order[places]]
