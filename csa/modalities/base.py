"""What a modality tells the house about its items.

A new modality is one file in this folder and one line in `registry.py`: nothing else asks for
its name. `docs/contributing.md` has a whole example.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from csa.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image


class Kind:
    """One kind of item. A modality derives from it and says what differs.

    Heavy libraries (Pillow, soundfile) are imported inside the methods that need them.

    Attributes:
        name: the value of `views.NAME.modality`.
        plural: its items in a message, such as `images`.
        suffixes: endings (lower case, with the dot) by which its files are recognised; empty where
            its items are no files.
        members: endings (without the dot) of its members in a tar of samples; those of `suffixes`
            where it says nothing.
        feature: the name of its feature in a Hugging Face data set; empty if there is none.
        seen_as: the modality whose encoders take its items; empty if it has encoders of its own.
    """

    name: ClassVar[str]
    plural: ClassVar[str]
    suffixes: ClassVar[frozenset[str]] = frozenset()
    members: ClassVar[frozenset[str]] = frozenset()
    feature: ClassVar[str] = ""
    seen_as: ClassVar[str] = ""

    @property
    def endings(self) -> frozenset[str]:
        """Endings (without the dot) of members of a tar that are items of this kind."""
        return self.members or frozenset(suffix[1:] for suffix in self.suffixes)

    def decode(self, file: BinaryIO, name: str, max_pixels: int) -> Any:
        """Decode one whole item.

        Args:
            file: open and seekable.
            name: what errors call it; its ending may say how it is read.
            max_pixels: a picture with more is refused.

        Returns:
            The item as encoders of this modality take it.

        Raises:
            DataError: damaged, cut off, empty, or of another kind.
        """
        raise DataError(f"{name}: items of modality {self.name} are not files; name another view")

    def holds(self, item: Any, name: str) -> bool:
        """Whether a decoded item is of this kind.

        Args:
            item: from `decode`.
            name: its value in the pairs table.

        Returns:
            Whether `preview` can show it.
        """
        raise NotImplementedError

    def preview(self, item: Any, name: str) -> "Image | str":
        """What sheets and pages show of an item.

        Args:
            item: one that `holds` accepts.
            name: its value in the pairs table.

        Returns:
            A picture or a text; the name where nothing of the item speaks to the eye.
        """
        return name

    def scale(self, item: Any) -> tuple[str, float] | None:
        """What is judged on the data set and not on one item: how bright, loud or wide it is.

        Args:
            item: from `decode`.

        Returns:
            A word and a number, as the modality has them; None if there is nothing to judge.
        """
        return None

    def scale_notes(self, view: str, scales: Sequence[tuple[str, float]]) -> list[str]:
        """What is said of a data set whose scale is not plausible.

        Args:
            view: its name.
            scales: from `scale`, one an item.

        Returns:
            A sentence each.
        """
        return []
