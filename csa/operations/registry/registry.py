"""The model registry in MLflow: opened once, its versions listed once and remembered until
somebody writes.

MLflow takes seconds to import; it is imported when needed.
"""

import errno
import logging
import os
import re
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from csa.errors import ArtifactError, InputError, RegistryError
from csa.masking import masked
from csa.operations.registry.databases import check_registry
from csa.operations.registry.places import fetch
from csa.operations.registry.versions import CHAMPION, Version
from csa.pipeline.workspace import Workspace
from csa.storage.files import unwritable
from csa.storage.room import OF_THE_DISK

# Of a SQLite file (https://sqlite.org/fileformat2.html, section 1.3): where its header says how it
# is written, and how often it was. With a write-ahead log, changes are in another file at first.
_HEADER_BYTES, _FORMAT, _CHANGES, _IN_THE_FILE = 28, slice(18, 20), slice(24, 28), b"\1\1"
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


def local_database(address: str) -> Path | None:
    """The SQLite file of a registry's address, if it is one."""
    scheme, _, path = address.partition(":///")
    return Path(path) if scheme == "sqlite" else None


class Registry:
    """The registry that a workspace's model lies in.

    What it remembers of the versions is forgotten by whatever writes through it. What others
    write meanwhile is seen after `forget`.

    Attributes:
        ws: the workspace; downloads land in its state folder.
        model: the registered model's name.
        address: of MLflow.
        database: its SQLite file; None for a registry behind a server.
    """

    def __init__(self, ws: Workspace, model: str) -> None:
        self.ws, self.model, self.address = ws, model, ws.mlflow_uri
        self.database = local_database(self.address)
        self._opened: Any = None
        self._versions: dict[str, list[Version]] = {}

    @contextmanager
    def client(self) -> Iterator[Any]:
        """The MLflow client, with MLflow's chatter off, and MLflow itself pointed at this registry.

        Raises:
            RegistryError: MLflow does not answer, or cannot read or write its store.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from mlflow.exceptions import MlflowException

            try:
                yield self._open()
            except (MlflowException, OSError) as error:
                if isinstance(error, OSError) and error.errno not in OF_THE_DISK:
                    raise
                cause = "is the server up, and its address right?"
                if self.database is not None:
                    cause = "is the disk full, or the file not yours to write?"
                raise RegistryError(
                    f"the registry at {self.address} cannot be used ({_said(error)}): {cause} The "
                    f"next `csa run` finishes or undoes what was begun"
                ) from error

    @contextmanager
    def writing(self) -> Iterator[Any]:
        """The client for a write; afterwards nothing is remembered, also where the write failed.

        Raises:
            RegistryError: as for `client`.
        """
        try:
            with self.client() as client:
                yield client
        finally:
            self.forget()

    def state(self) -> list[str | int] | None:
        """What changes whenever somebody writes to the registry's SQLite file, with SQLite's own
        count of the changes; None if that cannot be told, as where the registry is behind a server.
        """
        if self.database is None:
            return None
        try:
            found = self.database.stat()
            with self.database.open("rb") as file:
                header = file.read(_HEADER_BYTES)
        except OSError:
            return None
        if len(header) < _HEADER_BYTES or header[_FORMAT] != _IN_THE_FILE:
            return None
        changes = int.from_bytes(header[_CHANGES], "big")
        return [self.address, found.st_ino, found.st_size, found.st_mtime_ns, changes]

    def forget(self) -> None:
        """Ask MLflow anew next time."""
        self._versions.clear()

    def versions(self, model: str | None = None) -> list[Version]:
        """All versions of the workspace's model, or of another, newest first."""
        name = model or self.model
        if name not in self._versions:
            with self.client() as client:
                self._versions[name] = _listed(client, name)
        return self._versions[name]

    def version(self, number: int) -> Version:
        """One version of the workspace's model.

        Raises:
            InputError: there is no such version.
        """
        known = self.versions()
        for version in known:
            if version.version == number:
                return version
        numbers = ", ".join(str(version.version) for version in known) or "none"
        raise InputError(f"{self.model} has no version {number}; there are: {numbers}")

    def champion(self) -> Version | None:
        """The version that `champion` points at."""
        return next((one for one in self.versions() if CHAMPION in one.aliases), None)

    def set_champion(self, number: int) -> None:
        """Point `champion` at a version."""
        with self.writing() as client:
            client.set_registered_model_alias(self.model, CHAMPION, str(number))

    def tag_version(self, number: int, key: str, value: str) -> None:
        """Set one tag of a version.

        Args:
            number: the version.
            key, value: of the tag.
        """
        with self.writing() as client:
            client.set_model_version_tag(self.model, str(number), key, value)

    @contextmanager
    def fetched(self, source: str, near: Path | None = None) -> Iterator[Path]:
        """A fresh copy of a file or folder of the registry, for as long as the block lasts.

        Args:
            source: its address in MLflow.
            near: the folder to make the copy in; default the state folder's downloads, or the
                system's folder of temporary files where nothing can be written there.

        Yields:
            The copy's path.

        Raises:
            ArtifactError: it cannot be fetched.
            WorkspaceError: the copy cannot be made in that folder.
        """
        from mlflow.exceptions import MlflowException

        with self.client(), self._place(near) as folder:
            try:
                copy = fetch(source, Path(folder), self.address, self.ws.home)
            except (MlflowException, OSError) as error:
                said = " ".join(str(error).split())
                raise ArtifactError(
                    f"{source}: cannot be fetched from the registry at {self.address} ({said})"
                ) from None
            yield copy

    def _place(self, near: Path | None) -> "tempfile.TemporaryDirectory[str]":
        folder = near or self.ws.state / "downloads"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return tempfile.TemporaryDirectory(dir=folder)
        except OSError as error:
            if near is None and error.errno in _READ_ONLY:
                return tempfile.TemporaryDirectory()
            raise unwritable(folder, error) from None

    def _open(self) -> Any:
        """The one client; MLflow's functions, which go by a global address, are told of it."""
        import mlflow

        if self._opened is None:
            for name in ("mlflow", "alembic"):
                logging.getLogger(name).setLevel(logging.CRITICAL)  # its errors are raised too
            if self.database is not None:
                self.database.parent.mkdir(parents=True, exist_ok=True)
                check_registry(self.database)
                _open_store(self.address, self.database.parent)
        given = os.environ.get("MLFLOW_TRACKING_URI")
        mlflow.set_tracking_uri(self.address)
        if given is None:  # MLflow sets it itself, and it would hold for the next workspace too
            os.environ.pop("MLFLOW_TRACKING_URI", None)
        if self._opened is None:
            self._opened = mlflow.MlflowClient()
        return self._opened


