"""Opening image files that strangers made: decoded whole, or one clear error."""

import io
import re
import struct
import threading
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from csa.errors import DataError
from csa.modalities.base import Kind
from csa.storage.files import open_item

if TYPE_CHECKING:
    from PIL.Image import Image

# Raster formats only: Pillow also opens kinds that start other programs (EPS) or are drawings to be
# rendered (WMF).
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "AVIF", "PPM")
SUFFIXES = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".mpo",
        ".png",
        ".webp",
        ".gif",
        ".bmp",
        ".tif",
        ".tiff",
        ".jp2",
        ".avif",
        ".ppm",
        ".pgm",
        ".pnm",
    }
)
"""Endings (lower case) by which image files are recognised in a folder."""

# What Pillow's decoders raise on damaged files.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
)
_HEADER_LOCK = threading.Lock()
WHITES = (1, 255, 1023, 4095, 16383, 65535)
"""Values of white: of floating point, and of 8, 10, 12, 14 and 16 bits."""
DEEP = "deep"
"""Key of `Image.info` of a decoded picture that had more than 8 bits: (its mode, its peak)."""
_WHITE = re.compile(r"(?P<file>.+)\?white=(?P<white>\d+)", re.DOTALL)
_DEEP_TILE = re.compile(r";16[BLN]\b")  # as Pillow calls colours of 16 bits a band
_CELLS = 16
NO_LOOK = np.zeros(3 * _CELLS * _CELLS, np.float32)
"""What a picture that cannot be looked at looks like; one of one colour as well."""
_PNG = b"\x89PNG\r\n\x1a\n"


def look_of(picture: "Image") -> NDArray[np.float32]:
    """What a picture looks like from afar: the colours of 16 by 16 cells, less the mean colour and
    in units of their standard deviation. It hardly changes when a picture is saved again, smaller
    or brighter.

    Args:
        picture: in RGB.

    Returns:
        Shape (768,); zeros of a picture of one colour.
    """
    cells = picture.resize((_CELLS, _CELLS), 4)  # Pillow's number of BOX, the mean of each cell
    look = np.asarray(cells, np.float32).reshape(-1, 3)
    look -= look.mean(axis=0)
    spread = look.std()
    return look.ravel() / spread if spread > 1 else NO_LOOK


class Picture(Kind):
    """An RGB picture."""

    name, plural, feature = "image", "images", "Image"
    suffixes = SUFFIXES

    def decode(self, file: BinaryIO, name: str, max_pixels: int) -> "Image":
        """See `Kind.decode`."""
        return decode_image(file, name, max_pixels)

    def holds(self, item: Any, name: str) -> bool:
        """See `Kind.holds`; pictures are known without loading Pillow."""
        return hasattr(item, "convert")

    def preview(self, item: Any, name: str) -> "Image":
        """See `Kind.preview`; the picture itself."""
        picture: Image = item
        return picture

    def scale(self, item: Any) -> tuple[str, float] | None:
        """See `Kind.scale`; of a picture of more than 8 bits its mode and its peak."""
        found: tuple[str, float] | None = getattr(item, "info", {}).get(DEEP)
        return found


def open_image(path: Path, max_pixels: int) -> "Image":
    """Decode one image file to RGB: upright by its EXIF, transparency on white, an animation's
    first frame.

    Args:
        path: a JPEG, PNG, WebP, GIF, BMP, TIFF, JPEG 2000, AVIF or PPM file, whatever its name.
        max_pixels: an image with more is refused by its header, before anything is decoded.

    Returns:
        The picture, RGB.

    Raises:
        DataError: missing, empty, truncated, not an image, or a decompression bomb.
    """
    with open_item(path, str(path), "image") as file:
        return decode_image(file, str(path), max_pixels)


def decode_image(file: BinaryIO, name: str, max_pixels: int) -> "Image":
    """Decode an open image file, as `open_image` does.

    Args:
        file: open and seekable.
        name: what errors call it; NAME?white=N says what is white in it, where it has more than 8
            bits.
        max_pixels: an image with more is refused by its header, before anything is decoded.

    Returns:
        The picture, RGB.

    Raises:
        DataError: empty, truncated, not an image, or a decompression bomb.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        image = _read_header(file)
        pixels = image.width * image.height
        if pixels <= max_pixels:
            is_deep = any(_DEEP_TILE.search(str(tile[3])) for tile in getattr(image, "tile", ()))
            return _to_rgb(ImageOps.exif_transpose(image), white_of(name)[1], is_deep)
    except UnidentifiedImageError:
        size = file.seek(0, 2)
        content = (
            "the file is empty" if size == 0 else f"not an image of a known format ({size:,} bytes)"
        )
        raise DataError(f"{name}: {content}; fetch it again, or drop its row") from None
    except (Image.DecompressionBombError, *_DECODER_ERRORS) as error:
        plain = _without_texts(file)
        if plain is not None:  # Pillow limits how long the texts in a PNG may be; none is used here
            return decode_image(plain, name, max_pixels)
        raise DataError(
            f"{name}: the image cannot be decoded ({_plain(error)}), truncated or damaged; fetch "
            f"it again, or drop its row"
        ) from None
    raise DataError(
        f"{name}: {image.width} x {image.height} = {pixels:,} pixels, more than "
        f"dataset.max_image_pixels ({max_pixels:,}), "
        "perhaps a decompression bomb; scale it down, or raise the limit if the image is meant to "
        "be that large"
    )


def with_white(name: str, white: int) -> str:
    """The value in the pairs table of a picture whose white its data set says.

    Args:
        name: of the picture.
        white: one of `WHITES`.

    Returns:
        NAME?white=N, as `decode_image` takes it.
    """
    return f"{name}?white={white}"


def white_of(name: str) -> tuple[str, int | None]:
    """The name of a picture's file, and the white that its value says; None if it says none."""
    match = _WHITE.fullmatch(name)
    return (match["file"], int(match["white"])) if match else (name, None)


