"""Section `views`: the two views of a pair and their encoders."""

from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from csa.modalities.registry import MODALITIES
from csa.params.base import Count, Section


def _known_modality(value: str) -> str:
    if value not in MODALITIES:
        raise ValueError(f"Input should be one of {', '.join(MODALITIES)}")
    return value


Modality = Annotated[str, AfterValidator(_known_modality)]


Pooling = Literal["cls", "mean", "mean_std", "pooler"]


Dtype = Literal["float32", "float16", "bfloat16"]


Augment = Literal["none", "flip", "flip_and_scale"]


Backend = Literal["torch", "openvino"]


def _several_layers(value: Any) -> Any:
    if isinstance(value, list | tuple):
        if not all(type(one) is int for one in value):
            raise ValueError("a list of layers holds whole numbers, such as [0, -1]")
        if len(value) < 2 or len(set(value)) < len(value):
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
    fov_up: float = Field(
        2.0, ge=-90, le=90, description="range: elevation of the highest beam, in degrees"
    )
    fov_down: float = Field(
        -24.9, ge=-90, le=90, description="range: elevation of the lowest beam, in degrees"
    )
    rows: int = Field(64, gt=0, le=8192, description="range: beams of the sensor")
    columns: int = Field(1024, gt=0, le=8192, multiple_of=4, description="range: steps of a turn")
    max_range: float = Field(
        80.0, gt=0, description="range: points farther away are left out, in metres"
    )
    extent: float = Field(
        40.0, gt=0, description="bird: half the side of the square around the sensor, in metres"
    )

    @model_validator(mode="after")
    def _up_is_above_down(self) -> "LidarParams":
        if self.fov_up <= self.fov_down:
            raise ValueError("fov_up must be above fov_down")
        return self


