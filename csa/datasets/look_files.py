"""Layouts of files that hold many items each: tables, shards, Arrow files, files of features."""

import json
import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from csa.datasets.columns import guess_columns, view_name
from csa.datasets.containers import tar_members
from csa.datasets.glance import Glance, Look
from csa.datasets.parquet import ParquetFile
from csa.datasets.readers.hub_parquet import features_of
from csa.datasets.readers.hub_rows import MEDIA
from csa.datasets.readers.webdataset import CLASSES
from csa.datasets.splits import part_in
from csa.datasets.table_parts import tables_of_folder, tables_of_metadata
from csa.datasets.tables import TABLE_ENDINGS, read_cells
from csa.errors import DataError
from csa.modalities.registry import MODALITIES, modality_of, names_a_file
from csa.params.views import Modality

_ROWS = 200
_FEATURES = (".npy", ".npz", ".safetensors", ".parquet")
_PART = re.compile(r"\d")
_CLIP_RETRIEVAL = {"img": "image", "text": "text"}
"""Folder of features, without _emb -> name of its view."""
_NO_DATA = ("readme", "license", "licence", "attribution", "params", "classes")


def _table(glance: Glance) -> Iterator[Look]:
    """Every table of the folder, the likeliest first; parts of one table before their parts."""
    tables = [
        name
        for name in glance.at_top(*TABLE_ENDINGS)
        if not PurePath(name).stem.lower().startswith(_NO_DATA) or name == glance.file
    ]
    tables.sort(key=lambda name: (PurePath(name).stem not in ("pairs", "metadata"), name))
    looks = list(_tables_in_parts(glance, tables))
    for place, name in enumerate(tables):
        look = Look("table", 20 + place)
        if len(tables) > 1:
            look.dataset["table"] = name
            look.unsure.append(f"there are {len(tables)} tables: {', '.join(tables[:5])}")
        looks.append(_look_at_table(glance, look, [name]))
    if not looks:
        items = [f"{len(names):,} files of {kind}" for kind, names in glance.by_modality.items()]
        missing = [f"a table ({', '.join(TABLE_ENDINGS)}) that names a text for each file"]
        looks.append(Look("table", 50, recognised=items, missing=missing))
    yield from looks


def _tables_in_parts(glance: Glance, tables: list[str]) -> Iterator[Look]:
    """Tables that are read as one: all at the top, of one folder, or a file in each folder."""
    here = tables_of_folder(glance.files, ".")
    if len(here) > 1 and set(here) == set(tables):
        known = [part_in(PurePath(name).name.partition(".")[0], {}) for name in here]
        if all(known) or all(_PART.search(name) for name in here):
            yield _look_at_table(glance, Look("table", 18, {"table": "."}), here)
    if tables or glance.file:
        return
    metadata = tables_of_metadata(glance.files)
    if metadata:
        yield _look_at_table(glance, Look("table", 18), metadata)
        return
    for folder in dict.fromkeys(name.split("/")[0] for name in glance.files if "/" in name):
        if parts := tables_of_folder(glance.files, folder):
            yield _look_at_table(glance, Look("table", 19, {"table": folder}), parts)


def _look_at_table(glance: Glance, look: Look, files: list[str]) -> Look:
    name = files[0]
    try:
        table = read_cells(glance.root / name, _ROWS)
        cells = {column: table.column(column) for column in table.columns}
    except DataError as error:
        look.missing.append(str(error))
        return look
    columns = guess_columns(cells, [glance.root, (glance.root / name).parent])
    shown = name if len(files) == 1 else f"each of {len(files)} files, such as {name},"
    look.recognised += [f"{shown} is a table with columns {', '.join(cells)}", *columns.why]
    look.unsure += columns.unsure
    look.missing += columns.missing
    look.views = columns.views
    if columns.mapping:
        look.dataset["columns"] = columns.mapping
    return look


