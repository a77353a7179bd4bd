"""Rows of a Hugging Face data set, whichever format its files have: what a cell of a feature
means.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from csa.datasets.reading import Reading
from csa.datasets.rows import ItemError, RawPair, as_text, given, known
from csa.datasets.tables import dig
from csa.errors import DataError
from csa.modalities.registry import MODALITIES

_OWN = ("id", "group", "split", "label")
MEDIA = "Media"
"""What a feature is called whose type alone says that it holds files."""


class Cells(Protocol):
    """One file of rows.

    Attributes:
        name: of the file.
        names: of its columns.
        height: how many rows it has.
    """

    name: str
    names: list[str]
    height: int

    def cells(self, column: str) -> list[Any]:
        """The cells of a column as Python has them."""
        ...

    def media(self, column: str) -> list[str | bool | None]:
        """Of each cell that holds an item: True where its bytes are here, else its path."""
        ...


@dataclass(frozen=True)
class Part:
    """The rows of one split.

    Args:
        name: of the split; None if it is the whole data set.
        split: ours, or None.
        features: column -> its feature, as the library datasets describes it.
        columns: view -> column.
        own: id, group, split, label -> column.
    """

    name: str | None
    split: str | None
    features: dict[str, Any]
    columns: dict[str, str]
    own: dict[str, str]


def part_of_features(
    reading: Reading, names: tuple[str | None, str | None], features: dict[str, Any], owner: str
) -> Part:
    """A part whose columns are looked up and said.

    Args:
        reading: of the data set.
        names: of the part, and of our split.
        features: column -> its feature.
        owner: of the columns, in errors and in the account.

    Returns:
        The part.

    Raises:
        DataError: a view without a column.
    """
    columns = {view: _column(reading, view, features, owner) for view in reading.views}
    own = {ours: reading.params.columns.get(ours, ours) for ours in _OWN}
    used = [*columns.values(), *(column for column in own.values() if column in features)]
    reading.use_columns(owner, used, features)
    return Part(*names, features, columns, own)


def media_cells(column: Any, name: str) -> list[str | bool | None]:
    """What the cells of a column hold: True where bytes are, else a path, or None.

    Args:
        column: a pyarrow ChunkedArray that was validated.
        name: of the column, for errors.

    Returns:
        A value a row; no byte of an item was read.

    Raises:
        DataError: the column holds no items.
    """
    from pyarrow import compute

    fields = media_fields(column.type, name)
    here = compute.struct_field(column, "bytes") if "bytes" in fields else column
    there = here.is_valid().to_pylist() if fields != {"path"} else [False] * len(column)
    if "path" not in fields:
        return [valid or None for valid in there]
    paths = compute.struct_field(column, "path").to_pylist()
    return [
        valid or (path if isinstance(path, str) else None)
        for valid, path in zip(there, paths, strict=True)
    ]


def media_fields(kind: Any, name: str) -> set[str]:
    """Which of bytes and path a column of items has.

    Args:
        kind: pyarrow type of the column.
        name: of the column, for errors.

    Returns:
        The fields; none where the cells are the bytes themselves.

    Raises:
        DataError: the column holds no items.
    """
    from pyarrow import types

    if types.is_binary(kind) or types.is_large_binary(kind):
        return set()
    names = {kind.field(i).name for i in range(kind.num_fields)} if types.is_struct(kind) else set()
    if not names & {"bytes", "path"}:
        raise DataError(
            f"column {name!r} holds {kind}, which cannot be read as an item; map another in "
            f"dataset.columns"
        )
    return names & {"bytes", "path"}


def take_rows(reading: Reading, part: Part, file: Cells, rows: Iterable[int], before: int) -> None:
    """Take rows of one file.

    Args:
        reading: of the data set.
        part: that the file belongs to.
        file: its cells.
        rows: which of them, counted in the file.
        before: how many rows the files before it have.
    """
    texts = {v: c for v, c in part.columns.items() if reading.views[v].modality == "text"}
    plain = [c for c in (*texts.values(), *part.own.values()) if _top(c, file.names)]
    cells = {column: _cells(file, column) for column in dict.fromkeys(plain)}
    media = {v: (c, file.media(c)) for v, c in part.columns.items() if v not in texts}

    def value(column: str, row: int, cell: str | bool | None) -> str | None:
        if cell is True:
            return f"{file.name}!{row}/{column}"
        return reading.find(cell) if isinstance(cell, str) else None

    def pairs(place: str, row: int) -> list[RawPair]:
        fixed = {view: value(column, row, found[row]) for view, (column, found) in media.items()}
        with known(fixed):
            own = {
                ours: _named(cells[theirs][row], part.features.get(theirs))
                for ours, theirs in part.own.items()
                if theirs in cells
            }
            found = _texts(reading, texts, cells, row, part.features)
        identity = own.get("id") or f"{part.name or 'all'}/{before + row}"
        return [
            RawPair(
                place,
                f"{identity}#{k}" if k else identity,
                {**fixed, **one},
                own.get("group"),
                own.get("split") or part.split,
                own.get("label"),
            )
            for k, one in enumerate(found)
        ]

    reading.take("rows", ((f"row {row} of {file.name}", row) for row in rows), pairs)


def _top(column: str, names: list[str]) -> bool:
    return column in names or column.partition(".")[0] in names


def _cells(file: Cells, column: str) -> list[Any]:
    if column in file.names:
        return file.cells(column)
    top, *fields = column.split(".")
    return [dig(cell, fields) for cell in file.cells(top)]


def _column(reading: Reading, name: str, features: dict[str, Any], owner: str) -> str:
    columns = reading.params.columns
    asked = columns.get(name, name)
    if asked in features or (name in columns and asked.partition(".")[0] in features):
        return asked
    kind = MODALITIES[reading.views[name].modality].feature
    found = [
        column for column, feature in features.items() if kind and kind_of(feature) in (kind, MEDIA)
    ]
    if len(found) == 1 and name not in columns:
        return found[0]
    raise DataError(
        f"{reading.path} ({owner}): no column {asked!r} for view {name!r}; the columns are "
        f"{', '.join(features)}. Map it in dataset.columns"
    )


def kind_of(feature: Any) -> str:
    """The name of a feature's type, such as Image; "" if it says none."""
    return str(feature.get("_type", "")) if isinstance(feature, dict) else ""


