"""A view of a fitted model with the encoder that its features came from, and no other."""

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from csa.core.matrices import Array, Float32
from csa.encoders.registry import load_view_encoder
from csa.encoders.several import ViewEncoder
from csa.errors import EncoderError, FeatureError, InputError
from csa.params.views import ViewParams
from csa.scoring.cells import Limits, features_in, item_in


@dataclass(eq=False)
class FrozenView:
    """One view of a fitted model.

    The encoder is loaded when the first raw item asks for it. Its weights and settings must be
    those that the model was fitted with: others would give features that mean something else.

    Attributes:
        name: of the view.
        params: of the view.
        description: of the encoder that the model was fitted with.
        fingerprint: of that encoder.
        dimension: d of its features.
        device: where the encoder's network runs, see `csa.encoders.device.Device`.
    """

    name: str
    params: ViewParams
    description: dict[str, Any]
    fingerprint: str
    dimension: int
    device: str = "auto"
    _encoder: ViewEncoder | None = None
    _loading: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, known: dict[str, Any], device: str = "auto") -> "FrozenView":
        """A view as `as_dict` wrote it.

        Args:
            known: what was written.
            device: where its encoder runs.

        Returns:
            The view.
        """
        return cls(
            known["name"],
            ViewParams.model_validate(known["params"]),
            known["description"],
            known["fingerprint"],
            known["dimension"],
            device,
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "params": self.params.model_dump(mode="json"),
            "description": self.description,
            "fingerprint": self.fingerprint,
            "dimension": self.dimension,
        }

    @property
    def modality(self) -> str:
        """Of the view's items."""
        return self.params.modality

    @property
    def encoder(self) -> ViewEncoder:
        """The encoder, loaded and compared with the one of the fit.

        Raises:
            EncoderError: it is not on this machine, or is another one.
        """
        with self._loading:
            if self._encoder is None:
                encoder = load_view_encoder(self.params, self.device)
                self.compare(encoder)
                self._encoder = encoder
            return self._encoder

    def weights_from(self, folder: Path) -> None:
        """Take the encoder's files from a folder, wherever the model was fitted.

        Args:
            folder: one for each encoder of the view, named 0, 1, ...; or that of the only one.

        Raises:
            InputError: there is no such folder.
        """
        parts = self.params.parts
        folders = [folder] if len(parts) == 1 else [folder / str(i) for i in range(len(parts))]
        for one in folders:
            if not one.is_dir():
                raise InputError(f"view {self.name!r}: no folder {one} with its encoder's files")
        told = [
            part.model_dump(mode="json")
            | {"encoder": str(one), "revision": None, "preprocessing": None}
            for part, one in zip(parts, folders, strict=True)
        ]
        if len(told) == 1:
            self.params = ViewParams.model_validate(told[0])
            return
        own = {"modality": self.params.modality}
        entries = [
            {key: value for key, value in one.items() if key not in ("modality", "lidar")}
            for one in told
        ]
        self.params = ViewParams.model_validate(own | {"encoders": entries})

    def features(self, cells: list[Any], limits: Limits) -> Array:
        """Features of what was sent, shape (n, d).

        Args:
            cells: of one view, each a raw item or a row of features.
            limits: what is accepted.

        Returns:
            The features, in the order of the cells.

        Raises:
            InputError, DataError: a cell is neither, or damaged.
            FeatureError: a row of features of another length.
            EncoderError: the encoder is not here, or is not the one of the fit.
        """
        given, raw = self.sorted(cells, limits)
        rows: dict[int, Array | Float32] = {i: self.checked(i, row) for i, row in given.items()}
        if raw:
            encoded = self.encoder.encode(list(raw.values()))
            rows.update(zip(raw, encoded, strict=True))
        if not rows:
            return np.empty((0, self.dimension))
        return np.stack([rows[i] for i in range(len(cells))])

    def sorted(self, cells: list[Any], limits: Limits) -> tuple[dict[int, Array], dict[int, Any]]:
        """Cells by what they hold: rows of features, and items to be encoded; both by position.

        Args:
            cells: of one view.
            limits: what is accepted.

        Returns:
            Position -> row, and position -> item.
        """
        given: dict[int, Array] = {}
        raw: dict[int, Any] = {}
        for i, cell in enumerate(cells):
            row = features_in(cell)
            if row is None:
                raw[i] = item_in(cell, self.modality, f"{self.name} {i}", limits)
            else:
                given[i] = row
        return given, raw

    def checked(self, position: int, row: Array) -> Array:
        """A row of features of the right length.

        Args:
            position: of the cell, for the message.
            row: what it holds.

        Returns:
            The row.

        Raises:
            FeatureError: it has another.
        """
        if len(row) != self.dimension:
            raise FeatureError(
                f"{self.name} {position}: {len(row)} features, but the encoder gives "
                f"{self.dimension}"
            )
        return row

    def compare(self, encoder: ViewEncoder) -> None:
        """Refuse an encoder that is not the one of the fit; where its files lie does not matter.

        Raises:
            EncoderError: it is another one.
        """
        if encoder.fingerprint == self.fingerprint:
            return
        as_read = json.loads(json.dumps(encoder.description))  # a tuple is a list there
        wanted, found = _essence(self.description), _essence(as_read)
        if wanted == found:
            return
        differing = sorted(
            key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key)
        )
        raise EncoderError(
            f"view {self.name!r}: the alignment was fitted with the encoder {self.fingerprint}, "
            f"and {encoder.fingerprint} is found here (its {', '.join(differing)} differ): its "
            f"parameters or its files have changed since; go back to them, or run `csa run`"
        )


def _essence(description: dict[str, Any]) -> dict[str, Any]:
    """A description without the name of what its weights tell."""
    kept = {
        key: value
        for key, value in description.items()
        if key != "encoder" or not description.keys() & {"weights", "side_by_side"}
    }
    if "side_by_side" in kept:
        kept["side_by_side"] = [_essence(part) for part in kept["side_by_side"]]
    return kept
