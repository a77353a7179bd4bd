"""Lidar scans through any image encoder: a projection, then the encoder as it is."""

from typing import Any

from csa.core.matrices import Float32
from csa.encoders.base import Encoder
from csa.modalities.lidar import project
from csa.params.views import LidarParams


class LidarEncoder(Encoder):
    """An image encoder that is shown a projected scan.

    Args:
        inner: the image encoder.
        settings: the projection.
    """

    def __init__(self, inner: Encoder, settings: LidarParams):
        self._inner, self._settings = inner, settings.model_dump()
        bird = settings.projection == "bird"
        used = {"extent"} if bird else set(self._settings) - {"extent"}
        projection = {key: self._settings[key] for key in sorted(used | {"projection"})}
        super().__init__(
            {**inner.description, "modality": "lidar", "projection": projection}, inner.batch_size
        )

    def load(self) -> None:
        """See `Encoder.load`."""
        self._inner.load()

    def prepare(self, item: Any) -> Any:
        """What the image encoder prepares of the projected scan."""
        return self._inner.prepare(project(item, **self._settings))

    def forward(self, prepared: list[Any], padded_length: int) -> Float32:
        """See `Encoder.forward`."""
        return self._inner.forward(prepared, padded_length)
