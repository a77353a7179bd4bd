"""The one typed schema of `params.yaml` and of every recipe.

>>> from csa.params import Params
>>> Params.from_mapping({"dataset": {"kind": "flickr", "path": "photos"}}).views["text"].modality
'text'
"""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from csa.errors import ParamsError

DatasetKind = Literal[
    "table",
    "flickr",
    "imagefolder",
    "arrays",
    "imagenet",
    "karpathy",
    "coco",
    "cosmos",
    "leafy_spurge",
    "musiccaps",
    "kitti",
    "handwriting",
    "webdataset",
    "huggingface",
]
Modality = Literal["image", "text", "audio", "lidar", "series", "array"]
Preparation = Literal["auto", "raw", "unit", "root", "kernel"]
Pooling = Literal["cls", "mean", "mean_std", "pooler"]
Dtype = Literal["float32", "bfloat16"]
Augment = Literal["none", "flip", "flip_and_scale"]
Backend = Literal["torch", "openvino"]
Baseline = Literal["asif", "procrustes", "ridge_map", "plain_cca", "canonical_published", "raw_cosine"]


def _several_layers(value: Any) -> Any:
    if isinstance(value, list | tuple) and (len(value) < 2 or len(set(value)) < len(value)):
        raise ValueError("a list of layers has two or more, each once")
    return tuple(value) if isinstance(value, list) else value


Layer = Annotated[int | tuple[int, ...], BeforeValidator(_several_layers)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class SplitParams(_Section):
    """How pairs without a split of their own are divided: by a hash of their group, so that growth moves nobody."""

    test: float = Field(0.2, gt=0, lt=1, description="share of groups held out for evaluation")
    seed: int = Field(0, description="changes which groups are held out")


class DatasetParams(_Section):
    """What to read and how its columns are called."""

    kind: DatasetKind = Field("table", description="which reader; docs/datasets.md lists them with their layouts")
    path: str = Field("data/openmoji", description="the data set's folder or file, relative to the workspace or absolute")
    table: str | None = Field(None, description="for a table inside the folder `path`: its file name")
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="our name -> the table's column, for id, group, split, label, mislabelled and each view (default: same name)",
    )
    arrays: dict[str, str] = Field(
        default_factory=dict,
        description="view -> file of precomputed features (.npy, .npz, .safetensors, .parquet), row i for row i of the table",
    )
    language: str = Field("en", description="of the built-in data set's names: en, de, fr, ja or another the `emoji` package has")
    template: str = Field("a photo of a {label}", description="readers of classes: the text paired with an item of class {label}")
    held_out: Literal["val", "test"] = Field(
        "val", description="where a data set gives train, val and test: the part held out here; the other is left untouched"
    )
    on_error: Literal["refuse", "quarantine"] = Field(
        "refuse", description="an unusable row stops the run, or is set aside in data/quarantine.parquet and counted"
    )
    max_image_pixels: int = Field(50_000_000, gt=0, description="an image with more pixels is refused as a decompression bomb")
    split: SplitParams = Field(default_factory=SplitParams)


class LidarParams(_Section):
    """How a lidar scan becomes the image that a vision encoder sees; the defaults are those of KITTI's sensor."""

    projection: Literal["range", "bird"] = Field("range", description="range: as the sensor saw it; bird: from above")
    fov_up: float = Field(2.0, description="range: elevation of the highest beam, in degrees")
    fov_down: float = Field(-24.9, description="range: elevation of the lowest beam, in degrees")
    rows: int = Field(64, gt=0, description="range: beams of the sensor")
    columns: int = Field(1024, gt=0, multiple_of=4, description="range: steps of a turn")
    max_range: float = Field(80.0, gt=0, description="range: points farther away are left out, in metres")
    extent: float = Field(40.0, gt=0, description="bird: half the side of the square around the sensor, in metres")

    @model_validator(mode="after")
    def _up_is_above_down(self) -> "LidarParams":
        if self.fov_up <= self.fov_down:
            raise ValueError("fov_up must lie above fov_down")
        return self


