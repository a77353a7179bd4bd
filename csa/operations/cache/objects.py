"""A cache in DVC's layout, here or on a remote: objects by MD5 under files/md5, what was made
from what under runs.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from csa.pipeline.workspace import Workspace


@dataclass(frozen=True)
class Made:
    """A stage that ran once: an entry of the run cache.

    Attributes:
        entry: its path in the store.
        command: of the stage.
        params: what it read of the parameters: file -> key -> value.
        deps, outs: path -> MD5.
    """

    entry: str
    command: str
    params: dict[str, Any]
    deps: dict[str, str]
    outs: dict[str, str]


@dataclass(frozen=True)
class Store:
    """One such cache.

    Args:
        fs: file system, as fsspec has them.
        base: the cache's folder there.
    """

    fs: Any
    base: str
    _known: dict[str, dict[str, str]] = field(default_factory=dict)

    def entries(self) -> Iterator[Made]:
        """Every entry of the run cache; what DVC could not use is passed over."""
        runs = self.fs.join(self.base, "runs")
        for path in self.fs.find(runs) if self.fs.exists(runs) else ():
            try:
                entry = yaml.safe_load(self.read(path))
                deps, outs = (
                    {one["path"]: one["md5"] for one in entry.get(key, ())}
                    for key in ("deps", "outs")
                )
                yield Made(path, entry["cmd"], entry.get("params") or {}, deps, outs)
            except (yaml.YAMLError, KeyError, TypeError, AttributeError):
                continue

    def content(self, path: str, oid: str) -> dict[str, str]:
        """Name -> MD5 of the files that an output consists of; nothing where its list is gone or
        damaged.

        Args:
            path: of the output.
            oid: its object.
        """
        if not oid.endswith(".dir"):
            return {path: oid}
        if oid not in self._known:
            listed = self.whole(oid)
            try:
                self._known[oid] = {
                    entry["relpath"]: entry["md5"] for entry in json.loads(listed or b"[]")
                }
            except (ValueError, KeyError, TypeError):
                self._known[oid] = {}
        return self._known[oid]

    def whole(self, oid: str) -> bytes | None:
        """An object's bytes; None where it is gone, or its bytes are not those it is named
        after.
        """
        try:
            content = self.read(self.path(oid))
        except OSError:
            return None
        return content if _md5(content) == oid.removesuffix(".dir") else None

    def damaged(self, oids: set[str]) -> list[str]:
        """Those objects that are there but not whole."""
        return [
            oid
            for oid in sorted(oids)
            if self.fs.exists(self.path(oid)) and self.whole(oid) is None
        ]

    def replace(self, oid: str, content: bytes) -> None:
        """Put an object's bytes where other bytes are.

        Args:
            oid: the object.
            content: its bytes.
        """
        self.remove(self.path(oid))  # DVC leaves objects read-only
        with self.fs.open(self.path(oid), "wb") as file:
            file.write(content)

    def path(self, oid: str) -> str:
        """Where an object lies."""
        return str(self.fs.join(self.base, "files", "md5", oid[:2], oid[2:]))

    def read(self, path: str) -> bytes:
        """A file's bytes, whatever they are."""
        with self.fs.open(path, "rb") as file:
            return bytes(file.read())

    def remove(self, path: str) -> None:
        """Remove a file."""
        self.fs.remove(path)


def digest(path: Path) -> str:
    """A file's MD5 as DVC has it, or a folder's: that of the list of its files, less those that
    .dvcignore names.
    """
    if path.is_file():
        return _md5(path.read_bytes())
    if not path.is_dir():
        return "missing"
    entries: list[dict[str, Any]] = [
        {"md5": _md5(file.read_bytes()), "relpath": file.relative_to(path).as_posix()}
        for file in sorted(path.rglob("*"), key=lambda file: file.relative_to(path).parts)
        if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".tmp"
    ]
    return f"{_md5(json.dumps(entries, sort_keys=True).encode())}.dir"


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@contextmanager
def stores(ws: Workspace) -> Iterator[dict[str, Any]]:
    """Name -> how to open the store, which may fail: `cache`, this machine's, first; then each
    remote, the default one first.
    """
    from dvc.repo import Repo  # type: ignore[import-untyped]

    with Repo(str(ws.root)) as repo:
        default = repo.config["core"].get("remote")

        def remote(name: str) -> Store:
            # the one whose folder has both layouts
            odb = repo.cloud.get_remote_odb(name=name, hash_name="md5-dos2unix")
            return Store(odb.fs, odb.path)

        legacy = repo.cache.legacy
        opened: dict[str, Any] = {"cache": lambda: Store(legacy.fs, legacy.path)}
        for name in sorted(repo.config["remote"], key=lambda name: name != default):
            opened[name] = lambda name=name: remote(name)
        yield opened
