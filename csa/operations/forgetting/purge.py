"""Removing what holds some items from DVC's caches, here and on the remotes, and keeping it out.

DVC's run caches say which outputs were made from which inputs. A table or a shard that names one of
the items is bad, and so is whatever was made from it: alignments and moments that the item went
into, pictures that show it. Objects that good results use as well stay, as do shards of features
that do not hold the item. An object that no run cache knows, as plain `dvc push` leaves it, is
judged by itself.

What was removed is remembered by its hash, and so is what each cache held when it was last looked
at: a teammate who is behind may bring something back, and the next look finds it among what is new.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from csa.errors import ArtifactError, DataError
from csa.operations.cache.foreign import read_foreign
from csa.operations.cache.objects import Made, Store, stores
from csa.pipeline.workspace import Workspace
from csa.storage.files import read_json, write_json

_TABLE_HEAD = b"PAR1"  # of a Parquet file
_LEAST_BYTES = 64  # of a row that names an item: its hash


@dataclass(frozen=True)
class Purged:
    """What was found in the caches.

    Attributes:
        removed: place -> number of objects and run cache entries that were removed.
        unreached: place -> why it was not reached.
        unjudged: place -> number of objects and folders that no run cache knows and that name no
            item, where others did: what they were made from cannot be told.
    """

    removed: dict[str, int] = field(default_factory=dict)
    unreached: dict[str, str] = field(default_factory=dict)
    unjudged: dict[str, int] = field(default_factory=dict)


def purge(ws: Workspace, items: set[str]) -> Purged:
    """Remove all that holds any of the items, or was made from it, from the local cache and from
    every remote.

    Args:
        ws: the main workspace.
        items: sha256 of each item's content.

    Returns:
        What was removed where, and the places that were not reached.
    """
    with _reached(ws) as caches:
        return _purge(ws, caches, items)


def look_again(ws: Workspace, items: set[str]) -> Purged | None:
    """Whether something of the items has come back since the last look; then it is removed. Only
    what is new in a cache is read.

    Args:
        ws: the main workspace.
        items: sha256 of each item's content, all of them forgotten already.

    Returns:
        What was removed; None if nothing has come back.
    """
    memory = _memory(ws)
    with _reached(ws) as caches:
        removed = set(memory["removed"])
        for name, listed in caches.listed.items():
            new = listed - set(memory["seen"].get(name, ()))
            if removed & new or any(caches.names_an_item(oid, items) for oid in sorted(new)):
                return _purge(ws, caches, items)
        if any(listed != set(memory["seen"].get(n, ())) for n, listed in caches.listed.items()):
            _remember(ws, caches, removed)
    return None


@dataclass(frozen=True)
class _Caches:
    """The caches that were reached.

    Attributes:
        stores, made, listed: name -> cache, its run cache's entries, its objects.
        unreached: name -> why another was not.
    """

    stores: dict[str, Store] = field(default_factory=dict)
    made: dict[str, list[Made]] = field(default_factory=dict)
    listed: dict[str, set[str]] = field(default_factory=dict)
    unreached: dict[str, str] = field(default_factory=dict)
    _tables: dict[str, pl.DataFrame | None] = field(default_factory=dict)

    def open(self, name: str, opened: Any) -> None:
        """Add a cache, or why it is not reached; the next run tries again."""
        try:
            store = opened()
            made, listed = list(store.entries()), set(store.objects())
        except Exception as error:  # whatever a storage's own library raises
            said = " ".join(str(error).split())[:150]
            self.unreached[name] = f"{type(error).__name__}: {said}"
            return
        self.stores[name], self.made[name], self.listed[name] = store, made, listed

    def whole(self, oid: str) -> bytes | None:
        """An object's bytes from the first cache that has it whole."""
        held = (store for name, store in self.stores.items() if oid in self.listed[name])
        return next((found for store in held if (found := store.whole(oid)) is not None), None)

    def content(self, path: str, oid: str) -> dict[str, str]:
        """As `Store.content`, from the first cache that has it."""
        held = (store for name, store in self.stores.items() if oid in self.listed[name])
        return next((found for store in held if (found := store.content(path, oid))), {})

    def table(self, oid: str) -> pl.DataFrame | None:
        """An object as a table; None if it is something else, gone or damaged."""
        if oid not in self._tables:
            content = self.whole(oid)
            try:
                self._tables[oid] = (
                    None if content is None else read_foreign("an object", content, _LEAST_BYTES)
                )
            except DataError:
                self._tables[oid] = None
        return self._tables[oid]

    def is_table(self, oid: str) -> bool:
        """Whether an object looks like one, whatever it is called."""
        held = (store for name, store in self.stores.items() if oid in self.listed[name])
        return not oid.endswith(".dir") and any(
            store.head(oid, len(_TABLE_HEAD)) == _TABLE_HEAD for store in held
        )

    def names_an_item(self, oid: str, items: set[str]) -> bool:
        """Whether an object is a table of ours that names one of the items. Other tables may be of
        a data set, which is nobody's to remove.
        """
        table = self.table(oid) if self.is_table(oid) else None
        return table is not None and _is_ours(table) and _names(table, items)