class BesideParams(_Section):
    """One more encoder of a view. What is not given is as the view itself has it."""

    encoder: str = Field(description="as `views.VIEW.encoder`")
    revision: str | None = Field(None, description="the commit of a hub model; never that of the view's own encoder")
    pooling: Pooling | None = Field(None, description="null takes `views.VIEW.pooling`")
    layer: Layer | None = Field(None, description="null takes `views.VIEW.layer`")
    batch_size: int | None = Field(None, gt=0, description="null takes `views.VIEW.batch_size`")
    dtype: Dtype | None = Field(None, description="null takes `views.VIEW.dtype`")
    augment: Augment | None = Field(None, description="null takes `views.VIEW.augment`")
    backend: Backend | None = Field(None, description="null takes `views.VIEW.backend`")


class ViewParams(_Section):
    """One view of a pair and the frozen encoder that turns its items into features."""

    modality: Modality = Field(description="image, text, audio, lidar, series, or array (features computed elsewhere)")
    encoder: str = Field(
        description="a built-in name (`csa doctor` lists them), a transformers model id, a local folder, or `precomputed`"
    )
    revision: str | None = Field(None, description="the commit of a hub model; required for a model id")
    pooling: Pooling | None = Field(None, description="cls, mean, mean_std or pooler; null takes the encoder's own default")
    layer: Layer = Field(
        -1,
        description="hidden layer to pool; -1 is the last. Several, such as [0, -1]: each is pooled and brought to unit length, "
        "then all are put side by side",
    )
    batch_size: int = Field(32, gt=0, description="items per forward pass")
    dtype: Dtype = Field("float32", description="arithmetic of the forward pass")
    augment: Augment = Field(
        "none",
        description="images: features averaged over the picture and its mirror image, and (EfficientNet-Lite alone) over two "
        "sizes: better retrieval for two or five times the time",
    )
    backend: Backend = Field(
        "torch", description="what runs the network: openvino (an extra; image, text, lidar) is several times as fast, in float32"
    )
    lidar: LidarParams | None = Field(None, description="for modality lidar: the projection; null takes the defaults")
    beside: tuple[BesideParams, ...] = Field(
        (),
        description="more encoders that see the same items: the features of each are brought to unit length and put side by side",
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
            raise ValueError("augment: flip_and_scale is for the EfficientNet-Lite encoders alone; use flip")
        if self.backend == "openvino" and (self.modality not in ("image", "text", "lidar") or self.dtype != "float32"):
            raise ValueError("backend: openvino is for images, texts and lidar scans, in dtype: float32")
        return self


def _merged(own: ViewParams, more: BesideParams) -> ViewParams:
    given = more.model_dump(exclude_none=True) | {"revision": more.revision}
    try:
        return ViewParams.model_validate(own.model_dump() | given)
    except ValidationError as error:
        raise ValueError(f"beside {more.encoder!r}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None


class FitParams(_Section):
    """The alignment. `auto` means: chosen by grouped cross-fitting inside the training pairs."""

    score: Literal["auto", "likelihood_ratio", "normalised_likelihood_ratio", "canonical"] = Field(
        "auto", description="similarity to use; one that is named is taken exactly so"
    )
    shrinkage: Literal["auto"] | float | list[float] = Field(
        "auto", description="auto, one number for both views, or [first view, second view]; each in [0, 1]"
    )
    n_components: Literal["auto"] | int = Field("auto", description="canonical dimensions the canonical score keeps")
    preparation: Preparation | list[Preparation] = Field(
        "auto", description="what is done to features first: one name for both views, or [first view, second view]"
    )
    hubness: Literal["auto"] | bool = Field("auto", description="correct the score for hubs: items that are near everything")
    folds: int = Field(5, ge=2, description="folds of the cross-fitting; a group is never split")
    seed: int = Field(0, description="shuffles groups into folds")

    @field_validator("preparation")
    @classmethod
    def _a_preparation_a_view(cls, value: Any) -> Any:
        if isinstance(value, list) and len(value) != 2:
            raise ValueError("a list of preparations has two names, one per view")
        return value

    @field_validator("shrinkage")
    @classmethod
    def _shrinkage_in_range(cls, value: Any) -> Any:
        values = value if isinstance(value, list) else [value]
        if isinstance(value, list) and len(value) != 2:
            raise ValueError("a list of shrinkages has two numbers, one per view")
        if any(not isinstance(v, str) and not 0 <= v <= 1 for v in values):
            raise ValueError("a shrinkage lies in [0, 1]")
        return value


class PromptParams(_Section):
    """How a class is put into words: its vector is the mean of all its prompts' features."""

    templates: list[str] = Field(
        default_factory=list,
        description="sentences with {label} in place of the class; none: dataset.template for a data set that is paired with it "
        "(imagefolder and other readers of classes), else the paper's, `An image of {label}.`",
    )
    names: Literal["whole", "first", "each"] = Field(
        "whole", description="of a label that lists names between commas: all of it, its first name, or a prompt for each"
    )

    @field_validator("templates")
    @classmethod
    def _has_a_place_for_the_class(cls, templates: list[str]) -> list[str]:
        for template in templates:
            if "{label}" not in template:
                raise ValueError(f"the template {template!r} has no {{label}}, the place of the class's name")
        return templates


class MultimodalParams(_Section):
    """A model of two towers, such as CLIP, that is measured beside CSA: nothing is fitted, its own cosine is taken."""

    encoder: str = Field(description="a transformers model id or a local folder")
    revision: str | None = Field(None, description="the commit of a hub model; required for a model id")
    batch_size: int = Field(32, gt=0, description="items per forward pass")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="arithmetic of the forward pass")


class EvaluateParams(_Section):
    """What is measured on the held-out pairs."""

    bootstrap: int = Field(1000, ge=100, description="bootstrap resamples of groups for confidence intervals")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="confidence level of every interval")
    seed: int = Field(0, description="of the bootstrap and of the mismatched pairs")
    prompts: PromptParams = Field(
        default_factory=PromptParams, description="where held-out pairs carry labels: how classes are put into words"
    )
    baselines: list[Baseline] = Field(
        default_factory=list,
        description="fitted on the same training pairs and measured beside CSA: asif, procrustes, ridge_map, plain_cca, "
        "canonical_published, raw_cosine (where both views have one dimension)",
    )
    multimodal: dict[str, MultimodalParams] = Field(
        default_factory=dict, description="name -> a model of two towers (CLIP and its kin) measured beside CSA, without a fit"
    )
    alpha: float = Field(0.1, gt=0, lt=0.5, description="error rate of conformal verdicts and prediction sets")
    sheet_queries: int = Field(8, ge=1, le=50, description="queries shown on the retrieval sheet")

    @field_validator("multimodal")
    @classmethod
    def _names_of_their_own(cls, models: dict[str, MultimodalParams]) -> dict[str, MultimodalParams]:
        for name in models:
            if name in get_args(Baseline):
                raise ValueError(f"{name!r} is the name of a baseline; call the model otherwise")
        return models


