"""Removing what holds some items from DVC's caches, here and on the remotes.

DVC's run cache says which outputs were made from which inputs. A table or a shard that names one of the items is bad, and so is
whatever was made from it: alignments and moments that the item went into, pictures that show it. Objects that good results use as
well stay, as do shards of features that do not hold the item.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import polars as pl
import yaml

from csa.workspace import Workspace


@dataclass(frozen=True)
class Purged:
    """How many objects and run cache entries were removed, by place; and places not reached, with the reason."""

    removed: dict[str, int] = field(default_factory=dict)
    unreached: dict[str, str] = field(default_factory=dict)


def purge(ws: Workspace, items: set[str]) -> Purged:
    """Remove all that holds any of the items, or was made from it, from the local cache and from every remote.

    Args:
        ws: the main workspace.
        items: sha256 of each item's content.
    """
    from dvc.repo import Repo  # type: ignore[import-untyped]

    result = Purged()
    with Repo(str(ws.root)) as repo:
        legacy = repo.cache.legacy
        result.removed["cache"] = _Store(legacy.fs, legacy.path).purge(items)
        for name in repo.config["remote"]:
            try:
                odb = repo.cloud.get_remote_odb(name=name, hash_name="md5-dos2unix")
                result.removed[name] = _Store(odb.fs, odb.path).purge(items)
            except Exception as error:  # whatever a storage's own library raises; the next run tries again
                result.unreached[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"
    return result


@dataclass(frozen=True)
class _Made:
    """A stage that ran once: an entry of the run cache, its inputs' hashes and its outputs."""

    entry: str
    deps: frozenset[str]
    outs: dict[str, str]


@dataclass(frozen=True)
class _Store:
    """A cache in DVC's layout: objects by MD5 under files/md5, the run cache under runs."""

    fs: Any
    base: str

    def purge(self, items: set[str]) -> int:
        """Remove what is bad; returns the number of files."""
        made = list(self._entries())
        contents = {oid: self._content(path, oid) for one in made for path, oid in one.outs.items()}
        holding = {oid for oid, files in contents.items() if any(self._holds(name, part, items) for name, part in files.items())}
        bad, spread = set(holding), True
        while spread:
            worse = {oid for one in made if bad & (one.deps | set(one.outs.values())) for oid in one.outs.values()}
            spread, bad = not worse <= bad, bad | worse
        good = {part for one in made for oid in one.outs.values() if oid not in bad for part in (oid, *contents[oid].values())}
        doomed = {oid for oid in bad if oid not in good}
        for oid in bad:
            doomed |= {
                part for name, part in contents[oid].items() if part not in good and not self._is_clean_shard(name, part, items)
            }
        entries = [one.entry for one in made if bad & set(one.outs.values())]
        files = [path for path in map(self._path, doomed) if self.fs.exists(path)]
        for path in (*entries, *files):
            self.fs.remove(path)
        return len(entries) + len(files)

    def _entries(self) -> Iterator[_Made]:
        runs = self.fs.join(self.base, "runs")
        for path in self.fs.find(runs) if self.fs.exists(runs) else ():
            try:
                entry = yaml.safe_load(self._read(path))
                outs = {out["path"]: out["md5"] for out in entry["outs"]}
                yield _Made(path, frozenset(dep["md5"] for dep in entry.get("deps", ())), outs)
            except (yaml.YAMLError, KeyError, TypeError):
                continue  # no entry that DVC could use

    def _content(self, path: str, oid: str) -> dict[str, str]:
        """Name -> MD5 of the files an output consists of."""
        if not oid.endswith(".dir"):
            return {path: oid}
        try:
            return {entry["relpath"]: entry["md5"] for entry in json.loads(self._read(self._path(oid)))}
        except (OSError, ValueError, KeyError, TypeError):  # gone or damaged
            return {}

    def _holds(self, name: str, oid: str, items: set[str]) -> bool:
        """Whether a file is a table that names one of the items."""
        table = self._table(name, oid)
        texts = [] if table is None else [column for column in table.iter_columns() if column.dtype == pl.String]
        return any(column.is_in(list(items)).any() for column in texts)

    def _is_clean_shard(self, name: str, oid: str, items: set[str]) -> bool:
        table = self._table(name, oid)
        return table is not None and "item" in table.columns and not table["item"].is_in(list(items)).any()

    def _table(self, name: str, oid: str) -> pl.DataFrame | None:
        if not name.endswith(".parquet"):
            return None
        try:
            return pl.read_parquet(BytesIO(self._read(self._path(oid))))
        except (pl.exceptions.PolarsError, OSError):  # no Parquet, or gone
            return None

    def _path(self, oid: str) -> str:
        return str(self.fs.join(self.base, "files", "md5", oid[:2], oid[2:]))

    def _read(self, path: str) -> bytes:
        with self.fs.open(path, "rb") as file:
            return bytes(file.read())
