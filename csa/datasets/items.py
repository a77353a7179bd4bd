"""Items by their value in the pairs table: proving that they are sound, and loading them for an encoder."""

import hashlib
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, TypeAlias, Union

import numpy as np
from numpy.typing import NDArray

from csa.datasets.array_files import ArrayRows
from csa.errors import DataError
from csa.images import check_image, open_image
from csa.params import ViewParams

if TYPE_CHECKING:
    from PIL.Image import Image

Item: TypeAlias = Union[str, "Image", NDArray[np.float32]]
"""A text, a decoded image, or a row of features of shape (dimensions,)."""


def item_loader(view: ViewParams, root: Path, max_pixels: int) -> Callable[[str], Item]:
    """A function from an item's value in the pairs table to the item; files of features are opened once and memory-mapped.

    Args:
        view: whose items.
        root: the data set's folder, as `dataset_root` gives it.
        max_pixels: larger images are refused.

    Raises (the function it returns):
        DataError: the item is gone or damaged.
    """
    if view.modality == "text":
        return str
    if view.modality == "image":
        return lambda value: open_image(inside(root, value), max_pixels)
    return ArrayRows(lambda name: inside(root, name))


def item_checker(view: ViewParams, root: Path, max_pixels: int) -> Callable[[str], str]:
    """A function from an item's value to the sha256 of its content, which raises DataError where the item is unusable.

    The content is a text's UTF-8 bytes, an image file's bytes (after the whole image was decoded), or a feature row's bytes as
    little-endian float32. Its messages hold no path of this machine, so they may be kept in an artifact.
    """
    if view.modality == "text":
        return _check_text
    if view.modality == "image":
        return lambda value: check_image(inside(root, value), value, max_pixels)
    rows = ArrayRows(lambda name: inside(root, name))
    return lambda value: _check_array(rows(value))


def inside(root: Path, value: str) -> Path:
    """The file that a path of the data set names.

    Raises:
        DataError: it is absolute, or leads out of the folder by ".." or by a symbolic link.
    """
    if "\0" in value or PurePath(value).is_absolute():
        raise DataError(f"{value!r}: not a path relative to the data set's folder; a data set may only name its own files")
    path = root / value
    if not path.resolve().is_relative_to(root.resolve()):
        raise DataError(f"{value!r}: leads out of the data set's folder; a data set may only name its own files")
    return path


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
