"""Items of the gallery as a browser shows them: by the id of their pair, never by a path."""

import io
from typing import Any

from csa.errors import DataError, InputError
from csa.modalities.registry import decode_item, preview
from csa.serving.answering import Answering

_SIDE = 480  # pixels of the longer side
_QUALITY = 85
_MOST_SOUND = 64 << 20


def picture(answering: Answering, view: str, pair_id: str) -> bytes:
    """A small picture of an item: the picture itself, the waveform of a sound, the lines of a
    series.

    Args:
        answering: whose gallery.
        view: of the item.
        pair_id: of its pair.

    Returns:
        A JPEG.

    Raises:
        InputError: no such view or pair, or its items have no picture.
        DataError: the item is gone, or damaged.
    """
    value = _value(answering, view, pair_id)
    modality = answering.scorer.views[view].modality
    with answering.files[view].open(value) as file:
        item = decode_item(modality, file, value, answering.scorer.max_pixels)
    found = preview(item, value)
    if isinstance(found, str):
        raise InputError(f"{view}: items of modality {modality} cannot be shown as pictures")
    return _jpeg(found)


def sound(answering: Answering, view: str, pair_id: str) -> bytes:
    """The file of a sound, as it is.

    Args:
        answering: whose gallery.
        view: of the item.
        pair_id: of its pair.

    Returns:
        The file's bytes.

    Raises:
        InputError: no such view or pair, or its items are no sounds.
        DataError: the item is gone, or too long to be played here.
    """
    value = _value(answering, view, pair_id)
    if answering.scorer.views[view].modality != "audio":
        raise InputError(f"{view}: its items are not sounds")
    with answering.files[view].open(value) as file:
        content = file.read(_MOST_SOUND + 1)
    if len(content) > _MOST_SOUND:
        raise DataError(f"{value}: larger than {_MOST_SOUND >> 20} MiB; it is not played here")
    return content


def tag(answering: Answering, view: str, pair_id: str) -> str:
    """What a browser keeps an item by: it changes when the item does.

    Args:
        answering: whose gallery.
        view: of the item.
        pair_id: of its pair.

    Returns:
        An entity tag.

    Raises:
        InputError: no such view or pair.
    """
    _value(answering, view, pair_id)
    return f'"{answering.pair(pair_id)[f"{view}_hash"][:32]}"'


def _value(answering: Answering, view: str, pair_id: str) -> str:
    answering.scorer.view(view)
    if view not in answering.files:
        raise InputError(f"{view}: its items are not files; the answers hold the items themselves")
    return str(answering.pair(pair_id)[view])


def _jpeg(found: Any) -> bytes:
    """On white where it is transparent, as it is on paper."""
    from PIL import Image

    small = found.copy()
    small.thumbnail((_SIDE, _SIDE))
    if small.mode in ("RGBA", "LA", "PA") or "transparency" in small.info:
        small = small.convert("RGBA")
        white = Image.new("RGBA", small.size, "white")
        small = Image.alpha_composite(white, small)
    buffer = io.BytesIO()
    small.convert("RGB").save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
