"""Shuffled captions planted among training pairs: how many `csa suspects` finds, and what leaving
suspects out gains.

    csa run; csa run recipes/flickr8k.yaml --data PATH
    python -m benchmarks.suspects

Of a workspace's training pairs (of Flickr8k, those of 1,000 images) a share gets the second item of
another group. The recipe is chosen on the noisy pairs, as it would be. Ranking against the plants:
exact AUC, average precision, precision among as many pairs as were planted and among half as many.
Gain: paired difference in reciprocal rank on the workspace's held-out pairs.
"""

from typing import Any

import numpy as np
import polars as pl
from sklearn.metrics import average_precision_score, roc_auc_score

import csa
from benchmarks.measure import SEED, record
from csa.core.refit import Refit
from csa.core.threads import one_thread_a_product
from csa.core.training import Training
from csa.datasets.pairs_table import read_pairs
from csa.evaluation.bootstrap import number_groups
from csa.evaluation.held_out import HeldOut
from csa.features.shards import FeatureTable
from csa.params.measure import EvaluateParams
from csa.pipeline.recipes import existing_workspace
from csa.questions.noise import shuffled_pairs
from csa.questions.suspects import paired_gain
from csa.questions.suspicion import choose_share, find_suspects, trimmed

GROUPS = {"main": None, "flickr8k": 1000}
SHARES = {"main": (0.0, 0.01, 0.05, 0.1, 0.2, 0.3), "flickr8k": (0.0, 0.05, 0.2)}


def main() -> None:
    with one_thread_a_product():
        record(
            "suspects",
            {"results": [measure(name, share) for name in SHARES for share in SHARES[name]]},
        )


def measure(name: str, planted: float) -> dict[str, Any]:
    """One workspace with a share of planted mismatches."""
    ws = existing_workspace(name)
    params, pairs = ws.params(), read_pairs(ws.pairs)
    tables = tuple(FeatureTable.read(ws.features(view)) for view in params.view_names)
    train = _some_groups(pairs.filter(pl.col("split") == "train"), GROUPS[name])
    X, Y = (
        table.rows(train[f"{view}_hash"].to_list())
        for view, table in zip(params.view_names, tables, strict=True)
    )
    group = number_groups(train["group"])
    source = shuffled_pairs(group, planted, SEED)
    Y, wrong = Y[source], group[source] != group
    alignment = csa.CSA().fit(X, Y, groups=group).alignment_
    training, evaluation = Training.of(X, Y, group), EvaluateParams()
    refit = Refit(alignment, training)
    row: dict[str, Any] = {
        "workspace": name,
        "planted": planted,
        "pairs": len(X),
        "wrong": int(wrong.sum()),
    }
    for rounds in (1, 2):
        found = find_suspects(refit, training, rounds)
        row[f"rounds_{rounds}"] = {"share": found.share} | (
            ranking(found.suspicion, wrong) if wrong.any() else {}
        )
    if wrong.any():
        row["by own score alone"] = ranking(-found.score, wrong)
    share, inside = choose_share(alignment, X, Y, group, evaluation)
    held_out = HeldOut.of(pairs, params.view_names, (tables[0], tables[1]))
    row["inside_folds"] = {str(tried): value.as_dict() for tried, value in inside.items()}
    row["chosen_share"] = share
    for label, used in {"chosen": share, "planted": planted}.items():
        if used:
            gain = paired_gain(alignment, trimmed(refit, found, used), held_out, evaluation)
            row[f"gain_at_{label}_share"] = {
                metric: gain[metric].as_dict() for metric in ("mrr", "recall_at_1")
            }
    print(row, flush=True)
    return row


def ranking(suspicion: Any, wrong: Any) -> dict[str, float]:
    """How well a ranking finds the planted pairs."""
    order, count = wrong[np.argsort(-suspicion, kind="stable")], int(wrong.sum())
    return {
        "auc": float(roc_auc_score(wrong, suspicion)),
        "average_precision": float(average_precision_score(wrong, suspicion)),
        "precision_at_planted": float(order[:count].mean()),
        "precision_at_half": float(order[: max(1, count // 2)].mean()),
    }


def _some_groups(train: pl.DataFrame, count: int | None) -> pl.DataFrame:
    if count is None:
        return train
    group = number_groups(train["group"])
    return train.filter(
        pl.Series(
            np.isin(group, np.random.default_rng(SEED).permutation(int(group.max()) + 1)[:count])
        )
    )


if __name__ == "__main__":
    main()
