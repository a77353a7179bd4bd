"""Sections `evaluate` and `tasks`: what is measured."""

from typing import Literal, get_args

from pydantic import Field, field_validator

from csa.params.base import Count, Section, Seed, Template
from csa.params.data import DatasetParams
from csa.params.views import Dtype

Baseline = Literal[
    "asif", "procrustes", "ridge_map", "plain_cca", "canonical_published", "raw_cosine"
]


class PromptParams(Section):
    """The sentences for a class. The features of all its sentences are averaged."""

    templates: list[Template] = Field(
        default_factory=list,
        description="sentences with {label} in place of the class. Without any, data sets of "
        "classes use their dataset.template, and others the paper's sentence, `An image of "
        "{label}.`",
    )
    names: Literal["whole", "first", "each"] = Field(
        "whole",
        description="which names of a label to use, if it lists several between commas. It is the "
        "whole label, its first name, or a sentence for each name",
    )


class MultimodalParams(Section):
    """A model with an image and a text tower, such as CLIP, that is measured beside CSA. It is not
    fitted; its own cosine is the score.
    """

    encoder: str = Field(description="a transformers model id or a local folder")
    revision: str | None = Field(
        None, description="the commit of a hub model; required for a model id"
    )
    batch_size: Count = Field(32, description="items per forward pass")
    dtype: Dtype = Field("float32", description="what the forward pass multiplies in, as a view's")


class EvaluateParams(Section):
    """What is measured on the held-out pairs."""

    bootstrap: int = Field(
        1000,
        ge=100,
        le=1_000_000,
        description="how many bootstrap resamples of groups the intervals use",
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="confidence level of every interval")
    seed: Seed = Field(0, description="the seed of the bootstrap and of the mismatched pairs")
    queries: int = Field(
        10_000,
        ge=10,
        description="the most groups of held-out pairs that are used as queries. Hashes of their "
        "names decide which; the items of all groups are searched",
    )
    prompts: PromptParams = Field(
        default_factory=PromptParams,
        description="the sentences for classes, if held-out pairs have labels",
    )
    baselines: list[Baseline] = Field(
        default_factory=list,
        description="methods that are measured beside CSA. They are fitted on the same training "
        "pairs: asif, procrustes, ridge_map, plain_cca, canonical_published, and raw_cosine, "
        "which needs views with the same number of dimensions",
    )
    multimodal: dict[str, MultimodalParams] = Field(
        default_factory=dict,
        description="models such as CLIP that are measured beside CSA. It maps a name to a model; "
        "nothing is fitted",
    )
    alpha: float = Field(
        0.1, gt=0, lt=0.5, description="the error rate of conformal verdicts and prediction sets"
    )
    sheet_queries: int = Field(
        8, ge=1, le=50, description="how many queries the retrieval sheet shows"
    )

    @field_validator("multimodal")
    @classmethod
    def _names_of_their_own(
        cls, models: dict[str, MultimodalParams]
    ) -> dict[str, MultimodalParams]:
        for name in models:
            if name in get_args(Baseline):
                raise ValueError(f"{name!r} is the name of a baseline; call the model otherwise")
        return models


class TaskParams(Section):
    """A further evaluation, on another data set than that of the fit. It is a stage of its own,
    `task@NAME`.
    """

    kind: Literal["transfer", "out_of_context"] = Field(
        description="transfer: zero-shot classification of a labelled data set that was never "
        "paired. out_of_context: finding captions that do not belong to their image, given another "
        "caption"
    )
    dataset: DatasetParams = Field(
        description="the data set to measure on. For out_of_context it is a table with the "
        "columns image, caption1, caption2 and out_of_context"
    )
    prompts: PromptParams = Field(
        default_factory=PromptParams, description="for transfer: the sentences for classes"
    )
    text_similarity: Literal["encoder", "canonical"] = Field(
        "encoder",
        description="for out_of_context: how two captions are compared. encoder takes the cosine "
        "of the text encoder's features, as the paper does; canonical takes the cosine of their "
        "canonical coordinates",
    )
