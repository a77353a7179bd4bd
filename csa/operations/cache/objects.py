"""A cache in DVC's layout, here or on a remote: objects by MD5 under files/md5, what was made
from what under runs.

Nothing that is read here is believed: an object is given back when its bytes are those it is named
after, an entry when it has the form of one. What may be used of it, `restoring` and `seeding` say.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import yaml

from csa.operations.cache import settings
from csa.operations.cache.dvc_process import end_where_the_disk_does
from csa.pipeline.workspace import Workspace
from csa.storage.files import json_of
from csa.storage.written_yaml import read_yaml

_OID = re.compile(r"[0-9a-f]{32}(\.dir)?")
_OF_ENTRY = {"cmd", "deps", "params", "outs"}
_OF_ITEM = {"path", "hash", "md5", "size", "nfiles"}  # no isexec: nothing of ours is a program
_LARGEST_ENTRY = 4 << 20
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Made:
    """A stage that ran once: an entry of the run cache, or of dvc.lock.

    Attributes:
        entry: its path in the store; "" if it is in none.
        command: of the stage.
        params: what it read of the parameters: file -> key -> value.
        deps, outs: path -> MD5.
        written: the entry as DVC writes it.
    """

    entry: str
    command: str
    params: dict[str, Any]
    deps: dict[str, str]
    outs: dict[str, str]
    written: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, written: Any, entry: str = "") -> "Made":
        """What an entry says.

        Args:
            written: as DVC writes it.
            entry: its path in a store.

        Returns:
            The inputs, parameters and outputs that it names.

        Raises:
            ValueError: it has not the form of an entry; the message says what is odd.
        """
        if not isinstance(written, dict) or not written.keys() <= _OF_ENTRY:
            raise ValueError("it is not an entry of a run cache")
        command, params = written.get("cmd"), written.get("params") or {}
        if not isinstance(command, str) or not isinstance(params, dict):
            raise ValueError("its command or its parameters are of another kind")
        if not all(isinstance(values, dict) for values in params.values()):
            raise ValueError("parameters of a file are no mapping")
        deps, outs = (_items(written.get(key) or ()) for key in ("deps", "outs"))
        return cls(entry, command, params, deps, outs, written)

    @property
    def question(self) -> str:
        """One hash over what was run on what, and which outputs it has: equal questions have equal
        answers.
        """
        return _sha256([self.command, self.params, self.deps, sorted(self.outs)])

    def size(self, path: str) -> int | None:
        """Bytes of an output, as the entry says; None where it does not.

        Args:
            path: of the output.
        """
        sizes = (out.get("size") for out in self.written.get("outs", ()) if out["path"] == path)
        return next(sizes, None)

    @property
    def statement(self) -> str:
        """One hash over the question and its answer."""
        return _sha256([self.command, self.params, self.deps, self.outs])


def _items(listed: Any) -> dict[str, str]:
    """Path -> MD5 of inputs or outputs. What is wrong is not quoted: YAML can say in a few bytes
    what is endless when it is written out.
    """
    found: dict[str, str] = {}
    if not isinstance(listed, list | tuple):
        raise ValueError("its inputs or outputs are no list")
    for item in listed:
        if not isinstance(item, dict) or not item.keys() <= _OF_ITEM:
            raise ValueError("an input or output has fields that it may not have")
        path, oid, size = item.get("path"), item.get("md5"), item.get("size", 0)
        if not isinstance(path, str) or not isinstance(oid, str) or not _OID.fullmatch(oid):
            raise ValueError("an input or output has no path or no MD5")
        if type(size) is not int or size < 0:
            raise ValueError(f"{path[:80]!r} has a size that is none")
        if path in found:
            raise ValueError(f"it names {path[:80]!r} twice")
        found[path] = oid
    return found


def _sha256(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


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
        """Every entry of the run cache; what has not the form of one is passed over."""
        for path in self.below("runs"):
            made = self.entry(path)
            if made is not None:
                yield made

    def objects(self) -> Iterator[str]:
        """Every object that is there; what is not called like one is passed over."""
        for path in self.below("files", "md5"):
            oid = "".join(self.fs.parts(path)[-2:])
            if _OID.fullmatch(oid):
                yield oid

    def below(self, *names: str) -> Iterator[str]:
        """Every file below a folder of the cache; none where a link stands in the place of one of
        its folders, which may lead anywhere.

        Args:
            names: of the folders on the way to it.
        """
        folder = self.base
        for name in names:
            folder = self.fs.join(folder, name)
            if not self.fs.exists(folder) or self.fs.islink(folder):
                return
        yield from self.fs.find(folder)

    def head(self, oid: str, length: int) -> bytes:
        """The first bytes of an object.

        Args:
            oid: the object, which is there.
            length: how many.

        Returns:
            These bytes; fewer where it is shorter; none where it is no file.
        """
        if not self.has(oid):
            return b""
        with self.fs.open(self.path(oid), "rb") as file:
            return bytes(file.read(length))

    def entry(self, path: str) -> Made | None:
        """One entry of the run cache; None if it has not the form of one.

        Args:
            path: where it lies.
        """
        try:
            info = self.fs.info(path)
            if info["type"] != "file" or (info.get("size") or 0) > _LARGEST_ENTRY:
                return None
            return Made.of(read_yaml(self.read(path)), path)
        except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError, OSError):
            return None

    def content(self, path: str, oid: str) -> dict[str, str]:
        """Name -> MD5 of the files that an output consists of; nothing where its list is gone or
        damaged.

        Args:
            path: of the output.
            oid: its object.

        Returns:
            Name -> MD5; of an output that is one file, its own.
        """
        if not oid.endswith(".dir"):
            return {path: oid}
        if oid not in self._known:
            listed = self.whole(oid)
            try:
                self._known[oid] = {
                    entry["relpath"]: entry["md5"] for entry in json_of(listed or b"[]")
                }
            except (ValueError, KeyError, TypeError):
                self._known[oid] = {}
        return self._known[oid]

    def whole(self, oid: str) -> bytes | None:
        """An object's bytes; None if it is gone, or its bytes are not those it is named
        after.
        """
        if not self.has(oid):
            return None
        try:
            content = self.read(self.path(oid))
        except OSError:
            return None
        return content if _md5(content) == oid.removesuffix(".dir") else None

    def has(self, oid: str) -> bool:
        """Whether a file of that name is there; a pipe or a folder in its place does not count."""
        try:
            return bool(self.fs.info(self.path(oid))["type"] == "file")
        except (OSError, KeyError):
            return False

    def lacking(self, oids: set[str]) -> set[str]:
        """Those objects that are not there; asked for all at once.

        Args:
            oids: of the objects.
        """
        asked = sorted(oids)
        there = self.fs.exists([self.path(oid) for oid in asked])
        return {oid for oid, found in zip(asked, there, strict=True) if not found}

    def fetch(self, oid: str, target: Path, most: int) -> bool:
        """Copy an object to a file; whether its bytes are those it is named after. Where they are
        not, no file is left.

        Args:
            oid: the object, which is there.
            target: the file.
            most: bytes that it may have; of more, none is left either.

        Returns:
            Whether the file is there now.
        """
        found = hashlib.md5(usedforsecurity=False)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self.fs.open(self.path(oid), "rb") as source, target.open("wb") as copy:
                while (block := source.read(_BLOCK)) and most >= 0:
                    most -= len(block)
                    found.update(block)
                    copy.write(block)
        except FileNotFoundError:
            target.unlink(missing_ok=True)
            return False
        if most >= 0 and found.hexdigest() == oid.removesuffix(".dir"):
            return True
        target.unlink()
        return False

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
        self.write(self.path(oid), content)

    def write(self, path: str, content: bytes) -> None:
        """Write a file whole or not at all, its folders too.

        Args:
            path: where it shall lie.
            content: its bytes.
        """
        self.fs.put_file(BytesIO(content), path)

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


def is_whole(file: Path, oid: str) -> bool:
    """Whether a file's bytes are those an object is named after.

    Args:
        file: here.
        oid: the object.

    Returns:
        Whether they are; False where there is no such file.
    """
    try:
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False))
    except OSError:
        return False
    return found.hexdigest() == oid.removesuffix(".dir")


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def stores_of(repo: Any) -> dict[str, Any]:
    """Name -> how to open the store, which may fail: `cache`, this machine's, first; then each
    remote, the default one first.

    Args:
        repo: DVC's, open.
    """
    default = repo.config["core"].get("remote")

    def remote(name: str) -> Store:
        # the one whose folder has both layouts
        odb = repo.cloud.get_remote_odb(name=name, hash_name="md5-dos2unix")
        return Store(odb.fs, odb.path)

    legacy = repo.cache.legacy
    opened: dict[str, Any] = {"cache": lambda: Store(legacy.fs, legacy.path)}
    for name in sorted(repo.config["remote"], key=lambda name: name != default):
        opened[name] = lambda name=name: remote(name)
    return opened


def open_repo(ws: Workspace) -> Any:
    """DVC's repository of a workspace, to be used in `with`; DVC says nothing of its own.

    Args:
        ws: the workspace.
    """
    from dvc.repo import Repo  # type: ignore[import-untyped]

    settings.silence_dvc()
    end_where_the_disk_does()
    return Repo(str(ws.root))


@contextmanager
def stores(ws: Workspace) -> Iterator[dict[str, Any]]:
    """`stores_of` the DVC repository of a workspace."""
    with open_repo(ws) as repo:
        yield stores_of(repo)
