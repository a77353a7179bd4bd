"""A registered version that answers, with the workspace's gallery; and the one that answers now."""

import logging
import threading
from dataclasses import dataclass
from typing import Any

from csa.encoders.registry import load_view_encoder
from csa.encoders.several import ViewEncoder
from csa.errors import ArtifactError, CSAError, InputError
from csa.operations.opened import Project
from csa.operations.registry.downloads import checked_model
from csa.operations.registry.versions import Version
from csa.pipeline.workspace import Workspace
from csa.questions.opened import Fitted
from csa.scoring.frozen import FrozenView
from csa.scoring.scorer import Scorer
from csa.serving.batches import SharedBatches

_log = logging.getLogger("csa.serving")


@dataclass(frozen=True, eq=False)
class Answering:
    """A version that answers; nothing of it is read from the disk any more.

    Attributes:
        version: of the registry.
        fitted: the version's model over the workspace's gallery.
        state: of the gallery's files when they were read; see `_gallery_state`.
    """

    version: Version
    fitted: Fitted
    state: tuple[int, ...]

    @property
    def number(self) -> int:
        """The version."""
        return self.version.version

    @classmethod
    def load(cls, project: Project, version: Version, before: "Answering | None") -> "Answering":
        """Load a version beside the one that answers.

        Args:
            project: whose registry has it.
            version: which.
            before: what answers now; encoders that both use are not loaded twice.

        Returns:
            The version, ready.

        Raises:
            ArtifactError: a file of the model is not what was registered, or the gallery's features
                are by another encoder than the model's.
            EncoderError: an encoder of the model is not on this machine, or is another one.
        """
        state = _gallery_state(project.ws)
        with checked_model(project.registry, version) as folder:
            files = folder / "artifacts"
            scorer = Scorer.read(files)
            _ = scorer.judge, scorer.prompts  # what is read when asked for is read now
            for name, view in scorer.views.items():
                if (files / f"weights_{name}").is_dir():
                    view.weights_from(files / f"weights_{name}")
                if view.modality != "array":
                    view.use(_encoder(view, before))
        fitted = Fitted.open(project.ws, scorer)
        for name in scorer.names:
            fitted.gallery(name)
        fitted.learn_familiar()
        return cls(version, fitted, state)

    def about(self) -> dict[str, Any]:
        """For people: which version, of what, and how good."""
        scorer = self.fitted.scorer
        return {
            "version": self.number,
            "aliases": list(self.version.aliases),
            "registered": self.version.created,
            **scorer.about,
            "score": scorer.alignment.score_name,
            "alpha": scorer.alpha,
            "calibrated": scorer.judge is not None,
            "views": {
                name: {
                    "modality": view.modality,
                    "encoder": view.params.encoder_names,
                    "features": view.dimension,
                    "gallery": self.fitted.gallery(name).pairs.height,
                }
                for name, view in scorer.views.items()
            },
        }


class Follower:
    """Holds the version that answers, and takes over the one that an alias has moved to.

    A request asks `now` once and keeps what it got, so it is answered by one version whatever moves
    meanwhile.

    Args:
        ws: whose model and gallery.
        alias: which is followed.

    Attributes:
        now: what answers.
        trouble: why the alias cannot be followed at the moment; None where it can.
        taken_over: how often another version, or a newer gallery, was taken over.
    """

    def __init__(self, ws: Workspace, alias: str) -> None:
        self._ws, self._alias = ws, alias
        self._ended = threading.Event()
        self.trouble: str | None = None
        self.taken_over = 0
        self.now = self._load(None)

    def look(self) -> None:
        """Take over what has moved; where that fails the old version goes on answering."""
        try:
            new = self._load(self.now)
        except (CSAError, OSError) as error:
            said = " ".join(str(error).split())
            if said != self.trouble:
                _log.warning("version %d goes on answering: %s", self.now.number, said)
            self.trouble = said
            return
        self.trouble = None
        if new is not self.now:
            _log.warning("version %d answers from now on", new.number)
            self.now, self.taken_over = new, self.taken_over + 1

    def start(self, seconds: float) -> None:
        """Look every so often, in a thread of its own.

        Args:
            seconds: between two looks.
        """

        def work() -> None:
            while not self._ended.wait(seconds):
                self.look()

        threading.Thread(target=work, daemon=True, name="csa-follower").start()

    def end(self) -> None:
        """Look no more."""
        self._ended.set()

    def _load(self, before: Answering | None) -> Answering:
        project = Project(self._ws)
        version = next(
            (one for one in project.registry.versions() if self._alias in one.aliases), None
        )
        if version is None:
            raise InputError(
                f"{project.model} has no version with the alias {self._alias!r}; `csa run` makes "
                f"one, or name another with --alias"
            )
        if before is not None and _same(before, version, self._ws):
            return before
        return Answering.load(project, version, before)


def _same(before: Answering, version: Version, ws: Workspace) -> bool:
    files = before.version.tags.get("files"), version.tags.get("files")
    return (
        before.number == version.version
        and files[0] == files[1]
        and before.state == _gallery_state(ws)
    )


def _gallery_state(ws: Workspace) -> tuple[int, ...]:
    """What changes whenever a run writes another gallery: the pairs table and the features'
    indices, by their last change and size.
    """
    state: tuple[int, ...] = ()
    for file in (ws.pairs, *sorted((ws.data / "features").glob("*/index.json"))):
        try:
            told = file.stat()
        except FileNotFoundError:
            raise ArtifactError(f"{file}: not there; is a run under way? else run `csa run`") from (
                None
            )
        state += (told.st_mtime_ns, told.st_size)
    return state


def _encoder(view: FrozenView, before: Answering | None) -> ViewEncoder:
    known = None if before is None else before.fitted.scorer.views.get(view.name)
    if known is not None and known.fingerprint == view.fingerprint:
        return known.encoder
    encoder = SharedBatches(load_view_encoder(view.params))
    for part in encoder.parts:
        part.load()
    return encoder
