"""Items by their value in the pairs table: proving that they are sound, and loading them for an
encoder.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, Union

import numpy as np
from numpy.typing import NDArray

from csa.datasets.array_files import ArrayRows
from csa.datasets.containers import ItemFiles, inside
from csa.errors import DataError
from csa.modalities import audio, lidar, series
from csa.modalities import image as images
from csa.modalities.audio import Recording, decode_audio
from csa.modalities.image import decode_image
from csa.modalities.lidar import decode_scan
from csa.modalities.series import decode_series
from csa.params.views import Modality, ViewParams
from csa.storage.files import open_item

if TYPE_CHECKING:
    from PIL.Image import Image

_SUFFIXES: dict[Modality, frozenset[str]] = {
    "audio": audio.SUFFIXES,
    "lidar": lidar.SUFFIXES,
    "series": series.SUFFIXES,
    "image": images.SUFFIXES,
}

Item: TypeAlias = Union[str, "Image", Recording, NDArray[np.float32]]
"""A text, a decoded image, a recording, a scan (points, 4), a series (time, channels) or a row
of features (dimensions,).
"""


def item_loader(view: ViewParams, root: Path, max_pixels: int) -> Callable[[str], Item]:
    """A function from an item's value in the pairs table to the item; containers and files of
    features are opened once.

    Args:
        view: whose items.
        root: the data set's folder, as `dataset_root` gives it.
        max_pixels: larger images are refused.

    Raises (the function it returns):
        DataError: the item is gone or damaged.
    """
    if view.modality == "text":
        return str
    if view.modality == "array":
        return ArrayRows(lambda name: inside(root, name))
    files = ItemFiles(root, view.modality)

    def load(value: str) -> Item:
        with files.open(value) as file:
            return decode_item(view.modality, file, value, max_pixels)

    return load


def item_checker(view: ViewParams, root: Path, max_pixels: int) -> Callable[[str], str]:
    """A function from an item's value to the sha256 of its content, which raises DataError where
    the item is unusable.

    The content is a text's UTF-8 bytes, a feature row's bytes as little-endian float32, or else the
    item's file as it is (after the whole of it was decoded). Its messages hold no path of this
    machine, so they may be kept in an artifact.
    """
    if view.modality == "text":
        return _check_text
    if view.modality == "array":
        rows = ArrayRows(lambda name: inside(root, name))
        return lambda value: _check_array(rows(value))
    files = ItemFiles(root, view.modality)

    def check(value: str) -> str:
        with files.open(value) as file:
            return _decoded_hash(view.modality, file, value, max_pixels)

    return check


def load_file(path: str, modality: Modality, max_pixels: int) -> Item:
    """An item that a person names by its file.

    Raises:
        DataError: no such file, damaged, or not of that modality.
    """
    with open_item(Path(path), path, modality) as file:
        return decode_item(modality, file, path, max_pixels)


def check_file(path: str, modality: Modality, max_pixels: int) -> str:
    """The sha256 of a file that a person names, after the whole of it was decoded; errors as of
    `load_file`.
    """
    with open_item(Path(path), path, modality) as file:
        return _decoded_hash(modality, file, path, max_pixels)


def _decoded_hash(modality: Modality, file: BinaryIO, name: str, max_pixels: int) -> str:
    decode_item(modality, file, name, max_pixels)
    file.seek(0)
    return hashlib.sha256(file.read()).hexdigest()


def decode_item(modality: Modality, file: BinaryIO, name: str, max_pixels: int) -> Item:
    """Decode an open file of a modality that has files.

    Raises:
        DataError: damaged, or not of that modality.
    """
    if modality == "image":
        return decode_image(file, name, max_pixels)
    decoders: dict[str, Callable[[BinaryIO, str], Item]] = {
        "audio": decode_audio,
        "lidar": decode_scan,
        "series": decode_series,
    }
    return decoders[modality](file, name)


def modality_of(name: str) -> Modality:
    """The modality that a file's ending speaks of; any other file is taken for an image."""
    suffix = PurePath(name).suffix.lower()
    return next(
        (modality for modality, suffixes in _SUFFIXES.items() if suffix in suffixes), "image"
    )


def names_a_file(text: str) -> bool:
    """Whether a text ends like a file of some modality."""
    return any(text.lower().endswith(suffixes) for suffixes in map(tuple, _SUFFIXES.values()))


def files_in(folder: Path, modality: Modality) -> list[Path]:
    """All files of a modality in a folder and below it, in order, hidden ones left out."""
    return [
        file
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in _SUFFIXES.get(modality, ())
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]


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