class TaskParams(_Section):
    """A further evaluation, on another data set than the one that was fitted on. Its own stage, `task@NAME`."""

    kind: Literal["transfer", "out_of_context"] = Field(
        description="transfer: zero-shot classification of a labelled data set that was never paired; out_of_context: of two "
        "captions of an image, is the second misinformative"
    )
    dataset: DatasetParams = Field(
        description="what is measured on; of out_of_context, a table with an image, caption1, caption2 and out_of_context"
    )
    prompts: PromptParams = Field(default_factory=PromptParams, description="transfer: how classes are put into words")
    text_similarity: Literal["encoder", "canonical"] = Field(
        "encoder",
        description="out_of_context: captions are compared by the cosine of the text encoder's features, as the paper does, or "
        "by what they say of the image",
    )


Limits = list[float | None]


def _limits(warn: float | None, refuse: float | None, description: str) -> Any:
    return Field(default_factory=lambda: [warn, refuse], min_length=2, max_length=2, description=f"[warn, refuse]: {description}")


class ChecksParams(_Section):
    """What data must be like to be fitted on. Each is [warn, refuse]: a number beyond the first is said, one beyond the second
    ends the run with exit code 1; null: never. None of them changes a result."""

    fewest_groups: Limits = _limits(50, 10, "fewer training groups than this")
    duplicate_pairs: Limits = _limits(0.2, 0.9, "share of training pairs that repeat another, item by item")
    dead_features: Limits = _limits(0.0, 0.01, "share of items whose features are all zero")
    repeated_features: Limits = _limits(0.05, 0.5, "share of items of a view whose features are another item's, number by number")
    leakage: Limits = _limits(None, 0.0, "share of held-out groups, or of items that make groups, that are in training too")
    near_duplicates: Limits = _limits(0.05, None, "share of held-out items with a training item at cosine 0.99 or more")
    lost_groups: Limits = _limits(0.1, 0.5, "share of the champion's training groups that there are fewer now")
    mismatched: Limits = _limits(
        0.05, 0.3, "share of new pairs that the champion surely finds mismatched (lower bound, beyond its false alarms)"
    )
    mean_shift: Limits = _limits(
        0.2, 1.0, "how far training means moved since the champion, in its standard deviations, beyond sampling noise"
    )
    covariance_shift: Limits = _limits(
        0.1, 0.5, "how far covariances moved since the champion, in nats per component, beyond sampling noise"
    )


