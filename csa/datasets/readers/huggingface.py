"""Reader `huggingface`: a data set that `save_to_disk` of the library datasets wrote, read
through pyarrow alone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from csa.datasets.containers import read_arrow
from csa.datasets.reading import Reading
from csa.datasets.rows import RawPair, as_text, given, known, load_json
from csa.datasets.splits import Part
from csa.datasets.tables import dig
from csa.errors import DataError
from csa.modalities.registry import MODALITIES

_OWN = ("id", "group", "split", "label")


def read_huggingface(reading: Reading) -> None:
    """Read a saved Dataset or DatasetDict: Arrow files listed in state.json, features in
    dataset_info.json.

    A view's column is `dataset.columns`' or the one of its own name; else image and audio views
    take the one column with that feature. Media are cells {bytes, path}: embedded bytes are read
    from the Arrow file where they lie (value FILE.arrow!ROW/COLUMN), else the path inside
    dataset.path. A text column holds texts, lists of texts (one pair each), or class numbers, which
    become `dataset.template` with the class's name; COLUMN.FIELD names a field of a structure.
    `id`, `group`, `split` and `label` work as in a table; without them the id is SPLIT/ROW. In a
    DatasetDict, train is trained on and `dataset.held_out` picks between validation and test. Rows
    that were chosen by an index (select, filter, shuffle) are these alone, in its order.

    Raises:
        DataError: not such a folder, no such column, or a damaged file.
    """
    parts: list[str | None] = [None]
    if "dataset_dict.json" in reading.names:
        parts = list(_split_names(reading))
    if len(parts) == 1:
        _read_part(reading, parts[0], None)
        return
    of_part = {part: reading.part(part or "", f"dataset_dict.json, {part}") for part in parts}
    roles = reading.roles(of_part.values())
    for part, meant in of_part.items():
        if roles[meant] is None:
            _pass_over(reading, part or "", meant)
        else:
            _read_part(reading, part, roles[meant])


def _pass_over(reading: Reading, name: str, part: Part) -> None:
    """Leave a part untouched; what it holds is counted."""
    rule = reading.untouched(part).what
    reading.pass_over(f"files of {name}/, {rule}", reading.below(name))
    if part == "none":
        reading.notes.append(f"{name}/ is not read: dataset.splits says none of it")
        return
    scratch = Reading(reading.params, reading.views, reading.path)
    _read_part(scratch, name, None)
    rows = scratch.records.tally("rows").total
    reading.count("rows", {f"rows {rule}": rows} if rows else {})
    reading.notes.append(
        f"{len(scratch.rows)} pairs were left untouched: they are of neither train nor "
        f"{reading.params.held_out} (dataset.held_out)"
    )


def _split_names(reading: Reading) -> Iterator[str]:
    content = load_json(reading.open("dataset_dict.json"))
    names = content.get("splits") if isinstance(content, dict) else None
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise DataError(
            f"{reading.opened}: no list 'splits' of names; write the data set again with "
            f"save_to_disk"
        )
    yield from names


@dataclass(frozen=True)
class _Part:
    """One saved Dataset.

    Args:
        name: of its split; None where it is the whole data set.
        split: ours, or None.
        features: column -> its feature, as dataset_info.json has them.
        columns: view -> column.
        own: id, group, split, label -> column.
    """

    name: str | None
    split: str | None
    features: dict[str, Any]
    columns: dict[str, str]
    own: dict[str, str]


def _read_part(reading: Reading, name: str | None, split: str | None) -> None:
    folder = f"{name}/" if name else ""
    for needed in ("state.json", "dataset_info.json"):
        if f"{folder}{needed}" not in reading.names:
            raise DataError(
                f"{reading.path / folder}: no state.json and dataset_info.json; expected a data "
                f"set that save_to_disk wrote"
            )
    info = load_json(reading.open(f"{folder}dataset_info.json"))
    features = (info.get("features") if isinstance(info, dict) else None) or {}
    if not isinstance(features, dict):
        raise DataError(f"{reading.opened}: its features are no object; write the data set again")
    columns = {view: _column(reading, view, features, folder) for view in reading.views}
    own = {ours: reading.params.columns.get(ours, ours) for ours in _OWN}
    part = _Part(name, split, features, columns, own)
    state = load_json(reading.open(f"{folder}state.json"))
    chosen = _indices(reading, state, folder)
    reading.use_columns(
        f"{folder or 'the data set'}",
        [*columns.values(), *(column for column in own.values() if column in features)],
        features,
    )
    start = 0
    for file in _arrow_files(state, "_data_files", reading, folder):
        table = read_arrow(reading.open(file), file)
        for column in columns.values():
            if column.partition(".")[0] not in table.column_names:
                raise DataError(f"{file}: no column {column!r}, which dataset_info.json names")
        rows: Iterable[int] = range(table.num_rows)
        if chosen is not None:
            rows = here = [row - start for row in chosen if 0 <= row - start < table.num_rows]
            unchosen = table.num_rows - len(set(here))
            if unchosen:
                reading.count("rows", {"rows that the saved index does not choose": unchosen})
        _take_rows(reading, part, (file, start), table, rows)
        start += table.num_rows


def _arrow_files(state: Any, key: str, reading: Reading, folder: str) -> list[str]:
    entries = state.get(key) if isinstance(state, dict) else None
    names = [one.get("filename") for one in entries or [] if isinstance(one, dict)]
    if not names or not all(isinstance(name, str) for name in names):
        raise DataError(
            f"{reading.path / folder}/state.json: lists no {key}; write the data set again"
        )
    return [f"{folder}{name}" for name in names]


def _indices(reading: Reading, state: Any, folder: str) -> list[int] | None:
    """The rows that a saved index chooses, counted over all files; None where there is none."""
    keys = ("_indices_data_files", "_indices_files")
    key = next((key for key in keys if isinstance(state, dict) and state.get(key)), None)
    if key is None:
        return None
    found: list[int] = []
    for file in _arrow_files(state, key, reading, folder):
        table = read_arrow(reading.open(file), file)
        if "indices" not in table.column_names:
            raise DataError(f"{file}: no column 'indices'; write the data set again")
        found += table.column("indices").to_pylist()
    return found


def _take_rows(
    reading: Reading, part: _Part, where: tuple[str, int], table: Any, rows: Iterable[int]
) -> None:
    """Take rows of one Arrow file; `where` is its name and how many rows the files before have."""
    file, before = where
    texts = {v: c for v, c in part.columns.items() if reading.views[v].modality == "text"}
    plain = [c for c in (*texts.values(), *part.own.values()) if _in(table, c)]
    cells = {column: _cells(table, column) for column in dict.fromkeys(plain)}

    def pairs(place: str, row: int) -> list[RawPair]:
        fixed = {
            view: _media(reading, table, column, (file, row, place))
            for view, column in part.columns.items()
            if view not in texts
        }
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

    reading.take("rows", ((f"row {row} of {file}", row) for row in rows), pairs)


def _in(table: Any, column: str) -> bool:
    return column in table.column_names or column.partition(".")[0] in table.column_names


def _cells(table: Any, column: str) -> list[Any]:
    if column in table.column_names:
        return list(table.column(column).to_pylist())
    top, *fields = column.split(".")
    return [dig(cell, fields) for cell in table.column(top).to_pylist()]


def _column(reading: Reading, name: str, features: dict[str, Any], folder: str) -> str:
    columns = reading.params.columns
    asked = columns.get(name, name)
    if asked in features or (name in columns and asked.partition(".")[0] in features):
        return asked
    kind = MODALITIES[reading.views[name].modality].feature
    found = [column for column, feature in features.items() if kind and _kind(feature) == kind]
    if len(found) == 1 and name not in columns:
        return found[0]
    raise DataError(
        f"{reading.path / folder}: no column {asked!r} for view {name!r}; the columns are "
        f"{', '.join(features)}. Map it in dataset.columns"
    )


def _kind(feature: Any) -> str:
    return str(feature.get("_type", "")) if isinstance(feature, dict) else ""


def _media(reading: Reading, table: Any, column: str, where: tuple[str, int, str]) -> str | None:
    """The value of a cell {bytes, path}; the bytes themselves are not touched."""
    import pyarrow as pa

    file, row, place = where
    kind = table.schema.field(column).type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return f"{file}!{row}/{column}"
    fields = (
        {kind.field(i).name for i in range(kind.num_fields)} if pa.types.is_struct(kind) else ()
    )
    if not {"bytes", "path"} & set(fields):
        raise DataError(
            f"{place}: column {column!r} holds {kind}, which is no item of a file; map another "
            f"in dataset.columns"
        )
    cell = table.column(column)[row]
    if cell.is_valid and "bytes" in fields and cell["bytes"].is_valid:
        return f"{file}!{row}/{column}"
    path = cell["path"].as_py() if cell.is_valid and "path" in fields else None
    return reading.find(path) if isinstance(path, str) else None


def _names(feature: Any) -> list[str]:
    names = feature.get("names") if isinstance(feature, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else []


def _named(cell: Any, feature: Any) -> str | None:
    """A cell as text; a class number becomes the class's name."""
    names = _names(feature) if _kind(feature) == "ClassLabel" else []
    if isinstance(cell, int) and 0 <= cell < len(names):
        return names[cell]
    return as_text(cell, "a cell")


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
        if _kind(features.get(column)) == "ClassLabel":
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