@contextmanager
def _reached(ws: Workspace) -> Iterator[_Caches]:
    caches = _Caches()
    with stores(ws) as found:
        for name, opened in found.items():
            caches.open(name, opened)
        yield caches


def _purge(ws: Workspace, caches: _Caches, items: set[str]) -> Purged:
    made = [one for known in caches.made.values() for one in known]
    contents = {oid: caches.content(path, oid) for one in made for path, oid in one.outs.items()}
    inputs = {oid for one in made for oid in one.deps.values()}
    strays, removed = _strays(caches, contents, inputs), set(_memory(ws)["removed"])
    of_entries = {
        oid
        for oid, files in contents.items()
        if any(_holds(caches, *file, items) for file in files.items())
    }
    alone = {
        oid
        for oid, files in strays.items()
        if oid in removed or any(caches.names_an_item(part, items) for part in files.values())
    }
    contents |= strays
    bad = _spread(of_entries | alone, made)
    used = {
        part for oid, files in contents.items() if oid not in bad for part in (oid, *files.values())
    }
    parts = {file for oid in bad for file in contents[oid].items()}
    doomed = bad | {part for name, part in parts if not _is_clean_shard(caches, name, part, items)}
    doomed -= used
    result = Purged(unreached=caches.unreached)
    for name, store in caches.stores.items():
        entries = [one.entry for one in caches.made[name] if bad & set(one.outs.values())]
        gone = doomed & caches.listed[name]
        for path in (*entries, *map(store.path, gone)):
            store.remove(path)
        caches.listed[name] -= gone
        result.removed[name] = len(entries) + len(gone)
        unknown = strays.keys() & caches.listed[name]
        if unknown and alone:
            result.unjudged[name] = len(unknown)
    _remember(ws, caches, removed | doomed)
    return result


def _strays(
    caches: _Caches, contents: dict[str, dict[str, str]], inputs: set[str]
) -> dict[str, dict[str, str]]:
    """Objects and folders that no entry names: oid -> name in it -> object."""
    known = inputs | {part for oid, files in contents.items() for part in (oid, *files.values())}
    unknown = set().union(*caches.listed.values()) - known
    folders = {oid: caches.content("", oid) for oid in unknown if oid.endswith(".dir")}
    inside = {part for files in folders.values() for part in files.values()}
    return folders | {oid: {"": oid} for oid in unknown - folders.keys() - inside}


def _spread(bad: set[str], made: list[Made]) -> set[str]:
    """What is bad, and all that was made from it or beside it."""
    while True:
        of_bad = [one for one in made if bad & {*one.deps.values(), *one.outs.values()}]
        worse = {oid for one in of_bad for oid in one.outs.values()}
        if worse <= bad:
            return bad
        bad = bad | worse


def _holds(caches: _Caches, name: str, oid: str, items: set[str]) -> bool:
    """Whether a file is a table that names one of the items, or one that is gone or damaged: it
    may have.
    """
    if not name.endswith(".parquet"):
        return False
    table = caches.table(oid)
    return table is None or _names(table, items)


def _is_ours(table: pl.DataFrame) -> bool:
    """Whether a table is a shard of features, or one with the hashes of a view's items."""
    columns = set(table.columns)
    return columns == {"item", "features"} or any(name.endswith("_hash") for name in columns)


def _names(table: pl.DataFrame, items: set[str]) -> bool:
    return any(
        column.is_in(list(items)).any()
        for column in table.iter_columns()
        if column.dtype == pl.String
    )


def _is_clean_shard(caches: _Caches, name: str, oid: str, items: set[str]) -> bool:
    table = caches.table(oid) if name.endswith(".parquet") else None
    return table is not None and "item" in table.columns and not _names(table, items)


def _memory(ws: Workspace) -> dict[str, Any]:
    """Hashes of what was removed, and of what each cache held at the last look."""
    try:
        known = read_json(ws.state / "forgotten.json")
    except ArtifactError:
        known = {}
    return {"removed": known.get("removed", []), "seen": known.get("seen", {})}


def _remember(ws: Workspace, caches: _Caches, removed: Iterable[str]) -> None:
    seen = {name: sorted(listed) for name, listed in caches.listed.items()}
    known = {"removed": sorted(removed), "seen": _memory(ws)["seen"] | seen}
    write_json(ws.state / "forgotten.json", known)