class GateParams(_Section):
    """When a challenger replaces the champion."""

    metric: Literal["recall_at_1", "recall_at_5", "recall_at_10", "mrr"] = Field(
        "mrr", description="per-query measure, averaged over both directions"
    )
    margin: float = Field(0.0, ge=0, lt=1, description="the lower confidence bound of the gain must exceed this")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="confidence level of the paired bootstrap")
    bootstrap: int = Field(2000, ge=100, description="resamples of groups")
    seed: int = Field(0, description="of the paired bootstrap")
    slices: list[str] = Field(
        default_factory=lambda: ["direction", "label", "caption_length", "group_size"],
        description="parts of the held-out queries that are looked at one by one: direction, caption_length, group_size, or a "
        "column of the pairs table such as label (a slice for each value)",
    )
    slice_margin: float = Field(
        0.01,
        ge=0,
        lt=1,
        description="a challenger that is surely worse than this on a slice is kept off; slices are corrected for",
    )
    max_megabytes: float | None = Field(None, gt=0, description="a larger registered model is kept off; null: no limit")
    max_milliseconds: float | None = Field(
        None, gt=0, description="a model that needs more for 1,000 scores is kept off (best of many rounds); null: no limit"
    )
    approval: bool = Field(False, description="a promotion waits for a person: `csa approve`, or Prefect's page of the run")
    approval_seconds: int = Field(86_400, gt=0, description="how long it waits; no answer is a no")
    outside_moves: Literal["accept", "repair"] = Field(
        "accept", description="a champion moved by hand in MLflow: `accept` writes it to the ledger, `repair` moves it back"
    )


class ComputeParams(_Section):
    """Where batches are computed. It changes no result, so no stage depends on it."""

    dask: str | None = Field(
        None, description="null: threads of this machine; `local`: a Dask cluster on it; else a Dask scheduler's address"
    )


class ModelParams(_Section):
    """The registered model's name."""

    name: str = Field("csa-openmoji", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="registered model name in MLflow")


Event = Literal["promoted", "kept", "refused", "failed"]


class NotifyParams(_Section):
    """Who is told what a run came to: a webhook, by a POST of JSON with `text`, `event` and `execution`."""

    url: str | None = Field(
        None,
        pattern=r"^https?://",
        description="of the webhook; the variable CSA_NOTIFY_URL goes before it, and keeps a secret",
    )
    events: list[Event] = Field(
        default_factory=lambda: list[Event](("promoted", "refused", "failed")),
        description="what it is told of; kept is a run whose gate kept the champion",
    )


class CardParams(_Section):
    """The model card's own words, for the report; they change no result. What the run's facts say is added to them."""

    intended_use: str | None = Field(None, description="what the model is for, and for whom")
    limits: str | None = Field(None, description="what it must not be used for, and what it is known to be bad at")
    contact: str | None = Field(None, description="who answers for it")
    licence: str | None = Field(None, description="under which the model and its data may be used")


def _default_views() -> dict[str, ViewParams]:
    return {
        "image": ViewParams(modality="image", encoder="efficientnet-lite0"),
        "text": ViewParams(modality="text", encoder="minilm-l6-v2", batch_size=64),
    }


