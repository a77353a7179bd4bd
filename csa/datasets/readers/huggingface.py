"""Reader `huggingface`: a data set that `save_to_disk` of the library datasets wrote, read
through pyarrow alone.
"""

from pathlib import Path
from typing import Any

from csa.datasets.containers import read_arrow
from csa.datasets.readers.captions import load_json, untouched_note
from csa.datasets.rows import RawPair, Source, split_of
from csa.errors import DataError
from csa.modalities.registry import MODALITIES
from csa.params.data import DatasetParams
from csa.params.views import ViewParams


def read_huggingface(params: DatasetParams, views: dict[str, ViewParams], path: Path) -> Source:
    """Read a saved Dataset or DatasetDict: Arrow files listed in state.json, features in
    dataset_info.json.

    A view's column is `dataset.columns`' or the one of its own name; else image and audio views
    take the one column with that feature. Media are cells {bytes, path}: embedded bytes are read
    from the Arrow file where they lie (value FILE.arrow!ROW/ COLUMN), else the path inside
    dataset.path. A text column holds texts, lists of texts (one pair each), or class numbers, which
    become `dataset.template` with the class's name. `id`, `group`, `split` and `label` work as in a
    table; without them the id is SPLIT/ROW. In a DatasetDict, train is trained on and
    `dataset.held_out` picks between validation and test.

    Raises:
        DataError: not such a folder, no such column, or a damaged file.
    """
    parts: list[str | None] = [None]
    if (path / "dataset_dict.json").is_file():
        parts = [str(name) for name in load_json(path / "dataset_dict.json").get("splits", [])]
    rows: list[RawPair] = []
    untouched = 0
    for part in parts:
        folder = path / part if part else path
        split = None if part is None or len(parts) == 1 else split_of(part, params.held_out)
        found = _read_part(folder, part, split, path, params, views)
        if part and len(parts) > 1 and split is None:
            untouched += len(found)
            continue
        rows += found
    return Source(rows, untouched_note(untouched, "pairs", params.held_out))


def _read_part(
    folder: Path,
    part: str | None,
    split: str | None,
    path: Path,
    params: DatasetParams,
    views: dict[str, ViewParams],
) -> list[RawPair]:
    if not (folder / "state.json").is_file() or not (folder / "dataset_info.json").is_file():
        raise DataError(
            f"{folder}: no state.json and dataset_info.json; expected a data set that "
            f"save_to_disk wrote"
        )
    features = load_json(folder / "dataset_info.json").get("features") or {}
    columns = {name: _column(name, view, params, features, folder) for name, view in views.items()}
    own = {name: params.columns.get(name, name) for name in ("id", "group", "split", "label")}
    rows: list[RawPair] = []
    try:
        files = [
            folder / entry["filename"] for entry in load_json(folder / "state.json")["_data_files"]
        ]
    except (KeyError, TypeError):
        raise DataError(
            f"{folder}/state.json: lists no _data_files; write the data set again"
        ) from None
    for file in files:
        name = file.relative_to(path).as_posix()
        table = read_arrow(file, name)
        texts = {view: column for view, column in columns.items() if views[view].modality == "text"}
        plain = [
            column for column in (*texts.values(), *own.values()) if column in table.column_names
        ]
        cells = {column: table.column(column).to_pylist() for column in dict.fromkeys(plain)}
        for i in range(table.num_rows):
            place = f"row {i} of {name}"
            fixed = {
                view: _media(table, columns[view], i, name, place, settings)
                for view, settings in views.items()
                if settings.modality != "text"
            }
            given = {
                ours: _named(cells[theirs][i], features.get(theirs))
                for ours, theirs in own.items()
                if theirs in cells
            }
            identity = given.get("id") or f"{part or 'all'}/{len(rows)}"
            for k, texts_of in enumerate(
                _texts(
                    {v: c for v, c in columns.items() if v not in fixed}, cells, i, features, params
                )
            ):
                rows.append(
                    RawPair(
                        place,
                        f"{identity}#{k}" if k else identity,
                        {**fixed, **texts_of},
                        given.get("group"),
                        given.get("split") or split,
                        given.get("label"),
                    )
                )
    return rows


def _column(
    name: str, view: ViewParams, params: DatasetParams, features: dict[str, Any], folder: Path
) -> str:
    asked = params.columns.get(name, name)
    if asked in features:
        return asked
    kind = MODALITIES[view.modality].feature
    found = [column for column, feature in features.items() if kind and _kind(feature) == kind]
    if len(found) == 1 and name not in params.columns:
        return found[0]
    raise DataError(
        f"{folder}: no column {asked!r} for view {name!r}; the columns are {', '.join(features)}. "
        f"Map it in dataset.columns"
    )


def _kind(feature: Any) -> str:
    return str(feature.get("_type", "")) if isinstance(feature, dict) else ""


def _media(
    table: Any, column: str, row: int, name: str, place: str, view: ViewParams
) -> str | None:
    """The value of a cell {bytes, path}; the bytes themselves are not touched."""
    import pyarrow as pa

    kind = table.schema.field(column).type
    if not pa.types.is_struct(kind):
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            return f"{name}!{row}/{column}"
        raise DataError(
            f"{place}: column {column!r} holds {kind}, which is no {view.modality}; map another "
            f"in dataset.columns"
        )
    cell = table.column(column)[row]
    if cell.is_valid and cell["bytes"].is_valid:
        return f"{name}!{row}/{column}"
    return cell["path"].as_py() if cell.is_valid else None


def _named(cell: Any, feature: Any) -> str | None:
    """A cell as text; a class number becomes the class's name."""
    if cell is None:
        return None
    if (
        _kind(feature) == "ClassLabel"
        and isinstance(cell, int)
        and 0 <= cell < len(feature["names"])
    ):
        return str(feature["names"][cell])
    return str(cell)


def _texts(
    columns: dict[str, str],
    cells: dict[str, list[Any]],
    row: int,
    features: dict[str, Any],
    params: DatasetParams,
) -> list[dict[str, str | None]]:
    """The texts of a row by view, once for each text of a list."""
    if not columns:
        return [{}]
    found: list[dict[str, str | None]] = [{}]
    for view, column in columns.items():
        cell = cells[column][row]
        if _kind(features.get(column)) == "ClassLabel":
            label = _named(cell, features[column])
            texts: list[str | None] = [
                None if label is None else params.template.replace("{label}", label)
            ]
        else:
            texts = [
                None if text is None else str(text)
                for text in (cell if isinstance(cell, list) else [cell])
            ]
        found = [{**one, view: text} for one in found for text in texts]
    return found
