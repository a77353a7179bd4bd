"""Lidar scans through any image encoder: a projection, then the encoder as it is."""

from dataclasses import fields
from typing import Any

from csa.core.matrices import Float32
from csa.encoders.base import Encoder
from csa.encoders.device import Device
from csa.modalities.lidar import Sensor, project
from csa.params.views import LidarParams


class LidarEncoder(Encoder):
    """An image encoder that is shown a projected scan.

    Args:
        inner: the image encoder.
        settings: the projection.
    """

    def __init__(self, inner: Encoder, settings: LidarParams):
        self._inner, self._settings = inner, settings
        given = settings.model_dump()
        self._sensor = Sensor(**{field.name: given[field.name] for field in fields(Sensor)})
        bird = settings.projection == "bird"
        used = {"extent"} if bird else set(given) - {"extent"}
        projection = {key: given[key] for key in sorted(used | {"projection"})}
        super().__init__(
            {**inner.description, "modality": "lidar", "projection": projection}, inner.batch_size
        )

    def place(self, device: Device) -> None:
        """See `Encoder.place`."""
        self._inner.place(device)

    @property
    def runs_on(self) -> str:
        """See `Encoder.runs_on`."""
        return self._inner.runs_on

    def load(self) -> None:
        """See `Encoder.load`."""
        self._inner.load()

    def prepare(self, item: Any) -> Any:
        """What the image encoder prepares of the projected scan."""
        settings = self._settings
        return self._inner.prepare(
            project(item, settings.projection, settings.extent, self._sensor)
        )

    def forward(self, prepared: list[Any], padded_length: int) -> Float32:
        """See `Encoder.forward`."""
        return self._inner.forward(prepared, padded_length)
