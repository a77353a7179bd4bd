"""Is this data to be fitted on? What pairs and features alone can tell, without a model to
compare with.
"""

import hashlib

import numpy as np
import polars as pl

from csa.checks.checks import Check, judge
from csa.core.matrices import Array
from csa.core.preparation import unit
from csa.evaluation.held_out import FeatureLookup
from csa.params.checks import ChecksParams

NEAR = 0.99
_BLOCK_ROWS = 1024


def check_data(
    pairs: pl.DataFrame,
    views: tuple[str, str],
    features: tuple[FeatureLookup, FeatureLookup],
    anchor: str,
    limits: ChecksParams,
) -> list[Check]:
    """Look for what makes a fit worthless or its measurement a lie.

    Args:
        pairs: the pairs table.
        views: names of the two views.
        features: of their items.
        anchor: the view whose items make groups.
        limits: of each check.

    Returns:
        One check each for counts, duplicates, leakage and near-duplicates across splits, and per
        view for dead and repeated features.
    """
    train, test = (pairs.filter(pl.col("split") == split) for split in ("train", "test"))
    hashes = [f"{view}_hash" for view in views]
    groups = train["group"].n_unique()
    repeated = len(train) - train.select(hashes).n_unique()
    checks = [
        judge(
            "fewest_groups",
            groups,
            limits.fewest_groups,
            f"{groups:,} training groups",
            low_is_bad=True,
        ),
        judge(
            "duplicate_pairs",
            repeated / max(len(train), 1),
            limits.duplicate_pairs,
            f"{repeated:,} of {len(train):,} training pairs repeat another",
        ),
        _leakage(train, test, anchor, limits),
    ]
    for view, table in zip(views, features, strict=True):
        trained, held_out = (
            part[f"{view}_hash"].unique(maintain_order=True).to_list() for part in (train, test)
        )
        values = table.rows(trained)
        checks += _features(view, np.concatenate([values, table.rows(held_out)]), limits)
        if view == anchor:
            new = [row for row, item in enumerate(held_out) if item not in set(trained)]
            checks.append(_near_duplicates(view, values, table.rows(held_out)[new], limits))
    return checks


def _leakage(train: pl.DataFrame, test: pl.DataFrame, anchor: str, limits: ChecksParams) -> Check:
    worst, said = 0.0, "no held-out group or item is in training"
    for column, what in (("group", "groups"), (f"{anchor}_hash", f"{anchor} items")):
        held_out = test[column].unique()
        both = int(held_out.is_in(train[column].unique().implode()).sum())
        share = both / max(len(held_out), 1)
        if share > worst:
            worst, said = (
                share,
                f"{both:,} of {len(held_out):,} held-out {what} are in training pairs too",
            )
    return judge("leakage", worst, limits.leakage, said)


def _features(view: str, features: Array, limits: ChecksParams) -> list[Check]:
    n = len(features)
    dead = int((~features.any(axis=1)).sum())
    rows = np.array([hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in features])
    again = n - len(np.unique(rows)) - max(dead - 1, 0)
    return [
        judge(
            "dead_features",
            dead / n,
            limits.dead_features,
            f"{dead:,} of {n:,} {view} items have features of zeros",
        ),
        judge(
            "repeated_features",
            again / n,
            limits.repeated_features,
            f"{again:,} of {n:,} {view} items have the very features of another",
        ),
    ]


def _near_duplicates(view: str, trained: Array, held_out: Array, limits: ChecksParams) -> Check:
    mean = trained.mean(axis=0, dtype=np.float64)
    known = unit(trained - mean).astype(np.float32).T
    near = 0
    for start in range(0, len(held_out), _BLOCK_ROWS):
        block = unit(held_out[start : start + _BLOCK_ROWS] - mean).astype(np.float32)
        near += int(((block @ known).max(axis=1) >= NEAR).sum())
    said = (
        f"{near:,} of {len(held_out):,} held-out {view} items have a near-twin in training "
        f"(cosine {NEAR} or more)"
    )
    return judge("near_duplicates", near / max(len(held_out), 1), limits.near_duplicates, said)
