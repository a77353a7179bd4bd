"""A workspace that was run, opened for questions."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from csa.core.alignment import Alignment
from csa.core.matrices import Array, Float64
from csa.datasets.items import load_file
from csa.datasets.pairs_table import read_pairs
from csa.errors import ArtifactError, InputError
from csa.features.shards import FeatureTable
from csa.modalities.registry import MODALITIES, modality_of, names_a_file
from csa.params.schema import Params
from csa.pipeline.scoring import scorer_of
from csa.pipeline.workspace import Workspace
from csa.scoring.scorer import Scorer
from csa.storage.files import what_is

if TYPE_CHECKING:  # a search judges nothing and waits for no scipy
    from csa.questions.familiar import Familiar


@dataclass(frozen=True)
class Gallery:
    """A pair of every item of a view, and the items' index vectors, shape (n, k)."""

    pairs: pl.DataFrame
    vectors: Array


@dataclass(frozen=True)
class Fitted:
    """A workspace that was run, and a fitted model that answers for it: by default its own.

    What a question needs of the workspace is read once.

    Attributes:
        ws: the workspace.
        params: its parameters.
        scorer: the model.
    """

    ws: Workspace
    params: Params
    scorer: Scorer
    _galleries: dict[str, Gallery] = field(default_factory=dict)
    _known: dict[str, "Familiar"] = field(default_factory=dict)
    _pairs: pl.DataFrame | None = None

    @classmethod
    def open(cls, ws: Workspace, scorer: Scorer | None = None) -> "Fitted":
        """Open a workspace that was run.

        Args:
            ws: the workspace.
            scorer: a fitted model on the same encoders; None takes the workspace's own.

        Returns:
            What asking it needs.

        Raises:
            ArtifactError: the workspace was not run yet.
        """
        params = ws.params()
        return cls(ws, params, scorer or scorer_of(ws, params))

    @property
    def alignment(self) -> Alignment:
        """How features of the two views are compared."""
        return self.scorer.alignment

    @cached_property
    def pairs(self) -> pl.DataFrame:
        """The pairs table."""
        return read_pairs(self.ws.pairs) if self._pairs is None else self._pairs

    def without(self, items: Collection[str]) -> "Fitted":
        """The same without some items: no pair, vector or feature of them that was read is kept.

        Args:
            items: their hashes (sha256).

        Returns:
            What was read without them; itself if none of them was read.
        """
        columns = [f"{view}_hash" for view in self.scorer.names]
        gone = self.pairs.select(pl.any_horizontal(pl.col(columns).is_in(list(items)))).to_series()
        if not gone.any():
            return self
        pairs, galleries = self.pairs.filter(~gone), {}
        for view, gallery in self._galleries.items():
            rows = {item: i for i, item in enumerate(gallery.pairs[f"{view}_hash"].to_list())}
            kept = pairs.unique(f"{view}_hash", keep="first", maintain_order=True)
            places = [rows[item] for item in kept[f"{view}_hash"].to_list()]
            galleries[view] = Gallery(kept, gallery.vectors[places])
        known = {view: one.without(items) for view, one in self._known.items()}
        return replace(self, _galleries=galleries, _known=known, _pairs=pairs)

    def features(self, view: str) -> FeatureTable:
        """Features of all items of a view.

        Raises:
            ArtifactError: a shard is missing or damaged, or they are by another encoder than the
                model's.
        """
        folder, table = self.ws.features(view), self.scorer.view(view)
        features = FeatureTable.read(folder)
        if features.dimension != table.dimension:
            raise ArtifactError(
                f"{folder}: features of {features.dimension} dimensions, but the model "
                f"takes {table.dimension}; they are by another encoder: run `csa run`"
            )
        return features

    def gallery(self, view: str) -> Gallery:
        """The items of a view that are searched.

        Raises:
            ArtifactError: as for `features`.
        """
        if view not in self._galleries:
            pairs = self.pairs.unique(f"{view}_hash", keep="first", maintain_order=True)
            rows = self.features(view).rows(pairs[f"{view}_hash"].to_list())
            self._galleries[view] = Gallery(pairs, self.scorer.vectors(view, rows))
        return self._galleries[view]

    def familiar(self, view: str, features: Array) -> Float64:
        """Whether items are as much like some training item as held-out ones are.

        Args:
            view: of the items.
            features: by the view's encoder, shape (n, d).

        Returns:
            P-values of the claim that they are, shape (n,).
        """
        from csa.questions.familiar import Familiar

        if view not in self._known:
            self._known[view] = Familiar.of(self.pairs, self.features(view), view)
        return self._known[view].p_value(features)

    def read(self, view: str, value: str) -> Any:
        """What the user named: a text, or a file.

        Args:
            view: its name.
            value: the text, or the path of the file.

        Returns:
            The item as the view's encoder takes it.

        Raises:
            InputError: an empty text, no such file, or a view for which nothing can be encoded.
            DataError: a file that cannot be decoded.
        """
        modality = self.params.views[view].modality
        if modality == "text":
            if not value.strip():
                raise InputError("the text is empty; say what to look for")
            return value
        if modality == "array":
            raise InputError(
                f"view {view!r} holds features computed elsewhere, so nothing new can be encoded "
                f"for it here"
            )
        found = what_is(Path(value))
        if found != "a file":
            instead = "there is no such file" if found == "nothing" else f"it is {found}"
            raise InputError(
                f"{value[:200]!r}: view {view!r} takes {MODALITIES[modality].plural}, and "
                f"{instead}; give the path of one"
            )
        return load_file(value, modality, self.params.dataset.max_image_pixels)

    def encode(self, view: str, item: Any) -> Array:
        """Features of one item.

        Args:
            view: its name.
            item: as its encoder takes it.

        Returns:
            Shape (1, d).

        Raises:
            EncoderError: the encoder is not the one that the alignment was fitted with.
        """
        return self.scorer.view(view).encoder.encode([item])

    def view_of(self, value: str) -> str:
        """The view a query belongs to: that of its kind of file if it is one, else that of
        texts.
        """
        shown = repr(value[:200])
        is_file = what_is(Path(value)) == "a file"
        if not is_file and names_a_file(value):
            raise InputError(
                f"{value[:200]!r} looks like the name of a file, but there is no "
                f"such file; correct the path"
            )
        modality = modality_of(value) if is_file else "text"
        for name, view in self.params.views.items():
            if view.modality == modality:
                return name
        views = ", ".join(f"{name} ({view.modality})" for name, view in self.params.views.items())
        raise InputError(
            f"{shown} looks like a file of modality {modality}, but no view is of that modality; "
            f"the views are {views}"
        )
