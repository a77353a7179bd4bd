"""Which column of a table is which: guessed from names and from the first cells."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from csa.datasets.rows import ItemError, as_text
from csa.datasets.splits import part_of
from csa.modalities.registry import modality_of, names_a_file
from csa.params.schema import RESERVED_COLUMNS
from csa.params.views import Modality

Cells: TypeAlias = dict[str, list[Any]]
"""Column name -> its cells."""

_TEXT_NAMES = (
    "text", "caption", "captions", "title", "sentence", "description", "comment", "raw", "prompt",
    "transcription", "report", "name",
)  # fmt: skip
_OWN_NAMES = {
    "id": ("id", "pair_id", "key", "uid", "sentid"),
    "group": ("group", "group_id", "image_id", "imgid", "product_id", "patient_id", "video_id"),
    "split": ("split", "subset", "partition", "set"),
    "label": ("label", "class", "category", "class_name"),
}
_SURE_SHARE = 0.9
_TRIED = 20


@dataclass(frozen=True)
class GuessedColumns:
    """Columns of a table by what they are for.

    Args:
        views: name of each view -> its modality.
        mapping: our name -> the table's column, for `dataset.columns`; without those of one name.
        why: what was recognised, a sentence each.
        unsure: what a person should look at.
        missing: what the table lacks.
    """

    views: dict[str, Modality]
    mapping: dict[str, str]
    why: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def guess_columns(cells: Cells, root: Path) -> GuessedColumns:
    """Guess the columns of two views, and of id, group, split and label.

    Args:
        cells: the first rows of a table.
        root: the folder that paths in it are relative to.

    Returns:
        What was guessed.
    """
    cells = {name: [_text(cell) for cell in column] for name, column in cells.items()}
    filled = {name: [cell for cell in column if cell] for name, column in cells.items()}
    media = {name: kind for name, column in filled.items() if (kind := _media(column)) is not None}
    texts = _texts(filled, set(media))
    found = GuessedColumns({}, {})
    chosen = [*list(media)[:1], *texts][:2] if texts else list(media)[:2]
    if len(chosen) < 2:
        found.missing.append(
            f"two columns to pair, such as image and text; of {', '.join(cells) or 'no columns'} "
            f"{', '.join(chosen) or 'none'} is an item"
        )
    for column in chosen:
        kind = media.get(column, "text")
        view = kind if kind not in found.views else view_name(column)
        found.views[view] = kind
        found.mapping.update({view: column} if view != column else {})
        found.why.append(f"column {column} is the {kind}, such as {filled[column][0][:40]!r}")
    _look_for_files(found, {name: filled[name] for name in chosen if name in media}, root)
    others = [name for name in [*media, *texts] if name not in chosen]
    if others:
        found.unsure.append(f"columns that could be items too: {', '.join(others)}")
    for ours, names in _OWN_NAMES.items():
        _own_column(found, ours, names, cells, chosen)
    return found


def _text(cell: Any) -> str:
    """A cell as text; "" where nothing is there, or no text."""
    try:
        return (as_text(cell, "") or "").strip()
    except ItemError:
        return ""


def _media(column: list[str]) -> Modality | None:
    """The modality of the files that a column names; None where it names none."""
    named = [cell for cell in column if len(cell) < 1000 and names_a_file(cell.strip())]
    if not column or len(named) < _SURE_SHARE * len(column):
        return None
    return modality_of(named[0].strip())


def _texts(filled: dict[str, list[str]], media: set[str]) -> list[str]:
    """Columns of texts, the likeliest caption first."""

    def rank(name: str) -> tuple[int, float]:
        known = name.lower() in _TEXT_NAMES
        words = sum(len(cell.split()) for cell in filled[name]) / len(filled[name])
        return (_TEXT_NAMES.index(name.lower()) if known else len(_TEXT_NAMES), -words)

    taken = {name for names in _OWN_NAMES.values() for name in names}
    worded = [
        name
        for name, column in filled.items()
        if name not in media
        and column
        and name.lower() not in taken
        and sum(any(letter.isalpha() for letter in cell) for cell in column) > len(column) / 2
    ]
    if not worded:  # classes alone
        worded = [name for name in filled if name.lower() in _OWN_NAMES["label"] and filled[name]]
    return sorted(worded, key=rank)


def _look_for_files(found: GuessedColumns, media: dict[str, list[str]], root: Path) -> None:
    for name, column in media.items():
        tried = column[:_TRIED]
        there = sum(_is_there(root, cell) for cell in tried)
        if not there:
            found.missing.append(
                f"the files of column {name}: {tried[0]!r} is not in {root}; paths are relative "
                f"to the table's folder"
            )
        elif there < len(tried):
            found.unsure.append(
                f"{len(tried) - there} of the first {len(tried)} files of column {name} are missing"
            )


def _is_there(root: Path, name: str) -> bool:
    try:
        return (root / name.strip()).is_file()
    except (OSError, ValueError):
        return False


def _own_column(
    found: GuessedColumns, ours: str, names: tuple[str, ...], cells: Cells, chosen: list[str]
) -> None:
    """Take a column for id, group, split or label, where its name and its cells both say so."""
    lower = {name.lower(): name for name in reversed(cells) if name not in chosen}
    theirs = next((lower[name] for name in names if name in lower), None)
    if theirs is None:
        return
    given = [cell.strip() for cell in cells[theirs] if cell and cell.strip()]
    if not given:
        return
    if ours == "id" and len(set(given)) < len(cells[theirs]):
        if theirs == "id":
            found.missing.append("a column of unique ids: id has the same cell twice, or none")
        return
    unknown = [cell for cell in given if part_of(cell, {}) is None]
    if ours == "split" and unknown:
        found.unsure.append(f"column {theirs} holds {unknown[0]!r}, which is no known split")
        if theirs != "split":
            return
    found.mapping.update({ours: theirs} if ours != theirs else {})
    found.why.append(f"column {theirs} is the {ours}, such as {given[0][:40]!r}")


def view_name(name: str) -> str:
    """A name for a view from the name of a column or a file."""
    plain = "".join(letter if letter.isalnum() else "_" for letter in name)
    usable = plain.isidentifier() and plain not in RESERVED_COLUMNS
    return plain if usable else f"view_{plain}"
