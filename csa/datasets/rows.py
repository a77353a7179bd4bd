"""What a reader hands over: rows as found, nothing checked yet."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from csa.errors import DataError
from csa.modalities.registry import MODALITIES
from csa.params.views import Modality, ViewParams
from csa.storage.files import guarded, read_whole

_ADDRESS = re.compile(r"\s*(?:[a-z][a-z0-9+.-]+://|data:[a-z]+/[a-z0-9+.-]+[;,])", re.IGNORECASE)
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class ItemError(DataError):
    """What is wrong with one row, member or line: it alone is unusable.

    Args:
        words: what is wrong.
        values: what is known of the row's items, view -> value; their files are set aside with it.
    """

    def __init__(self, words: str, values: Mapping[str, str | None] | None = None):
        super().__init__(words)
        self.values = dict(values or {})


@contextmanager
def known(values: Mapping[str, str | None]) -> Iterator[None]:
    """Let what is wrong with a row, inside the block, carry what is known of its items.

    Args:
        values: view -> value.

    Yields:
        Nothing.
    """
    try:
        yield
    except ItemError as fault:
        fault.values |= values
        raise


@dataclass(slots=True)
class RawPair:
    """One row of a data set.

    Args:
        place: names the row in errors, such as "row 7".
        pair_id: unique in the data set.
        values: per view the text, the image's path relative to the data set's folder, or FILE#ROW
            of an array.
        group: what must not be divided between train and test; None if the data set says
            nothing.
        split: the data set's own name of the split, or None if the pair is to be placed by its
            group's hash.
        label: the class of the pair, if it has one.
        mislabelled: whether the pair is known to be wrong; None if the data set says nothing.
        record: the number of the record that it is of, which `Reading.take` gives.
    """

    place: str
    pair_id: str | None
    values: Mapping[str, str | None]
    group: str | None = None
    split: str | None = None
    label: str | None = None
    mislabelled: bool | None = None
    record: int = field(default=-1, compare=False)


def one_a_text(row: RawPair, view: str, texts: Sequence[str]) -> list[RawPair]:
    """A row for each of several texts.

    Args:
        row: as it was found.
        view: of the texts.
        texts: of the row; where there is none, one row without a text is left.

    Returns:
        Rows of the same record, called ID#0, ID#1 and so on.
    """
    return [
        replace(
            row, pair_id=row.pair_id and f"{row.pair_id}#{k}", values={**row.values, view: text}
        )
        for k, text in enumerate(texts or [""])
    ]


@dataclass(frozen=True)
class LeftOut:
    """What becomes of a row that a rule of the reader leaves out.

    Args:
        what: the rule; the account counts it with what is left out before it, such as "images" and
            "of part test, left untouched".
        files: of the row's items, which are left out with it.
    """

    what: str
    files: tuple[str, ...] = ()


def given(cell: Any) -> Any:
    """A cell, or None if nothing is there: null, NaN, a missing value of any library, or blanks.

    >>> given(float("nan")) is given("  ") is given(None) is None
    True
    """
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    if isinstance(cell, float) and math.isnan(cell):
        return None
    # NA and NaT of the table libraries are equal to nothing, not even to themselves
    return None if type(cell).__name__ in ("NAType", "NaTType") else cell


def as_text(cell: Any, what: str) -> str | None:
    """A cell that should be a text; numbers and truth values as JSON writes them.

    Args:
        cell: of any format.
        what: names the cell in errors, such as "'text'".

    Returns:
        The text, None if nothing is there.

    Raises:
        ItemError: a list, a structure or bytes, which are no text.
    """
    cell = cell if isinstance(cell, str) else given(cell)
    if cell is None or isinstance(cell, str):
        return cell
    if isinstance(cell, bool | int | float):
        return json.dumps(cell)
    if isinstance(cell, list | dict | bytes):
        raise ItemError(f"{what} holds a {type(cell).__name__}, which is not a text{_fields(cell)}")
    return str(cell)


def _fields(cell: Any) -> str:
    """Names the fields that hold texts, where a structure was met in place of a text."""
    inner = cell[0] if isinstance(cell, list) and cell else cell
    if not isinstance(inner, dict):
        return "; write one row a text" if isinstance(cell, list) else ""
    if isinstance(inner.get("bytes"), bytes):
        return "; items that lie in cells are read with dataset.kind: huggingface"
    texts = [str(name) for name, value in inner.items() if isinstance(value, str)]
    return f"; its texts are {', '.join(texts)}: name one in dataset.columns" if texts else ""


def is_address(cell: str) -> bool:
    """Whether a cell is an address on the web, in a bucket or of a file, or a file written out as
    one.

    >>> is_address("https://x.org/1.jpg"), is_address("s3://x/1.jpg"), is_address("a/b.jpg")
    (True, True, False)
    """
    return _ADDRESS.match(cell) is not None


def truth(cell: str | None, place: str) -> bool | None:
    """A truth value as people write it.

    Args:
        cell: its text.
        place: says where, in errors.

    Returns:
        The truth value, None if the cell is blank.

    Raises:
        ItemError: anything else.
    """
    word = (cell or "").strip().lower()
    if word and word not in _TRUTH:
        raise ItemError(
            f"{place}: {cell!r} is not a truth value; write true or false, or leave the cell empty"
        )
    return _TRUTH.get(word)


def view_of(
    views: dict[str, ViewParams],
    modality: Modality,
    kind: str,
    pairs: tuple[Modality, Modality] = ("image", "text"),
) -> str:
    """The one view of a modality, for data sets that pair two modalities by nature.

    Args:
        views: of the run.
        modality: of the view that is wanted.
        kind: of `dataset.kind`, for errors.
        pairs: the two modalities of the kind.

    Returns:
        Its name.

    Raises:
        DataError: there is none, or both are.
    """
    names = [name for name, view in views.items() if view.modality == modality]
    if len(names) != 1:
        modalities = ", ".join(f"{name}: {view.modality}" for name, view in views.items())
        one, other = pairs
        raise DataError(
            f"dataset.kind {kind} pairs {MODALITIES[one].plural} with "
            f"{MODALITIES[other].plural}, but the views are {modalities}; "
            f"use one {one} and one {other} view"
        )
    return names[0]


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text file without their ends; a byte order mark is dropped.

    Raises:
        DataError: the file cannot be read, or is in another encoding.
    """
    return lines_of(decode_text(path))


