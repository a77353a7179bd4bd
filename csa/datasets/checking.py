"""Checking every item of a data set once: its content's hash, or what is wrong with it."""

import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from csa.datasets.building import Building
from csa.datasets.items import item_checker
from csa.datasets.rows import RawPair
from csa.datasets.whites import Deep, white_notes, whites_of
from csa.errors import DataError
from csa.modalities.image import WHITES, white_of, with_white
from csa.modalities.registry import MODALITIES
from csa.storage.files import plain_words


@dataclass
class Found:
    """What the checks of all items gave.

    Attributes:
        hashes: view -> content hash of each row, "" if it is unusable.
        faults: row -> what is wrong with it.
        notes: what the user should know of the items.
    """

    hashes: dict[str, list[str]]
    faults: dict[int, list[str]]
    notes: list[str]


def hash_items(rows: list[RawPair], unwritten: dict[int, list[str]], building: Building) -> Found:
    """Check each distinct item once, but for rows that no table can hold.

    Args:
        rows: as tidied.
        unwritten: row -> why no table can hold it.
        building: how items are read.

    Returns:
        Hashes and faults.
    """
    hashes: dict[str, list[str]] = {}
    faults = {i: ["no id"] for i, row in enumerate(rows) if row.pair_id is None} | unwritten
    notes: list[str] = []
    for view, settings in building.views.items():
        scales: dict[str, tuple[str, float]] = {}
        check = item_checker(settings, building.root, building.params.max_image_pixels, scales)
        values = [None if i in unwritten else row.values[view] for i, row in enumerate(rows)]
        distinct = list(dict.fromkeys(value for value in values if value is not None))
        if settings.modality in ("text", "array"):
            outcomes = {value: _checked(check, value) for value in distinct}
        else:
            outcomes = check_files(distinct, check, f"check {view}", building.progress)
        notes += MODALITIES[settings.modality].scale_notes(view, list(scales.values()))
        if settings.modality == "image" and scales:
            notes += white_notes(view, scales)
            outcomes |= _whiten(rows, view, scales, check, building.forgotten)
        hashes[view] = []
        for i, value in enumerate(values):
            digest, fault = outcomes[value] if value is not None else ("", "nothing there (null)")
            hashes[view].append(digest)
            if fault and i not in unwritten:
                faults.setdefault(i, []).append(f"{view}: {fault}")
    return Found(hashes, faults, notes)


def _whiten(
    rows: list[RawPair],
    view: str,
    deep: Deep,
    check: Callable[[str], str],
    forgotten: frozenset[str],
) -> dict[str, tuple[str, str]]:
    """Say in the rows what is white in their deep pictures; the outcomes that this changes."""
    whites = whites_of(deep)
    for row in rows:
        value = row.values[view]
        if value in whites:
            row.values = {**row.values, view: with_white(value, whites[value])}
    found = {value: _checked(check, with_white(value, white)) for value, white in whites.items()}
    for value in list(deep) if forgotten else ():  # what is to be forgotten is so at any white
        plain = white_of(value)[0]
        others = map(check, (plain, *(with_white(plain, white) for white in WHITES)))
        gone = next((digest for digest in others if digest in forgotten), None)
        found |= {plain: (gone, "")} if gone else {}
    return found


def _checked(check: Callable[[str], str], value: str) -> tuple[str, str]:
    """Content hash, and what is wrong; whatever a decoder raises is its item's fault."""
    try:
        return check(value), ""
    except DataError as error:
        return "", str(error)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a library's panic is no Exception
        return "", f"{value[:80]}: cannot be decoded ({plain_words(error)}); drop its row"


def check_files(
    values: list[str], check: Callable[[str], str], title: str, progress: bool = True
) -> dict[str, tuple[str, str]]:
    """Check items that are files, several at a time.

    Args:
        values: distinct values of the items.
        check: from `csa.datasets.items.item_checker`.
        title: of the progress bar.
        progress: whether to show it.

    Returns:
        Value -> content hash ("" if unusable), and what is wrong ("" if nothing is).
    """
    from tqdm import tqdm

    with warnings.catch_warnings(), ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        # remarks on broken metadata and on headers in old spellings; broken items are errors
        warnings.filterwarnings("ignore", module=r"PIL|numpy|csa\.modalities")
        outcomes = pool.map(partial(_checked, check), values)
        bar = tqdm(
            outcomes,
            title,
            len(values),
            unit=" items",
            disable=not progress,
            leave=False,
            mininterval=0.5,
            ncols=100,
        )
        return dict(zip(values, bar, strict=True))
