"""Reader `webdataset`: tar shards whose members of one key belong together; nothing is unpacked."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import PurePath

from csa.datasets.containers import Member, tar_members
from csa.datasets.reading import Reading
from csa.datasets.rows import ItemError, RawPair, as_text, decode_bytes
from csa.datasets.tables import dig
from csa.errors import DataError
from csa.modalities.registry import MODALITIES
from csa.storage.files import open_item, plain_words

_LABELS = frozenset({"cls"})


def read_webdataset(reading: Reading) -> None:
    """Read uncompressed .tar shards in dataset.path, in order of their names.

    A member's key is its path up to the first dot of its name; the rest is its ending. A view takes
    the members with an ending of its modality (image: jpg, png, ...; audio: wav, flac, mp3, ...;
    text: txt; series: npy, csv; lidar: bin), or the one that `dataset.columns` names for it, such
    as `text: json.caption` for the field caption of the member json. `cls` members, or `label:
    json.FIELD`, give the label. The pair's id is SHARD/KEY, and a value is SHARD.tar!MEMBER. A text
    member of several lines is several captions where all of them have the same number of lines, as
    in the shards of retrieval benchmarks. Shards in a folder called after a split, or whose names
    begin or end with one (train-0000.tar, mine-val-0000.tar), are in it; `dataset.held_out` picks
    between val and test.

    Raises:
        DataError: no shards, a shard that cannot be read, a shard of no known split beside others,
            or no member for a view.
    """
    shards = [name for name in reading.files if name.lower().endswith(".tar")]
    if not shards:
        raise DataError(
            f"{reading.path}: no shards; expected uncompressed .tar files in dataset.path"
        )
    for name, view in reading.views.items():
        if view.modality == "array":
            raise DataError(
                f"dataset.kind webdataset holds no arrays of features, which view {name!r} asks "
                f"for; use kind table"
            )
    parts = reading.parts_of_files(shards, "shard")
    roles = reading.roles(parts.values()) if parts else {}
    endings: Counter[str] = Counter()
    passed: list[str] = []
    for shard in shards:
        split = roles[parts[shard]] if parts else None
        if parts and split is None:
            rule = f"shards {reading.untouched(parts[shard]).what}"
            reading.pass_over(rule, [shard])
            passed.append(shard)
            continue
        endings.update(_read_shard(reading, shard, split))
    if passed:
        reading.notes.append(f"{len(passed)} shards were left untouched, such as {passed[0]}")
    _split_captions(reading)
    _check_views(reading, endings)


@dataclass
class _Sample:
    """The members of one key.

    Attributes:
        members: ending -> member.
        count: how many members there are; more than `members` where an ending came again.
        twice: the member whose ending came again.
        used: endings that a view or the label read.
        row: what was read; None where the sample was set aside.
    """

    members: dict[str, Member] = field(default_factory=dict)
    count: int = 0
    twice: str = ""
    used: set[str] = field(default_factory=set)
    row: RawPair | None = None


def _read_shard(reading: Reading, name: str, split: str | None) -> Counter[str]:
    """Read one shard; how many members of each ending there are."""
    path = reading.open(name)
    members = tar_members(path, name)
    samples: dict[str, _Sample] = {}
    unnamed = 0
    for member in members:
        folder, _, last = member.name.rpartition("/")
        stem, _, ending = last.partition(".")
        if not stem or not ending:
            unnamed += 1
            continue
        sample = samples.setdefault(f"{folder}/{stem}".lstrip("/"), _Sample())
        if ending.lower() in sample.members:
            sample.twice = member.name
        sample.members.setdefault(ending.lower(), member)
        sample.count += 1
    with open_item(path, name, "tar") as file:

        def read(member: Member) -> str:
            file.seek(member.offset)
            try:
                return decode_bytes(file.read(member.size), f"{name}!{member.name}")
            except DataError as error:
                raise ItemError(str(error)) from None

        def pair(place: str, record: tuple[str, _Sample]) -> list[RawPair]:
            key, sample = record
            if sample.twice:
                raise ItemError(
                    f"the key {key!r} is there twice in {name} ({sample.twice}), so its members "
                    f"cannot be told apart; give every sample a key of its own"
                )
            sample.row = _pair(reading, name, (place, key, split), sample, read)
            return [sample.row]

        reading.take(
            "samples", ((f"{key} of {name}", (key, one)) for key, one in samples.items()), pair
        )
    _count_members(reading, samples.values(), unnamed)
    return Counter(ending for sample in samples.values() for ending in sample.members)


def _count_members(reading: Reading, samples: Iterable[_Sample], unnamed: int) -> None:
    """Count the members: those that were read have the fate of their sample."""
    over: Counter[str] = Counter()
    aside = 0
    for sample in samples:
        if sample.row is None:
            aside += sample.count
            continue
        reading.records.belong("members", sample.row, len(sample.used))
        unused = sample.members.keys() - sample.used
        over.update(f"members ending .{ending}, which no view reads" for ending in unused)
    if unnamed:
        over["members without a key and an ending"] = unnamed
    reading.count("members", over, aside)


def _pair(
    reading: Reading,
    name: str,
    where: tuple[str, str, str | None],
    sample: _Sample,
    read: Callable[[Member], str],
) -> RawPair:
    place, key, split = where
    columns = reading.params.columns
    values: dict[str, str | None] = {}
    for view, settings in reading.views.items():
        asked, usual = columns.get(view), MODALITIES[settings.modality].endings
        if settings.modality == "text":
            values[view] = _text(sample, asked, usual, read, place)
            continue
        found = [asked] if asked else sorted(usual & sample.members.keys())
        values[view] = None
        if found and found[0] in sample.members:
            sample.used.add(found[0])
            values[view] = f"{name}!{sample.members[found[0]].name}"
    label = _text(sample, columns.get("label"), _LABELS, read, place)
    pair_id = f"{PurePath(name).with_suffix('')}/{key}"
    return RawPair(place, pair_id, values, None, split, label)


def _text(
    sample: _Sample,
    asked: str | None,
    usual: frozenset[str],
    read: Callable[[Member], str],
    place: str,
) -> str | None:
    """A member's text, or a field of its JSON where `asked` is ENDING.FIELD."""
    found = asked or next(iter(sorted(usual & sample.members.keys())), None)
    if found is None:
        return None
    if found in sample.members:
        sample.used.add(found)
        return read(sample.members[found])
    ending, _, field_name = found.partition(".")
    if not field_name or ending not in sample.members:
        return None
    sample.used.add(ending)
    try:
        content = json.loads(read(sample.members[ending]))
    except (ValueError, RecursionError, MemoryError) as error:
        raise ItemError(f"{place}: member {ending} is not JSON ({plain_words(error)})") from None
    if not isinstance(content, dict):
        raise ItemError(f"{place}: member {ending} is no JSON object; correct dataset.columns")
    cell = content.get(field_name, dig(content, field_name.split(".")))
    return as_text(cell, f"{place}: {found}")


