"""What somebody sends in the place of an item: a text, an encoded file, or its features."""

import base64
import binascii
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from csa.core.matrices import Float64
from csa.errors import DataError, InputError
from csa.modalities.registry import decode_item
from csa.storage.files import open_item

MAX_TEXT = 100_000
"""Characters of a text; a longer one is no sentence, and an encoder would cut it anyway."""


@dataclass(frozen=True)
class Limits:
    """What is accepted in the place of an item.

    Attributes:
        max_pixels: a picture with more is refused.
        max_text: characters of a text.
        folder: where an item may be named by its path; None refuses every path.
    """

    max_pixels: int
    max_text: int = MAX_TEXT
    folder: Path | None = None


def features_in(cell: Any) -> Float64 | None:
    """The features that a cell holds, shape (d,); None if it holds a raw item.

    Args:
        cell: a list or an array of numbers, or anything else.
    """
    if isinstance(cell, list | tuple | np.ndarray):
        try:
            row: Float64 = np.asarray(cell, dtype=np.float64)
        except (TypeError, ValueError):
            return None
        return row if row.ndim == 1 else None
    return None


def item_in(cell: Any, modality: str, name: str, limits: Limits) -> Any:
    """The raw item that a cell holds.

    Args:
        cell: a text, or for another modality the bytes of a file, or these in base64.
        modality: of the cell's view.
        name: what errors call the cell.
        limits: what is accepted.

    Returns:
        The item as encoders of the modality take it.

    Raises:
        InputError: neither of these, too long, or a path or a URL.
        DataError: the file is damaged, or of another modality.
    """
    if modality == "array":
        raise InputError(
            f"{name}: this view holds features that were computed elsewhere; send a list of numbers"
        )
    if modality == "text":
        return _text(cell, name, limits)
    if isinstance(cell, bytes | bytearray | memoryview):
        return _decoded(bytes(cell), modality, name, limits)
    if not isinstance(cell, str) or not cell.strip():
        raise InputError(
            f"{name}: {_kind(cell)} is not an item of modality {modality}; send the file's bytes "
            f"(base64 in JSON), or its features as a list of numbers"
        )
    return _named_or_encoded(cell, modality, name, limits)


def _text(cell: Any, name: str, limits: Limits) -> str:
    if not isinstance(cell, str):
        raise InputError(f"{name}: {_kind(cell)} is not a text; send a string")
    if not cell.strip():
        raise InputError(f"{name}: the text is empty; say something")
    if len(cell) > limits.max_text:
        raise InputError(
            f"{name}: {len(cell):,} characters, and a text may have {limits.max_text:,}; shorten it"
        )
    return cell


def _named_or_encoded(cell: str, modality: str, name: str, limits: Limits) -> Any:
    scheme, colon, rest = cell.partition(":")
    if colon and scheme == "data":
        cell = rest.rpartition(",")[2]
    elif "://" in cell[:32]:
        raise InputError(f"{name}: a URL is not fetched here; send the file's bytes in base64")
    try:
        content = base64.b64decode(cell, validate=True)
    except (binascii.Error, ValueError):
        return _from_folder(cell, modality, name, limits)
    if limits.folder is not None and (limits.folder / cell).is_file():
        return _from_folder(cell, modality, name, limits)
    return _decoded(content, modality, name, limits)


def _from_folder(path: str, modality: str, name: str, limits: Limits) -> Any:
    if limits.folder is None or len(path) > 4096 or "\0" in path:
        raise InputError(
            f"{name}: neither the bytes of a file in base64 nor features; a path is not opened here"
        )
    root = limits.folder.resolve()
    file = (root / path).resolve()
    if not file.is_relative_to(root):
        raise InputError(f"{name}: {path[:80]!r} lies outside the folder that may be read")
    with open_item(file, path, modality) as opened:
        return decode_item(modality, opened, path, limits.max_pixels)


def _decoded(content: bytes, modality: str, name: str, limits: Limits) -> Any:
    if not content:
        raise DataError(f"{name}: no bytes; send the whole file")
    ending = ".npy" if content.startswith(b"\x93NUMPY") else ""
    return decode_item(modality, io.BytesIO(content), name + ending, limits.max_pixels)


def _kind(cell: Any) -> str:
    return (
        "nothing"
        if cell is None
        else "an empty string"
        if isinstance(cell, str)
        else type(cell).__name__
    )
