"""Reader `huggingface`: a data set that `save_to_disk` of the library datasets wrote, or Parquet
files of the hub, read through pyarrow alone.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from csa.datasets.containers import read_arrow
from csa.datasets.readers.hub_parquet import ENDING, read_hub_parquet
from csa.datasets.readers.hub_rows import media_cells, part_of_features, take_rows
from csa.datasets.reading import Reading
from csa.datasets.rows import load_json
from csa.datasets.splits import Part, telling
from csa.errors import DataError


class ArrowCells:
    """One Arrow file as `Cells`.

    Args:
        table: a pyarrow Table that was validated.
        name: of the file.
    """

    def __init__(self, table: Any, name: str):
        self._table, self.name = table, name
        self.names, self.height = list(table.column_names), int(table.num_rows)

    def cells(self, column: str) -> list[Any]:
        """See `Cells.cells`."""
        return list(self._table.column(column).to_pylist())

    def media(self, column: str) -> list[str | bool | None]:
        """See `Cells.media`."""
        return media_cells(self._table.column(column), column)


def read_huggingface(reading: Reading) -> None:
    """Read a saved Dataset or DatasetDict: Arrow files listed in state.json, features in
    dataset_info.json. Or Parquet files of the hub (data/train-00000-of-00002.parquet), whose split
    is in their names.

    A view's column is `dataset.columns`' or the one of its own name; else image and audio views
    take the one column with that feature. Media are cells {bytes, path}: embedded bytes are read
    from their file where they lie (value FILE.arrow!ROW/COLUMN), else the path inside
    dataset.path. A text column holds texts, lists of texts (one pair each), or class numbers, which
    become `dataset.template` with the class's name; COLUMN.FIELD names a field of a structure.
    `id`, `group`, `split` and `label` work as in a table; without them the id is SPLIT/ROW. In a
    DatasetDict, train is trained on and `dataset.held_out` picks between validation and test. Rows
    that were chosen by an index (select, filter, shuffle) are these alone, in its order.

    Raises:
        DataError: not such a folder, no such column, or a damaged file.
    """
    if not {"dataset_dict.json", "state.json"} & reading.names and any(
        name.lower().endswith(ENDING) for name in reading.files
    ):
        read_hub_parquet(reading)
        return
    parts = list(_split_names(reading)) if "dataset_dict.json" in reading.names else []
    if len(parts) < 2:
        _read_part(reading, parts[0] if parts else None, None)
        return
    of_part = telling({part: reading.part(part, f"dataset_dict.json, {part}") for part in parts})
    roles = reading.roles(of_part.values())
    for name in parts:
        part = of_part.get(name)
        if part and roles[part] is None:
            _pass_over(reading, name, part)
        else:
            _read_part(reading, name, roles[part] if part else None)


def _pass_over(reading: Reading, name: str, part: Part) -> None:
    """Leave a part untouched; what it holds is counted."""
    rule = reading.untouched(part).what
    reading.pass_over(f"files of {name}/, {rule}", reading.below(name))
    if part == "none":
        reading.notes.append(f"{name}/ is not read: dataset.splits sets it to none")
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


def _read_part(reading: Reading, name: str | None, split: str | None) -> None:
    folder = f"{name}/" if name else ""
    for needed in ("state.json", "dataset_info.json"):
        if f"{folder}{needed}" not in reading.names:
            raise DataError(
                f"{reading.path / folder}: no state.json and dataset_info.json; expected a data "
                f"set that save_to_disk wrote, or Parquet files of the hub"
            )
    info = load_json(reading.open(f"{folder}dataset_info.json"))
    features = (info.get("features") if isinstance(info, dict) else None) or {}
    if not isinstance(features, dict):
        raise DataError(
            f"{reading.opened}: its features are not a JSON object; write the data set again"
        )
    part = part_of_features(reading, (name, split), features, folder or "the data set")
    state = load_json(reading.open(f"{folder}state.json"))
    chosen = _indices(reading, state, folder)
    start = 0
    for file in _arrow_files(state, "_data_files", reading, folder):
        table = read_arrow(reading.open(file), file)
        for column in part.columns.values():
            if column.partition(".")[0] not in table.column_names:
                raise DataError(f"{file}: no column {column!r}, which dataset_info.json names")
        rows: Iterable[int] = range(table.num_rows)
        if chosen is not None:
            rows = here = [row - start for row in chosen if 0 <= row - start < table.num_rows]
            unchosen = table.num_rows - len(set(here))
            if unchosen:
                reading.count("rows", {"rows that the saved index does not choose": unchosen})
        take_rows(reading, part, ArrowCells(table, file), rows, start)
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
    """The rows that a saved index chooses, counted over all files; None if there is none."""
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
