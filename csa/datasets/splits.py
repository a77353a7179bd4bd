"""Names of splits in the wild, one table for all readers."""

import re
from collections.abc import Mapping
from typing import Literal, TypeVar

Part = Literal["train", "val", "test", "none"]
Key = TypeVar("Key")

_NAMES: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "restval": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    "tst": "test",
}
KNOWN = tuple(_NAMES)
"""Names of splits, as errors list them."""


def part_of(name: str, mapping: Mapping[str, Part]) -> Part | None:
    """The part that a whole name means; case and separators are ignored.

    Args:
        name: such as "Train" or "train_clean".
        mapping: `dataset.splits`, which comes before the table of names.

    Returns:
        train, val, test or none (neither trained on nor held out); None for an unknown name.
    """
    plain = _plain(name)
    own = {_plain(theirs): part for theirs, part in mapping.items()}
    return own.get(plain) or _NAMES.get(plain)


def part_in(name: str, mapping: Mapping[str, Part]) -> Part | None:
    """The part that a file or folder is called after: its whole name, its first or its last word.

    Args:
        name: without its ending, such as "mine-train-0000"; numbers do not count.
        mapping: `dataset.splits`.

    Returns:
        As `part_of`; None also where the first word says another part than the last.
    """
    words = re.findall(r"[^\W\d_]+", name)
    if not words:
        return None
    whole = part_of("".join(words), mapping)
    if whole is not None:
        return whole
    ends = {part_of(words[0], mapping), part_of(words[-1], mapping)} - {None}
    return ends.pop() if len(ends) == 1 else None


def telling(parts: Mapping[Key, Part]) -> dict[Key, Part]:
    """What splits say that is worth saying: one split alone is only the name of the whole.

    Args:
        parts: file or folder -> its part.

    Returns:
        The same; only the unknown ones if all the others are of one part.

    >>> telling({"a.tar": "train", "b.tar": "train"}), telling({"a": "test", "b": "none"})
    ({}, {'b': 'none'})
    """
    alone = len(set(parts.values()) - {"none"}) == 1
    return {key: part for key, part in parts.items() if part == "none" or not alone}


def words_of(name: str) -> str:
    """What a file or folder would be called in `dataset.splits`: its words without numbers.

    >>> words_of("junk-00000-of-00002")
    'junk'
    """
    name = re.sub(r"\d+-of-\d+", "", name)
    return "_".join(re.findall(r"[^\W\d_]+", name)).lower() or name


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()
