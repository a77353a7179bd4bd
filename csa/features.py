"""Features by content: the item cache that embedding fills, and the shards that the rest of the pipeline reads.

The cache is outside every DVC output and addressed by (encoder fingerprint, item hash). Every finished batch is one immutable
file named by the hash of its bytes: a killed run loses the batches in hand and nothing else, and a damaged file cannot be
mistaken for a good one. Shards are a function of the items and their features alone, and stable under growth.
"""

import hashlib
import io
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from csa.compute import as_finished, workers
from csa.container import load_tensors, pack_tensors, read_header
from csa.core.matrices import Float32
from csa.encoders.base import Encoder, batches
from csa.encoders.several import ViewEncoder
from csa.errors import ArtifactError, FeatureError, InputError
from csa.files import read_json, write_atomic, write_json

# A shard ends after an item whose hash is 0 modulo this, so it holds about as many.
_SHARD_ITEMS = 1024
_ENOUGH_BATCHES = 4  # for a speed worth remembering


class FeatureCache:
    """Features of one encoder, by item hash.

    Args:
        root: the cache's folder.
        fingerprint: of the encoder.
    """

    def __init__(self, root: Path, fingerprint: str):
        self._folder = root / fingerprint
        self._file_of: dict[str, Path] = {}
        for file in sorted(self._folder.glob("*.safetensors")):
            try:
                items = read_header(file)["items"]
            except (ArtifactError, KeyError):
                _discard(file)
                continue
            self._file_of.update(dict.fromkeys(items, file))

    def __contains__(self, item: str) -> bool:
        return item in self._file_of

    def read(self, items: list[str]) -> dict[str, Float32]:
        """Features of those items that the cache holds; a file that is damaged or gone is forgotten, and deleted."""
        found: dict[str, Float32] = {}
        wanted = set(items)
        for file in dict.fromkeys(self._file_of[item] for item in items if item in self._file_of):
            batch = _read_batch(file)
            if batch is None:
                _discard(file)
                self._file_of = {item: other for item, other in self._file_of.items() if other != file}
                continue
            found.update((item, row) for item, row in batch.items() if item in wanted)
        return found

    def write(self, items: list[str], features: Float32) -> None:
        """Keep a finished batch: items and their features (len(items), d), flushed to disk."""
        self._file_of.update(dict.fromkeys(items, _write_batch(self._folder, items, features)))

    def note_speed(self, items: int, seconds: float) -> None:
        """Remember how long encoding took, for estimates."""
        write_json(self._folder / "speed.json", {"items": items, "seconds": round(seconds, 3)})

    def seconds_per_item(self) -> float | None:
        """As last noted; None where nothing was."""
        try:
            noted = read_json(self._folder / "speed.json")
            return float(noted["seconds"]) / float(noted["items"])
        except (ArtifactError, KeyError, TypeError, ValueError, ZeroDivisionError):
            return None


def forget_items(root: Path, items: set[str]) -> int:
    """Take items out of the caches of all encoders: a batch that holds one is written anew without it.

    Args:
        root: the caches' folder.
        items: hashes.

    Returns:
        How many features were removed.
    """
    removed = 0
    for folder in sorted(path for path in root.glob("*") if path.is_dir()):
        for file in sorted(folder.glob("*.safetensors")):
            batch = _read_batch(file)
            if batch is None:
                _discard(file)
            elif items & batch.keys():
                kept = [item for item in batch if item not in items]
                if kept:
                    _write_batch(folder, kept, np.stack([batch[item] for item in kept]))
                file.unlink()
                removed += len(batch) - len(kept)
    return removed


@dataclass(frozen=True, eq=False)
class Embedded:
    """Features (n, d) in the order asked for, and how many were computed and how many were in the cache."""

    features: Float32
    computed: int
    reused: int


def embed(
    encoder: Encoder,
    items: list[tuple[str, str]],
    load_item: Callable[[str], Any],
    cache: FeatureCache,
    title: str,
    dask: str | None = None,
) -> Embedded:
    """Features of all items; only those that the cache lacks are computed, and kept there batch by batch.

    Args:
        encoder: of the view.
        items: (hash, value in the pairs table), each hash once.
        load_item: from value to item.
        cache: of this encoder.
        title: of the progress bar.
        dask: where batches are computed, see `csa.compute.workers`; the result is the same.

    Raises:
        DataError: an item cannot be loaded any more.
        FeatureError: the encoder gave NaN or infinity.
    """
    if not encoder.cached:
        return Embedded(encoder.forward([load_item(value) for _, value in items], 0), len(items), 0)
    rows = cache.read([item for item, _ in items])
    missing = [(item, value) for item, value in items if item not in rows]
    if missing:
        started = time.perf_counter()
        for batch, features in _compute(_BatchWork(encoder, load_item), missing, title, len(rows), dask):
            _check_finite(batch, features, encoder)
            names = [item for item, _ in batch.items]
            cache.write(names, features)
            rows.update(zip(names, features, strict=True))
        if len(missing) >= _ENOUGH_BATCHES * encoder.batch_size:
            cache.note_speed(len(missing), time.perf_counter() - started)
    return Embedded(np.stack([rows[item] for item, _ in items]), len(missing), len(items) - len(missing))


