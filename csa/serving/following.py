"""Which version answers now: the one that an alias points at, taken over when it moves."""

import logging
import threading
from collections.abc import Collection

from csa.errors import ArtifactError, CSAError, InputError
from csa.operations.forgetting.forgotten import wanted
from csa.operations.opened import Project
from csa.operations.registry.versions import Version
from csa.pipeline.workspace import Workspace
from csa.scoring.cells import Limits
from csa.serving.answering import Answering, gallery_state
from csa.serving.galleries import EXACT

_log = logging.getLogger("csa.serving")


class Follower:
    """Holds the version that answers, and takes over the one that an alias has moved to.

    A request asks `now` once and keeps what it got, so it is answered by one version whatever moves
    meanwhile.

    Args:
        ws: whose model and gallery.
        alias: which is followed.
        limits: what is accepted in the place of an item.
        exact: items of a gallery up to which it is searched exactly.

    Attributes:
        now: what answers.
        trouble: why the alias cannot be followed at the moment; None if it can.
        taken_over: how often another version, or a newer gallery, was taken over.

    Raises:
        InputError: no version has the alias.
        ArtifactError, EncoderError: the version cannot answer here.
    """

    def __init__(self, ws: Workspace, alias: str, limits: Limits, exact: int = EXACT) -> None:
        self._project, self._alias = Project(ws), alias
        self._limits, self._exact = limits, exact
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.trouble: str | None = None
        self.taken_over = 0
        self.now = self._load(None, wanted(ws))

    def look(self) -> None:
        """Take over what has moved; where that fails the old version goes on answering, without
        what was forgotten meanwhile. What is forgotten while a version is read is left out at the
        next look.
        """
        try:
            forgotten = wanted(self._project.ws)
            self._forget(forgotten)
            new = self._load(self.now, forgotten)
        except Exception as error:  # whatever a library raises on a damaged registry
            said = " ".join(str(error).split()) or type(error).__name__
            if said != self.trouble:
                _log.warning("version %d goes on answering: %s", self.now.number, said)
                if not isinstance(error, CSAError):
                    _log.debug("no error of ours", exc_info=True)
            self.trouble = said
            return
        self.trouble = None
        if new is not self.now:
            _log.warning("version %d answers from now on", new.number)
            self.now, self.taken_over = new, self.taken_over + 1

    def _forget(self, items: Collection[str]) -> None:
        less = self.now.without(items)
        if less is not self.now:
            _log.warning("items that are to be forgotten are out of the gallery")
            self.now = less

    def start(self, seconds: float) -> None:
        """Look every so often, in a thread of its own.

        Args:
            seconds: between two looks.
        """

        def work() -> None:
            while not self._ended.wait(seconds):
                self.look()

        self._thread = threading.Thread(target=work, daemon=True, name="csa-follower")
        self._thread.start()

    def end(self) -> None:
        """Look no more."""
        self._ended.set()

    def _load(self, before: Answering | None, forgotten: Collection[str]) -> Answering:
        project = self._project
        database = project.registry.database
        if before is not None and database is not None and not database.is_file():
            raise ArtifactError(f"{database}: the registry's file is gone; was it moved?")
        project.registry.forget()
        version = next(
            (one for one in project.registry.versions() if self._alias in one.aliases), None
        )
        if version is None:
            raise InputError(
                f"{project.model} has no version with the alias {self._alias!r}; `csa run` makes "
                f"one, or name another with --alias"
            )
        if before is not None and _same(before, version, project.ws):
            return before
        loaded = Answering.load(project, version, self._limits, self._exact, before)
        return loaded.without(forgotten)


def _same(before: Answering, version: Version, ws: Workspace) -> bool:
    return (
        before.number == version.version
        and before.version.registration == version.registration
        and before.state == gallery_state(ws)
    )
