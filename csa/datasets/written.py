"""Texts that are no texts: lists, structures, numbers and missing values that somebody wrote out.

pandas writes a list of captions into a CSV as "['a dog', 'a cat']", and a number where a class
was coded. A single such text proves nothing, so the texts of a view are judged together.
"""

import ast
import json
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from csa.datasets.rows import RawPair, one_a_text
from csa.params.views import ViewParams

_SPELT = frozenset({"nan", "none", "null", "<na>", "n/a"})
_QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_LIST = re.compile(
    rf"\s*\[\s*(?:{_QUOTED})(?:(?:\s*,\s*|\s+)(?:{_QUOTED}))*\s*,?\s*\]\s*", re.DOTALL
)
_ONE = re.compile(_QUOTED, re.DOTALL)
_FORMS = {
    "structures written out": (re.compile(r"\[?\s*\{\s*['\"]"), re.compile(r"\}\s*\]?")),
    "bytes written out": (re.compile(r"b['\"]"), re.compile(r"['\"]")),
    "numbers": (re.compile(r"[-+]?\d+(?:\.\d+)?$"), re.compile(r"\d")),
}
"""What texts may be -> how they begin, and how their last three characters end."""
_MOST = 0.9
_SHOWN = 40


def captions_of(text: str) -> list[str] | None:
    """The texts of a list that was written out, as JSON, Python or NumPy writes it.

    Args:
        text: of a row.

    Returns:
        The texts; None if it is no such list.

    >>> captions_of("['a dog', 'a ball']"), captions_of("[laughs]")
    (['a dog', 'a ball'], None)
    """
    if not _LIST.fullmatch(text):
        return None
    with suppress(ValueError, RecursionError):
        return [str(one) for one in json.loads(text)]
    with suppress(ValueError, SyntaxError):
        return [str(ast.literal_eval(one)) for one in _ONE.findall(text)]
    return None


def unfold(rows: list[RawPair], views: dict[str, ViewParams]) -> list[str]:
    """Make several rows of a text that is a list written out, where nearly all of its view are.

    Args:
        rows: of the data set; changed in place.
        views: of the run.

    Returns:
        What the user should know.
    """
    notes: list[str] = []
    for view, settings in views.items():
        if settings.modality != "text":
            continue
        texts = [row.values.get(view) or "" for row in rows]
        count = sum(map(bool, texts))
        lists = {i: found for i, text in enumerate(texts) if (found := _captions(text))}
        if not lists or len(lists) < _MOST * count:
            notes += [f"{len(lists)} texts of view {view!r} are lists written out"] if lists else []
            continue
        first = texts[min(lists)][:_SHOWN]
        notes.append(
            f"{len(lists)} texts of view {view!r} are lists written out, such as {first!r}; each "
            f"text in them is read as a caption of its own"
        )
        rows[:] = [
            one
            for i, row in enumerate(rows)
            for one in (one_a_text(row, view, lists[i]) if i in lists else [row])
        ]
    return notes


def _captions(text: str) -> list[str] | None:
    return captions_of(text) if text.lstrip().startswith("[") else None


def written_notes(view: str, texts: Sequence[str]) -> list[str]:
    """What is said of texts that are perhaps none; they are kept as they are.

    Args:
        view: its name.
        texts: of the pairs.

    Returns:
        A sentence for each kind.
    """
    notes = spelt_notes(f"texts of view {view!r}", texts, "they are kept as texts")
    for what, (begins, ends) in _FORMS.items():
        found = [one for one in texts if begins.match(one) and ends.search(one[-3:])]
        if found and len(found) >= _MOST * len(texts):
            notes.append(
                f"{len(found)} of {len(texts)} texts of view {view!r} are {what}, such as "
                f"{found[0][:_SHOWN]!r}; they are kept as texts, so look whether another column "
                f"has the words"
            )
    return notes


def spelt_notes(what: str, cells: Sequence[str], kept: str) -> list[str]:
    """What is said of cells that are perhaps a missing value written out.

    Args:
        what: they are called, in the plural.
        cells: that are there.
        kept: says what becomes of them.

    Returns:
        A sentence, if there are any.
    """
    found = Counter(cell for cell in cells if cell.lower() in _SPELT)
    if not found:
        return []
    first = next(iter(found))
    return [f"{found.total()} {what} are {first!r}, perhaps a missing value written out; {kept}"]