def _open_store(address: str, folder: Path) -> None:
    """Open MLflow's store before its client does.

    A new store writes the path of a default experiment, which nobody uses, into a statement as it
    is. As an address, the path holds no quote that ends the text.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    opened: Any = SqlAlchemyStore  # it has no types
    opened(address, folder.absolute().as_uri())


def _listed(client: Any, name: str) -> list[Version]:
    if not client.search_registered_models(f"name = '{name}'"):
        return []
    aliases: dict[int, list[str]] = {}
    for alias, number in client.get_registered_model(name).aliases.items():
        aliases.setdefault(int(number), []).append(alias)
    found = [
        Version.read(version, aliases)
        for version in _pages(client.search_model_versions, f"name = '{name}'")
    ]
    return sorted(found, key=lambda version: -version.version)


def _pages(search: Any, query: str) -> Iterator[Any]:
    token = None
    while True:
        page = search(query, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _said(error: Exception) -> str:
    """The heart of an error that came through SQLAlchemy or urllib3, which wrap it in statements
    and addresses.
    """
    text = " ".join(str(error).split())
    heart = re.search(r"\(sqlite3\.\w+\) (.+?)(?: \[SQL| \(Background|$)", text) or re.search(
        r"\[Errno \d+\] ([^\"')]+)", text
    )
    return masked(heart[1] if heart else text[:200])