class EncoderParams(Section):
    """What one frozen encoder needs to turn items into features."""

    encoder: str = Field(
        description="a built-in name (`csa doctor` lists them), a transformers model id, a local "
        "folder, an ONNX file, or `precomputed`"
    )
    revision: str | None = Field(
        None, description="the commit of a hub model; required for a model id"
    )
    pooling: Pooling | None = Field(
        None, description="how states become one vector; null takes the encoder's own way"
    )
    layer: Layer = Field(
        -1,
        description="the hidden layer to pool; -1 is the last. Of several, such as [0, -1], each "
        "is pooled and brought to unit length, and all are put side by side",
    )
    batch_size: Count = Field(32, description="how many items a forward pass takes")
    dtype: Dtype = Field(
        "float32",
        description="the arithmetic of the forward pass; float16 and bfloat16 are torch's "
        "autocast, for GPUs",
    )
    augment: Augment = Field(
        "none",
        description="which variants of an image are averaged. flip takes the picture and its "
        "mirror image; flip_and_scale, which not every encoder has, takes two sizes of both. "
        "Retrieval gets better, and takes two or five times the time",
    )
    backend: Backend = Field(
        "torch",
        description="what runs the network. openvino is several times as fast; it needs an extra, "
        "and works for images, texts and lidar scans in float32",
    )

    output: str | None = Field(
        None,
        description="of an ONNX file: the name of the output to take, or of a value inside its "
        "graph; null takes its only output",
    )
    preprocessing: str | None = Field(
        None,
        description="of an ONNX file: the folder with its preprocessor_config.json or "
        "tokenizer.json; null looks beside the file and in the folder above",
    )

    @model_serializer(mode="wrap")
    def _dump(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """One form for each meaning, so that DVC sees a change only where there is one."""
        dumped: dict[str, Any] = plain(self)
        left_out = self._left_out()
        return {key: value for key, value in dumped.items() if key not in left_out}

    def _left_out(self) -> set[str]:
        """Keys that say nothing: what concerns ONNX files alone, where it is not given."""
        return {key for key in ("output", "preprocessing") if getattr(self, key) is None}

    @model_validator(mode="after")
    def _openvino_is_exact(self) -> "EncoderParams":
        if self.backend == "openvino" and self.dtype != "float32":
            raise ValueError(
                "backend: openvino is for images, texts and lidar scans, in dtype: float32"
            )
        return self


_OF_AN_ENCODER = tuple(EncoderParams.model_fields)


class ViewParams(EncoderParams):
    """One view of a pair, and the frozen encoder or encoders that turn its items into features.

    A view has one encoder, whose settings stand on the view itself, or a list `encoders`. A setting
    beside that list counts for each encoder whose entry does not have it, except `revision`.
    """

    modality: Modality = Field(
        description=f"{', '.join(name for name in MODALITIES if name != 'array')}, or array "
        "(features computed elsewhere)"
    )
    lidar: LidarParams | None = Field(
        None, description="for modality lidar: the projection; null takes the defaults"
    )
    labels: str = Field(
        "auto",
        description="the labels that the encoder was trained on, which help a fit with unpaired "
        "items. auto takes those of its classifier, if it has one; none takes none; a text file "
        "gives other words for them, one a line",
    )
    encoders: tuple[EncoderParams, ...] = Field(
        (),
        description="several encoders that see the same items, in place of `encoder`. The features "
        "of each are brought to unit length and put side by side",
    )

    @property
    def parts(self) -> tuple["ViewParams", ...]:
        """This view with each of its encoders alone."""
        if not self.encoders:
            return (self,)
        return tuple(
            self.model_copy(
                update={**{key: getattr(one, key) for key in _OF_AN_ENCODER}, "encoders": ()}
            )
            for one in self.encoders
        )

    @property
    def encoder_names(self) -> str:
        """The names of all its encoders."""
        return " + ".join(part.encoder for part in self.parts)

    @model_validator(mode="before")
    @classmethod
    def _one_form(cls, given: Any) -> Any:
        """The list of encoders as whole entries, and a list of one as the short form."""
        if not isinstance(given, dict):
            return given
        given = with_encoders(given)
        entries = given.pop("encoders", None)
        if not entries:
            return given
        if "encoder" in given:
            raise ValueError("give encoder or encoders, not both")
        if not isinstance(entries, list | tuple) or not all(
            isinstance(one, dict | EncoderParams) for one in entries
        ):
            raise ValueError("encoders is a list of sections, such as [{encoder: NAME}]")
        own = {key: given.pop(key) for key in _OF_AN_ENCODER if key in given}
        if own.pop("revision", None) is not None:
            raise ValueError("revision is of one encoder; write it in its entry of encoders")
        whole = [
            own | (one.model_dump() if isinstance(one, EncoderParams) else one) for one in entries
        ]
        if len(whole) == 1:
            return given | whole[0]
        first = {key: value for key, value in whole[0].items() if key in _OF_AN_ENCODER}
        return given | first | {"encoders": tuple(whole)}

    @model_validator(mode="after")
    def _encoders_fit_together(self) -> "ViewParams":
        if self.lidar is not None and self.modality != "lidar":
            raise ValueError("the section lidar is for modality: lidar alone")
        if self.encoders and self.modality == "array":
            raise ValueError("encoders is for encoders; features from a file stand alone")
        if len(set(self.encoders)) < len(self.encoders):
            raise ValueError("encoders names an encoder with the same settings twice")
        for one in self.encoders or (self,):
            where = f"encoders {one.encoder!r}: " if self.encoders else ""
            if (self.modality == "array") != (one.encoder == "precomputed"):
                raise ValueError(f"{where}modality: array and encoder: precomputed go together")
            if one.augment != "none" and self.modality != "image":
                raise ValueError(f"{where}augment is for images alone")
        return self

    def _left_out(self) -> set[str]:
        """See `EncoderParams`; also the short form of several encoders, or their empty list."""
        left_out = super()._left_out() | {*(_OF_AN_ENCODER if self.encoders else ("encoders",))}
        return left_out | ({"labels"} if self.labels == "auto" else set())


def with_encoders(view: dict[str, Any]) -> dict[str, Any]:
    """A view in today's spelling: `encoders` in place of `encoder` with `beside`.

    Args:
        view: a view as it was written.

    Returns:
        The same, unless it has `beside`: then all encoders are in the list `encoders`.

    Raises:
        ValueError: `encoders` and `beside` at once, or a `beside` that is no list of sections.
    """
    view = dict(view)
    more = view.pop("beside", None)
    if not more:
        return view
    if not isinstance(more, list | tuple) or not all(isinstance(one, dict) for one in more):
        raise ValueError("beside is a list of sections, such as [{encoder: NAME}]")
    if view.get("encoders"):
        raise ValueError("give encoders or beside, not both; beside is the old spelling")
    own = {key: view.pop(key, None) for key in ("encoder", "revision")}
    entries = [
        {key: value for key, value in one.items() if value is not None} for one in (own, *more)
    ]
    # What stands on the view counted for each entry of `beside`, as it does for one of `encoders`.
    return view | {"encoders": entries}


def note_on_spelling(views: Any, source: str) -> str | None:
    """What to tell somebody who wrote `beside`.

    Args:
        views: the section `views` as it was written.
        source: the file it stands in.

    Returns:
        One line that shows the new spelling; None if nothing is old.
    """
    for name, view in views.items() if isinstance(views, dict) else ():
        if isinstance(view, dict) and view.get("beside"):
            try:
                entries = with_encoders(view)["encoders"]
            except ValueError:  # refused where it is read
                return None
            new = yaml.safe_dump(entries, default_flow_style=True, sort_keys=False, width=10_000)
            return (
                f"note: {source}: views.{name}.beside is the old spelling; write "
                f"encoders: {new.strip()} in place of encoder, revision and beside"
            )
    return None
