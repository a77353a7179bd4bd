"""Is this data to be fitted on? What pairs and features alone can tell, without a model to
compare with.

Held-out items are compared with all training items. Of more than `SAMPLE` a sample is, those of the
smallest hashes, so that it is the same tomorrow; the finding then says its interval. Features are
looked at block by block, so that no second copy of them all is held; all of them once, and those in
training once more for what is nearest.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from csa.checks.checks import Check, judge
from csa.core.clusters import row_digests
from csa.core.matrices import Array
from csa.core.preparation import unit
from csa.core.threads import in_blocks
from csa.evaluation.held_out import FeatureLookup
from csa.params.checks import ChecksParams

NEAR = 0.99
SAMPLE = 2000
_CONFIDENCE = 0.95
# A picture that was saved again keeps a cosine of .95 or more with the other; other pictures rarely
# have .8, and none of both a text that is theirs alone.
COPIED = 0.8
# The largest difference from afar, in the picture's standard deviations. Of 300 photos saved again
# all stay below it at JPEG quality 30 or more, 97 % at 10, 94 % at a third of the size, 96 % where
# they are 15 % brighter; of 2,500 photos none has another below 1.
ALIKE = 0.6
_MOST_GROUPS_OF_A_TEXT = 3
_BLOCK_ROWS = 8192
_FEW_BLOCKS = 4
_LIKE = {"item": pl.String, "like": pl.String, "cosine": pl.Float64, "same": pl.Boolean}
R = TypeVar("R")


class Anchor(NamedTuple):
    """The view whose items make groups.

    Attributes:
        view: its name.
        looks: what its items look like from afar (`csa.modalities.image.look_of`), shape (n, d), by
            their hashes; zeros of what cannot be looked at. None: they are no pictures.
    """

    view: str
    looks: Callable[[list[str]], Array] | None = None


def check_data(
    pairs: pl.DataFrame,
    views: tuple[str, str],
    features: tuple[FeatureLookup, FeatureLookup],
    anchor: Anchor,
    limits: ChecksParams,
) -> list[Check]:
    """Look for what makes a fit worthless or its measurement a lie.

    Args:
        pairs: the pairs table.
        views: names of the two views.
        features: of their items.
        anchor: the view whose items make groups, and what they look like.
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
            limits,
            f"{groups:,} training groups",
            low_is_bad=True,
        ),
        judge(
            "duplicate_pairs",
            repeated / max(len(train), 1),
            limits,
            f"{repeated:,} of {len(train):,} training pairs repeat another",
        ),
        _leakage(train, test, anchor.view, limits),
    ]
    for view, table in zip(views, features, strict=True):
        trained, held_out = (
            part[f"{view}_hash"].unique(maintain_order=True) for part in (train, test)
        )
        new = held_out.filter(~held_out.is_in(trained.implode())).to_list()
        items = _Items.of(pairs, view, trained, _sample(new) if view == anchor.view else [])
        seen = _look_through(items, table)
        checks += _features(view, seen, limits)
        if view == anchor.view:
            known = trained.to_list()
            nearest, cosine = _nearest(seen.asked, seen.mean, _Known(table, known))
            said = f"{view} items have a near-twin in training"
            checks.append(_near("near_duplicates", said, cosine, len(new), limits))
            other = views[1 - views.index(view)]
            like = pl.DataFrame(
                {
                    "item": items.asked,
                    "like": [known[row] for row in nearest],
                    "cosine": cosine,
                    "same": seen.same,
                },
                schema=_LIKE,
            )
            like = like.with_columns(alike=_alike(anchor, like))
            checks.append(_copies(pairs, (view, other), like, len(new), limits))
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
    return judge("leakage", worst, limits, said)


def _sample(items: list[str]) -> list[str]:
    """At most `SAMPLE` of the item hashes, the smallest, in their order."""
    if len(items) <= SAMPLE:
        return items
    chosen = set(sorted(items)[:SAMPLE])
    return [item for item in items if item in chosen]


