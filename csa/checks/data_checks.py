"""Is this data to be fitted on? What pairs and features alone can tell, without a model to
compare with.
"""

import hashlib

import numpy as np
import polars as pl
from numpy.typing import NDArray

from csa.checks.checks import Check, judge
from csa.core.matrices import Array
from csa.core.preparation import unit
from csa.evaluation.held_out import FeatureLookup
from csa.params.checks import ChecksParams

NEAR = 0.99
# A picture that was saved again keeps a cosine of .95 or more with the other; other pictures rarely
# have .8, and none of both a text that is theirs alone.
COPIED = 0.8
_MOST_GROUPS_OF_A_TEXT = 3
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
        One check each for counts, duplicates, leakage, near-duplicates and copies across splits,
        and per view for dead and repeated features.
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
        values, known = table.rows(trained), set(trained)
        new = [item for item in held_out if item not in known]
        fresh = table.rows(new) if new else values[:0]
        checks += _features(view, np.concatenate([values, fresh]), limits)
        if view == anchor:
            nearest, cosine = _nearest(values, fresh)
            checks.append(_near_duplicates(view, cosine, limits))
            other = views[1 - views.index(view)]
            like = pl.DataFrame(
                {"item": new, "like": [trained[row] for row in nearest], "cosine": cosine},
                schema={"item": pl.String, "like": pl.String, "cosine": pl.Float64},
            )
            checks.append(_copies(pairs, (view, other), like, limits))
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


def _nearest(trained: Array, held_out: Array) -> tuple[NDArray[np.intp], Array]:
    """The nearest training row of each held-out row, and its cosine once the mean is off."""
    mean = trained.mean(axis=0, dtype=np.float64)
    known = unit(trained - mean).astype(np.float32).T
    rows, cosines = np.zeros(len(held_out), dtype=np.intp), np.zeros(len(held_out))
    for start in range(0, len(held_out), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        scores = unit(held_out[block] - mean).astype(np.float32) @ known
        rows[block], cosines[block] = scores.argmax(axis=1), scores.max(axis=1)
    return rows, cosines


def check_pool(view: str, held_out: Array, pool: Array, limits: ChecksParams) -> Check:
    """Look for near-twins of held-out items among unpaired ones: equal items were left out, but a
    picture that was saved again is another file.

    Args:
        view: its name.
        held_out: features of the held-out items, shape (n, d).
        pool: features of the unpaired items, shape (N, d).
        limits: of `near_duplicates`.

    Returns:
        The check.
    """
    near = int((_nearest(pool, held_out)[1] >= NEAR).sum())
    said = (
        f"{near:,} of {len(held_out):,} held-out {view} items have a near-twin among the unpaired "
        f"ones (cosine {NEAR} or more)"
    )
    return judge(
        "unpaired_near_duplicates", near / max(len(held_out), 1), limits.near_duplicates, said
    )


def _near_duplicates(view: str, cosine: Array, limits: ChecksParams) -> Check:
    near = int((cosine >= NEAR).sum())
    said = (
        f"{near:,} of {len(cosine):,} held-out {view} items have a near-twin in training "
        f"(cosine {NEAR} or more)"
    )
    return judge("near_duplicates", near / max(len(cosine), 1), limits.near_duplicates, said)


def _copies(
    pairs: pl.DataFrame, views: tuple[str, str], like: pl.DataFrame, limits: ChecksParams
) -> Check:
    """Held-out items whose nearest training item is near and has a text of theirs that hardly any
    other group has: the same item, saved again. `like` has a row a held-out item: item, like,
    cosine.
    """
    view, other = (f"{name}_hash" for name in views)
    rare = pairs.group_by(other).agg(pl.col("group").n_unique())
    rare = rare.filter(pl.col("group") <= _MOST_GROUPS_OF_A_TEXT)
    of_item = pairs.join(rare, on=other, how="semi").select(view, other).unique()
    copies = (
        like.filter(pl.col("cosine") >= COPIED)
        .join(of_item.rename({view: "item"}), on="item")
        .join(of_item.rename({view: "like"}), on=["like", other])
    )
    found = copies["item"].n_unique()
    said = (
        f"{found:,} of {len(like):,} held-out {views[0]} items are copies of training items: the "
        f"nearest one (cosine {COPIED} or more) has the same {views[1]}; put each with its copies "
        f"into one group"
    )
    return judge("copied_items", found / max(len(like), 1), limits.copied_items, said)
