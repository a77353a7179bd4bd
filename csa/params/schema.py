"""The one typed schema of `params.yaml` and of every recipe.

>>> from csa.params.schema import Params
>>> Params.from_mapping({"dataset": {"kind": "flickr", "path": "photos"}}).views["text"].modality
'text'
"""

import sys
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from csa.errors import ParamsError
from csa.params.addresses import of_this_machine
from csa.params.base import Section
from csa.params.checks import ChecksParams
from csa.params.data import DatasetParams
from csa.params.fit import FitParams
from csa.params.gate import GateParams
from csa.params.measure import EvaluateParams, TaskParams
from csa.params.project import CardParams, ComputeParams, ModelParams, NotifyParams
from csa.params.reading import explain, load_yaml
from csa.params.views import ViewParams, note_on_spelling


def _default_views() -> dict[str, ViewParams]:
    return {
        "image": ViewParams(modality="image", encoder="efficientnet-lite0"),
        "text": ViewParams(modality="text", encoder="minilm-l6-v2", batch_size=64),
    }


class Params(Section):
    """Everything a run depends on besides the data and the code."""

    dataset: DatasetParams = Field(default_factory=DatasetParams)
    views: dict[str, ViewParams] = Field(
        default_factory=_default_views,
        description="exactly two views, in order; the names are yours",
    )
    fit: FitParams = Field(default_factory=FitParams)
    evaluate: EvaluateParams = Field(default_factory=EvaluateParams)
    tasks: dict[str, TaskParams] = Field(
        default_factory=dict,
        description="name -> a further evaluation on another data set, see docs/tasks.md",
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
            raise ValueError(
                f"exactly two views are needed, got {len(views)} ({', '.join(views) or 'none'})"
            )
        for name in views:
            if not _is_plain(name) or name in RESERVED_COLUMNS:
                raise ValueError(
                    f"{name[:80]!r} cannot name a view: use a plain word, but not "
                    f"{', '.join(RESERVED_COLUMNS)}"
                )
            if name.removesuffix("_hash") in set(views) - {name}:
                raise ValueError(
                    f"{name!r} cannot name a view: it is the column of hashes of "
                    f"{name.removesuffix('_hash')!r}; give another name"
                )
        return views

    @field_validator("tasks")
    @classmethod
    def _plain_names(cls, tasks: dict[str, TaskParams]) -> dict[str, TaskParams]:
        for name in tasks:
            if not _is_plain(name.replace("-", "_")):
                raise ValueError(f"{name[:80]!r} cannot name a task: use letters, digits, - and _")
        return tasks

    @model_validator(mode="after")
    def _unpaired_items_are_of_views(self) -> "Params":
        for name in self.dataset.unpaired:
            if name not in self.views:
                raise ValueError(
                    f"dataset.unpaired has {name!r}, which is not a view; the views are "
                    f"{', '.join(self.views)}"
                )
        for name, task in self.tasks.items():
            if task.dataset.unpaired:
                raise ValueError(
                    f"nothing is fitted in tasks.{name}; move unpaired to the section dataset"
                )
        return self

    @property
    def anchor_view(self) -> str:
        """The view whose items make groups: the first that is no text, else the first."""
        return next(
            (name for name, view in self.views.items() if view.modality != "text"),
            self.view_names[0],
        )

    @property
    def view_names(self) -> tuple[str, str]:
        """The names of the two views, first and second."""
        first, second = self.views
        return first, second

    @classmethod
    def from_mapping(cls, mapping: Any, source: str = "params") -> "Params":
        """Validate a nested mapping.

        A view in an old spelling is read; a note on standard error shows the new one, once a
        process.

        Args:
            mapping: sections, as YAML gives them.
            source: what errors and notes call it.

        Returns:
            The parameters, every default filled in.

        Raises:
            ParamsError: an unknown key (with the nearest valid one), a wrong type, a value out of
                range.
        """
        if not isinstance(mapping, dict):
            raise ParamsError(
                f"{source}: expected sections such as dataset: and views:, got "
                f"{type(mapping).__name__}"
            )
        _tell_once(note_on_spelling(mapping.get("views"), source))
        try:
            return cls.model_validate(mapping)
        except ValidationError as error:
            raise ParamsError(
                f"{source}: {'; '.join(explain(e, cls) for e in error.errors())}"
            ) from None

    @classmethod
    def load(cls, path: Path) -> "Params":
        """Read and validate a YAML file; addresses are those of this machine, see
        `csa.params.addresses`.
        """
        return cls.from_mapping(of_this_machine(load_yaml(path), path), source=str(path))

    def dump(self) -> dict[str, Any]:
        """The fully resolved parameters as plain data, every default written out."""
        return self.model_dump(mode="json")


def _is_plain(name: str) -> bool:
    """Whether a name can be a column, a folder and a stage."""
    return name.isidentifier() and len(name.encode()) <= _LONGEST_NAME


@cache
def _tell_once(note: str | None) -> None:
    if note is not None:
        print(note, file=sys.stderr)


_LONGEST_NAME = 100  # bytes
RESERVED_COLUMNS = ("pair_id", "group", "split", "label", "mislabelled", "unpaired")
