"""A glance at a folder or file of data: the names below it, and a layout while it is looked for."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

from csa.modalities.registry import modality_of, names_a_file
from csa.params.data import DatasetKind
from csa.params.views import Modality
from csa.storage.files import walk

_LOOKED_AT = 200_000


@dataclass(frozen=True)
class Glance:
    """The names below a folder.

    Args:
        root: the folder.
        file: the one file that is meant, relative to the folder; "" if the folder is meant.
    """

    root: Path
    file: str = ""

    @cached_property
    def files(self) -> list[str]:
        """Paths relative to the folder, sorted; what is hidden is left out."""
        return [self.file] if self.file else walk(self.root, _LOOKED_AT)

    @cached_property
    def names(self) -> frozenset[str]:
        """The files, to look names up in."""
        return frozenset(self.files)

    @cached_property
    def folders(self) -> frozenset[str]:
        """Every folder that holds a file, at any depth."""
        direct = {name.rpartition("/")[0] for name in self.files} - {""}
        above = {parent.as_posix() for folder in direct for parent in PurePath(folder).parents}
        return frozenset(direct | above) - {"."}

    @cached_property
    def by_modality(self) -> dict[Modality, list[str]]:
        """The files that end like an item of a modality."""
        found: dict[Modality, list[str]] = {}
        for name in self.files:
            if names_a_file(name):
                found.setdefault(modality_of(name), []).append(name)
        return found

    def at_top(self, *endings: str) -> list[str]:
        """The files directly in the folder with one of these endings (lower case)."""
        return [name for name in self.files if "/" not in name and name.lower().endswith(endings)]


@dataclass
class Look:
    """A layout while it is being looked for; `weight` orders those that fit, least first."""

    kind: DatasetKind
    weight: int
    dataset: dict[str, Any] = field(default_factory=dict)
    views: dict[str, Modality] = field(default_factory=lambda: {"image": "image", "text": "text"})
    recognised: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def needs(self, there: bool, found: str, missing: str) -> bool:
        """Note one thing that the layout needs.

        Args:
            there: whether it is there.
            found: what is said then.
            missing: what is said else.

        Returns:
            Whether it is there.
        """
        (self.recognised if there else self.missing).append(found if there else missing)
        return there