def embed_view(
    encoder: ViewEncoder,
    items: list[tuple[str, str]],
    load_item: Callable[[str], Any],
    root: Path,
    title: str,
    dask: str | None = None,
) -> Embedded:
    """Features of all items by the encoders of a view, each with its own cache below `root`; see `embed`.

    The cache of all encoders together holds what a team has computed: its shards have no features of one encoder alone.

    Returns:
        Features side by side; as many computed as by the encoder that had most to compute, and the others reused.
    """
    if len(encoder.parts) == 1:
        return embed(encoder.parts[0], items, load_item, FeatureCache(root, encoder.fingerprint), title, dask)
    rows = FeatureCache(root, encoder.fingerprint).read([item for item, _ in items])
    missing = [(item, value) for item, value in items if item not in rows]
    computed = 0
    if missing:
        done = [
            embed(
                part, missing, load_item, FeatureCache(root, part.fingerprint), f"{title} ({part.description['encoder']})", dask
            )
            for part in encoder.parts
        ]
        rows.update(zip((item for item, _ in missing), encoder.join([one.features for one in done]), strict=True))
        computed = max(one.computed for one in done)
    return Embedded(np.stack([rows[item] for item, _ in items]), computed, len(items) - computed)


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
    plan = [_Batch([items[i] for i in rows], lengths[rows[0]]) for rows in batches(lengths, work.encoder.batch_size)]
    one = len(plan) == 1  # and no progress to be seen
    bar = tqdm(total=done + len(items), initial=done, desc=title, unit=" items", disable=one, mininterval=0.5, ncols=100)
    with workers(dask) as pool, bar:
        for batch, features in as_finished(pool, work, plan):
            yield batch, features
            bar.update(len(batch.items))


def _check_finite(batch: _Batch, features: Float32, encoder: Encoder) -> None:
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise FeatureError(
            f"encoder {encoder.description['encoder']!r} gave NaN or infinity for {batch.items[bad[0]][1][:80]!r}; "
            "try dtype: float32, or another layer"
        )


class FeatureTable:
    """Features of one view's items, in memory, by item hash; what fit and evaluate read.

    Attributes:
        items: item hashes, in the order of the pairs table.
        features: shape (n, d), float32.
    """

    def __init__(self, items: list[str], features: Float32):
        self.items, self.features = items, features
        self._row = {item: row for row, item in enumerate(items)}

    @classmethod
    def read(cls, folder: Path) -> "FeatureTable":
        """Read all shards of a folder that `write_shards` wrote, each checked against its hash.

        Raises:
            ArtifactError: a shard is missing, damaged, or was swapped for another.
        """
        index = read_json(folder / "index.json")
        parts = [_read_shard(folder / shard["file"], shard["sha256"]) for shard in index["shards"]]
        items = [item for names, _ in parts for item in names]
        return cls(items, np.concatenate([features for _, features in parts]))

    def rows(self, hashes: list[str]) -> Float32:
        """Features of the items, shape (len(hashes), d).

        Raises:
            InputError: an item is not in the table.
        """
        try:
            return self.features[[self._row[item] for item in hashes]]
        except KeyError as error:
            raise InputError(f"item {error.args[0][:12]} has no features; the pairs table is newer, so run `csa run`") from None


def write_shards(folder: Path, items: list[str], features: Float32, encoder: Encoder | ViewEncoder) -> None:
    """Write features as Parquet shards with an index.

    A shard ends after an item whose hash is 0 modulo 1024, wherever that falls: a new item changes the shard it falls in and no
    other. Shards are named by their content.

    Args:
        folder: made anew by DVC before the stage runs.
        items: item hashes, shape (n,), in the order of the pairs table.
        features: shape (n, d).
        encoder: described in index.json.
    """
    shards = []
    for rows in _shard_slices(items):
        frame = pl.DataFrame(
            {
                "item": items[rows],
                "features": pl.Series(features[rows], dtype=pl.Array(pl.Float32, features.shape[1])),
            }
        )
        buffer = io.BytesIO()
        frame.write_parquet(buffer, compression="uncompressed", statistics=False)
        digest = hashlib.sha256(buffer.getvalue()).hexdigest()
        file = f"{digest[:16]}.parquet"
        write_atomic(folder / file, buffer.getvalue())
        shards.append({"file": file, "sha256": digest, "items": frame.height})
    index = {
        "fingerprint": encoder.fingerprint,
        "encoder": encoder.description,
        "dimension": features.shape[1],
        "items": len(items),
        "shards": shards,
    }
    write_json(folder / "index.json", index)
    written = {shard["file"] for shard in shards}
    for stale in folder.glob("*.parquet"):
        if stale.name not in written:
            stale.unlink()


def _shard_slices(items: list[str]) -> list[slice]:
    ends = [i + 1 for i, item in enumerate(items) if int(item[:16], 16) % _SHARD_ITEMS == 0]
    bounds = [0, *ends, len(items)]
    return [slice(a, b) for a, b in pairwise(bounds) if a < b]


def _read_shard(file: Path, sha256: str) -> tuple[list[str], Float32]:
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise ArtifactError(f"{file}: the feature shard is missing; run `csa run` to restore it") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ArtifactError(f"{file}: the feature shard is damaged (its hash differs); delete it and run `csa run` to restore it")
    frame = pl.read_parquet(io.BytesIO(content))
    return frame["item"].to_list(), frame["features"].to_numpy()


def _write_batch(folder: Path, items: list[str], features: Float32) -> Path:
    content = pack_tensors("features", {"items": items}, {"features": features})
    file = folder / f"{hashlib.sha256(content).hexdigest()}.safetensors"
    write_atomic(file, content)
    return file


def _read_batch(file: Path) -> dict[str, Float32] | None:
    """A cache file's features by item; None where its bytes are not those it is named after."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    if hashlib.sha256(content).hexdigest() != file.stem:
        return None
    header, arrays = load_tensors(file, "features")
    return dict(zip(header["items"], arrays["features"], strict=True))


def _discard(file: Path) -> None:
    if file.is_file():
        print(f"note: {file} is damaged; its features are computed again", file=sys.stderr)
    file.unlink(missing_ok=True)
