"""Features by content: the item cache that embedding fills, and the shards that the rest of the
pipeline reads.

The cache is outside every DVC output and addressed by (encoder fingerprint, item hash). Every
finished batch is one immutable file named by the hash of its bytes: a killed run loses the batches
in hand and nothing else, and a damaged file cannot be mistaken for a good one. Shards are a
function of the items and their features alone, and stable under growth.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from csa.core.matrices import Float32
from csa.core.rows import Features, Picked, Rows
from csa.encoders.base import Encoder, batches
from csa.encoders.several import ViewEncoder
from csa.errors import FeatureError
from csa.features.cache import FeatureCache
from csa.features.compute import as_finished, workers

_ENOUGH_BATCHES = 4  # for a speed worth remembering


@dataclass(frozen=True, eq=False)
class Embedded:
    """Features (n, d) in the order asked for, and how many were computed and how many were in
    the cache. Features that come from files stay there until they are asked for.
    """

    features: Features
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
        return Embedded(LoadedRows(encoder, items), len(items.rows), 0)
    table = _Filling(items.rows)
    table.fill(cache.read(table.names))
    missing = table.missing
    if missing:
        started = time.perf_counter()
        reused = len(items.rows) - len(missing)
        for batch, features in _compute(
            _BatchWork(encoder, items.load), missing, items.title, reused, dask
        ):
            _check_finite(batch, features, encoder)
            names = [item for item, _ in batch.items]
            cache.write(names, features)
            table.fill(zip(names, features, strict=True))
        if len(missing) >= _ENOUGH_BATCHES * encoder.batch_size:
            cache.note_speed(len(missing), time.perf_counter() - started, encoder.runs_on)
    return Embedded(table.features, len(missing), len(items.rows) - len(missing))


class _Filling:
    """Features in the order of some items, filled in as they come."""

    def __init__(self, rows: list[tuple[str, str]]):
        self._rows = rows
        self.names = [item for item, _ in rows]
        self._place = {item: place for place, item in enumerate(self.names)}
        self._known = np.zeros(len(rows), dtype=np.bool_)
        self.features: Float32 = np.zeros((len(rows), 0), np.float32)

    def fill(self, found: Iterable[tuple[str, Float32]]) -> None:
        """Take in items with their features."""
        for item, row in found:
            if not self.features.shape[1]:
                self.features = np.empty((len(self._rows), len(row)), np.float32)
            self.features[self._place[item]] = row
            self._known[self._place[item]] = True

    @property
    def missing(self) -> list[tuple[str, str]]:
        """Items without features so far."""
        return [self._rows[place] for place in np.flatnonzero(~self._known)]


class LoadedRows(Rows):
    """Features that were computed elsewhere, loaded when they are asked for.

    Args:
        encoder: takes them as they are.
        items: which.
    """

    def __init__(self, encoder: Encoder, items: Items):
        self._encoder, self._load = encoder, items.load
        self._values = [value for _, value in items.rows]
        first = encoder.forward([items.load(self._values[0])], 0)
        super().__init__((len(self._values), first.shape[1]), first.dtype)

    def __getitem__(self, rows: Picked) -> Float32:
        wanted = np.arange(len(self))[rows]
        features = self._encoder.forward([self._load(self._values[i]) for i in wanted], 0)
        if features.shape[1] != self.shape[1]:
            raise FeatureError(
                f"precomputed features have rows of {sorted((self.shape[1], features.shape[1]))} "
                f"values; all files of a view need one length"
            )
        return features


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
    table = _Filling(items.rows)
    table.fill(FeatureCache(root, encoder.fingerprint).read(table.names))
    missing, computed = table.missing, 0
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
        joined = encoder.join([np.asarray(one.features) for one in done])
        table.fill((item, row) for (item, _), row in zip(missing, joined, strict=True))
        computed = max(one.computed for one in done)
    return Embedded(table.features, computed, len(items.rows) - computed)


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
