"""Section `views`: the two views of a pair and their encoders."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from csa.params.base import Section

Modality = Literal["image", "text", "audio", "lidar", "series", "array"]


Pooling = Literal["cls", "mean", "mean_std", "pooler"]


Dtype = Literal["float32", "bfloat16"]


Augment = Literal["none", "flip", "flip_and_scale"]


Backend = Literal["torch", "openvino"]


def _several_layers(value: Any) -> Any:
    if isinstance(value, list | tuple) and (len(value) < 2 or len(set(value)) < len(value)):
        raise ValueError("a list of layers has two or more, each once")
    return tuple(value) if isinstance(value, list) else value


Layer = Annotated[int | tuple[int, ...], BeforeValidator(_several_layers)]


class LidarParams(Section):
    """How a lidar scan becomes the image that a vision encoder sees; the defaults are those of
    KITTI's sensor.
    """

    projection: Literal["range", "bird"] = Field(
        "range", description="range: as the sensor saw it; bird: from above"
    )
    fov_up: float = Field(2.0, description="range: elevation of the highest beam, in degrees")
    fov_down: float = Field(-24.9, description="range: elevation of the lowest beam, in degrees")
    rows: int = Field(64, gt=0, description="range: beams of the sensor")
    columns: int = Field(1024, gt=0, multiple_of=4, description="range: steps of a turn")
    max_range: float = Field(
        80.0, gt=0, description="range: points farther away are left out, in metres"
    )
    extent: float = Field(
        40.0, gt=0, description="bird: half the side of the square around the sensor, in metres"
    )

    @model_validator(mode="after")
    def _up_is_above_down(self) -> "LidarParams":
        if self.fov_up <= self.fov_down:
            raise ValueError("fov_up must lie above fov_down")
        return self


class BesideParams(Section):
    """One more encoder of a view. What is not given is as the view itself has it."""

    encoder: str = Field(description="as `views.VIEW.encoder`")
    revision: str | None = Field(
        None, description="the commit of a hub model; never that of the view's own encoder"
    )
    pooling: Pooling | None = Field(None, description="null takes `views.VIEW.pooling`")
    layer: Layer | None = Field(None, description="null takes `views.VIEW.layer`")
    batch_size: int | None = Field(None, gt=0, description="null takes `views.VIEW.batch_size`")
    dtype: Dtype | None = Field(None, description="null takes `views.VIEW.dtype`")
    augment: Augment | None = Field(None, description="null takes `views.VIEW.augment`")
    backend: Backend | None = Field(None, description="null takes `views.VIEW.backend`")


class ViewParams(Section):
    """One view of a pair and the frozen encoder that turns its items into features."""

    modality: Modality = Field(
        description="image, text, audio, lidar, series, or array (features computed elsewhere)"
    )
    encoder: str = Field(
        description="a built-in name (`csa doctor` lists them), a transformers model id, a local "
        "folder, or `precomputed`"
    )
    revision: str | None = Field(
        None, description="the commit of a hub model; required for a model id"
    )
    pooling: Pooling | None = Field(
        None, description="cls, mean, mean_std or pooler; null takes the encoder's own default"
    )
    layer: Layer = Field(
        -1,
        description="hidden layer to pool; -1 is the last. Several, such as [0, -1]: each is "
        "pooled and brought to unit length, "
        "then all are put side by side",
    )
    batch_size: int = Field(32, gt=0, description="items per forward pass")
    dtype: Dtype = Field("float32", description="arithmetic of the forward pass")
    augment: Augment = Field(
        "none",
        description="images: features averaged over the picture and its mirror image, and "
        "(EfficientNet-Lite alone) over two "
        "sizes: better retrieval for two or five times the time",
    )
    backend: Backend = Field(
        "torch",
        description="what runs the network: openvino (an extra; image, text, lidar) is several "
        "times as fast, in float32",
    )
    lidar: LidarParams | None = Field(
        None, description="for modality lidar: the projection; null takes the defaults"
    )
    beside: tuple[BesideParams, ...] = Field(
        (),
        description="more encoders that see the same items: the features of each are brought to "
        "unit length and put side by side",
    )

    @property
    def parts(self) -> tuple["ViewParams", ...]:
        """This view with its own encoder alone, and with each of those in `beside`."""
        own = self.model_copy(update={"beside": ()})
        return own, *(_merged(own, more) for more in self.beside)

    @property
    def encoders(self) -> str:
        """The names of all its encoders."""
        return " + ".join(part.encoder for part in self.parts)

    @field_validator("beside", mode="before")
    @classmethod
    def _a_list_is_a_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _parts_are_views(self) -> "ViewParams":
        if self.beside and self.modality == "array":
            raise ValueError("beside is for encoders; features from a file stand alone")
        if len(set(self.parts)) <= len(self.beside):
            raise ValueError("beside names an encoder with the same settings twice")
        return self

    @model_validator(mode="after")
    def _array_means_precomputed(self) -> "ViewParams":
        if (self.modality == "array") != (self.encoder == "precomputed"):
            raise ValueError("modality: array and encoder: precomputed go together")
        if self.lidar is not None and self.modality != "lidar":
            raise ValueError("the section lidar is for modality: lidar alone")
        if self.augment != "none" and self.modality != "image":
            raise ValueError("augment is for images alone")
        if self.augment == "flip_and_scale" and not self.encoder.startswith("efficientnet-lite"):
            raise ValueError(
                "augment: flip_and_scale is for the EfficientNet-Lite encoders alone; use flip"
            )
        if self.backend == "openvino" and (
            self.modality not in ("image", "text", "lidar") or self.dtype != "float32"
        ):
            raise ValueError(
                "backend: openvino is for images, texts and lidar scans, in dtype: float32"
            )
        return self


def _merged(own: ViewParams, more: BesideParams) -> ViewParams:
    given = more.model_dump(exclude_none=True) | {"revision": more.revision}
    try:
        return ViewParams.model_validate(own.model_dump() | given)
    except ValidationError as error:
        raise ValueError(
            f"beside {more.encoder!r}: {error.errors()[0]['msg'].removeprefix('Value error, ')}"
        ) from None
