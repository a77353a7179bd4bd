"""Reader `handwriting`: time series with their classes, from a UEA archive or the UJI pen
characters.
"""

import re
from pathlib import Path

from csa.datasets.rows import RawPair, Source, decode_text, read_lines, view_of
from csa.errors import DataError
from csa.modalities.series import split_records
from csa.params.data import DatasetParams
from csa.params.views import Modality, ViewParams

_UJI = "ujipenchars2.txt"
_WORD = re.compile(r"WORD (?P<character>\S+) (?P<session>(?P<split>trn|tst)_(?P<writer>\S+)-\d+)")


def read_handwriting(params: DatasetParams, views: dict[str, ViewParams], path: Path) -> Source:
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
    pair: tuple[Modality, Modality] = ("series", "text")
    series_view, text_view = (view_of(views, modality, "handwriting", pair) for modality in pair)
    if "{label}" not in params.template:
        raise DataError(
            f"dataset.template is {params.template!r}; it must hold {{label}}, the place of the "
            f"class's name"
        )
    found = _uji(path) if (path / _UJI).is_file() else _archive(path)
    rows = []
    for value, label, split, group in found:
        values = {series_view: value, text_view: params.template.replace("{label}", label)}
        rows.append(RawPair(value, value, values, group, split, label))
    return Source(rows)


_Case = tuple[str, str, str, str | None]
"""Value, label, split and group."""


def _archive(path: Path) -> list[_Case]:
    files = {split: sorted(path.glob(f"*_{split.upper()}.ts")) for split in ("train", "test")}
    if any(len(found) != 1 for found in files.values()):
        raise DataError(
            f"{path}: one NAME_TRAIN.ts and one NAME_TEST.ts, or {_UJI}, are expected in "
            f"dataset.path"
        )
    cases: list[_Case] = []
    for split, (file,) in files.items():
        text = decode_text(file)
        header = re.search(r"^@classLabel\s+true\s+(.+)$", text, re.MULTILINE | re.IGNORECASE)
        if header is None:
            raise DataError(
                f"{file}: its header has no line `@classLabel true ...`; a series needs a class "
                f"to be paired with"
            )
        classes = header[1].split()
        names = dict(zip(classes, _class_names(path, file, classes), strict=True))
        for row, line in enumerate(split_records(text.encode(), ".ts")):
            given = line.rpartition(b":")[2].decode().strip()
            if given not in names:
                raise DataError(
                    f"{file}: case {row} has class {given!r}, which the header does not list; is "
                    f"the file whole?"
                )
            cases.append((f"{file.name}!{row}", names[given], split, None))
    return cases


def _class_names(path: Path, file: Path, classes: list[str]) -> list[str]:
    given = path / "classes.txt"
    if given.is_file():
        names = [line.strip() for line in read_lines(given) if line.strip()]
        if len(names) != len(classes):
            raise DataError(
                f"{given}: {len(names)} names for {len(classes)} classes; write one a line"
            )
        return names
    if file.name.lower().startswith("handwriting_") and len(classes) == 26:
        return [chr(ord("a") + round(float(number)) - 1) for number in classes]
    return [name.replace("_", " ") for name in classes]


def _uji(path: Path) -> list[_Case]:
    file = path / _UJI
    cases: list[_Case] = []
    for row, record in enumerate(split_records(file.read_bytes(), ".txt")):
        first = record.split(b"\n", 1)[0].decode("latin-1").strip()
        match = _WORD.match(first)
        if match is None:
            raise DataError(
                f"{file}: character {row} begins with {first[:40]!r}; expected WORD a "
                f"trn_UJI_W01-01"
            )
        cases.append(
            (
                f"{_UJI}!{row}",
                match["character"],
                {"trn": "train", "tst": "test"}[match["split"]],
                match["writer"],
            )
        )
    return cases
