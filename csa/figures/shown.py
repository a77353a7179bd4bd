"""What is drawn for an item, or said where it cannot be; nothing here needs Matplotlib."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from csa.errors import CSAError
from csa.modalities.registry import preview

if TYPE_CHECKING:
    from PIL.Image import Image

GONE = "the file is gone"
"""What is said of an item that cannot be shown any more."""


def showable(load: Callable[[str], Any], value: str) -> "Image | str":
    """What to draw for an item of the pairs table: its picture, its text, or a picture made of
    it; an array row is named.

    Args:
        load: from an item's value to the item.
        value: what the pairs table calls the item.

    Returns:
        A picture or a text.

    Raises:
        CSAError: the item is gone, or cannot be read any more.
    """
    return preview(load(value), value)


def shown_or_gone(load: Callable[[str], Any], value: str) -> "Image | str":
    """What to draw for an item, or that it is gone: a sheet shows the others all the same.

    Args:
        load: from an item's value to the item.
        value: what the pairs table calls the item.

    Returns:
        A picture or a text.
    """
    try:
        return showable(load, value)
    except CSAError:
        return f"{value} ({GONE})"