def _split_captions(reading: Reading) -> None:
    """Make several pairs of a text of several lines, where all texts have the same number."""
    views = [
        view
        for view, settings in reading.views.items()
        if settings.modality == "text" and view not in reading.params.columns
    ]
    if len(views) != 1 or not reading.rows:
        return
    lines = [
        [line.strip() for line in (row.values[views[0]] or "").splitlines() if line.strip()]
        for row in reading.rows
    ]
    counts = {len(found) for found in lines}
    several = sum(len(found) > 1 for found in lines)
    if len(counts) > 1 or several < 3:
        if several:
            reading.notes.append(f"{several} texts have several lines; each is read as one text")
        return
    reading.notes.append(
        f"every text has {len(lines[0])} lines, so each line is read as a caption of its own"
    )
    reading.rows[:] = [
        RawPair(
            row.place,
            f"{row.pair_id}#{k}",
            {**row.values, views[0]: line},
            row.group,
            row.split,
            row.label,
            record=row.record,
        )
        for row, found in zip(reading.rows, lines, strict=True)
        for k, line in enumerate(found)
    ]


def _check_views(reading: Reading, endings: Counter[str]) -> None:
    for name in reading.views:
        if reading.rows and not any(row.values[name] for row in reading.rows):
            dotted = next((ending for ending in endings if "." in ending), None)
            dots = (
                f"; a key ends at the first dot, so one ending is {dotted!r}: are there dots in "
                f"the keys? Rename the members"
                if dotted and name not in reading.params.columns
                else ""
            )
            raise DataError(
                f"{reading.path}: no member of the shards is for view {name!r}; name its ending in "
                f"dataset.columns{dots}"
            )