class Params(_Section):
    """Everything a run depends on besides the data and the code."""

    dataset: DatasetParams = Field(default_factory=DatasetParams)
    views: dict[str, ViewParams] = Field(
        default_factory=_default_views, description="exactly two views, in order; the names are yours"
    )
    fit: FitParams = Field(default_factory=FitParams)
    evaluate: EvaluateParams = Field(default_factory=EvaluateParams)
    tasks: dict[str, TaskParams] = Field(
        default_factory=dict, description="name -> a further evaluation on another data set, see docs/tasks.md"
    )
    checks: ChecksParams = Field(default_factory=ChecksParams)
    gate: GateParams = Field(default_factory=GateParams)
    model: ModelParams = Field(default_factory=ModelParams)
    card: CardParams = Field(default_factory=CardParams)
    compute: ComputeParams = Field(default_factory=ComputeParams)
    notify: NotifyParams = Field(default_factory=NotifyParams)

    @field_validator("views")
    @classmethod
    def _two_views(cls, views: dict[str, ViewParams]) -> dict[str, ViewParams]:
        if len(views) != 2:
            raise ValueError(f"exactly two views are needed, got {len(views)} ({', '.join(views) or 'none'})")
        for name in views:
            if not name.isidentifier() or name in RESERVED_COLUMNS:
                raise ValueError(f"{name!r} cannot name a view: use a plain word that is none of {', '.join(RESERVED_COLUMNS)}")
        return views

    @field_validator("tasks")
    @classmethod
    def _plain_names(cls, tasks: dict[str, TaskParams]) -> dict[str, TaskParams]:
        for name in tasks:
            if not name.replace("-", "_").isidentifier():
                raise ValueError(f"{name!r} cannot name a task: use letters, digits, - and _")
        return tasks

    @property
    def anchor_view(self) -> str:
        """The view whose items make groups: the first that is no text, else the first."""
        return next((name for name, view in self.views.items() if view.modality != "text"), self.view_names[0])

    @property
    def view_names(self) -> tuple[str, str]:
        """The names of the two views, first and second."""
        first, second = self.views
        return first, second

    @classmethod
    def from_mapping(cls, mapping: Any, source: str = "params") -> "Params":
        """Validate a nested mapping; `source` names it in errors.

        Raises:
            ParamsError: an unknown key (with the nearest valid one), a wrong type, a value out of range.
        """
        if not isinstance(mapping, dict):
            raise ParamsError(f"{source}: expected sections such as dataset: and views:, got {type(mapping).__name__}")
        try:
            return cls.model_validate(mapping)
        except ValidationError as error:
            raise ParamsError(f"{source}: {'; '.join(_explain(e) for e in error.errors())}") from None

    @classmethod
    def load(cls, path: Path) -> "Params":
        """Read and validate a YAML file."""
        return cls.from_mapping(load_yaml(path), source=str(path))

    def dump(self) -> dict[str, Any]:
        """The fully resolved parameters as plain data, every default written out."""
        return self.model_dump(mode="json")


RESERVED_COLUMNS = ("pair_id", "group", "split", "label", "mislabelled")


def load_yaml(path: Path) -> Any:
    """Parse one YAML file.

    Raises:
        ParamsError: the file is missing or is not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file; give the path of a params file or a recipe") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


def apply_overrides(mapping: dict[str, Any], overrides: tuple[str, ...]) -> dict[str, Any]:
    """Return a copy of `mapping` with each `section.key=value` laid over it; values are YAML.

    Raises:
        ParamsError: an override without `=`, or one that runs through a value that is no section.
    """
    result: dict[str, Any] = yaml.safe_load(yaml.safe_dump(mapping)) or {}
    for override in overrides:
        dotted, equals, text = override.partition("=")
        if not equals or not dotted:
            raise ParamsError(f"--set {override!r}: expected section.key=value, for example --set dataset.path=/data/flickr8k")
        *sections, key = dotted.split(".")
        node = result
        for section in sections:
            node = node.setdefault(section, {})
            if not isinstance(node, dict):
                raise ParamsError(f"--set {override!r}: {section!r} is a value, not a section")
        try:
            node[key] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ParamsError(f"--set {override!r}: {text!r} is not a YAML value; quote it") from None
    return result


def _explain(error: Any) -> str:
    *parents, key = error["loc"] or ("",)
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        nearest = difflib.get_close_matches(str(key), _valid_keys(parents), n=1, cutoff=0)
        return f"unknown key {where!r}; did you mean {nearest[0]!r}?" if nearest else f"unknown key {where!r}"
    if error["type"] == "missing":
        return f"{where!r} is missing"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{where!r}: {message}, got {error['input']!r}"


def _valid_keys(parents: list[str | int]) -> list[str]:
    """The keys that the schema knows at a path such as ['dataset', 'split'] or ['views', 'image']."""
    section: type[BaseModel] = Params
    for parent in parents:
        if not isinstance(parent, str) or parent not in section.model_fields:
            continue  # the name of a view: its section is the value type, already entered
        annotation = section.model_fields[parent].annotation
        candidates = [annotation, *get_args(annotation)]
        section = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), section)
    return list(section.model_fields)