def lines_of(text: str) -> list[str]:
    """The lines of a text without their ends, whichever of the three usual ends they have."""
    if "\n" not in text and "\r" in text:  # as old spreadsheets write
        text = text.replace("\r", "\n")
    # Not splitlines(): a caption may hold one of the rarer line separators.
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def decode_text(path: Path) -> str:
    """A whole text file in UTF-8, or in UTF-16 with its mark; a byte order mark is dropped.

    Raises:
        DataError: the file cannot be read, or is in another encoding.
    """
    return decode_bytes(read_whole(path, str(path), "text"), str(path))


def decode_bytes(content: bytes, name: str) -> str:
    """The text of a file, as `decode_text`.

    Args:
        content: of the file.
        name: what errors call it.

    Returns:
        The text.

    Raises:
        DataError: another encoding; the remedy names the likely one.
    """
    utf16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        return content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        likely = "UTF-16" if utf16 or content[:200].count(0) > 20 else "WINDOWS-1252"
        file, _, member = name.partition(".tar!")
        whole = f" {member}, and write {Path(file).name}.tar again" if member else ""
        raise DataError(
            f"{name}: not UTF-8 at line {line} (byte 0x{content[error.start]:02x}); save it as "
            f"UTF-8, for example: iconv -f {likely} -t UTF-8{whole or f' {Path(name).name}'}"
        ) from None


def load_json(file: Path) -> Any:
    """A JSON file of a data set.

    Raises:
        DataError: it cannot be read, or is not JSON.
    """
    text = decode_text(file)
    with guarded(str(file), "JSON"):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{file}: not JSON at line {error.lineno} ({error.msg}); fetch it again"
            ) from None
