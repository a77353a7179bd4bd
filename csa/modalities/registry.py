"""All modalities, a line each, and what is asked of them together."""

from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, BinaryIO

from csa.modalities.array import Array
from csa.modalities.audio import Audio
from csa.modalities.base import Kind
from csa.modalities.image import Picture
from csa.modalities.lidar import Lidar
from csa.modalities.series import TimeSeries
from csa.modalities.text import Text

if TYPE_CHECKING:
    from PIL.Image import Image

MODALITIES: dict[str, Kind] = {
    kind.name: kind for kind in (Picture(), Text(), Audio(), Lidar(), TimeSeries(), Array())
}
"""Name -> what is known of its items."""


def decode_item(modality: str, file: BinaryIO, name: str, max_pixels: int) -> Any:
    """Decode an open file.

    Args:
        modality: name of a modality that has files.
        file: open and seekable.
        name: what errors call it.
        max_pixels: a picture with more is refused.

    Returns:
        The item: a picture, a recording, a scan (points, 4) or a series (time, channels).

    Raises:
        DataError: damaged, or not of that modality.
    """
    return MODALITIES[modality].decode(file, name, max_pixels)


def preview(item: Any, name: str) -> "Image | str":
    """What sheets and pages show of an item.

    Args:
        item: as it was decoded.
        name: its value in the pairs table.

    Returns:
        A picture or a text; the name of an item that says nothing to the eye.
    """
    suffix = PurePath(name).suffix.lower()
    # an ending says more than a shape: many kinds of items are arrays of two axes
    for kind in sorted(MODALITIES.values(), key=lambda kind: suffix not in kind.suffixes):
        if kind.holds(item, name):
            return kind.preview(item, name)
    return name


def modality_of(name: str) -> str:
    """The modality that a file's ending speaks of; any other file is taken for an image."""
    suffix = PurePath(name).suffix.lower()
    return next((kind.name for kind in MODALITIES.values() if suffix in kind.suffixes), "image")


def names_a_file(text: str) -> bool:
    """Whether a text ends like a file of some modality."""
    suffixes = tuple(suffix for kind in MODALITIES.values() for suffix in kind.suffixes)
    return text.lower().endswith(suffixes)


def files_in(folder: Path, modality: str) -> list[Path]:
    """The files of a modality in a folder and below it; hidden ones are left out.

    Args:
        folder: where to look.
        modality: name of a modality.

    Returns:
        Paths in order.
    """
    suffixes = MODALITIES[modality].suffixes
    return [
        file
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in suffixes
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]
