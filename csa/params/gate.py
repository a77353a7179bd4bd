"""Section `gate`: when a challenger replaces the champion."""

from typing import Literal

from pydantic import Field

from csa.params.base import Section, Seed


class GateParams(Section):
    """When a challenger replaces the champion."""

    metric: Literal["recall_at_1", "recall_at_5", "recall_at_10", "mrr"] = Field(
        "mrr", description="per-query measure, averaged over both directions"
    )
    margin: float = Field(
        0.0, ge=0, lt=1, description="the lower confidence bound of the gain must exceed this"
    )
    confidence: float = Field(
        0.95,
        gt=0.5,
        lt=1,
        description="confidence level of the gain's interval for a champion's first challenger; "
        "later ones on the same pairs are judged more strictly",
    )
    bootstrap: int = Field(
        2000,
        ge=100,
        le=1_000_000,
        description="subsets of groups that are drawn for the gain, and resamples for the slices",
    )
    seed: Seed = Field(0, description="of those draws; another seed is no new question")
    slices: list[str] = Field(
        default_factory=lambda: ["direction", "label", "caption_length", "group_size"],
        description="parts of the held-out queries that are looked at one by one: direction, "
        "caption_length, group_size, or a "
        "column of the pairs table such as label (a slice for each value)",
    )
    slice_margin: float = Field(
        0.01,
        ge=0,
        lt=1,
        description="a challenger that is surely worse than this on a slice is kept off; slices "
        "are corrected for",
    )
    max_megabytes: float | None = Field(
        None, gt=0, description="a larger registered model is kept off; null: no limit"
    )
    max_milliseconds: float | None = Field(
        None,
        gt=0,
        description="a model that needs more for 1,000 scores is kept off (best of many rounds); "
        "null: no limit",
    )
    approval: bool = Field(
        False,
        description="a promotion waits for a person: `csa approve`, or Prefect's page of the run",
    )
    approval_seconds: int = Field(
        86_400, gt=0, le=10**9, description="how long it waits; no answer is a no"
    )
    outside_moves: Literal["accept", "repair"] = Field(
        "accept",
        description="a champion moved by hand in MLflow: `accept` writes it to the ledger, "
        "`repair` moves it back",
    )
