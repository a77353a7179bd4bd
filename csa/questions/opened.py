"""A workspace that was run, opened for questions."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from csa.core.alignment import Alignment, load
from csa.core.matrices import Array
from csa.datasets.items import load_file
from csa.encoders.registry import load_view_encoder
from csa.encoders.several import ViewEncoder
from csa.errors import ArtifactError, InputError
from csa.features.shards import fingerprint_of_features
from csa.modalities.registry import MODALITIES, modality_of, names_a_file
from csa.params.schema import Params
from csa.pipeline.workspace import Workspace
from csa.storage.files import what_is


@dataclass(frozen=True)
class Fitted:
    """A workspace that was run: what asking it needs."""

    ws: Workspace
    params: Params
    alignment: Alignment
    encoders: dict[str, ViewEncoder] = field(default_factory=dict)

    @classmethod
    def open(cls, ws: Workspace) -> "Fitted":
        """Open a workspace that was run."""
        return cls(ws, ws.params(), load(ws.alignment))

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
            ArtifactError: the encoder is not the one that the alignment was fitted with.
        """
        if view not in self.encoders:
            self.encoders[view] = self._encoder(view)
        return self.encoders[view].encode([item])

    def _encoder(self, view: str) -> ViewEncoder:
        encoder = load_view_encoder(self.params.views[view])
        fitted = fingerprint_of_features(self.ws.features(view))
        if encoder.fingerprint != fitted:
            raise ArtifactError(
                f"view {view!r}: the alignment was fitted with the encoder {fitted}, and the "
                f"parameters now name {encoder.fingerprint}: the view's parameters or the "
                f"encoder's files have changed since; go back to them, or run `csa run`"
            )
        return encoder

    def view_of(self, value: str) -> str:
        """The view a query belongs to: that of its kind of file if it is one, else that of
        texts.
        """
        shown = repr(value[:200])
        is_file = what_is(Path(value)) == "a file"
        if not is_file and names_a_file(value):
            raise InputError(
                f"{value[:200]!r} reads as a file, but there is none; correct the path"
            )
        modality = modality_of(value) if is_file else "text"
        for name, view in self.params.views.items():
            if view.modality == modality:
                return name
        views = ", ".join(f"{name} ({view.modality})" for name, view in self.params.views.items())
        raise InputError(
            f"{shown} reads as {modality}, but no view is of that modality; the views are {views}"
        )
