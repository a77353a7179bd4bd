"""Removing what holds some items from DVC's caches, here and on the remotes.

DVC's run cache says which outputs were made from which inputs. A table or a shard that names one of
the items is bad, and so is whatever was made from it: alignments and moments that the item went
into, pictures that show it. Objects that good results use as well stay, as do shards of features
that do not hold the item.
"""

from dataclasses import dataclass, field
from io import BytesIO

import polars as pl

from csa.operations.cache.objects import Store, stores
from csa.pipeline.workspace import Workspace


@dataclass(frozen=True)
class Purged:
    """How many objects and run cache entries were removed, by place; and places not reached,
    with the reason.
    """

    removed: dict[str, int] = field(default_factory=dict)
    unreached: dict[str, str] = field(default_factory=dict)


def purge(ws: Workspace, items: set[str]) -> Purged:
    """Remove all that holds any of the items, or was made from it, from the local cache and from
    every remote.

    Args:
        ws: the main workspace.
        items: sha256 of each item's content.

    Returns:
        What was removed where, and the places that were not reached.
    """
    result = Purged()
    with stores(ws) as found:
        for name, opened in found.items():
            try:
                result.removed[name] = _purge(opened(), items)
            # whatever a storage's own library raises; the next run tries again
            except Exception as error:
                result.unreached[name] = (
                    f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"
                )
    return result


def _purge(store: Store, items: set[str]) -> int:
    """Remove what is bad; returns the number of files."""
    made = list(store.entries())
    contents = {oid: store.content(path, oid) for one in made for path, oid in one.outs.items()}
    bad = {
        oid
        for oid, files in contents.items()
        if any(_holds(store, *file, items) for file in files.items())
    }
    spread = True
    while spread:
        made_of_bad = [one for one in made if bad & {*one.deps.values(), *one.outs.values()}]
        worse = {oid for one in made_of_bad for oid in one.outs.values()}
        spread, bad = not worse <= bad, bad | worse
    good = {
        part for oid, files in contents.items() if oid not in bad for part in (oid, *files.values())
    }
    parts = {
        file
        for oid in bad
        for file in contents[oid].items()
        if not _is_clean_shard(store, *file, items)
    }
    doomed = ({part for _, part in parts} | bad) - good
    entries = [one.entry for one in made if bad & set(one.outs.values())]
    files = [path for path in map(store.path, doomed) if store.fs.exists(path)]
    for path in (*entries, *files):
        store.remove(path)
    return len(entries) + len(files)


def _holds(store: Store, name: str, oid: str, items: set[str]) -> bool:
    """Whether a file is a table that names one of the items, or one that is gone or damaged: it
    may have.
    """
    if not name.endswith(".parquet"):
        return False
    table = _table(store, name, oid)
    if table is None:
        return True
    return any(
        column.is_in(list(items)).any()
        for column in table.iter_columns()
        if column.dtype == pl.String
    )


def _is_clean_shard(store: Store, name: str, oid: str, items: set[str]) -> bool:
    table = _table(store, name, oid)
    return (
        table is not None and "item" in table.columns and not table["item"].is_in(list(items)).any()
    )


def _table(store: Store, name: str, oid: str) -> pl.DataFrame | None:
    content = store.whole(oid) if name.endswith(".parquet") else None
    try:
        return None if content is None else pl.read_parquet(BytesIO(content))
    except pl.exceptions.PolarsError:
        return None
