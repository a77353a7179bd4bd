"""The item cache: features addressed by encoder fingerprint and item hash, outside every DVC
output.
"""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from csa.core.matrices import Float32
from csa.errors import ArtifactError
from csa.storage.container import load_tensors, pack_tensors, read_header
from csa.storage.files import read_json, write_atomic, write_json


class FeatureCache:
    """Features of one encoder, by item hash.

    Args:
        root: the cache's folder.
        fingerprint: of the encoder.

    Raises:
        ArtifactError: the fingerprint is a path.
    """

    def __init__(self, root: Path, fingerprint: str):
        if Path(fingerprint).name != fingerprint:
            raise ArtifactError(f"{fingerprint!r} is a path, and no fingerprint of an encoder")
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

    def read(self, items: list[str]) -> Iterator[tuple[str, Float32]]:
        """Those of the items that the cache holds, file by file, each with its features; a file
        that is damaged or gone is forgotten, and deleted.
        """
        wanted = set(items)
        for file in dict.fromkeys(self._file_of[item] for item in items if item in self._file_of):
            batch = _read_batch(file)
            if batch is None:
                _discard(file)
                self._file_of = {
                    item: other for item, other in self._file_of.items() if other != file
                }
                continue
            yield from ((item, row) for item, row in batch.items() if item in wanted)

    def write(self, items: list[str], features: Float32) -> None:
        """Keep a finished batch, flushed to disk.

        Args:
            items: hashes, shape (n,).
            features: shape (n, d), float32.

        Raises:
            WorkspaceError: the file cannot be written.
        """
        self._file_of.update(dict.fromkeys(items, _write_batch(self._folder, items, features)))

    def note_speed(self, items: int, seconds: float, device: str = "cpu") -> None:
        """Remember how long encoding took, for estimates.

        Args:
            items: how many were encoded.
            seconds: how long that took.
            device: where, as torch calls it.

        Raises:
            WorkspaceError: the file cannot be written.
        """
        write_json(self._speed(device), {"items": items, "seconds": round(seconds, 3)})

    def seconds_per_item(self, device: str = "cpu") -> float | None:
        """As last noted of a device; None if nothing was."""
        try:
            noted = read_json(self._speed(device))
            return float(noted["seconds"]) / float(noted["items"])
        except (ArtifactError, KeyError, TypeError, ValueError, ZeroDivisionError):
            return None

    def _speed(self, device: str) -> Path:
        kind = device.partition(":")[0]
        return self._folder / ("speed.json" if kind == "cpu" else f"speed-{kind}.json")


def forget_items(root: Path, items: set[str]) -> int:
    """Take items out of the caches of all encoders: a batch that holds one is written anew without
    it.

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


def _write_batch(folder: Path, items: list[str], features: Float32) -> Path:
    content = pack_tensors("features", {"items": items}, {"features": features})
    file = folder / f"{hashlib.sha256(content).hexdigest()}.safetensors"
    write_atomic(file, content)
    return file


def _read_batch(file: Path) -> dict[str, Float32] | None:
    """A cache file's features by item; None if its bytes are not those it is named after."""
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