def _webdataset(glance: Glance) -> Iterator[Look]:
    look = Look("webdataset", 8)
    shards = [name for name in glance.files if name.lower().endswith(".tar")]
    if shards:
        look.recognised.append(f"{len(shards):,} tar shards")
        try:
            members = tar_members(glance.root / shards[0], shards[0], 50)
        except DataError as error:
            look.missing.append(str(error))
            yield look
            return
        names = [member.name for member in members]
    else:
        look.weight = 22
        names = [name for name in glance.files if name.rpartition(".")[0] in _keys(glance)]
        look.needs(
            bool(names), f"{len(names):,} files that share a key", "uncompressed .tar shards"
        )
    endings = {PurePath(name).name.partition(".")[2].lower() for name in names}
    if names:
        _look_at_members(glance, look, endings)
    yield look


def _keys(glance: Glance) -> frozenset[str]:
    """Paths without endings of which there is an item and a text."""
    media = {name.rpartition(".")[0] for names in glance.by_modality.values() for name in names}
    texts = {name.rpartition(".")[0] for name in glance.files if name.lower().endswith(".txt")}
    return frozenset(media & texts)


def _look_at_members(glance: Glance, look: Look, endings: set[str]) -> None:
    media = sorted({modality_of(f"x.{end}") for end in endings if names_a_file(f"x.{end}")})
    text = endings & {"txt", "text", "caption"}
    classes = "cls" in endings and any(n.rpartition("/")[2] == CLASSES for n in glance.files)
    look.recognised.append(f"members ending {', '.join(sorted(endings))}")
    look.needs(bool(media), f"items of modality {', '.join(media)}", "members such as 0.jpg")
    first: Modality = "image" if "image" in media or not media else media[0]
    look.views = {first: first, "text": "text"}
    if not text and not classes and "json" in endings:
        look.unsure.append(
            "texts are perhaps a field of the member json: set dataset.columns, "
            "such as text: json.caption"
        )
    if classes and not text:
        look.unsure.append('the text of a class is "a photo of a CLASS" (dataset.template)')
    look.needs(
        bool(text or classes or "json" in endings),
        "texts",
        f"members of texts, such as 0.txt or 0.json, or {CLASSES} for those ending .cls",
    )


def _huggingface(glance: Glance) -> Iterator[Look]:
    look = Look("huggingface", 6)
    states = [name for name in glance.files if PurePath(name).name == "state.json"]
    files = [name for name in glance.files if name.lower().endswith(".parquet")]
    try:
        if states or not files:
            features = _saved_features(glance, look, states)
        else:
            features = features_of(ParquetFile(glance.root / files[0], files[0]).schema)
            if not any(_feature_kind(feature) in _MEDIA for feature in features.values()):
                return
            look.recognised.append(f"{len(files)} Parquet files with items in their cells")
    except (DataError, OSError, ValueError, AttributeError, RecursionError) as error:
        look.missing.append(f"its features cannot be read ({' '.join(str(error).split())[:80]})")
        yield look
        return
    if not look.missing:
        _look_at_features(look, features)
    yield look


def _saved_features(glance: Glance, look: Look, states: list[str]) -> dict[str, Any]:
    if not look.needs(
        bool(states) and states[0].count("/") <= 1,
        f"a data set that save_to_disk wrote, {len(states)} parts",
        "dataset_info.json and state.json, as save_to_disk writes them",
    ):
        return {}
    info = glance.root / PurePath(states[0]).parent / "dataset_info.json"
    return dict(json.loads(info.read_bytes()).get("features") or {})


def _look_at_features(look: Look, features: dict[str, Any]) -> None:
    kinds = {name: _feature_kind(feature) for name, feature in features.items()}
    media = [name for name, kind in kinds.items() if kind in _MEDIA]
    texts = [
        name
        for name, kind in kinds.items()
        if kind in ("text", "class") and name.lower() not in _NO_TEXTS
    ]
    texts.sort(key=lambda name: (not name.lower().startswith(_TEXTS), kinds[name], name))
    look.recognised.append(f"columns {', '.join(kinds)}")
    look.needs(bool(media), f"media in {media[:1]}", "a column of the feature Image or Audio")
    if not look.needs(bool(texts), f"texts in {texts[:1]}", "a column of texts"):
        return
    first = kinds[media[0]] if media else "image"
    first = "image" if first == MEDIA else first
    look.views = {first: first, "text": "text"}
    mapping = {first: media[0]} if len(media) > 1 else {}
    mapping |= {"text": texts[0]} if "text" not in kinds else {}
    look.dataset |= {"columns": mapping} if mapping else {}
    if len(texts) > 1:
        look.unsure.append(f"the text is column {texts[0]}; others: {', '.join(texts[1:])}")


