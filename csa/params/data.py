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
        description="which column of the table is what: a mapping from id, group, split, label, "
        "mislabelled or a view to the name of a column. A column of the same name needs no entry",
    )
    arrays: dict[str, str] = Field(
        default_factory=dict,
        description="a mapping from a view to a file of precomputed features (.npy, .npz, "
        ".safetensors, .parquet). Its row i belongs to row i of the table",
    )
    unpaired: dict[str, str] = Field(
        default_factory=dict,
        description="a mapping from a view to items without a partner, which the fit may use too: "
        "a folder of files, a table, a .txt with one text a line, or a file of features "
        "(docs/unpaired.md)",
    )
    language: str = Field(
        "en",
        description="the language of the built-in data set's names: en, de, fr, ja or another one "
        "that the `emoji` package has",
    )
    template: Template = Field(
        "a photo of a {label}",
        description="for data sets of classes: the text that is paired with an item of class "
        "{label}",
    )
    held_out: Literal["val", "test"] = Field(
        "val",
        description="which part is held out, if the data set has the parts train, val and test. "
        "The other one is not used",
    )
    splits: dict[str, Literal["train", "val", "test", "none"]] = Field(
        default_factory=dict,
        description="a mapping from the data set's own name of a split to train, val, test or "
        "none; pairs of none are not used. Common names need no entry",
    )
    on_error: Literal["refuse", "quarantine"] = Field(
        "refuse",
        description="what happens to a row that cannot be used: it stops the run, or it is set "
        "aside in data/quarantine.parquet and counted",
    )
    max_image_pixels: int = Field(
        50_000_000,
        gt=0,
        le=10**10,
        description="an image with more pixels than this is refused as a decompression bomb",
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