class _Items(NamedTuple):
    """All items of a view, in the order in which their features are stored.

    Attributes:
        view: its name.
        hashes: of all.
        trained: whether each is in training, shape (n,).
        asked: hashes of the held-out ones that are compared with training, in that order.
    """

    view: str
    hashes: list[str]
    trained: NDArray[np.bool_]
    asked: list[str]

    @classmethod
    def of(cls, pairs: pl.DataFrame, view: str, trained: pl.Series, asked: list[str]) -> "_Items":
        both = pairs.filter(pl.col("split").is_in(["train", "test"]))
        hashes = both[f"{view}_hash"].unique(maintain_order=True)
        there = hashes.is_in(trained.implode()).to_numpy()
        chosen = hashes.filter(hashes.is_in(pl.Series(asked, dtype=pl.String).implode()))
        return cls(view, hashes.to_list(), there, chosen.to_list())


class _Seen(NamedTuple):
    """What one look at the features of all items says.

    Attributes:
        items: how many items there are.
        dead: how many have features of zeros.
        distinct: how many different features there are.
        mean: of the features in training, shape (d,).
        asked: features of the items that were asked for, shape (k, d).
        same: whether an item in training has the very features of each of these, which are not all
            zero. An encoder sees pixels: two files that decode to the same picture have the same
            features.
    """

    items: int
    dead: int
    distinct: int
    mean: Array
    asked: Array
    same: list[bool]


def _look_through(items: _Items, table: FeatureLookup) -> _Seen:
    asked = set(items.asked)

    def look(block: slice) -> tuple[list[bytes], int, Array, Array]:
        features = table.rows(items.hashes[block])
        dead = int((~features.any(axis=1)).sum())
        total = features[items.trained[block]].sum(axis=0, dtype=np.float64)
        mine = np.array([item in asked for item in items.hashes[block]], dtype=bool)
        return row_digests(features), dead, total, features[mine]

    parts = list(_each_block(look, len(items.hashes), f"{items.view} features"))
    digests = [digest for of_block, *_ in parts for digest in of_block]
    rows = np.concatenate([part for *_, part in parts])
    wanted = row_digests(rows)
    of_asked = set(wanted)
    found = {
        digest
        for digest, trained in zip(digests, items.trained, strict=True)
        if trained and digest in of_asked
    }
    return _Seen(
        len(digests),
        sum(dead for _, dead, *_ in parts),
        len(set(digests)),
        _mean([total for *_, total, _ in parts], int(items.trained.sum())),
        rows,
        [bool(row.any()) and digest in found for row, digest in zip(rows, wanted, strict=True)],
    )


def _mean(sums: list[Array], n: int) -> Array:
    """The mean of n rows from the sums of their blocks, as precise as features are."""
    mean: Array = (sum(sums[1:], start=sums[0]) / max(n, 1)).astype(np.float32)
    return mean


def _each_block(work: Callable[[slice], R], n: int, title: str) -> Iterator[R]:
    """What comes of each block of n rows, in their order; a few are worked on side by side."""
    from tqdm import tqdm

    blocks = -(-n // _BLOCK_ROWS)
    yield from tqdm(
        in_blocks(work, n, _BLOCK_ROWS),
        title,
        blocks,
        unit=" items",
        unit_scale=_BLOCK_ROWS,
        disable=blocks <= _FEW_BLOCKS,  # and no progress to be seen
        leave=False,
        ncols=100,
    )


def _features(view: str, seen: _Seen, limits: ChecksParams) -> list[Check]:
    again = seen.items - seen.distinct - max(seen.dead - 1, 0)
    return [
        judge(
            "dead_features",
            seen.dead / seen.items,
            limits,
            f"{seen.dead:,} of {seen.items:,} {view} items have features of zeros",
        ),
        judge(
            "repeated_features",
            again / seen.items,
            limits,
            f"{again:,} of {seen.items:,} {view} items have the very features of another",
        ),
    ]


def _alike(anchor: Anchor, like: pl.DataFrame) -> pl.Series:
    """Whether each picture looks like its nearest one, where that is near."""
    near = like.filter(pl.col("cosine") >= COPIED)
    if anchor.looks is None or near.is_empty():
        return pl.Series([False] * len(like), dtype=pl.Boolean)
    one, other = (anchor.looks(near[column].to_list()) for column in ("item", "like"))
    seen = one.any(axis=1) & other.any(axis=1)
    close = near["item"].filter(pl.Series(seen & (np.abs(one - other).max(axis=1) <= ALIKE)))
    return like["item"].is_in(close.implode())


@dataclass(frozen=True, eq=False)
class _Known:
    """Features of items, looked up block by block."""

    table: FeatureLookup
    items: list[str]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, block: slice) -> Array:
        return self.table.rows(self.items[block])


