"""A registered version that answers, with the workspace's gallery, all of it in memory."""

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from csa.core.matrices import Array
from csa.datasets.containers import ItemFiles
from csa.datasets.roots import dataset_root
from csa.errors import ArtifactError, InputError
from csa.features.shards import fingerprint_of_features
from csa.operations.opened import Project
from csa.operations.registry.downloads import checked_model
from csa.operations.registry.versions import Version
from csa.pipeline.workspace import Workspace
from csa.questions.opened import Fitted
from csa.scoring.cells import Limits, features_in, item_in
from csa.scoring.scorer import Scorer
from csa.serving.batches import SharedBatches
from csa.serving.galleries import Galleries
from csa.serving.searching import SharedSearches

_DECODING = threading.BoundedSemaphore(4)  # a decoded picture is large; four at a time
_MOST_LABELS = 1000  # of a list to choose from
_SHOWN = 20_000  # rows of the galleries


@dataclass(frozen=True, eq=False)
class Answering:
    """A version that answers; only pictures and sounds of the gallery are still read from the disk.

    Attributes:
        version: of the registry.
        galleries: the version's model over the workspace's gallery, and how it is searched.
        encoders: of each view whose items can be encoded.
        state: of the gallery's files when they were read; see `gallery_state`.
        limits: what is accepted in the place of an item.
        files: of each view whose items lie in files.
    """

    version: Version
    galleries: Galleries
    encoders: dict[str, SharedBatches]
    state: tuple[int, ...]
    limits: Limits
    files: dict[str, ItemFiles] = field(default_factory=dict)

    @cached_property
    def searches(self) -> SharedSearches:
        """Of queries that arrive together."""
        return SharedSearches(self.galleries)

    @property
    def number(self) -> int:
        """The version."""
        return self.version.version

    @property
    def fitted(self) -> Fitted:
        """The version's model over the workspace's gallery."""
        return self.galleries.fitted

    @property
    def scorer(self) -> Scorer:
        """The version's model."""
        return self.fitted.scorer

    @classmethod
    def load(
        cls,
        project: Project,
        version: Version,
        limits: Limits,
        exact: int,
        before: "Answering | None",
    ) -> "Answering":
        """Load a version beside the one that answers.

        Args:
            project: whose registry has it.
            version: which.
            limits: what is accepted in the place of an item.
            exact: items of a gallery up to which it is searched exactly.
            before: what answers now; encoders that both use are not loaded twice.

        Returns:
            The version, ready.

        Raises:
            ArtifactError: a file of the model is not what was registered, or the gallery's features
                are by another encoder than the model's.
            EncoderError: an encoder of the model is not on this machine, or is another one.
        """
        ws = project.ws
        state = gallery_state(ws)
        with checked_model(project.registry, version) as folder:
            scorer = Scorer.read(folder / "artifacts", project.params.compute.device)
            _ = scorer.judge, scorer.prompts  # what is read when asked for is read now
            encoders = _encoders(scorer, folder / "artifacts", before)
        fitted = Fitted.open(ws, scorer)
        for name, view in scorer.views.items():
            found = fingerprint_of_features(ws.features(name))
            if found != view.fingerprint:
                raise ArtifactError(
                    f"{ws.features(name)}: features by the encoder {found}, but version "
                    f"{version.version} takes those of {view.fingerprint}; run `csa run` with its "
                    f"parameters, or promote a version that fits the workspace"
                )
            fitted.familiar(name, np.ones((1, view.dimension)))  # learned now, not at a request
        galleries = Galleries.of(fitted, exact)
        if gallery_state(ws) != state:
            raise ArtifactError(f"{ws.data}: was written while it was read; is a run under way?")
        root = dataset_root(fitted.params.dataset, ws.root)
        files = {
            name: ItemFiles(root, view.modality)
            for name, view in scorer.views.items()
            if view.modality not in ("text", "array")
        }
        return cls(version, galleries, encoders, state, limits, files)

    def without(self, items: Collection[str]) -> "Answering":
        """The same without items that are to be forgotten.

        Args:
            items: their hashes (sha256).

        Returns:
            What answers without them; itself if none of them is here.
        """
        galleries = self.galleries.without(items)
        return self if galleries is self.galleries else replace(self, galleries=galleries)

    def pair(self, pair_id: str) -> dict[str, Any]:
        """A row of the pairs table.

        Raises:
            InputError: no pair has that id.
        """
        row = self._places.get(pair_id)
        if row is None:
            raise InputError(f"no pair has the id {pair_id[:80]!r}")
        return self.fitted.pairs.row(row, named=True)

    def features(self, view: str, cells: list[Any]) -> Array:
        """Features of what was sent, shape (n, d), in the order of the cells.

        Args:
            view: a view's name.
            cells: each a raw item or a row of features.

        Returns:
            The features.

        Raises:
            InputError, DataError: no such view, or a cell is neither, or damaged.
            FeatureError: a row of features of another length.
        """
        frozen = self.scorer.view(view)
        rows: dict[int, Array] = {}
        prepared: dict[int, Any] = {}
        for i, cell in enumerate(cells):
            row = features_in(cell)
            if row is not None:
                # as encoders give them and shards hold them, so that answers are those of offline
                rows[i] = frozen.checked(i, row).astype(np.float32)
                continue
            with _DECODING:
                item = item_in(cell, frozen.modality, f"{view} {i}", self.limits)
                prepared[i] = self.encoders[view].prepare(item)
        if prepared:
            encoded = self.encoders[view].encode(list(prepared.values()))
            rows.update(zip(prepared, encoded, strict=True))
        return np.stack([rows[i] for i in range(len(cells))])

    def vectors_of_pair(self, view: str, pair_id: str) -> Array:
        """Index vectors of the item that a pair has in a view, shape (1, k).

        Raises:
            InputError: no pair has that id, or no view that name.
        """
        self.scorer.view(view)
        digest = self.pair(pair_id)[f"{view}_hash"]
        return self.fitted.gallery(view).vectors[[self._rows[view][digest]]]

    @cached_property
    def shown(self) -> Callable[[str, int], dict[str, Any]]:
        """Of a row of a view's gallery: id, split and label of its pair, and of each view what to
        show, texts as they are and the names of files; the rows that were shown last are kept.
        """
        names = self.scorer.names

        def shown(view: str, row: int) -> dict[str, Any]:
            pair = self.fitted.gallery(view).pairs.row(row, named=True)
            items = {name: str(pair[name]) for name in names}
            about = {"pair": pair["pair_id"], "split": pair["split"], "label": pair["label"]}
            return {**about, "items": items}

        return lru_cache(maxsize=_SHOWN)(shown)

    @cached_property
    def _places(self) -> dict[str, int]:
        """Pair id -> its row in the pairs table."""
        return {pair: row for row, pair in enumerate(self.fitted.pairs["pair_id"].to_list())}

    @cached_property
    def _rows(self) -> dict[str, dict[str, int]]:
        """View -> hash of an item -> its row in the gallery."""
        hashes = {
            view: self.fitted.gallery(view).pairs[f"{view}_hash"].to_list()
            for view in self.scorer.names
        }
        return {view: {item: i for i, item in enumerate(of)} for view, of in hashes.items()}

    def about(self) -> dict[str, Any]:
        """For people: which version answers, over what, and how good it is."""
        scorer, pairs = self.scorer, self.fitted.pairs
        return {
            "version": self.number,
            "aliases": list(self.version.aliases),
            "registered": self.version.created,
            **scorer.about,
            "score": scorer.alignment.score_name,
            "in_nats": scorer.alignment.in_nats,
            "alpha": scorer.alpha,
            "calibrated": scorer.judge is not None,
            "views": {
                name: {
                    "modality": view.modality,
                    "encoder": str(view.description.get("encoder", "")),
                    "features": view.dimension,
                    "gallery": self.fitted.gallery(name).pairs.height,
                    "search": self.galleries.about(name),
                }
                for name, view in scorer.views.items()
            },
            "splits": sorted(pairs["split"].drop_nulls().unique().to_list()),
            "labels": _few(pairs["label"].cast(pl.String).drop_nulls().unique().to_list()),
        }


