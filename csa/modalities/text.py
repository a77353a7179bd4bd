"""Texts: they stand in the pairs table themselves."""

from typing import Any

from csa.modalities.base import Kind


class Text(Kind):
    """A text, which is its own value in the pairs table."""

    name, plural = "text", "texts"
    members = frozenset({"txt", "text", "caption"})

    def holds(self, item: Any, name: str) -> bool:
        """See `Kind.holds`."""
        return isinstance(item, str)

    def preview(self, item: Any, name: str) -> str:
        """See `Kind.preview`; the text itself."""
        return str(item)
