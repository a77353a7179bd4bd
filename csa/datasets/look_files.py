"""Layouts of files that hold many items each: tables, shards, Arrow files, files of features."""

import json
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from csa.datasets.columns import guess_columns, view_name
from csa.datasets.containers import tar_members
from csa.datasets.glance import Glance, Look
from csa.datasets.tables import TABLE_ENDINGS, read_cells
from csa.errors import DataError
from csa.modalities.registry import MODALITIES, modality_of, names_a_file
from csa.params.views import Modality

_ROWS = 200
_FEATURES = (".npy", ".npz", ".safetensors", ".parquet")
_NO_DATA = ("readme", "license", "licence", "attribution", "params", "classes")


def _table(glance: Glance) -> Iterator[Look]:
    """Every table of the folder, the likeliest first."""
    tables = [
        name
        for name in glance.at_top(*TABLE_ENDINGS)
        if not PurePath(name).stem.lower().startswith(_NO_DATA) or name == glance.file
    ]
    if not tables:
        items = [f"{len(names):,} files of {kind}" for kind, names in glance.by_modality.items()]
        missing = [f"a table ({', '.join(TABLE_ENDINGS)}) that names a text for each file"]
        yield Look("table", 50, recognised=items, missing=missing)
    tables.sort(key=lambda name: (PurePath(name).stem not in ("pairs", "metadata"), name))
    for place, name in enumerate(tables):
        look = Look("table", 20 + place)
        if len(tables) > 1:
            look.dataset["table"] = name
            look.unsure.append(f"there are {len(tables)} tables: {', '.join(tables[:5])}")
        try:
            table = read_cells(glance.root / name, _ROWS)
            cells = {column: table.column(column) for column in table.columns}
        except DataError as error:
            look.missing.append(str(error))
            yield look
            continue
        columns = guess_columns(cells, glance.root)
        look.recognised += [f"{name} is a table with columns {', '.join(cells)}", *columns.why]
        look.unsure += columns.unsure
        look.missing += columns.missing
        look.views = columns.views
        if columns.mapping:
            look.dataset["columns"] = columns.mapping
        yield look


def _webdataset(glance: Glance) -> Iterator[Look]:
    look = Look("webdataset", 8)
    shards = [name for name in glance.files if name.lower().endswith(".tar")]
    if not look.needs(bool(shards), f"{len(shards):,} tar shards", "uncompressed .tar shards"):
        yield look
        return
    try:
        members = tar_members(glance.root / shards[0], shards[0], 50)
    except DataError as error:
        look.missing.append(str(error))
        yield look
        return
    endings = {PurePath(member.name).name.partition(".")[2].lower() for member in members}
    media = sorted({modality_of(f"x.{end}") for end in endings if names_a_file(f"x.{end}")})
    text = endings & {"txt", "text", "caption"}
    look.recognised.append(f"members ending {', '.join(sorted(endings))}")
    look.needs(bool(media), f"items of modality {', '.join(media)}", "members such as 0.jpg")
    first: Modality = "image" if "image" in media or not media else media[0]
    look.views = {first: first, "text": "text"}
    if not text and "json" in endings:
        look.unsure.append(
            "texts are perhaps a field of the member json: set dataset.columns, "
            "such as text: json.caption"
        )
    look.needs(
        bool(text or "json" in endings), "texts", "members of texts, such as 0.txt or 0.json"
    )
    yield look


def _huggingface(glance: Glance) -> Iterator[Look]:
    look = Look("huggingface", 6)
    states = [name for name in glance.files if PurePath(name).name == "state.json"]
    if not look.needs(
        bool(states) and states[0].count("/") <= 1,
        f"a data set that save_to_disk wrote, {len(states)} parts",
        "dataset_info.json and state.json, as save_to_disk writes them",
    ):
        yield look
        return
    info = glance.root / PurePath(states[0]).parent / "dataset_info.json"
    try:
        features = json.loads(info.read_bytes()).get("features") or {}
        kinds = {name: _feature_kind(feature) for name, feature in features.items()}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        look.missing.append(f"{info.name} cannot be read ({' '.join(str(error).split())[:80]})")
        yield look
        return
    media = [name for name, kind in kinds.items() if kind in _KIND_OF_FEATURE.values()]
    texts = [name for name, kind in kinds.items() if kind in ("text", "class")]
    texts.sort(key=lambda name: (name not in ("text", "caption", "captions"), kinds[name]))
    look.recognised.append(f"columns {', '.join(kinds)}")
    look.needs(bool(media), f"media in {media[:1]}", "a column of the feature Image or Audio")
    if look.needs(bool(texts), f"texts in {texts[:1]}", "a column of texts"):
        first = kinds[media[0]] if media else "image"
        look.views = {first: first, "text": "text"}
        mapping = {first: media[0]} if len(media) > 1 else {}
        mapping |= {"text": texts[0]} if "text" not in kinds else {}
        look.dataset |= {"columns": mapping} if mapping else {}
        if len(texts) > 1:
            look.unsure.append(f"the text is column {texts[0]}; others: {', '.join(texts[1:])}")
    yield look


_KIND_OF_FEATURE = {kind.feature: name for name, kind in MODALITIES.items() if kind.feature}
"""Hugging Face's name of a feature -> modality."""


def _feature_kind(feature: Any) -> str:
    """A modality with a feature of its own, class, text, or "" for what is none of these."""
    if isinstance(feature, list) and len(feature) == 1:
        feature = feature[0]
    if not isinstance(feature, dict):
        return ""
    if feature.get("_type") in ("Sequence", "List", "LargeList"):
        return _feature_kind(feature.get("feature"))
    kinds = {**_KIND_OF_FEATURE, "ClassLabel": "class"}
    text = "text" if feature.get("dtype") in ("string", "large_string") else ""
    return kinds.get(str(feature.get("_type")), text)


def _arrays(glance: Glance) -> Iterator[Look]:
    look = Look("arrays", 30)
    files = glance.at_top(*_FEATURES)
    if look.needs(
        len(files) == 2,
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


LOOKERS = (_table, _webdataset, _huggingface, _arrays)
"""Of a glance, each says what it found."""
