"""The folder where what comes from a cache waits until it was looked at.

Objects are fetched into it, read there, and moved into this machine's cache once all of an entry is
found good. Nothing of it is in the working tree before.
"""

import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from csa.errors import ArtifactError
from csa.operations.cache.objects import Made, Store, is_whole
from csa.operations.cache.structure import LARGEST_LIST, files_of
from csa.pipeline.workspace import Workspace

_AT_ONCE = 8
_READ_ONLY = 0o444  # DVC takes an object that cannot be written for whole


class GoneError(ArtifactError):
    """An object is nowhere whole."""


@dataclass
class Quarantine:
    """Objects of one entry, fetched and whole, none of them in use yet.

    Attributes:
        folder: where they lie.
        here: this machine's cache.
        places: name -> remote, in the order in which they are asked.
        damaged: what came damaged, as a person is told.
        silent: remotes that could not be read -> the kind of error.
    """

    folder: Path
    here: Store
    places: dict[str, Store]
    damaged: list[str] = field(default_factory=list)
    silent: dict[str, str] = field(default_factory=dict)

    def fetch(self, made: Made) -> dict[str, dict[str, Path]]:
        """All files of an entry's outputs, each whole.

        Args:
            made: the entry; its paths are those of the stage.

        Returns:
            Output -> name in it -> where the file lies; of an output that is a file the name is "".

        Raises:
            ArtifactError: a list of files is no such thing, or names what it may not.
            GoneError: an object is nowhere whole.
        """
        found: dict[str, dict[str, str]] = {}
        most = self._most(made)
        for path, oid in made.outs.items():
            found[path] = {"": oid}
            if oid.endswith(".dir"):
                listed = self.object(oid, path, LARGEST_LIST)
                found[path] = files_of(made.command, path, listed.read_bytes())
        wanted = {oid: path for path, files in found.items() for oid in files.values()}
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            each = pool.map(
                lambda oid: self.object(oid, wanted[oid], most[wanted[oid]]), list(wanted)
            )
            whole = dict(zip(wanted, each, strict=True))
        return {
            path: {name: whole[oid] for name, oid in files.items()} for path, files in found.items()
        }

    def _most(self, made: Made) -> dict[str, int]:
        """Output -> bytes that its files may have: what the entry says, which somebody may have
        made up, and no more than this disk can hold.

        Raises:
            ArtifactError: the entry says more than that.
        """
        room = shutil.disk_usage(self.folder).free // 2
        most = {path: made.size(path) for path in made.outs}
        said = sum(size or 0 for size in most.values())
        if said > room:
            raise ArtifactError(
                f"an entry says that its outputs have {said:,} bytes, more than half of the "
                f"{2 * room:,} that are free on this disk"
            )
        return {path: room if size is None else size for path, size in most.items()}

    def object(self, oid: str, path: str, most: int) -> Path:
        """An object as a whole file, in this machine's cache or in the quarantine.

        Args:
            oid: the object.
            path: of the output it belongs to, for what is said.
            most: bytes that it may have.

        Returns:
            Where the file lies.

        Raises:
            GoneError: it is nowhere whole.
        """
        local = Path(self.here.path(oid))
        if is_whole(local, oid):
            return local
        if local.is_file():  # it would stand in the way of a whole one
            self.damaged.append(f"{path} is damaged in this machine's cache")
            local.unlink()
        target = self.folder / oid
        if target.is_file():
            return target
        for name, place in self.places.items():
            try:
                if not place.has(oid):
                    continue
                if place.fetch(oid, target, most):
                    return target
                self.damaged.append(f"{path} arrived damaged from {name}")
            except Exception as error:  # whatever a storage's own library raises
                self.silent.setdefault(name, type(error).__name__)
        raise GoneError(f"no cache has {path} whole")

    def release(self) -> None:
        """Move what was fetched, and found good, into this machine's cache."""
        for file in sorted(self.folder.iterdir()):
            target = Path(self.here.path(file.name))
            target.parent.mkdir(parents=True, exist_ok=True)
            file.chmod(_READ_ONLY)
            shutil.move(file, target)


@contextmanager
def quarantine(ws: Workspace, found: dict[str, Any]) -> Iterator[Quarantine]:
    """A quarantine that is gone afterwards, with all that was not released.

    Args:
        ws: whose state folder it lies in; hold its lock.
        found: from `objects.stores_of`; a remote that cannot be opened is passed over.

    Yields:
        The quarantine.
    """
    places, silent = {}, {}
    for name, opened in found.items():
        try:
            places[name] = opened()
        except Exception as error:  # whatever a storage's own library raises
            silent[name] = type(error).__name__
    parent = ws.state / "quarantine"
    shutil.rmtree(parent, ignore_errors=True)  # what a killed run left
    parent.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        yield Quarantine(Path(folder), places.pop("cache"), places, silent=silent)
