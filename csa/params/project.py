"""Sections of a project that change no result: `compute`, `model`, `notify` and `card`."""

from typing import Literal

from pydantic import Field

from csa.params.base import Section


class ComputeParams(Section):
    """Where batches are computed. It changes no result, so no stage depends on it."""

    dask: str | None = Field(
        None,
        description="null: threads of this machine; `local`: a Dask cluster on it; else a Dask "
        "scheduler's address, which this machine has to allow (docs/threat-model.md); the variable "
        "CSA_DASK goes before it",
    )


class ModelParams(Section):
    """The registered model: its name, and whether it carries its encoders."""

    name: str = Field(
        "csa-openmoji",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="registered model name in MLflow",
    )
    with_weights: bool = Field(
        False,
        description="put the encoders' files into every registered version; else they are named "
        "there by revision or hash, and looked for where the model is loaded",
    )


Event = Literal["promoted", "kept", "refused", "failed"]


class NotifyParams(Section):
    """Who is told what a run came to: a webhook, by a POST of JSON with `text`, `event` and
    `execution`; or a service that apprise knows, in one line.
    """

    url: str | None = Field(
        None,
        pattern=r"^[A-Za-z][A-Za-z0-9+.-]*://",
        description="http(s):// of a webhook, or slack://, msteams://, mailto:// and whatever "
        "else apprise sends to, which this machine has to allow; the variable CSA_NOTIFY_URL goes "
        "before it, and keeps a secret",
    )
    events: list[Event] = Field(
        default_factory=lambda: list[Event](("promoted", "refused", "failed")),
        description="what it is told of; kept is a run whose gate kept the champion",
    )


class CardParams(Section):
    """The model card's own words, for the report; they change no result. What the run's facts
    say is added to them.
    """

    intended_use: str | None = Field(None, description="what the model is for, and for whom")
    limits: str | None = Field(
        None, description="what it must not be used for, and what it is known to be bad at"
    )
    contact: str | None = Field(None, description="who answers for it")
    licence: str | None = Field(None, description="under which the model and its data may be used")
