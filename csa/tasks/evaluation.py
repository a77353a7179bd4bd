"""Everything that is measured on held-out pairs, in one call."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from csa.core.alignment import Alignment
from csa.params import EvaluateParams
from csa.tasks.bootstrap import number_groups
from csa.tasks.held_out import HeldOut
from csa.tasks.mismatch import auc_estimate, strangers
from csa.tasks.retrieval import rank_queries, summarise


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Results of one alignment on one set of held-out pairs.

    Attributes:
        queries: one row a retrieval query, see `csa.tasks.retrieval.rank_queries`.
        pairs: one row a held-out pair: pair_id, group, score, stranger_score.
        metrics: JSON-able summary with confidence intervals.
    """

    queries: pl.DataFrame
    pairs: pl.DataFrame
    metrics: dict[str, Any]


def evaluate(alignment: Alignment, held_out: HeldOut, params: EvaluateParams) -> Evaluation:
    """Retrieval both ways and detection of mismatched pairs."""
    queries = rank_queries(alignment, held_out)
    first, second = held_out.views
    group = number_groups(held_out.pairs["group"])
    partner = strangers(group, params.seed)
    X = first.features[first.of_pair]
    matched = alignment.score_pairs(X, second.features[second.of_pair])
    mismatched = alignment.score_pairs(X, second.features[second.of_pair[partner]])
    pairs = held_out.pairs.select("pair_id", "group").with_columns(
        pl.Series("score", matched), pl.Series("stranger_score", mismatched)
    )
    retrieval = summarise(queries, params)
    auc = auc_estimate(matched, mismatched, group, params)
    metrics = {
        "evaluation_id": held_out.evaluation_id,
        "pairs": {"train": alignment.n_pairs, "test": len(pairs)},
        "groups": {"test": int(np.max(group)) + 1},
        "galleries": {view.name: len(view.items) for view in held_out.views},
        "retrieval": {way: {name: value.as_dict() for name, value in rows.items()} for way, rows in retrieval.items()},
        "mismatch": {"auc": auc.as_dict()},
    }
    return Evaluation(queries, pairs, metrics)
