"""Parquet files as the Hugging Face hub has them (data/train-00000-of-00002.parquet), with items
inside their cells.
"""

import json
from contextlib import suppress
from pathlib import PurePath
from typing import Any

from csa.datasets.containers import inside
from csa.datasets.parquet import ParquetFile
from csa.datasets.readers.hub_rows import (
    MEDIA,
    media_cells,
    media_fields,
    part_of_features,
    take_rows,
)
from csa.datasets.reading import Reading
from csa.datasets.splits import Part as PartName
from csa.datasets.splits import part_in
from csa.errors import DataError
from csa.modalities.registry import names_a_file

ENDING = ".parquet"


class ParquetCells:
    """One Parquet file as `Cells`.

    Args:
        reading: of the data set.
        name: of the file in it.

    Raises:
        DataError: it cannot be read.
    """

    def __init__(self, reading: Reading, name: str):
        self._file = ParquetFile(reading.open(name), name)
        self.name, self.names, self.height = name, self._file.names, self._file.height
        self.schema = self._file.schema

    def cells(self, column: str) -> list[Any]:
        """See `Cells.cells`."""
        return list(self._file.read([column]).column(0).to_pylist())

    def media(self, column: str) -> list[str | bool | None]:
        """See `Cells.media`; a row group that says that it lacks nothing is not read."""
        fields = media_fields(self.schema.field(column).type, column)
        leaf = f"{column}.bytes" if fields else column
        found: list[str | bool | None] = []
        for group, height in enumerate(self._file.groups):
            if fields != {"path"} and self._file.nulls(leaf, group) == 0:
                found += [True] * height
            else:
                found += media_cells(self._file.read([column], group).column(0), column)
        return found


def read_hub_parquet(reading: Reading) -> None:
    """Read every Parquet file of the folder; the split is in the names of files or folders.

    Raises:
        DataError: two configurations, an unknown split beside known ones, files whose columns
            differ, or no column for a view.
    """
    files = [name for name in reading.files if name.lower().endswith(ENDING)]
    _one_configuration(reading, files)
    parts = reading.parts_of_files(files, "file")
    roles = reading.roles(parts.values())
    names: list[str] = []
    before: dict[str | None, int] = {}
    for name in files:
        part = parts.get(name)
        if part is not None and roles[part] is None:
            _pass_over(reading, name, part)
            continue
        file = ParquetCells(reading, name)
        names = names or file.names
        if sorted(names) != sorted(file.names):
            raise DataError(
                f"{name}: its columns ({', '.join(file.names)}) are not those of the files before "
                f"it ({', '.join(names)}); move files of another kind out of the folder"
            )
        described = (part, roles[part] if part else None)
        whole = part_of_features(reading, described, features_of(file.schema), "the Parquet files")
        start = before.get(part, 0)
        take_rows(reading, whole, file, range(file.height), start)
        before[part] = start + file.height
    reading.say_untouched("rows")


def _pass_over(reading: Reading, name: str, part: PartName) -> None:
    """Leave a file of a part untouched; its rows are counted."""
    rule = reading.untouched(part).what
    height = ParquetFile(inside(reading.root, name), name).height
    reading.pass_over(f"files {rule}", [name])
    reading.count("rows", {f"rows {rule}": height} if height else {})


def _one_configuration(reading: Reading, files: list[str]) -> None:
    """Refuse folders that hold a data set each."""
    mapping = reading.params.splits
    homes = dict.fromkeys(
        "/".join(one for one in PurePath(name).parts[:-1] if part_in(one, mapping) is None)
        for name in files
    )
    if len(homes) > 1:
        first, second = (home or "." for home in list(homes)[:2])
        raise DataError(
            f"{reading.path}: Parquet files in {first}/ and in {second}/, which are perhaps two "
            f"configurations; set dataset.path to one of them"
        )


def features_of(schema: Any) -> dict[str, Any]:
    """Column -> its feature, as the library datasets wrote it into the file, else by its type.

    Args:
        schema: a pyarrow Schema.

    Returns:
        Features of all columns, in order.
    """
    written: Any = {}
    with suppress(KeyError, ValueError, TypeError, RecursionError):
        written = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    written = written if isinstance(written, dict) else {}
    return {
        name: written.get(name) or _guessed(name, schema.field(name).type) for name in schema.names
    }


def _guessed(name: str, kind: Any) -> dict[str, Any]:
    from pyarrow import types

    if types.is_struct(kind) and {"bytes", "path"} <= {field.name for field in kind}:
        return {"_type": MEDIA}
    if types.is_binary(kind) or types.is_large_binary(kind):
        return {"_type": MEDIA} if names_a_file(f"x.{name}") else {}
    if types.is_list(kind) or types.is_large_list(kind):
        return {"_type": "List", "feature": _guessed("", kind.value_type)}
    text = types.is_string(kind) or types.is_large_string(kind)
    return {"_type": "Value", "dtype": "string" if text else str(kind)}