def usual_white(mode: str, peak: float) -> int:
    """The white of a picture of more than 8 bits whose data set says nothing.

    Args:
        mode: Pillow's.
        peak: its largest value.

    Returns:
        65,535; of floating point 1 or 255 where that holds every value.
    """
    return next((white for white in (1, 255) if mode == "F" and peak <= white), WHITES[-1])


def _read_header(file: BinaryIO) -> "Image":
    """Open lazily under our own limit alone: Pillow's would print a warning, or refuse what the
    caller allows.
    """
    from PIL import Image

    # the limit is a global of Pillow's; other threads of ours must not see it half restored
    with _HEADER_LOCK:
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            return Image.open(file, formats=FORMATS)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _without_texts(file: BinaryIO) -> BinaryIO | None:
    """A PNG without its chunks of text; None if it has none, or is no PNG."""
    file.seek(0)
    content = file.read()
    if not content.startswith(_PNG):
        return None
    kept, at, dropped = [_PNG], len(_PNG), False
    while at + 8 <= len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunk = content[at : at + length + 12]
        if chunk[4:8] in (b"tEXt", b"zTXt", b"iTXt"):
            dropped = True
        else:
            kept.append(chunk)
        at += length + 12
    return io.BytesIO(b"".join(kept)) if dropped else None


def _to_rgb(image: "Image", white: int | None, is_deep: bool) -> "Image":
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        return _deep_grey_to_rgb(image, white)
    deep: tuple[str, float] | None = None
    if is_deep:
        image, deep = _deep_colours(image, white)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layered = image.convert("RGBA")
        canvas = Image.new("RGBA", layered.size, "white")
        picture = Image.alpha_composite(canvas, layered).convert("RGB")
    else:
        picture = image.convert("RGB")
    if deep:
        picture.info[DEEP] = deep
    return picture


def _deep_colours(image: "Image", white: int | None) -> tuple["Image", tuple[str, float]]:
    """Colours of 16 bits at the brightness that `white` says, with their mode and their peak.
    Pillow keeps the upper 8 bits alone.

    Raises:
        ValueError: there is nothing in those.
    """
    colours = len(image.getbands()) - (image.mode in ("RGBA", "LA"))
    peak = max(high for _, high in _extrema(image)[:colours])
    if not peak:
        raise ValueError("its colours of 16 bits fill no more than 8; write them as 8 bits")
    if white:
        scale = WHITES[-1] / white
        levels = [min(255, round(level * scale)) for level in range(256)] * colours
        image = image.point([*levels, *range(256)] if colours < len(image.getbands()) else levels)
    return image, (image.mode, peak * 257.0)


def _extrema(image: "Image") -> list[tuple[int, int]]:
    """The least and the greatest value of each band."""
    found: Any = image.getextrema()
    return [found] if len(image.getbands()) == 1 else list(found)


def _deep_grey_to_rgb(image: "Image", white: int | None) -> "Image":
    """Greyscale of more than 8 bits, which Pillow's own conversion clips at 255 instead of scaling;
    what is below zero is black.
    """
    from PIL import Image

    values = np.nan_to_num(np.asarray(image, dtype=np.float64), nan=0.0)
    peak = float(values.max(initial=0.0))
    scale = 255.0 / (white or usual_white(image.mode, peak))
    grey = Image.fromarray(np.clip(np.rint(values * scale), 0, 255).astype(np.uint8))
    picture = grey.convert("RGB")
    picture.info[DEEP] = (image.mode, peak)
    return picture


def _plain(error: BaseException) -> str:
    """The decoder's words on one line, without what differs from run to run (an object's
    address).
    """
    words = " ".join(str(error).split())
    return (
        type(error).__name__ if not words or " object at 0x" in words or "<_io." in words else words
    )
