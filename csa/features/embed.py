"""Features by content: the item cache that embedding fills, and the shards that the rest of the
pipeline reads.

The cache is outside every DVC output and addressed by (encoder fingerprint, item hash). Every
finished batch is one immutable file named by the hash of its bytes: a killed run loses the batches
in hand and nothing else, and a damaged file cannot be mistaken for a good one. Shards are a
function of the items and their features alone, and stable under growth.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from csa.core.matrices import Float32
from csa.encoders.base import Encoder, batches
from csa.encoders.several import ViewEncoder
from csa.errors import FeatureError
from csa.features.cache import FeatureCache
from csa.features.compute import as_finished, workers

_ENOUGH_BATCHES = 4  # for a speed worth remembering


@dataclass(frozen=True, eq=False)
class Embedded:
    """Features (n, d) in the order asked for, and how many were computed and how many were in
    the cache.
    """

    features: Float32
    computed: int
    reused: int


@dataclass(frozen=True, eq=False)
class Items:
    """Items to be embedded.

    Attributes:
        rows: (hash, value in the pairs table), each hash once.
        load: from value to item.
        title: of the progress bar.
    """

    rows: list[tuple[str, str]]
    load: Callable[[str], Any]
    title: str


def embed(encoder: Encoder, items: Items, cache: FeatureCache, dask: str | None = None) -> Embedded:
    """Features of all items; only those that the cache lacks are computed, and kept there batch by
    batch.

    Args:
        encoder: of the view.
        items: which, and how they are loaded.
        cache: of this encoder.
        dask: where batches are computed, see `csa.features.compute.workers`; the result is the
            same.

    Returns:
        Features in the order of the items.

    Raises:
        DataError: an item cannot be loaded any more.
        FeatureError: the encoder gave NaN or infinity.
    """
    if not encoder.cached:
        given = [items.load(value) for _, value in items.rows]
        return Embedded(encoder.forward(given, 0), len(given), 0)
    rows = cache.read([item for item, _ in items.rows])
    missing = [(item, value) for item, value in items.rows if item not in rows]
    if missing:
        started = time.perf_counter()
        for batch, features in _compute(
            _BatchWork(encoder, items.load), missing, items.title, len(rows), dask
        ):
            _check_finite(batch, features, encoder)
            names = [item for item, _ in batch.items]
            cache.write(names, features)
            rows.update(zip(names, features, strict=True))
        if len(missing) >= _ENOUGH_BATCHES * encoder.batch_size:
            cache.note_speed(len(missing), time.perf_counter() - started, encoder.runs_on)
    return Embedded(
        np.stack([rows[item] for item, _ in items.rows]),
        len(missing),
        len(items.rows) - len(missing),
    )


def embed_view(encoder: ViewEncoder, items: Items, root: Path, dask: str | None = None) -> Embedded:
    """Features of all items by the encoders of a view, each with its own cache below `root`; see
    `embed`.

    The cache of all encoders together holds what a team has computed: its shards have no features
    of one encoder alone.

    Args:
        encoder: of the view.
        items: which, and how they are loaded.
        root: the folder of all caches.
        dask: where batches are computed, see `csa.features.compute.workers`; the result is the
            same.

    Returns:
        Features side by side; as many computed as by the encoder that had most to compute, and the
        others reused.

    Raises:
        DataError: an item cannot be loaded any more.
        FeatureError: an encoder gave NaN or infinity.
    """
    if len(encoder.parts) == 1:
        return embed(encoder.parts[0], items, FeatureCache(root, encoder.fingerprint), dask)
    rows = FeatureCache(root, encoder.fingerprint).read([item for item, _ in items.rows])
    missing = [(item, value) for item, value in items.rows if item not in rows]
    computed = 0
    if missing:
        done = [
            embed(
                part,
                Items(missing, items.load, f"{items.title} ({part.description['encoder']})"),
                FeatureCache(root, part.fingerprint),
                dask,
            )
            for part in encoder.parts
        ]
        rows.update(
            zip(
                (item for item, _ in missing),
                encoder.join([one.features for one in done]),
                strict=True,
            )
        )
        computed = max(one.computed for one in done)
    features = np.stack([rows[item] for item, _ in items.rows])
    return Embedded(features, computed, len(items.rows) - computed)


@dataclass(frozen=True)
class _Batch:
    """(hash, value) of items that share a forward pass, and the length they are padded to."""

    items: list[tuple[str, str]]
    padded_length: int


@dataclass(frozen=True)
class _BatchWork:
    """Loading and encoding one batch, wherever that happens."""

    encoder: Encoder
    load_item: Callable[[str], Any]

    def __call__(self, batch: _Batch) -> Float32:
        prepared = [self.encoder.prepare(self.load_item(value)) for _, value in batch.items]
        return self.encoder.encode_batch(prepared, batch.padded_length)


def _compute(
    work: _BatchWork, items: list[tuple[str, str]], title: str, done: int, dask: str | None
) -> Iterator[tuple[_Batch, Float32]]:
    from tqdm import tqdm

    lengths = work.encoder.padded_lengths([value for _, value in items])
    plan = [
        _Batch([items[i] for i in rows], lengths[rows[0]])
        for rows in batches(lengths, work.encoder.batch_size)
    ]
    one = len(plan) == 1  # and no progress to be seen
    bar = tqdm(
        total=done + len(items),
        initial=done,
        desc=title,
        unit=" items",
        disable=one,
        leave=False,
        mininterval=0.5,
        ncols=100,
    )
    with workers(dask) as pool, bar:
        for batch, features in as_finished(pool, work, plan):
            yield batch, features
            bar.update(len(batch.items))


def _check_finite(batch: _Batch, features: Float32, encoder: Encoder) -> None:
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise FeatureError(
            f"encoder {encoder.description['encoder']!r} gave NaN or infinity for "
            f"{batch.items[bad[0]][1][:80]!r}; "
            "try dtype: float32, or another layer"
        )
