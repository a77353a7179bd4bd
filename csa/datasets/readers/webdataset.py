"""Reader `webdataset`: tar shards whose members of one key belong together; nothing is unpacked."""

import json
import re
from pathlib import Path, PurePath
from typing import Any

from csa.datasets.containers import tar_members
from csa.datasets.rows import SPLIT_NAMES, RawPair, Source, split_of
from csa.errors import DataError
from csa.modalities.registry import MODALITIES
from csa.params.data import DatasetParams
from csa.params.views import ViewParams

_SHARD_SPLIT = re.compile(r"[a-z]+")


def read_webdataset(params: DatasetParams, views: dict[str, ViewParams], path: Path) -> Source:
    """Read uncompressed .tar shards in dataset.path, in order of their names.

    A member's key is its path up to the first dot of its name; the rest is its ending. A view takes
    the members with an ending of its modality (image: jpg, png, ...; audio: wav, flac, mp3, ...;
    text: txt; series: npy, csv; lidar: bin), or the one that `dataset.columns` names for it, such
    as `text: json.caption` for the field caption of the member json. `cls` members, or `label:
    json.FIELD`, give the label. The pair's id is SHARD/KEY, and a value is SHARD.tar!MEMBER. Shards
    called after a split (train-0000.tar, val-0000.tar) are in it; `dataset.held_out` picks between
    val and test.

    Raises:
        DataError: no shards, a shard that cannot be read, or no member for a view.
    """
    shards = sorted(path.glob("**/*.tar"))
    if not shards:
        raise DataError(f"{path}: no shards; expected uncompressed .tar files in dataset.path")
    for name, view in views.items():
        if view.modality == "array":
            raise DataError(
                f"dataset.kind webdataset holds no arrays of features, which view {name!r} asks "
                f"for; use kind table"
            )
    rows: list[RawPair] = []
    splits = [_SHARD_SPLIT.match(shard.name.lower()) for shard in shards]
    given = [match[0] if match and match[0] in SPLIT_NAMES else None for match in splits]
    for shard, part in zip(shards, given, strict=True):
        split = split_of(part, params.held_out) if part and all(given) else None
        if part and all(given) and split is None:
            continue
        rows += _read_shard(shard, path, params, views, split)
    for name in views:
        if rows and not any(row.values[name] for row in rows):
            raise DataError(
                f"{path}: no member of the shards is for view {name!r}; name its ending in "
                f"dataset.columns"
            )
    return Source(rows)


def _read_shard(
    shard: Path, path: Path, params: DatasetParams, views: dict[str, ViewParams], split: str | None
) -> list[RawPair]:
    name = shard.relative_to(path).as_posix()
    members = tar_members(shard, name)
    samples: dict[str, dict[str, str]] = {}
    for member in members:
        folder, _, last = member.rpartition("/")
        stem, _, ending = last.partition(".")
        if stem and ending:
            samples.setdefault(f"{folder}/{stem}".lstrip("/"), {})[ending.lower()] = member
    rows = []
    with shard.open("rb") as file:

        def read(member: str) -> str:
            offset, size = members[member]
            file.seek(offset)
            try:
                return file.read(size).decode("utf-8-sig")
            except UnicodeDecodeError:
                raise DataError(f"{name}!{member}: not UTF-8; write the text as UTF-8") from None

        for key, endings in samples.items():
            place = f"{key} of {name}"
            values: dict[str, str | None] = {}
            for view, settings in views.items():
                asked = params.columns.get(view)
                if settings.modality == "text":
                    values[view] = _text(endings, asked, MODALITIES["text"].endings, read, place)
                else:
                    usual = MODALITIES[settings.modality].endings
                    found = [asked] if asked else sorted(usual & endings.keys())
                    values[view] = (
                        f"{name}!{endings[found[0]]}" if found and found[0] in endings else None
                    )
            label = _text(endings, params.columns.get("label"), frozenset({"cls"}), read, place)
            rows.append(
                RawPair(
                    place, f"{PurePath(name).with_suffix('')}/{key}", values, None, split, label
                )
            )
    return rows


def _text(
    endings: dict[str, str], asked: str | None, usual: frozenset[str], read: Any, place: str
) -> str | None:
    """A member's text, or a field of its JSON where `asked` is ENDING.FIELD."""
    found = [asked] if asked else sorted(usual & endings.keys())
    if not found:
        return None
    if found[0] in endings:
        text: str = read(endings[found[0]])
        return text
    ending, _, field = found[0].partition(".")
    if not field or ending not in endings:
        return None
    try:
        content = json.loads(read(endings[ending])).get(field)
    except (json.JSONDecodeError, AttributeError):
        raise DataError(
            f"{place}: member {ending} is no JSON object; correct dataset.columns"
        ) from None
    return None if content is None else str(content)
