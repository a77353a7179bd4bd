"""What must hold before a challenger is compared at all: its files, its held-out pairs, and
limits of size and time.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from csa.core.alignment import Alignment, load
from csa.core.threads import one_thread_a_product
from csa.evaluation.held_out import asked_first, evaluation_id, unique_test_pairs
from csa.evaluation.retrieval import CUTOFFS
from csa.operations.runs.items import UNPAIRED
from csa.operations.runs.records import RunRecord
from csa.params.gate import GateParams

_SCORES = 1000
_ROUNDS = 30


def objection(
    run: RunRecord, items: pl.DataFrame, queries: pl.DataFrame, alignment: Alignment
) -> str | None:
    """Why a challenger's numbers cannot be trusted; None when they can.

    Args:
        run: its record.
        items: the items its run saw, see `csa.operations.runs.items`.
        queries: its per-query table.
        alignment: as registered.

    Returns:
        The objection, as a clause for people; None when there is none.
    """
    if not _of_ranks(queries):
        return "edited measurements: its numbers of a query are not those of the query's rank"
    leak = leaked(items, anchor_view(run))
    if leak is not None:
        return f"leaked split: {leak}"
    train = int((items["split"] == "train").sum())
    if alignment.n_pairs != train:
        return (
            f"leaked or other split: the alignment was fitted on {alignment.n_pairs:,} pairs, but "
            f"the run's training split has "
            f"{train:,}"
        )
    limit = run.params["evaluate"].get("queries")  # a run of before this limit has none
    if evaluation_id(items, run.views, limit) != run.evaluation_id:
        return "evaluated on other data: its metrics are not of the held-out pairs on record"
    test, asked = asked_first(unique_test_pairs(items, run.views), limit)
    test = test.head(asked)
    for query, gallery in (run.views, run.views[::-1]):
        measured = queries.filter(pl.col("direction") == f"{query}_to_{gallery}")["query"].to_list()
        if sorted(measured) != sorted(test[f"{query}_hash"].unique().to_list()):
            return (
                f"evaluated on other data: its queries from {query} to {gallery} are not the "
                f"held-out items on record"
            )
    return None


def _of_ranks(queries: pl.DataFrame) -> bool:
    """Whether every number follows from the rank beside it, and every rank is one."""
    rank = queries["rank"].cast(pl.Float64).to_numpy()
    derived = {f"recall_at_{k}": rank <= k for k in CUTOFFS} | {"mrr": 1 / np.maximum(rank, 1)}
    return bool(
        (rank >= 1).all()
        and (rank <= queries["gallery"].to_numpy()).all()
        and all(np.allclose(queries[name], values, 0, 1e-9) for name, values in derived.items())
    )


def leaked(items: pl.DataFrame, anchor: str) -> str | None:
    """What is in training and held out at once: a group, an item of the view that groups are
    made of, or an unpaired item; None when nothing is.

    Equal texts of different images are no leak: pairs are grouped by their images.

    Args:
        items: of a run, see `csa.operations.runs.items`.
        anchor: the view whose items groups are made of.

    Returns:
        What leaked, as a clause for people; None when nothing did.
    """
    for column, what in (("group", "groups"), (f"{anchor}_hash", f"{anchor} items")):
        trained = items.filter(pl.col("split") == "train")[column].unique()
        held_out = items.filter(pl.col("split") == "test")[column].unique()
        both = held_out.is_in(trained.implode()).sum()
        if both:
            return f"{both:,} of {len(held_out):,} held-out {what} are in training pairs too"
    test, unpaired = (items.filter(pl.col("split") == split) for split in ("test", UNPAIRED))
    for column in (name for name in items.columns if name.endswith("_hash")):
        both = test[column].unique().is_in(unpaired[column].drop_nulls().implode()).sum()
        if both:
            return f"{both:,} held-out {column.removesuffix('_hash')} items are unpaired items too"
    return None


def anchor_view(run: RunRecord) -> str:
    """The view whose items make groups: the first that is no text, else the first."""
    return next(
        (view for view in run.views if run.params["views"][view]["modality"] != "text"),
        run.views[0],
    )


def over_limits(alignment: Path, size: int, gate: GateParams) -> tuple[str | None, dict[str, Any]]:
    """Which limit a model exceeds, and what was measured; nothing is measured where no limit is
    set.

    Args:
        alignment: its file.
        size: of the registered model, in bytes.
        gate: the limits.

    Returns:
        The refusal, as a clause for people, or None; and name -> what was measured.
    """
    measured: dict[str, Any] = {"megabytes": round(size / 1e6, 3)}
    if gate.max_milliseconds is not None:
        measured["milliseconds"] = round(milliseconds(load(alignment)), 3)
    for name, limit, unit in (
        ("megabytes", gate.max_megabytes, "MB"),
        ("milliseconds", gate.max_milliseconds, "ms for 1,000 scores"),
    ):
        if limit is not None and measured[name] > limit:
            return (
                f"too {'large' if name == 'megabytes' else 'slow'}: {measured[name]:g} {unit}, "
                f"limit {limit:g}",
                measured,
            )
    return None, measured


def milliseconds(alignment: Alignment) -> float:
    """The time for 1,000 scores on one thread, the best of many rounds: that is the model's own,
    the rest the machine's mood.
    """
    p, q = alignment.dimensions
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(_SCORES, p)), rng.normal(size=(_SCORES, q))
    best = np.inf
    with one_thread_a_product():
        for _ in range(_ROUNDS):
            start = time.perf_counter()
            alignment.score_pairs(X, Y)
            best = min(best, time.perf_counter() - start)
    return float(1000 * best)
