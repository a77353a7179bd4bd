"""Section `dataset`: what is read and how it is split."""

import re
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer

from csa.masking import masked
from csa.params.base import Section, Seed, Template

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")

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


class SplitParams(Section):
    """How pairs without a split of their own are divided: by a hash of their group, so that
    growth moves nobody.
    """

    test: float = Field(0.2, gt=0, lt=1, description="share of groups held out for evaluation")
    seed: Seed = Field(0, description="changes which groups are held out")


class DatasetParams(Section):
    """What to read and how its columns are called."""

    kind: DatasetKind = Field(
        "table", description="which reader; docs/datasets.md lists them with their layouts"
    )
    path: str = Field(
        "data/openmoji",
        description="the data set's folder or file, relative to the workspace or absolute; no "
        "address",
    )
    table: str | None = Field(
        None, description="for a table inside the folder `path`: its file name"
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="our name -> the table's column, for id, group, split, label, mislabelled and "
        "each view (default: same name)",
    )
    arrays: dict[str, str] = Field(
        default_factory=dict,
        description="view -> file of precomputed features (.npy, .npz, .safetensors, .parquet), "
        "row i for row i of the table",
    )
    unpaired: dict[str, str] = Field(
        default_factory=dict,
        description="view -> items of it that have no partner, which the fit may use too: a folder "
        "of files, a table, a .txt with a text a line, or a file of features; see docs/unpaired.md",
    )
    language: str = Field(
        "en",
        description="of the built-in data set's names: en, de, fr, ja or another the `emoji` "
        "package has",
    )
    template: Template = Field(
        "a photo of a {label}",
        description="readers of classes: the text paired with an item of class {label}",
    )
    held_out: Literal["val", "test"] = Field(
        "val",
        description="where a data set gives train, val and test: the part held out here; the "
        "other is left untouched",
    )
    splits: dict[str, Literal["train", "val", "test", "none"]] = Field(
        default_factory=dict,
        description="name of a split in the data set -> train, val, test or none (neither trained "
        "on nor held out), for names that are not known",
    )
    on_error: Literal["refuse", "quarantine"] = Field(
        "refuse",
        description="an unusable row stops the run, or is set aside in data/quarantine.parquet "
        "and counted",
    )
    max_image_pixels: int = Field(
        50_000_000,
        gt=0,
        le=10**10,
        description="an image with more pixels is refused as a decompression bomb",
    )
    split: SplitParams = Field(default_factory=SplitParams)

    @field_validator("path", "unpaired")
    @classmethod
    def _is_local(cls, paths: str | dict[str, str]) -> str | dict[str, str]:
        """DVC would ask whatever the address names, also for `csa plan` and `csa status`."""
        for path in [paths] if isinstance(paths, str) else paths.values():
            if _SCHEME.match(path):
                raise ValueError(
                    f"{masked(path)!r} is an address, and a data set lies on this machine; fetch "
                    f"it first (a folder of that very name is ./{masked(path)})"
                )
        return paths

    @model_serializer(mode="wrap")
    def _dump(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `unpaired` where there is none, so that parameters from before are the same."""
        dumped: dict[str, Any] = plain(self)
        return {key: value for key, value in dumped.items() if key != "unpaired" or value}
