"""Feature shards: what embed writes and the rest of the pipeline reads."""

import hashlib
import io
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from csa.core.matrices import Float32, check_finite
from csa.core.rows import Features, Picked, PickedRows, Rows
from csa.core.threads import each
from csa.errors import ArtifactError, InputError
from csa.storage.files import read_json, write_atomic, write_json

if TYPE_CHECKING:  # a fit reads shards, and does not depend on what wrote them
    from csa.encoders.base import Encoder
    from csa.encoders.several import ViewEncoder

# A table of more stays in its files, and so many shards of it are in hand at a time.
_IN_MEMORY_BYTES = 256_000_000
_SHARDS_HELD = 4
# A block of rows that follow each other lies in no more; such blocks are read side by side already.
_FEW_SHARDS = 16
# A shard ends after an item whose hash is 0 modulo this, so it holds about as many.
_SHARD_ITEMS = 1024

_MISSING = "{}: the feature shard is missing; run `csa run` to restore it"
_DAMAGED = (
    "{}: the feature shard is damaged (its hash differs); delete it and run `csa run` to restore it"
)


def fingerprint_of_features(folder: Path) -> str:
    """The fingerprint of the encoder that the features of a folder are from.

    Raises:
        ArtifactError: `write_shards` wrote none there.
    """
    return str(read_json(folder / "index.json")["fingerprint"])


class FeatureTable:
    """Features of one view's items by item hash; what fit and evaluate read.

    Args:
        items: item hashes, in the order of the pairs table.
        features: shape (n, d), float32; in memory, or read when they are asked for.
    """

    def __init__(self, items: list[str], features: Features):
        self.items, self._features = items, features
        self._row = {item: row for row, item in enumerate(items)}

    @classmethod
    def read(cls, folder: Path) -> "FeatureTable":
        """Read the shards of a folder that `write_shards` wrote, each checked against its hash.

        Of more than 256 MB the features stay where they are until they are asked for.

        Raises:
            ArtifactError: a shard is missing, damaged, or was swapped for another.
        """
        index = read_json(folder / "index.json")
        files = [(folder / shard["file"], shard["sha256"]) for shard in index["shards"]]
        if 4 * index["items"] * index["dimension"] > _IN_MEMORY_BYTES:
            items = [_items_of(file) for file, _ in files]
            lengths = [len(names) for names in items]
            stored = StoredRows(files, lengths, index["dimension"])
            return cls([item for names in items for item in names], stored)
        parts = [_read_shard(file, sha256) for file, sha256 in files]
        names = [item for items, _ in parts for item in items]
        return cls(names, np.concatenate([features for _, features in parts]))

    @property
    def dimension(self) -> int:
        """Numbers of an item."""
        return int(self._features.shape[1])

    @property
    def features(self) -> Float32:
        """Features of all items, shape (n, d)."""
        return np.asarray(self._features)

    def rows(self, hashes: list[str]) -> Float32:
        """Features of the items, shape (len(hashes), d).

        Raises:
            ArtifactError: a shard is missing or damaged.
            InputError: an item is not in the table.
        """
        return self._features[self._numbers(hashes)]

    def source(self, hashes: list[str]) -> Features:
        """The same, read when they are asked for where they are too many for memory."""
        if isinstance(self._features, Rows):
            return PickedRows(self._features, self._numbers(hashes))
        return self.rows(hashes)

    def _numbers(self, hashes: list[str]) -> NDArray[np.intp]:
        try:
            return np.fromiter((self._row[item] for item in hashes), np.intp, len(hashes))
        except KeyError as error:
            raise InputError(
                f"item {error.args[0][:12]} has no features; the pairs table is newer, so run "
                f"`csa run`"
            ) from None


class StoredRows(Rows):
    """Features in shards, read when they are asked for.

    Args:
        files: the shards in order, with the sha256 of each.
        lengths: how many items each has.
        dimension: numbers of an item.
    """

    def __init__(self, files: list[tuple[Path, str]], lengths: list[int], dimension: int):
        super().__init__((sum(lengths), dimension), np.dtype(np.float32))
        self._files, self._lengths, self._ends = files, lengths, np.cumsum(lengths)
        # blocks of rows that follow each other share a shard at their borders
        self._shard = lru_cache(_SHARDS_HELD)(self._read)

    def _read(self, shard: int) -> Float32:
        file, sha256 = self._files[shard]
        features = _read_shard(file, sha256)[1]
        if len(features) != self._lengths[shard]:
            raise ArtifactError(_DAMAGED.format(file))
        check_finite(features, str(file))
        return features

    def __getitem__(self, rows: Picked) -> Float32:
        wanted = np.arange(len(self))[rows]
        shard_of = np.searchsorted(self._ends, wanted, side="right")
        found = np.empty((len(wanted), self.shape[1]), np.float32)

        def look_up(shard: int) -> None:
            here = np.flatnonzero(shard_of == shard)
            features = self._shard(shard)
            found[here] = features[wanted[here] - self._ends[shard] + len(features)]

        # rows that are scattered over many shards are looked for in some of them side by side
        shards = np.unique(shard_of).tolist()
        if len(shards) > _FEW_SHARDS:
            each(look_up, shards)
        else:
            for shard in shards:
                look_up(shard)
        return found


def write_shards(
    folder: Path, items: list[str], features: Features, encoder: "Encoder | ViewEncoder"
) -> None:
    """Write features as Parquet shards with an index.

    A shard ends after an item whose hash is 0 modulo 1024, wherever that falls: a new item changes
    the shard it falls in and no other. Shards are named by their content.

    Args:
        folder: made anew by DVC before the stage runs.
        items: item hashes, shape (n,), in the order of the pairs table.
        features: shape (n, d), asked for shard by shard.
        encoder: described in index.json.
    """
    shards = []
    for rows in _shard_slices(items):
        frame = pl.DataFrame(
            {
                "item": items[rows],
                "features": pl.Series(
                    features[rows], dtype=pl.Array(pl.Float32, features.shape[1])
                ),
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


def _items_of(file: Path) -> list[str]:
    """The items of a shard alone; its hash is checked when its features are read."""
    try:
        return pl.read_parquet(file, columns=["item"], glob=False)["item"].to_list()
    except FileNotFoundError:
        raise ArtifactError(_MISSING.format(file)) from None
    except pl.exceptions.PolarsError:
        raise ArtifactError(_DAMAGED.format(file)) from None


def _read_shard(file: Path, sha256: str) -> tuple[list[str], Float32]:
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise ArtifactError(_MISSING.format(file)) from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ArtifactError(_DAMAGED.format(file))
    frame = pl.read_parquet(io.BytesIO(content))
    return frame["item"].to_list(), frame["features"].to_numpy()
