"""The slices a challenger is compared on: parts of the held-out queries that people name, and
simple ones that any data has.
"""

import numpy as np
import polars as pl

from csa.errors import ParamsError
from csa.evaluation.held_out import unique_test_pairs

AUTOMATIC = ("direction", "caption_length", "group_size")


def slices_of(items: pl.DataFrame, views: tuple[str, str], names: list[str]) -> pl.DataFrame:
    """Which slices each held-out query is in.

    Args:
        items: a run's items, see `csa.operations.runs.items`.
        views: the two views, in order.
        names: of `gate.slices`: direction; caption_length (thirds of a text query's words);
            group_size (thirds of the held-out pairs of a query's group); or a column of the pairs
            table, such as label (a slice for each value).

    Returns:
        (direction, query, slice), a row for each slice a query is in.

    Raises:
        ParamsError: neither an automatic slice nor a column.
    """
    test = unique_test_pairs(items, views).with_columns(group_size=pl.len().over("group"))
    columns = [
        name
        for name in items.columns
        if not name.endswith(("_hash", "_words")) and name not in ("pair_id", "split")
    ]
    found = []
    for query, gallery in (views, views[::-1]):
        direction = f"{query}_to_{gallery}"
        queries = test.unique(f"{query}_hash", keep="first", maintain_order=True).with_columns(
            direction=pl.lit(direction), query=pl.col(f"{query}_hash")
        )
        for name in names:
            if name == "direction":
                label = pl.Series([f"direction {direction}"] * len(queries))
            elif name == "caption_length":
                if f"{query}_words" not in queries.columns:
                    continue
                label = _thirds(queries[f"{query}_words"], f"caption_length ({query}, words)")
            elif name == "group_size":
                label = _thirds(queries["group_size"], "group_size (pairs)")
            elif name in columns:
                label = queries.select(pl.format(f"{name} {{}}", pl.col(name))).to_series()
            else:
                raise ParamsError(
                    f"gate.slices: no slice {name!r}; there are {', '.join([*AUTOMATIC, *columns])}"
                )
            found.append(
                queries.select("direction", "query").with_columns(slice=label).drop_nulls()
            )
    everything = (
        pl.concat(found)
        if found
        else pl.DataFrame(schema=dict.fromkeys(("direction", "query", "slice"), pl.String))
    )
    return everything.unique(maintain_order=True)


def _thirds(values: pl.Series, name: str) -> pl.Series:
    """A name with bounds for each count: its third, or the value itself where three or fewer
    are; none where all are equal.
    """
    counts = values.to_numpy()
    distinct = np.unique(counts)
    edges = (
        distinct[:-1] if len(distinct) <= 3 else np.quantile(counts, [1 / 3, 2 / 3], method="lower")
    )
    edges = np.unique(edges[edges < distinct[-1]])
    if not len(edges):
        return pl.Series([None] * len(counts), dtype=pl.String)
    bounds = list(zip([distinct[0], *(edges + 1)], [*edges, distinct[-1]], strict=True))
    names = [f"{name} {low}" if low == high else f"{name} {low}-{high}" for low, high in bounds]
    return pl.Series([names[i] for i in np.searchsorted(edges, counts)])