_KIND_OF_FEATURE = {kind.feature: name for name, kind in MODALITIES.items() if kind.feature}
"""Hugging Face's name of a feature -> modality."""
_MEDIA = (*_KIND_OF_FEATURE.values(), MEDIA)
_TEXTS = ("text", "caption", "sentence", "description", "prompt")
_NO_TEXTS = ("id", "key", "uid", "url", "split", "filename", "file_name", "img_id", "image_id",
             "sentids", "sha256", "status", "md5", "exif", "error_message")  # fmt: skip


def _feature_kind(feature: Any) -> str:
    """A modality with a feature of its own, class, text, or "" for anything else."""
    if isinstance(feature, list) and len(feature) == 1:
        feature = feature[0]
    if not isinstance(feature, dict):
        return ""
    if feature.get("_type") in ("Sequence", "List", "LargeList"):
        return _feature_kind(feature.get("feature"))
    kinds = {**_KIND_OF_FEATURE, "ClassLabel": "class", MEDIA: MEDIA}
    text = "text" if feature.get("dtype") in ("string", "large_string") else ""
    return kinds.get(str(feature.get("_type")), text)


def _arrays(glance: Glance) -> Iterator[Look]:
    look = Look("arrays", 30)
    files = glance.at_top(*_FEATURES)
    parts = [name for name in _CLIP_RETRIEVAL if f"{name}_emb" in glance.folders]
    if len(parts) == len(_CLIP_RETRIEVAL):
        yield _clip_retrieval(glance, look)
        return
    if look.needs(
        len(files) == 2 and all(_may_be_features(glance, name) for name in files),
        f"two files of features, {' and '.join(files)}",
        f"two files of features ({', '.join(_FEATURES)}), there are {len(files)}",
    ):
        look.unsure.append("row i of one file is taken to belong to row i of the other")
        names = {name: view_name(PurePath(name).stem) for name in files}
        look.dataset["arrays"] = {view: name for name, view in names.items()}
        look.views = dict.fromkeys(names.values(), "array")
        columns = {
            name: f"{name}s.txt" if f"{name}s.txt" in glance.names else f"{name}.txt"
            for name in ("id", "group", "split", "label")
            if {f"{name}.txt", f"{name}s.txt"} & glance.names
        }
        if columns:
            look.dataset["columns"] = columns
            look.recognised.append(f"a line a row in {', '.join(columns.values())}")
    yield look


def _clip_retrieval(glance: Glance, look: Look) -> Look:
    """Folders of parts that clip-retrieval wrote, with the table that names their rows."""
    look.weight = 7
    look.recognised.append("parts of features in img_emb/ and text_emb/, as of clip-retrieval")
    look.dataset["arrays"] = {view: f"{name}_emb" for name, view in _CLIP_RETRIEVAL.items()}
    look.views = dict.fromkeys(_CLIP_RETRIEVAL.values(), "array")
    tables = tables_of_folder(glance.files, "metadata")
    if tables:
        look.kind = "table"
        look.dataset["table"] = "metadata"
        look.recognised.append(
            f"a row of {tables[0]} and of the tables like it belongs to each row of features"
        )
        names = read_cells(glance.root / tables[0], 1).columns
        look.dataset |= {"columns": {"id": "image_path"}} if "image_path" in names else {}
    return look


def _may_be_features(glance: Glance, name: str) -> bool:
    """Whether a Parquet file has a column of numbers or of lists; other files are believed."""
    if not name.lower().endswith(".parquet"):
        return True
    try:
        kinds = [str(one.type) for one in ParquetFile(glance.root / name, name).schema]
    except DataError:
        return False
    texts = sum(kind in ("string", "large_string") for kind in kinds)
    return texts <= 1 < len(kinds) or any("list" in kind for kind in kinds)


LOOKERS = (_table, _webdataset, _huggingface, _arrays)
"""Of a glance, each says what it found."""
