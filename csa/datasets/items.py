"""Items by their value in the pairs table: proving that they are sound, and loading them for an
encoder.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from csa.datasets.array_files import ArrayRows
from csa.datasets.containers import ItemFiles, inside
from csa.errors import DataError
from csa.modalities.image import white_of
from csa.modalities.registry import MODALITIES, decode_item
from csa.params.views import ViewParams
from csa.storage.files import open_item


def item_loader(view: ViewParams, root: Path, max_pixels: int) -> Callable[[str], Any]:
    """A function from an item's value in the pairs table to the item; containers and files of
    features are opened once.

    Args:
        view: whose items.
        root: the data set's folder, as `dataset_root` gives it.
        max_pixels: a larger picture is refused.

    Returns:
        The function. It raises DataError where an item is gone or damaged.
    """
    if view.modality == "text":
        return str
    if view.modality == "array":
        return ArrayRows(lambda name: inside(root, name))
    files = ItemFiles(root, view.modality)

    def load(value: str) -> Any:
        with files.open(value) as file:
            return decode_item(view.modality, file, value, max_pixels)

    return load


def item_checker(
    view: ViewParams,
    root: Path,
    max_pixels: int,
    scales: dict[str, tuple[str, float]] | None = None,
) -> Callable[[str], str]:
    """A function from an item's value to the sha256 of its content, which raises DataError where
    the item is unusable.

    The content is a text's UTF-8 bytes, a feature row's bytes as little-endian float32, or else the
    item's file as it is (after the whole of it was decoded). Its messages hold no path of this
    machine, so they may be kept in an artifact.

    Args:
        view: whose items.
        root: the data set's folder, as `dataset_root` gives it.
        max_pixels: a larger picture is refused.
        scales: filled with what `Kind.scale` says of each item, by its value.

    Returns:
        The function.
    """
    if view.modality == "text":
        return _check_text
    if view.modality == "array":
        rows = ArrayRows(lambda name: inside(root, name))
        return lambda value: _check_array(rows(value))
    files, kind = ItemFiles(root, view.modality), MODALITIES[view.modality]

    def check(value: str) -> str:
        with files.open(value) as file:
            item = decode_item(view.modality, file, value, max_pixels)
            if scales is not None and (scale := kind.scale(item)):
                scales[value] = scale
            file.seek(0)
            return content_hash(file.read(), white_of(value)[1])

    return check


def load_file(path: str, modality: str, max_pixels: int) -> Any:
    """An item that a person names by its file.

    Args:
        path: of the file.
        modality: what it is taken for.
        max_pixels: a larger picture is refused.

    Returns:
        The item as encoders of that modality take it.

    Raises:
        DataError: no such file, damaged, or not of that modality.
    """
    with open_item(Path(path), path, modality) as file:
        return decode_item(modality, file, path, max_pixels)


def check_file(path: str, modality: str, max_pixels: int) -> str:
    """The sha256 of a file that a person names, after the whole of it was decoded.

    Args:
        path: of the file.
        modality: what it is taken for.
        max_pixels: a larger picture is refused.

    Returns:
        64 hex digits.

    Raises:
        DataError: as of `load_file`.
    """
    with open_item(Path(path), path, modality) as file:
        return _decoded_hash(modality, file, path, max_pixels)


def _decoded_hash(modality: str, file: BinaryIO, name: str, max_pixels: int) -> str:
    decode_item(modality, file, name, max_pixels)
    file.seek(0)
    return hashlib.sha256(file.read()).hexdigest()


def content_hash(content: bytes, white: int | None = None) -> str:
    """The sha256 of an item's content.

    Args:
        content: its file.
        white: of a picture whose data set says what is white; part of the content then.

    Returns:
        64 hex digits.
    """
    said = b"" if white is None else f"\0white={white}".encode()
    return hashlib.sha256(content + said if said else content).hexdigest()


def _check_text(text: str) -> str:
    if not text.strip():
        raise DataError("the text is empty")
    return hashlib.sha256(text.encode()).hexdigest()


def _check_array(row: NDArray[np.float32]) -> str:
    wrong = int(np.count_nonzero(~np.isfinite(row)))
    if wrong:
        raise DataError(f"{wrong} of {row.size} values are NaN or infinite")
    if not row.any():
        raise DataError(f"all {row.size} values are zero")
    return hashlib.sha256(row.tobytes()).hexdigest()
