"""Which column of a table is which: guessed from names and from the first cells."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from csa.datasets.rows import ItemError, as_text, is_address
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
_LONGEST_PATH = 1000
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


def guess_columns(cells: Cells, roots: list[Path]) -> GuessedColumns:
    """Guess the columns of two views, and of id, group, split and label.

    Args:
        cells: the first rows of a table.
        roots: folders that paths in it may be relative to.

    Returns:
        What was guessed.
    """
    cells = {name: [_text(cell) for cell in column] for name, column in cells.items()}
    filled = {name: [cell for cell in column if cell] for name, column in cells.items()}
    addresses = {name for name, column in filled.items() if _share(column, is_address)}
    media = {
        name: modality_of(column[0].strip())
        for name, column in filled.items()
        if name not in addresses and _share(column, _names_a_file)
    }
    texts = _texts(filled, {*media, *addresses})
    found = GuessedColumns({}, {})
    chosen = [*list(media)[:1], *texts][:2] if texts else list(media)[:2]
    if not media and addresses:
        found.missing.append(
            f"the files of column {min(addresses)}, which holds addresses on the web; name the "
            f"files in a column of their own if you have them, or fetch them, for example with "
            f"img2dataset, whose folders and shards are read (docs/how-to/addresses-in-a-table.md)"
        )
    elif len(chosen) < 2:
        found.missing.append(
            f"two columns to pair, such as image and text; of the columns "
            f"{', '.join(cells) or '(there are none)'}, "
            f"{f'only {chosen[0]} holds' if chosen else 'none holds'} files or texts"
        )
    for column in chosen:
        kind = media.get(column, "text")
        view = kind if kind not in found.views else view_name(column)
        found.views[view] = kind
        found.mapping.update({view: column} if view != column else {})
        found.why.append(f"column {column} is the {kind}, such as {filled[column][0][:40]!r}")
    _look_for_files(found, {name: filled[name] for name in chosen if name in media}, roots)
    others = [name for name in [*media, *texts] if name not in chosen]
    if others:
        found.unsure.append(f"columns that could be items too: {', '.join(others)}")
    for ours, names in _OWN_NAMES.items():
        _own_column(found, ours, names, cells, chosen)
    return found


def _text(cell: Any) -> str:
    """A cell as text; "" if nothing is there, or no text."""
    try:
        return (as_text(cell, "") or "").strip()
    except ItemError:
        return ""


def _share(column: list[str], is_one: Callable[[str], bool]) -> bool:
    """Whether nearly all cells of a column are such."""
    return bool(column) and sum(map(is_one, column)) >= _SURE_SHARE * len(column)


def _names_a_file(cell: str) -> bool:
    return len(cell) < _LONGEST_PATH and names_a_file(cell.strip())


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


def _look_for_files(found: GuessedColumns, media: dict[str, list[str]], roots: list[Path]) -> None:
    for name, column in media.items():
        tried = column[:_TRIED]
        there = sum(any(_is_there(root, cell) for root in roots) for cell in tried)
        if not there:
            found.missing.append(
                f"the files of column {name}: {tried[0]!r} is not in {roots[0]}; paths are "
                f"relative to the table's folder"
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
            found.missing.append(
                "a column of unique ids: two rows have the same id, or a row has none"
            )
        return
    unknown = [cell for cell in given if part_of(cell, {}) is None]
    if ours == "split" and unknown:
        found.unsure.append(f"column {theirs} holds {unknown[0]!r}, which is not a known split")
        if theirs != "split":
            return
    found.mapping.update({ours: theirs} if ours != theirs else {})
    found.why.append(f"column {theirs} is the {ours}, such as {given[0][:40]!r}")


def view_name(name: str) -> str:
    """A name for a view from the name of a column or a file."""
    plain = "".join(letter if letter.isalnum() else "_" for letter in name)
    usable = plain.isidentifier() and plain not in RESERVED_COLUMNS
    return plain if usable else f"view_{plain}"
