"""Sections of a project that change no result: `compute`, `model`, `notify` and `card`."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from csa.params.base import Section


def _known_device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,3})?", value):
        raise ValueError("use auto, cpu, cuda, cuda:N (the GPU of that number) or mps")
    return value


class ComputeParams(Section):
    """Where batches are computed. It changes no result, so no stage depends on it; what a network
    multiplies in does, and is the view's `dtype`.
    """

    device: Annotated[str, AfterValidator(_known_device)] = Field(
        "auto",
        description="where encoders run: auto (a GPU where torch sees one), cpu, cuda, cuda:N or "
        "mps; the variable CSA_DEVICE goes before it",
    )
    dask: str | None = Field(
        None,
        description="null uses threads of this machine, `local` starts a Dask cluster on it, and "
        "an address uses that Dask scheduler, if this machine allows it (docs/threat-model.md). "
        "The variable CSA_DASK overrides it",
    )


class ModelParams(Section):
    """The registered model: its name, and whether it carries its encoders."""

    name: str = Field(
        "csa-openmoji",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="the name of the registered model in MLflow",
    )
    with_weights: bool = Field(
        False,
        description="whether versions contain the files of their encoders. If not, they name them "
        "by revision or hash, and the machine that loads the model must have them",
    )


Event = Literal["promoted", "kept", "refused", "failed"]


class NotifyParams(Section):
    """Who is told how a run ended. A webhook gets a POST of JSON with `text`, `event` and
    `execution`; a service that apprise knows gets one line.
    """

    url: str | None = Field(
        None,
        pattern=r"^[A-Za-z][A-Za-z0-9+.-]*://",
        description="the address of a webhook (http:// or https://) or of a service that apprise "
        "knows (slack://, msteams://, mailto:// and others). This machine has to allow it. The "
        "variable CSA_NOTIFY_URL overrides it, and is the place for an address with a secret",
    )
    events: list[Event] = Field(
        default_factory=lambda: list[Event](("promoted", "refused", "failed")),
        description="which events are told; kept is a run whose gate kept the champion",
    )


class CardParams(Section):
    """Your own words in the model card. They change no result; the report adds what it knows of
    the run.
    """

    intended_use: str | None = Field(None, description="what the model is for, and for whom")
    limits: str | None = Field(
        None, description="what the model must not be used for, and where it is known to be bad"
    )
    contact: str | None = Field(None, description="who is responsible for the model")
    licence: str | None = Field(
        None, description="the licence under which the model and its data may be used"
    )
