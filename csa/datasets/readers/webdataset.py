"""Reader `webdataset`: shards whose members of one key belong together, as tars or as folders."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePath

from csa.datasets.containers import Member, tar_members
from csa.datasets.reading import Reading
from csa.datasets.rows import (
    ItemError,
    RawPair,
    as_text,
    decode_bytes,
    one_a_text,
    read_lines,
)
from csa.datasets.tables import dig
from csa.errors import DataError
from csa.modalities.registry import MODALITIES
from csa.storage.files import open_item, plain_words, read_whole, refuse_pointer

_LABELS = frozenset({"cls"})
CLASSES = "classnames.txt"
"""The names of classes, as CLIP_benchmark has them."""


def read_webdataset(reading: Reading) -> None:
    """Read uncompressed .tar shards in dataset.path, in order of their names; without a tar, the
    files themselves (img2dataset's `files`), each key with an item of a view.

    A member's key is its path up to the first dot of its name; the rest is its ending. A view takes
    the members with an ending of its modality (image: jpg, png, ...; audio: wav, flac, mp3, ...;
    text: txt; series: npy, csv; lidar: bin), or the one that `dataset.columns` names for it, such
    as `text: json.caption` for the field caption of the member json. `cls` members, or `label:
    json.FIELD`, give the label; a number is the class of that line of classnames.txt, and where
    there are no texts it is `dataset.template` with the class. The pair's id is SHARD/KEY, and a
    value is SHARD.tar!MEMBER. A text member of several lines is several captions where all of them
    have the same number of lines, as in the shards of retrieval benchmarks. Shards in a folder
    called after a split, or whose names
    begin or end with one (train-0000.tar, mine-val-0000.tar), are in it; `dataset.held_out` picks
    between val and test.

    Raises:
        DataError: no shards, a shard that cannot be read, a shard of no known split beside others,
            or no member for a view.
    """
    for name, view in reading.views.items():
        if view.modality == "array":
            raise DataError(
                f"dataset.kind webdataset holds no arrays of features, which view {name!r} asks "
                f"for; use kind table"
            )
    classes = _classes(reading)
    tars = [name for name in reading.files if name.lower().endswith(".tar")]
    shards = dict.fromkeys(tars) or _unpacked(reading)
    if not shards:
        raise DataError(
            f"{reading.path}: no shards; expected uncompressed .tar files in dataset.path, or "
            f"files of one key, such as 0.jpg and 0.txt"
        )
    parts = reading.parts_of_files(shards, "shard")
    roles = reading.roles(parts.values())
    endings: Counter[str] = Counter()
    passed: list[str] = []
    for name, files in shards.items():
        split = roles[parts[name]] if name in parts else None
        if name in parts and split is None:
            rule = f"shards {reading.untouched(parts[name]).what}"
            reading.pass_over(rule, [member.name for member in files or ()] or [name])
            passed.append(name)
            continue
        if files is None:
            endings.update(_read_tar(reading, name, split, classes))
        else:
            shard = Shard("", split, classes, partial(_read_file, reading))
            endings.update(_read_shard(reading, shard, files))
    if passed:
        reading.notes.append(f"{len(passed)} shards were left untouched, such as {passed[0]}")
    _split_captions(reading)
    _check_views(reading, endings)


@dataclass(frozen=True)
class Shard:
    """Where members lie.

    Attributes:
        name: of the tar; "" if the members are files of the data set.
        split: ours, or None.
        classes: names of classes in the order of their numbers.
        read: the text of a member.
    """

    name: str
    split: str | None
    classes: list[str]
    read: Callable[[Member], str]

    def value(self, member: Member) -> str:
        """A member as the pairs table names it."""
        return f"{self.name}!{member.name}" if self.name else member.name

    def pair_id(self, key: str) -> str:
        """The id of a pair."""
        return f"{PurePath(self.name).with_suffix('')}/{key}" if self.name else key


@dataclass
class _Sample:
    """The members of one key.

    Attributes:
        members: ending -> member.
        count: how many members there are; more than `members` where an ending came again.
        twice: the member whose ending came again.
        used: endings that a view or the label read.
        row: what was read; None if the sample was set aside.
    """

    members: dict[str, Member] = field(default_factory=dict)
    count: int = 0
    twice: str = ""
    used: set[str] = field(default_factory=set)
    row: RawPair | None = None


def _unpacked(reading: Reading) -> dict[str, list[Member]]:
    """The files of each folder whose key has an item of a view that is no text."""
    kinds = [view.modality for view in reading.views.values() if view.modality != "text"]
    media = frozenset[str]().union(*(MODALITIES[kind].endings for kind in kinds))
    keys: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for name in reading.files:
        folder, stem, ending = _parted(name)
        keys.setdefault((folder, stem), []).append((name, ending))
    found: dict[str, list[Member]] = {}
    for (folder, _), files in keys.items():
        if len(files) > 1 and any(ending in media for _, ending in files):
            members = [Member(name, 0, 0) for name, _ in files]
            found.setdefault(f"{folder}/" if folder else "", []).extend(members)
    return found


def _parted(name: str) -> tuple[str, str, str]:
    """Folder, key within it, and ending (lower case) of a member."""
    folder, _, last = name.rpartition("/")
    stem, _, ending = last.partition(".")
    return folder, stem, ending.lower()


def _classes(reading: Reading) -> list[str]:
    """The names of classes, a line each, as CLIP_benchmark has them."""
    found = [name for name in reading.files if PurePath(name).name == CLASSES]
    return [line.strip() for line in read_lines(reading.open(found[0]))] if found else []


def _read_file(reading: Reading, member: Member) -> str:
    try:
        return decode_bytes(read_whole(reading.open(member.name), member.name, "text"), member.name)
    except DataError as error:
        raise ItemError(str(error)) from None


def _read_tar(reading: Reading, name: str, split: str | None, classes: list[str]) -> Counter[str]:
    """Read one tar; how many members of each ending there are."""
    path = reading.open(name)
    members = tar_members(path, name)
    with open_item(path, name, "tar") as file:

        def read(member: Member) -> str:
            file.seek(member.offset)
            content, called = file.read(member.size), f"{name}!{member.name}"
            try:
                refuse_pointer(content, called, "text", name)
                return decode_bytes(content, called)
            except DataError as error:
                raise ItemError(str(error)) from None

        return _read_shard(reading, Shard(name, split, classes, read), members)


def _read_shard(reading: Reading, shard: Shard, members: Iterable[Member]) -> Counter[str]:
    """Read the samples of a shard; how many members of each ending there are."""
    samples: dict[str, _Sample] = {}
    unnamed = 0
    for member in members:
        folder, stem, ending = _parted(member.name)
        if not stem or not ending:
            unnamed += 1
            continue
        sample = samples.setdefault(f"{folder}/{stem}".lstrip("/"), _Sample())
        if ending in sample.members:
            sample.twice = member.name
        sample.members.setdefault(ending, member)
        sample.count += 1

    def pair(place: str, record: tuple[str, _Sample]) -> list[RawPair]:
        key, sample = record
        if sample.twice:
            raise ItemError(
                f"the key {key!r} is there twice in {shard.name or 'the folder'} "
                f"({sample.twice}), so its members cannot be told apart; give every sample a key "
                f"of its own"
            )
        sample.row = _pair(reading, shard, (place, key), sample)
        return [sample.row]

    end = f" of {shard.name}" if shard.name else ""
    reading.take("samples", ((f"{key}{end}", (key, one)) for key, one in samples.items()), pair)
    if shard.name:
        _count_members(reading, samples.values(), unnamed)
    else:
        _pass_over_files(reading, samples.values())
    return Counter(ending for sample in samples.values() for ending in sample.members)


def _pass_over_files(reading: Reading, samples: Iterable[_Sample]) -> None:
    """Leave out the files of samples that nothing reads."""
    for sample in samples:
        for ending in sample.members.keys() - sample.used if sample.row else ():
            rule = f"files ending .{ending} of samples, which no view reads"
            reading.pass_over(rule, [sample.members[ending].name])


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


def _pair(reading: Reading, shard: Shard, where: tuple[str, str], sample: _Sample) -> RawPair:
    place, key = where
    columns = reading.params.columns
    label = _text(sample, columns.get("label"), _LABELS, shard, place)
    label = _class_name(label, shard.classes, place)
    values: dict[str, str | None] = {}
    for view, settings in reading.views.items():
        asked, usual = columns.get(view), MODALITIES[settings.modality].endings
        if settings.modality == "text":
            values[view] = _text(sample, asked, usual, shard, place)
            if values[view] is None and not asked and shard.classes and label:
                values[view] = reading.params.template.replace("{label}", label)
            continue
        found = [asked] if asked else sorted(usual & sample.members.keys())
        values[view] = None
        if found and found[0] in sample.members:
            sample.used.add(found[0])
            values[view] = shard.value(sample.members[found[0]])
    return RawPair(place, shard.pair_id(key), values, None, shard.split, label)


def _class_name(label: str | None, classes: list[str], place: str) -> str | None:
    """The name of a class that may be given by its number; None if there is no label."""
    label = (label or "").strip()
    if not classes or not label.removeprefix("-").isdecimal():
        return label or None
    if len(label) > 9 or not 0 <= int(label) < len(classes):
        raise ItemError(
            f"{place}: class {label[:20]} has no line in {CLASSES}, which names {len(classes)}; "
            f"add its name, or drop the sample"
        )
    return classes[int(label)]


def _text(
    sample: _Sample, asked: str | None, usual: frozenset[str], shard: Shard, place: str
) -> str | None:
    """A member's text, or a field of its JSON where `asked` is ENDING.FIELD."""
    found = asked or next(iter(sorted(usual & sample.members.keys())), None)
    if found is None:
        return None
    if found in sample.members:
        sample.used.add(found)
        return shard.read(sample.members[found])
    ending, _, field_name = found.partition(".")
    if not field_name or ending not in sample.members:
        return None
    sample.used.add(ending)
    try:
        content = json.loads(shard.read(sample.members[ending]))
    except (ValueError, RecursionError, MemoryError) as error:
        raise ItemError(f"{place}: member {ending} is not JSON ({plain_words(error)})") from None
    if not isinstance(content, dict):
        raise ItemError(f"{place}: member {ending} is not a JSON object; correct dataset.columns")
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
    counts = {len(found) for found in lines if found}  # where nothing is there says nothing
    several = sum(len(found) > 1 for found in lines)
    if len(counts) > 1 or several < 3:
        if several:
            reading.notes.append(f"{several} texts have several lines; each is read as one text")
        return
    reading.notes.append(
        f"every text has {max(counts)} lines, so each line is read as a caption of its own"
    )
    pairs = zip(reading.rows, lines, strict=True)
    reading.rows[:] = [one for row, found in pairs for one in one_a_text(row, views[0], found)]


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
            numbers = (
                f", or put {CLASSES}, a class a line, beside the shards, whose .cls are numbers"
                if "cls" in endings and reading.views[name].modality == "text"
                else ""
            )
            raise DataError(
                f"{reading.path}: no member of the shards is for view {name!r}; name its ending in "
                f"dataset.columns{dots}{numbers}"
            )
