"""Items as a page shows them: pictures as small data URIs, texts as texts, anything else by its
name.
"""

import base64
import io
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from csa.errors import CSAError
from csa.figures.shown import showable

_MAX_PIXELS = 224
_WEBP_QUALITY = 62
_MAX_TEXT = 320


@dataclass(frozen=True)
class Shown:
    """One item, ready for a page.

    Attributes:
        kind: picture, text, name (an item that cannot be shown) or missing (an item that is gone).
        value: a data URI, a text or a name.
        name: what the data set calls it; the alternative text of a picture.
        width, height: of a picture, in pixels.
    """

    kind: Literal["picture", "text", "name", "missing"]
    value: str
    name: str
    width: int = 0
    height: int = 0


class Shower:
    """Shows the items of one view; each is loaded once.

    Args:
        view: its name.
        modality: of its items.
        load: from an item's value in the pairs table to the item.
    """

    def __init__(self, view: str, modality: str, load: Callable[[str], Any]):
        self.view, self._modality, self._load = view, modality, load
        self._known: dict[str, Shown] = {}

    def __call__(self, value: str) -> Shown:
        """Show the item that the pairs table calls `value`."""
        if value not in self._known:
            self._known[value] = self._show(value)
        return self._known[value]

    def _show(self, value: str) -> Shown:
        try:
            item = showable(self._load, value)
        # the data set moved or changed since: the page still says which item it was
        except CSAError:
            return Shown("missing", value, value)
        if not isinstance(item, str):
            uri, size = data_uri(item)
            return Shown("picture", uri, f"{self.view} {value}", *size)
        if self._modality == "text":
            return Shown("text", _clipped(item), f"{self.view}: {_clipped(item)}")
        return Shown("name", item, f"{self.view} {item}")


def data_uri(picture: Any, pixels: int = _MAX_PIXELS) -> tuple[str, tuple[int, int]]:
    """A picture as a small WebP data URI; the same picture gives the same bytes.

    Args:
        picture: a Pillow image.
        pixels: the most that either side has.

    Returns:
        The data URI, and the picture's width and height in pixels.
    """
    small = picture.convert("RGB")
    small.thumbnail((pixels, pixels))
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=_WEBP_QUALITY, method=6)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode(), small.size


def _clipped(text: str) -> str:
    """A text of bearable length, without the control characters that HTML does not allow."""
    plain = "".join(
        "\ufffd" if unicodedata.category(c) == "Cc" and c not in "\t\n\r" else c for c in text
    )
    return plain[:_MAX_TEXT].rstrip() + " …" if len(plain) > _MAX_TEXT else plain
