"""What a folder or file of data looks like: the layouts that fit it, each with the section
`dataset` that reads it.

Names and the first lines of tables are looked at; no item is decoded.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csa.datasets import look_files, look_folders
from csa.datasets.glance import Glance, Look
from csa.errors import DataError
from csa.params.data import DatasetKind
from csa.params.views import Modality

NEAREST = 3
"""Layouts that are told where none fits."""


@dataclass(frozen=True)
class Layout:
    """One way to read a folder or file.

    Args:
        kind: of `dataset.kind`.
        dataset: the section `dataset` of params.yaml, without what has its default.
        views: name of each view -> its modality, in order; the array views of `dataset.arrays` too.
        recognised: what was recognised and why, a sentence each.
        unsure: what a person should look at, a sentence each.
        missing: what is missing for this layout; empty if it fits.
    """

    kind: DatasetKind
    dataset: dict[str, Any]
    views: dict[str, Modality]
    recognised: tuple[str, ...]
    unsure: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing


def recognise(path: Path) -> list[Layout]:
    """The layouts that a folder or file has.

    Args:
        path: what a person calls the data: a folder, or one table.

    Returns:
        The layouts that fit, best first; where none does, the three nearest, each saying what is
        missing.

    Raises:
        DataError: there is no such path, or it is neither a folder nor a table.
    """
    path = path.expanduser()
    if not path.exists():
        raise DataError(f"{path}: no such folder or file; correct the path")
    if path.is_dir():
        glance = Glance(path)
    elif path.is_file():
        glance = Glance(path.parent, path.name)
    else:
        raise DataError(f"{path}: neither a folder nor a file; give the data set's folder")
    found = [
        look for looker in (*look_files.LOOKERS, *look_folders.LOOKERS) for look in looker(glance)
    ]
    fitting = sorted((look for look in found if not look.missing), key=lambda look: look.weight)
    nearest = sorted(
        (look for look in found if look.missing),
        key=lambda look: (-len(look.recognised), len(look.missing), -look.weight),
    )
    return [_layout(look, path) for look in fitting or nearest[:NEAREST]]


def _layout(look: Look, path: Path) -> Layout:
    section = {"kind": look.kind, "path": str(path), **look.dataset}
    return Layout(
        look.kind,
        section,
        look.views,
        tuple(look.recognised),
        tuple(look.unsure),
        tuple(look.missing),
    )
