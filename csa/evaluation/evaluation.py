"""Everything that is measured on held-out pairs, in one call."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from csa.core.alignment import Alignment
from csa.evaluation.bootstrap import number_groups
from csa.evaluation.held_out import HeldOut
from csa.evaluation.mismatch import score_held_out_pairs, summarise_mismatch
from csa.evaluation.retrieval import rank_queries, summarise, summarise_paper
from csa.evaluation.vectors import HeldOutVectors, PairScorer
from csa.params.measure import EvaluateParams


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Results of one model on one set of held-out pairs.

    Attributes:
        queries: one row a retrieval query, see `csa.evaluation.retrieval.rank_queries`.
        pairs: one row a held-out pair, see `csa.evaluation.mismatch.score_held_out_pairs`.
        metrics: JSON-able summary with confidence intervals.
        vectors: index vectors of the held-out items.
    """

    queries: pl.DataFrame
    pairs: pl.DataFrame
    metrics: dict[str, Any]
    vectors: HeldOutVectors


def evaluate(alignment: Alignment, held_out: HeldOut, params: EvaluateParams) -> Evaluation:
    """Retrieval both ways and detection of mismatched pairs, with what the numbers are numbers
    of.
    """
    result = measure(alignment, held_out, params)
    about = {
        "evaluation_id": held_out.evaluation_id,
        "pairs": {"train": alignment.n_pairs, "test": len(result.pairs)},
        "groups": {"test": int(np.max(number_groups(held_out.pairs["group"]))) + 1},
        "galleries": {view.name: len(view.items) for view in held_out.views},
    }
    return replace(result, metrics=about | result.metrics)


def measure(model: PairScorer, held_out: HeldOut, params: EvaluateParams) -> Evaluation:
    """Retrieval both ways and detection of mismatched pairs, of any model of pairs."""
    vectors = HeldOutVectors.of(model, held_out)
    queries = rank_queries(vectors, held_out)
    pairs = score_held_out_pairs(vectors, held_out, params.seed)
    protocols = {
        "retrieval": summarise(queries, params),
        "retrieval_paper": summarise_paper(queries, params),
    }
    retrieval = {
        protocol: {
            way: {name: value.as_dict() for name, value in rows.items()}
            for way, rows in ways.items()
        }
        for protocol, ways in protocols.items()
    }
    return Evaluation(queries, pairs, retrieval | summarise_mismatch(pairs, params), vectors)
