"""Sound small data sets of every reader with one fault each, and what must become of it."""

import json
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from builtin_encoders import ENCODERS
from pyarrow import parquet
from written import shard

from csa.datasets.containers import tar_members
from csa.datasets.ingest import Ingested, ReadOptions, read_dataset
from csa.errors import DataError
from csa.params.schema import Params

sys.path.append(str(Path(__file__).parents[1] / "fuzz"))

import layouts
import seeds

SOUND = seeds.SEEDS | layouts.LAYOUTS
Edit = Callable[[Path], dict[str, Any] | None]


@dataclass(frozen=True)
class Fault:
    """A fault of a data set.

    Args:
        reader: names the sound data set.
        edit: brings the fault into it; what it gives back is laid over `dataset`.
        says: a pattern of what is said of it.
        pairs: how many it costs where it is set aside.
    """

    reader: str
    edit: Edit
    says: str
    pairs: int = 1


def cases(*faults: Fault) -> Any:
    """The faults as cases of a test, each named by its reader."""
    return pytest.mark.parametrize("fault", faults, ids=[one.reader for one in faults])


def read(folder: Path, seed: seeds.Seed, on_error: str) -> Ingested:
    """Read a data set as ingest does."""
    dataset, views = seed
    named = {name: {"modality": kind, "encoder": ENCODERS[kind]} for name, kind in views.items()}
    mapping = {
        "dataset": {**dataset, "path": str(folder), "on_error": on_error},
        "views": named,
    }
    params, options = Params.from_mapping(mapping), ReadOptions(progress=False, to_fit=False)
    return read_dataset(params.dataset, params.views, folder, options)


def check_set_aside(folder: Path, fault: Fault) -> None:
    """The fault stops the run; with quarantine its row alone is set aside, for that reason."""
    dataset, views = SOUND[fault.reader](folder / "d")
    whole = read(folder / "d", (dataset, views), "refuse").pairs
    dataset = {**dataset, **(fault.edit(folder / "d") or {})}
    with pytest.raises(DataError, match=fault.says) as caught:
        read(folder / "d", (dataset, views), "refuse")
    assert "\n" not in str(caught.value)
    result = read(folder / "d", (dataset, views), "quarantine")
    reasons = result.quarantine["reason"].to_list()
    assert reasons and all(re.search(fault.says, reason) for reason in reasons), reasons
    assert len(whole) - len(result.pairs) == fault.pairs
    named = [name for name in ("pair_id", *views) if name in result.pairs.columns]
    assert result.pairs.select(named).join(whole.select(named), named, "anti").is_empty()


def check_stops(folder: Path, fault: Fault) -> None:
    """The run stops with one line, whatever `on_error` says."""
    dataset, views = SOUND[fault.reader](folder / "d")
    dataset = {**dataset, **(fault.edit(folder / "d") or {})}
    for on_error in ("refuse", "quarantine"):
        with pytest.raises(DataError, match=fault.says) as caught:
            read(folder / "d", (dataset, views), on_error)
        assert "\n" not in str(caught.value)


# Edits


def swap(file: str, old: str, new: str | bytes, encoding: str = "utf-8") -> Edit:
    """Put a text of a file in another's place."""

    def edit(folder: Path) -> None:
        content, sought = (folder / file).read_bytes(), old.encode(encoding)
        assert sought in content, f"{old!r} is not in {file}"
        put = new if isinstance(new, bytes) else new.encode(encoding)
        (folder / file).write_bytes(content.replace(sought, put, 1))

    return edit


def content(file: str, made: bytes | str | Callable[[bytes], bytes]) -> Edit:
    """Write a file anew."""

    def edit(folder: Path) -> None:
        if callable(made):
            new = made((folder / file).read_bytes())
        else:
            new = made if isinstance(made, bytes) else made.encode()
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(new)

    return edit


def gone(file: str) -> Edit:
    """Remove a file."""
    return lambda folder: (folder / file).unlink()


def settings(**dataset: Any) -> Edit:
    """Lay settings over `dataset`."""
    return lambda folder: dataset


def both(*edits: Edit) -> Edit:
    """Several edits; all their settings."""

    def edit(folder: Path) -> dict[str, Any]:
        return {k: v for one in edits for k, v in (one(folder) or {}).items()}

    return edit


def records(file: str, change: Callable[[Any], Any]) -> Edit:
    """Change a JSON file, or each line of a .jsonl, as Python sees it."""

    def edit(folder: Path) -> None:
        text = (folder / file).read_text(encoding="utf-8")
        if file.endswith(".jsonl") or file.endswith("_data.json"):
            lines = [json.loads(line) for line in text.splitlines()]
            change(lines)
            text = "".join(json.dumps(line) + "\n" for line in lines)
        else:
            whole = json.loads(text)
            change(whole)
            text = json.dumps(whole)
        (folder / file).write_text(text, encoding="utf-8")

    return edit


def cell(file: str, row: int, column: str, value: Any) -> Edit:
    """Put a value into a cell of an Arrow or Parquet file."""

    def edit(folder: Path) -> None:
        path = folder / file
        if file.endswith(".arrow"):
            with pa.OSFile(str(path)) as source, pa.ipc.open_stream(source) as reader:
                table = reader.read_all()
        else:
            table = parquet.read_table(path)
        rows = table.to_pylist()
        rows[row][column] = value
        changed = pa.Table.from_pylist(rows, table.schema)
        if file.endswith(".arrow"):
            with pa.ipc.new_stream(str(path), changed.schema) as writer:
                writer.write_table(changed)
        else:
            parquet.write_table(changed, path)

    return edit


def members(file: str, change: Callable[[str, bytes], Iterable[tuple[str, bytes]]]) -> Edit:
    """Change the members of a tar: each becomes those that are given back."""

    def edit(folder: Path) -> None:
        whole = (folder / file).read_bytes()
        old = [
            (one.name, whole[one.offset : one.offset + one.size])
            for one in tar_members(folder / file, file)
        ]
        shard(folder / file, [new for name, inside in old for new in change(name, inside)])

    return edit


def member(file: str, name: str, *instead: tuple[str, bytes]) -> Edit:
    """Put members in the place of one of a tar."""

    def change(own: str, inside: bytes) -> Iterable[tuple[str, bytes]]:
        return instead if own == name else [(own, inside)]

    return members(file, change)
