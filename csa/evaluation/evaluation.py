"""Everything that is measured on held-out pairs, in one call."""

from dataclasses import dataclass
from typing import Generic, TypeVar

import polars as pl

from csa.core.alignment import Alignment
from csa.core.matrices import Float64
from csa.evaluation.held_out import HeldOut
from csa.evaluation.mismatch import score_held_out_pairs, summarise_mismatch
from csa.evaluation.retrieval import ranked_with_gaps, summarise, summarise_paper
from csa.evaluation.vectors import HeldOutVectors, PairScorer
from csa.params.measure import EvaluateParams
from csa.results.evaluation import (
    AskedCounts,
    EvaluationMetrics,
    ModelMetrics,
    PairCounts,
    TestCount,
)

M = TypeVar("M", ModelMetrics, EvaluationMetrics)


@dataclass(frozen=True, eq=False)
class Evaluation(Generic[M]):
    """Results of one model on one set of held-out pairs.

    Attributes:
        queries: one row a retrieval query, see `csa.evaluation.retrieval.rank_queries`.
        pairs: one row a held-out pair that is asked, see
            `csa.evaluation.mismatch.score_held_out_pairs`.
        metrics: summary with confidence intervals.
        vectors: index vectors of the held-out items.
        gaps: how far the best right answer of each query is behind the best of all, of either
            direction, see `csa.evaluation.conformal.right_gaps`.
    """

    queries: pl.DataFrame
    pairs: pl.DataFrame
    metrics: M
    vectors: HeldOutVectors
    gaps: tuple[Float64, Float64]


def evaluate(
    alignment: Alignment, held_out: HeldOut, params: EvaluateParams
) -> Evaluation[EvaluationMetrics]:
    """Retrieval both ways and detection of mismatched pairs, with what the numbers are numbers
    of.

    Args:
        alignment: the fitted model.
        held_out: what it is measured on.
        params: bootstrap resamples, confidence level and seed.

    Returns:
        Tables of queries and of pairs, metrics with the numbers of pairs and groups, and index
        vectors.

    Raises:
        DataError: all held-out pairs belong to one group.
    """
    result = measure(alignment, held_out, params)
    measured = result.metrics
    metrics = EvaluationMetrics(
        evaluation_id=held_out.evaluation_id,
        pairs=PairCounts(alignment.n_pairs, len(held_out.pairs)),
        groups=TestCount(held_out.pairs["group"].n_unique()),
        asked=_asked(held_out),
        galleries={view.name: len(view.items) for view in held_out.views},
        retrieval=measured.retrieval,
        retrieval_paper=measured.retrieval_paper,
        mismatch=measured.mismatch,
        mismatch_hard=measured.mismatch_hard,
        mismatch_known=measured.mismatch_known,
    )
    return Evaluation(result.queries, result.pairs, metrics, result.vectors, result.gaps)


def _asked(held_out: HeldOut) -> AskedCounts | None:
    """What is asked, where that is not all."""
    if held_out.asked == len(held_out.pairs):
        return None
    return AskedCounts(held_out.asked, held_out.asked_pairs["group"].n_unique())


def measure(
    model: PairScorer, held_out: HeldOut, params: EvaluateParams
) -> Evaluation[ModelMetrics]:
    """Retrieval both ways and detection of mismatched pairs, of any model of pairs.

    Args:
        model: what gives index vectors of both views.
        held_out: what it is measured on.
        params: bootstrap resamples, confidence level and seed.

    Returns:
        Tables of queries and of pairs, their metrics, and index vectors.

    Raises:
        DataError: all held-out pairs belong to one group.
    """
    vectors = HeldOutVectors.of(model, held_out)
    queries, gaps = ranked_with_gaps(vectors, held_out)
    pairs = score_held_out_pairs(vectors, held_out, params.seed)
    wrong = summarise_mismatch(pairs, params)
    metrics = ModelMetrics(
        retrieval=summarise(queries, params),
        retrieval_paper=summarise_paper(queries, params),
        mismatch=wrong.random,
        mismatch_hard=wrong.hard,
        mismatch_known=wrong.known,
    )
    return Evaluation(queries, pairs, metrics, vectors, gaps)