def _few(labels: list[str]) -> list[str]:
    """Labels for a list to choose from; none where nobody would read them all."""
    return sorted(labels) if len(labels) <= _MOST_LABELS else []


def gallery_state(ws: Workspace) -> tuple[int, ...]:
    """What changes whenever a run writes another gallery: the pairs table and the features'
    indices, by their last change and size.

    Args:
        ws: whose gallery.

    Returns:
        Numbers to be compared.

    Raises:
        ArtifactError: a file is missing.
    """
    state: tuple[int, ...] = ()
    for file in (ws.pairs, *(ws.features(view) / "index.json" for view in ws.params().view_names)):
        try:
            told = file.stat()
        except FileNotFoundError:
            raise ArtifactError(
                f"{file}: not there; is a run under way? Otherwise start `csa run`"
            ) from None
        state += (told.st_mtime_ns, told.st_size)
    return state


def _encoders(scorer: Scorer, files: Path, before: Answering | None) -> dict[str, SharedBatches]:
    """The encoders of a model, each compared with the one of the fit and with its weights in
    memory.
    """
    encoders = {}
    for name, view in scorer.views.items():
        if view.modality == "array":
            continue
        known = None if before is None else before.scorer.views.get(name)
        if before is not None and known is not None and known.fingerprint == view.fingerprint:
            encoders[name] = before.encoders[name]
            continue
        if (files / f"weights_{name}").is_dir():
            view.weights_from(files / f"weights_{name}")
        encoder = view.encoder
        for part in encoder.parts:
            part.load()
        encoders[name] = SharedBatches(encoder)
    return encoders
