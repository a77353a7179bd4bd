"""Detection of mismatched pairs: does a held-out pair score above the same item with a stranger's
partner?

Strangers are of two kinds, and every number says which: random ones, and hard ones, whose partner
looks most like the right one. Where the data set says which pairs are wrong, those are a third
kind, and the only real one. What is looked for is the wrong
pair, so it is the positive kind: average precision is that of a list sorted from the lowest score
up.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from csa.core.matrices import Float64
from csa.core.preparation import unit
from csa.errors import DataError
from csa.evaluation.bootstrap import number_groups
from csa.evaluation.detection import detection_estimates
from csa.evaluation.held_out import HeldOut, HeldOutView
from csa.evaluation.vectors import HeldOutVectors, each_block
from csa.params.measure import EvaluateParams
from csa.results.evaluation import DetectionMetrics, KnownCounts, KnownMismatchMetrics


def score_held_out_pairs(vectors: HeldOutVectors, held_out: HeldOut, seed: int) -> pl.DataFrame:
    """Scores of the held-out pairs that are asked, and of the same first items with the partners
    of strangers.

    Args:
        vectors: index vectors of the held-out items.
        held_out: which of them belong together.
        seed: of the random strangers.

    Returns:
        One row a pair: pair_id, group, score, stranger_score, hard_stranger_score (null where no
        item of another group differs), hard_stranger (the pair_id whose partner that is), and
        mislabelled where the data set says so (null: unknown).

    Raises:
        DataError: all held-out pairs belong to one group.
    """
    asked, partners = held_out.asked_pairs, held_out.views[1]
    first, second = (view.of_pair[: held_out.asked] for view in held_out.views)
    group = number_groups(asked["group"])
    hard = nearest_strangers(partners, number_groups(held_out.pairs["group"]))[second]
    there, hard_score = hard >= 0, np.full(len(first), np.nan)
    hard_score[there] = vectors.score(first[there], hard[there])
    owner = np.zeros(len(partners.items), dtype=np.intp)
    pairs = len(partners.of_pair)
    owner[partners.of_pair[::-1]] = np.arange(pairs)[::-1]  # the first pair of each item
    names = held_out.pairs["pair_id"].to_list()
    return asked.select("pair_id", "group").with_columns(
        pl.Series("score", vectors.score(first, second)),
        pl.Series("stranger_score", vectors.score(first, second[strangers(group, seed)])),
        pl.Series("hard_stranger_score", hard_score).fill_nan(None),
        pl.Series(
            "hard_stranger",
            [names[owner[item]] if item >= 0 else None for item in hard],
            dtype=pl.String,
        ),
        *(asked.select("mislabelled") if "mislabelled" in asked.columns else []),
    )


@dataclass(frozen=True)
class MismatchMetrics:
    """Detection of each kind of wrong pair that there is.

    Attributes:
        random: random strangers.
        hard: hard strangers.
        known: pairs that the data set calls wrong, against those it calls right.
    """

    random: DetectionMetrics
    hard: DetectionMetrics | None
    known: KnownMismatchMetrics | None


def summarise_mismatch(pairs: pl.DataFrame, params: EvaluateParams) -> MismatchMetrics:
    """Detection measures of each kind of wrong pair that there is.

    Args:
        pairs: from `score_held_out_pairs`.
        params: bootstrap resamples, confidence level and seed.

    Returns:
        The measures. `hard` is None if no pair has a hard stranger; `known` is None unless the
        data set calls some pairs wrong and some right.
    """
    group = number_groups(pairs["group"])
    score = pairs["score"].to_numpy()

    def against(column: str) -> DetectionMetrics:
        wrong = pairs[column].to_numpy()
        there = ~np.isnan(wrong)
        return detection_estimates(-wrong[there], -score, group[there], group, params)

    some_hard = pairs["hard_stranger_score"].null_count() < len(pairs)
    return MismatchMetrics(
        random=against("stranger_score"),
        hard=against("hard_stranger_score") if some_hard else None,
        known=_known(pairs, score, group, params),
    )


def _known(
    pairs: pl.DataFrame, score: Float64, group: NDArray[np.intp], params: EvaluateParams
) -> KnownMismatchMetrics | None:
    """Of the pairs that the data set calls wrong; None if it calls none wrong, or none
    right.
    """
    if "mislabelled" not in pairs.columns:
        return None
    known = pairs["mislabelled"]
    wrong, right = known.fill_null(False).to_numpy(), (~known).fill_null(False).to_numpy()
    if not (wrong.any() and right.any()):
        return None
    told = detection_estimates(-score[wrong], -score[right], group[wrong], group[right], params)
    return KnownMismatchMetrics(KnownCounts(int(wrong.sum()), int(right.sum())), *told.all)


def strangers(group: NDArray[np.intp], seed: int) -> NDArray[np.intp]:
    """For every pair a partner row from another group, each as a permutation of the pairs as far as
    groups allow.

    Args:
        group: group number of each pair, shape (n,).
        seed: of the shuffle.

    Returns:
        Row numbers, shape (n,): pair i gets the second view of row result[i].

    Raises:
        DataError: all pairs belong to one group.
    """
    if group.max(initial=0) == group.min(initial=0):
        raise DataError(
            f"all {len(group)} held-out pairs belong to one group, so none can be mismatched; "
            f"hold out more groups"
        )
    order = np.lexsort((np.random.default_rng(seed).permutation(len(group)), group))
    # Rolling the pairs, sorted by group, by the largest group's size moves every pair out of its
    # group.
    shift = int(np.bincount(group).max())
    partner = np.empty_like(order)
    partner[order] = np.roll(order, -shift)
    clash = np.flatnonzero(group[partner] == group)
    if len(clash):  # one group has more than half of all pairs
        others = [np.flatnonzero(group != group[i]) for i in clash]
        partner[clash] = [rows[k % len(rows)] for k, rows in enumerate(others)]
    return partner


def nearest_strangers(view: HeldOutView, group: NDArray[np.intp]) -> NDArray[np.intp]:
    """For every item that is asked the most similar item of the same view with which it shares no
    group, by the cosine of the raw features.

    Similarity within one view knows nothing of the alignment, so the hard pairs are the same for
    whatever is measured on them.

    Args:
        view: unique items, n of them.
        group: group number of each held-out pair.

    Returns:
        Item numbers, shape (view.asking,); -1 if an item shares a group with all others.
    """
    vectors = unit(view.features)
    member = sparse.csr_array(
        (np.ones(len(group)), (view.of_pair, group)), shape=(len(vectors), int(group.max()) + 1)
    )

    def of_block(block: slice, cosines: Float64) -> NDArray[np.intp]:
        cosines[(member[block] @ member.T).nonzero()] = -np.inf
        best = cosines.argmax(axis=1)
        possible = np.isfinite(np.take_along_axis(cosines, best[:, None], axis=1)[:, 0])
        return np.where(possible, best, -1)

    return np.concatenate(each_block(vectors[: view.asking], vectors, of_block))
