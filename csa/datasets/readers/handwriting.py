"""Reader `handwriting`: time series with their classes, from a UEA archive or the UJI pen
characters.
"""

import re
from collections.abc import Iterator

from csa.datasets.reading import Reading
from csa.datasets.rows import ItemError, RawPair, decode_text, read_lines, view_of
from csa.errors import DataError
from csa.modalities.series import split_records
from csa.params.views import Modality
from csa.storage.files import read_whole

_UJI = "ujipenchars2.txt"
_CLASSES = "classes.txt"
_WORD = re.compile(r"WORD (?P<character>\S+) (?P<session>(?P<split>trn|tst)_(?P<writer>\S+)-\d+)")


def read_handwriting(reading: Reading) -> None:
    """Read series with a class each; the text is `dataset.template` with the class's name.

    Layouts: NAME_TRAIN.ts and NAME_TEST.ts of the UEA/UCR archive (Handwriting: the accelerometer
    of a watch while 26 letters are written), with classes.txt where class numbers are to be named,
    one name a line in the order of the header's classLabel (the letters a to z for Handwriting, if
    there is none); or ujipenchars2.txt (pen strokes of 60 writers; a writer is never divided, and
    the file's own trn and tst are train and test).

    Values are FILE!ROW; the pair's id is the same, its label the class's name.

    Raises:
        DataError: not such a folder.
    """
    kinds: tuple[Modality, Modality] = ("series", "text")
    series_view, text_view = (
        view_of(reading.views, modality, "handwriting", kinds) for modality in kinds
    )
    template = reading.params.template

    def pair(value: str, case: _Case | str) -> list[RawPair]:
        if isinstance(case, str):
            raise ItemError(case)
        label, split, group = case
        values = {series_view: value, text_view: template.replace("{label}", label)}
        return [RawPair(value, value, values, group, split, label)]

    reading.take("series", _uji(reading) if _UJI in reading.names else _archive(reading), pair)


_Case = tuple[str, str, str | None]
"""Label, split and group."""


def _archive(reading: Reading) -> Iterator[tuple[str, _Case | str]]:
    """Value, and the case or what is wrong with it."""
    top = [name for name in reading.files if "/" not in name]
    files = {
        split: [name for name in top if name.endswith(f"_{split.upper()}.ts")]
        for split in ("train", "test")
    }
    if any(len(found) != 1 for found in files.values()):
        raise DataError(
            f"{reading.path}: one NAME_TRAIN.ts and one NAME_TEST.ts, or {_UJI}, are expected in "
            f"dataset.path"
        )
    for split, (name,) in files.items():
        text = decode_text(reading.open(name))
        header = re.search(r"^@classLabel\s+true\s+(.+)$", text, re.MULTILINE | re.IGNORECASE)
        if header is None:
            raise DataError(
                f"{name}: its header has no line `@classLabel true ...`; a series needs a class "
                f"to be paired with"
            )
        classes = header[1].split()
        names = dict(zip(classes, _class_names(reading, name, classes), strict=True))
        for row, line in enumerate(split_records(text.encode(), ".ts")):
            given = line.rpartition(b":")[2].decode(errors="replace").strip()
            unknown = (
                f"{name}: case {row} has class {given!r}, which the header does not list; is "
                f"the file whole?"
            )
            yield f"{name}!{row}", (names[given], split, None) if given in names else unknown


def _class_names(reading: Reading, file: str, classes: list[str]) -> list[str]:
    if _CLASSES in reading.names:
        names = [line.strip() for line in read_lines(reading.open(_CLASSES)) if line.strip()]
        if len(names) != len(classes):
            raise DataError(
                f"{_CLASSES}: {len(names)} names for {len(classes)} classes; write one a line"
            )
        return names
    letters = dict(zip(map(str, range(1, 27)), "abcdefghijklmnopqrstuvwxyz", strict=True))
    numbers = [name.removesuffix(".0") for name in classes]
    if file.lower().startswith("handwriting_") and set(numbers) == set(letters):
        return [letters[number] for number in numbers]
    return [name.replace("_", " ") for name in classes]


def _uji(reading: Reading) -> Iterator[tuple[str, _Case | str]]:
    """Value, and the case or what is wrong with it."""
    content = read_whole(reading.open(_UJI), _UJI, "series")
    for row, record in enumerate(split_records(content, ".txt")):
        first = record.split(b"\n", 1)[0].decode("latin-1").strip()
        match = _WORD.match(first)
        unknown = (
            f"{_UJI}: character {row} begins with {first[:40]!r}; expected WORD a trn_UJI_W01-01"
        )
        case = match and (
            match["character"],
            {"trn": "train", "tst": "test"}[match["split"]],
            match["writer"],
        )
        yield f"{_UJI}!{row}", case or unknown
