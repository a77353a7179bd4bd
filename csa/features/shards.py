"""Feature shards: what embed writes and the rest of the pipeline reads."""

import hashlib
import io
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from csa.core.matrices import Float32
from csa.errors import ArtifactError, InputError
from csa.storage.files import read_json, write_atomic, write_json

if TYPE_CHECKING:  # a fit reads shards, and does not depend on what wrote them
    from csa.encoders.base import Encoder
    from csa.encoders.several import ViewEncoder

# A shard ends after an item whose hash is 0 modulo this, so it holds about as many.
_SHARD_ITEMS = 1024


def fingerprint_of_features(folder: Path) -> str:
    """The fingerprint of the encoder that the features of a folder are from.

    Raises:
        ArtifactError: `write_shards` wrote none there.
    """
    return str(read_json(folder / "index.json")["fingerprint"])


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
            raise InputError(
                f"item {error.args[0][:12]} has no features; the pairs table is newer, so run "
                f"`csa run`"
            ) from None


def write_shards(
    folder: Path, items: list[str], features: Float32, encoder: "Encoder | ViewEncoder"
) -> None:
    """Write features as Parquet shards with an index.

    A shard ends after an item whose hash is 0 modulo 1024, wherever that falls: a new item changes
    the shard it falls in and no other. Shards are named by their content.

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


def _read_shard(file: Path, sha256: str) -> tuple[list[str], Float32]:
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise ArtifactError(
            f"{file}: the feature shard is missing; run `csa run` to restore it"
        ) from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ArtifactError(
            f"{file}: the feature shard is damaged (its hash differs); delete it and run `csa "
            f"run` to restore it"
        )
    frame = pl.read_parquet(io.BytesIO(content))
    return frame["item"].to_list(), frame["features"].to_numpy()