def _names(feature: Any) -> list[str]:
    names = feature.get("names") if isinstance(feature, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else []


def _named(cell: Any, feature: Any) -> str | None:
    """A cell as text; a class number becomes the class's name, and -1 says that there is none."""
    names = _names(feature) if kind_of(feature) == "ClassLabel" else []
    if not names or not isinstance(cell, int):
        return as_text(cell, "a cell")
    if not -1 <= cell < len(names):
        raise ItemError(
            f"class {cell} has no name, as the feature names {len(names)}; write the data set again"
        )
    return names[cell] if cell >= 0 else None


def _texts(
    reading: Reading,
    columns: dict[str, str],
    cells: dict[str, list[Any]],
    row: int,
    features: dict[str, Any],
) -> list[dict[str, str | None]]:
    """The texts of a row by view, once for each text of a list."""
    found: list[dict[str, str | None]] = [{}]
    for view, column in columns.items():
        cell = cells[column][row]
        if kind_of(features.get(column)) == "ClassLabel":
            label = _named(cell, features[column])
            template = reading.params.template
            texts = [None if label is None else template.replace("{label}", label)]
        elif isinstance(cell, list):
            if any(isinstance(one, dict | list) for one in cell):
                as_text(cell, repr(column))
            texts = [as_text(one, repr(column)) for one in cell if given(one) is not None]
        else:
            texts = [as_text(cell, repr(column))]
        found = [{**one, view: text} for one in found for text in texts]
    return found
