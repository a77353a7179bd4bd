"""Sections `evaluate` and `tasks`: what is measured."""

from typing import Literal, get_args

from pydantic import Field, field_validator

from csa.params.base import Count, Section, Seed, Template
from csa.params.data import DatasetParams

Baseline = Literal[
    "asif", "procrustes", "ridge_map", "plain_cca", "canonical_published", "raw_cosine"
]


class PromptParams(Section):
    """How a class is put into words: its vector is the mean of all its prompts' features."""

    templates: list[Template] = Field(
        default_factory=list,
        description="sentences with {label} in place of the class; none: dataset.template for a "
        "data set that is paired with it "
        "(imagefolder and other readers of classes), else the paper's, `An image of {label}.`",
    )
    names: Literal["whole", "first", "each"] = Field(
        "whole",
        description="of a label that lists names between commas: all of it, its first name, or a "
        "prompt for each",
    )


class MultimodalParams(Section):
    """A model of two towers, such as CLIP, that is measured beside CSA: nothing is fitted, its
    own cosine is taken.
    """

    encoder: str = Field(description="a transformers model id or a local folder")
    revision: str | None = Field(
        None, description="the commit of a hub model; required for a model id"
    )
    batch_size: Count = Field(32, description="items per forward pass")
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="arithmetic of the forward pass"
    )


class EvaluateParams(Section):
    """What is measured on the held-out pairs."""

    bootstrap: int = Field(
        1000,
        ge=100,
        le=1_000_000,
        description="bootstrap resamples of groups for confidence intervals",
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="confidence level of every interval")
    seed: Seed = Field(0, description="of the bootstrap and of the mismatched pairs")
    queries: int = Field(
        10_000,
        ge=10,
        description="at most so many groups of held-out pairs are asked, drawn by the hashes of "
        "their names; the items of all are searched",
    )
    prompts: PromptParams = Field(
        default_factory=PromptParams,
        description="where held-out pairs carry labels: how classes are put into words",
    )
    baselines: list[Baseline] = Field(
        default_factory=list,
        description="fitted on the same training pairs and measured beside CSA: asif, procrustes, "
        "ridge_map, plain_cca, "
        "canonical_published, raw_cosine (where both views have one dimension)",
    )
    multimodal: dict[str, MultimodalParams] = Field(
        default_factory=dict,
        description="name -> a model of two towers (CLIP and its kin) measured beside CSA, "
        "without a fit",
    )
    alpha: float = Field(
        0.1, gt=0, lt=0.5, description="error rate of conformal verdicts and prediction sets"
    )
    sheet_queries: int = Field(8, ge=1, le=50, description="queries shown on the retrieval sheet")

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
    """A further evaluation, on another data set than the one that was fitted on. Its own stage,
    `task@NAME`.
    """

    kind: Literal["transfer", "out_of_context"] = Field(
        description="transfer: zero-shot classification of a labelled data set that was never "
        "paired; out_of_context: of two "
        "captions of an image, is the second misinformative"
    )
    dataset: DatasetParams = Field(
        description="what is measured on; of out_of_context, a table with an image, caption1, "
        "caption2 and out_of_context"
    )
    prompts: PromptParams = Field(
        default_factory=PromptParams, description="transfer: how classes are put into words"
    )
    text_similarity: Literal["encoder", "canonical"] = Field(
        "encoder",
        description="out_of_context: captions are compared by the cosine of the text encoder's "
        "features, as the paper does, or "
        "by what they say of the image",
    )
