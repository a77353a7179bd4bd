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
    """How pairs are divided if the data set has no split. A hash of the group decides, so that no
    pair changes sides when the data grow.
    """

    test: float = Field(0.2, gt=0, lt=1, description="share of groups held out for evaluation")
    seed: Seed = Field(0, description="another seed holds out other groups")


class DatasetParams(Section):
    """Which data set to read, and how."""

    kind: DatasetKind = Field(
        "table", description="the layout of the data set; docs/datasets.md describes each"
    )
    path: str = Field(
        "data/openmoji",
        description="the data set's folder or file, relative to the workspace or absolute. It "
        "cannot be an address on the web",
    )
    table: str | None = Field(
        None, description="the file name of the table, when `path` is a folder"
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="the table's columns. It maps id, group, split, label, mislabelled or a view "
        "to the name of a column; a column of the same name needs no entry",
    )
    arrays: dict[str, str] = Field(
        default_factory=dict,
        description="files of precomputed features. It maps a view to a .npy, .npz, .safetensors "
        "or .parquet, whose row i belongs to row i of the table",
    )
    unpaired: dict[str, str] = Field(
        default_factory=dict,
        description="items without a partner, which the fit may use too. It maps a view to a "
        "folder of files, a table, a .txt with one text a line, or a file of features "
        "(docs/unpaired.md)",
    )
    language: str = Field(
        "en",
        description="the language of the built-in data set's names. It is en, de, fr, ja or "
        "another one that the `emoji` package has",
    )
    template: Template = Field(
        "a photo of a {label}",
        description="the text of an item of class {label}. It is for data sets of classes",
    )
    held_out: Literal["val", "test"] = Field(
        "val",
        description="the part that is held out. It counts if the data set has the parts train, "
        "val and test; the other part is not used",
    )
    splits: dict[str, Literal["train", "val", "test", "none"]] = Field(
        default_factory=dict,
        description="what the data set's own splits are. It maps such a name to train, val, test "
        "or none, whose pairs are not used; common names need no entry",
    )
    on_error: Literal["refuse", "quarantine"] = Field(
        "refuse",
        description="what happens to a row that cannot be used. It stops the run, or it is set "
        "aside in data/quarantine.parquet and counted",
    )
    max_image_pixels: int = Field(
        50_000_000,
        gt=0,
        le=10**10,
        description="the most pixels that an image may have. A larger one is refused as a "
        "decompression bomb",
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