def _nearest(asked: Array, mean: Array, known: "Array | _Known") -> tuple[NDArray[np.intp], Array]:
    """The nearest known row of each asked one, and its cosine once the mean of the known is off."""
    rows, cosines = np.zeros(len(asked), dtype=np.intp), np.full(len(asked), -np.inf)
    if not len(asked):
        return rows, cosines
    queries = unit(asked - mean).T

    def compare(block: slice) -> tuple[NDArray[np.intp], Array]:
        scores = unit(known[block] - mean) @ queries
        best = scores.argmax(axis=0)
        return block.start + best, np.take_along_axis(scores, best[None], axis=0)[0]

    for best, cosine in _each_block(compare, len(known), "near-twins"):
        nearer = cosine > cosines
        rows[nearer], cosines[nearer] = best[nearer], cosine[nearer]
    return rows, cosines


def check_pool(
    view: str, held_out: list[str], table: FeatureLookup, pool: Array, limits: ChecksParams
) -> Check:
    """Look for near-twins of held-out items among unpaired ones: equal items were left out, but a
    picture that was saved again is another file.

    Args:
        view: its name.
        held_out: hashes of the held-out items.
        table: their features.
        pool: features of the unpaired items, shape (N, d).
        limits: of each check.

    Returns:
        The check.
    """
    sums = _each_block(lambda rows: pool[rows].sum(axis=0, dtype=np.float64), len(pool), "mean")
    asked = table.rows(_sample(held_out))
    _, cosine = _nearest(asked, _mean(list(sums), len(pool)), pool)
    said = f"{view} items have a near-twin among the unpaired ones"
    return _near("unpaired_near_duplicates", said, cosine, len(held_out), limits)


def _near(name: str, said: str, cosine: Array, of: int, limits: ChecksParams) -> Check:
    near = int((cosine >= NEAR).sum())
    finding = f"{near:,} of {len(cosine):,} held-out {said} (cosine {NEAR} or more)"
    return _judge_share(name, (near, len(cosine), of), limits, finding)


def _judge_share(name: str, counts: tuple[int, int, int], limits: ChecksParams, said: str) -> Check:
    """Judge the share of held-out items that are so: `counts` has how many, of how many that were
    asked for, of how many there are. Of a sample the interval is said (Clopper & Pearson).
    """
    found, asked, of = counts
    if asked < of:
        from scipy.stats import binomtest

        low, high = binomtest(found, asked).proportion_ci(_CONFIDENCE)
        said += (
            f"; they are a sample, and of all {of:,} the share lies between {low:.1%} and "
            f"{high:.1%} ({_CONFIDENCE:.0%} interval)"
        )
    return judge(name, found / max(asked, 1), limits, said)


def _copies(
    pairs: pl.DataFrame, views: tuple[str, str], like: pl.DataFrame, of: int, limits: ChecksParams
) -> Check:
    """Held-out items that are in training as another file. Either some training item has their very
    features, whatever is said of it, or the nearest is near and either looks like them or has a
    text of theirs that hardly any other group has. `like` has a row a held-out item that was asked
    for: item, like, cosine, same, alike; `of` is the number of all.
    """
    view, other = (f"{name}_hash" for name in views)
    rare = pairs.group_by(other).agg(pl.col("group").n_unique())
    rare = rare.filter(pl.col("group") <= _MOST_GROUPS_OF_A_TEXT)
    of_item = pairs.join(rare, on=other, how="semi").select(view, other).unique()
    saved_again = (
        like.filter(pl.col("cosine") >= COPIED)
        .join(of_item.rename({view: "item"}), on="item")
        .join(of_item.rename({view: "like"}), on=["like", other])
    )
    same, alike = like.filter("same"), like.filter(pl.col("alike") & ~pl.col("same"))
    found = pl.concat([saved_again["item"], same["item"], alike["item"]]).n_unique()
    said = (
        f"{found:,} of {len(like):,} held-out {views[0]} items are copies of training items: "
        f"{len(same):,} have the very features of one, {len(alike):,} look like the nearest "
        f"(cosine {COPIED} or more), and the others have its {views[1]}; put each with its copies "
        f"into one group"
    )
    return _judge_share("copied_items", (found, len(like), of), limits, said)
