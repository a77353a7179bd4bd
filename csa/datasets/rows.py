"""What a reader hands over: rows as found, nothing checked yet."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from csa.errors import DataError
from csa.modalities.registry import MODALITIES
from csa.params.data import DatasetParams
from csa.params.views import Modality, ViewParams

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "test",
    "valid": "test",
    "validation": "test",
    "dev": "test",
}
"""Names of splits in the wild -> ours: what is not trained on is held out."""


@dataclass(frozen=True)
class RawPair:
    """One row of a data set.

    Args:
        place: names the row in errors, such as "row 7".
        pair_id: unique in the data set.
        values: per view the text, the image's path relative to the data set's folder, or FILE#ROW
            of an array.
        group: what must not be divided between train and test; None where the data set says
            nothing.
        split: a key of `SPLIT_NAMES` in any case, or None where the pair is to be placed by its
            group's hash.
        label: the class of the pair, if it has one.
        mislabelled: whether the pair is known to be wrong; None where the data set says nothing.
    """

    place: str
    pair_id: str | None
    values: Mapping[str, str | None]
    group: str | None = None
    split: str | None = None
    label: str | None = None
    mislabelled: bool | None = None


@dataclass(frozen=True)
class Source:
    """All rows of a data set, in its own order, and what the reader wants the user to know."""

    rows: list[RawPair]
    notes: tuple[str, ...] = ()


def split_of(given: str, held_out: str) -> str | None:
    """Our split of a part that a data set gives: train, the part that is held out, or None for one
    that is left untouched.

    Args:
        given: train, val or test, or another name of theirs.
        held_out: val or test.
    """
    name = given.lower()
    if SPLIT_NAMES.get(name) == "train":
        return "train"
    part = "test" if name in ("test", "testing") else "val"
    return "test" if part == held_out else None


Reader = Callable[[DatasetParams, dict[str, ViewParams], Path], Source]
"""Reads the data set in a folder (or the file) that `dataset.path` names."""


def view_of(
    views: dict[str, ViewParams],
    modality: Modality,
    kind: str,
    pairs: tuple[Modality, Modality] = ("image", "text"),
) -> str:
    """The one view of a modality, for data sets that pair two modalities by nature.

    Raises:
        DataError: there is none, or both are.
    """
    names = [name for name, view in views.items() if view.modality == modality]
    if len(names) != 1:
        modalities = ", ".join(f"{name}: {view.modality}" for name, view in views.items())
        one, other = pairs
        raise DataError(
            f"dataset.kind {kind} pairs {MODALITIES[one].plural} with "
            f"{MODALITIES[other].plural}, but the views are {modalities}; "
            f"use one {one} and one {other} view"
        )
    return names[0]


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text file without their ends; a byte order mark is dropped.

    Raises:
        DataError: the file cannot be read, or is in another encoding.
    """
    # Not splitlines(): a caption may hold one of the rarer line separators.
    return [line.removesuffix("\r") for line in decode_text(path).removesuffix("\n").split("\n")]


def decode_text(path: Path) -> str:
    """A whole UTF-8 text file; a byte order mark is dropped.

    Raises:
        DataError: the file cannot be read, or is in another encoding.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); check dataset.path and the file's "
            f"permissions"
        ) from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}: not UTF-8 at line {line} (byte 0x{content[error.start]:02x}); save it as "
            f"UTF-8, "
            f"for example: iconv -f WINDOWS-1252 -t UTF-8 {path.name}"
        ) from None
