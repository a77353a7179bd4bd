"""Section `gate`: when a challenger replaces the champion."""

from typing import Literal

from pydantic import Field

from csa.params.base import Section, Seed


class GateParams(Section):
    """When a challenger replaces the champion."""

    metric: Literal["recall_at_1", "recall_at_5", "recall_at_10", "mrr"] = Field(
        "mrr", description="the measure of a query; it is averaged over both directions"
    )
    margin: float = Field(
        0.0, ge=0, lt=1, description="the lower bound of the gain must be above this"
    )
    confidence: float = Field(
        0.95,
        gt=0.5,
        lt=1,
        description="the confidence level of the gain's interval. It holds for a champion's first "
        "challenger; later ones on the same pairs are judged more strictly",
    )
    bootstrap: int = Field(
        2000,
        ge=100,
        le=1_000_000,
        description="how many subsets of groups are drawn for the gain, and how many resamples for "
        "the slices",
    )
    seed: Seed = Field(
        0, description="the seed of these draws. Another seed gives a challenger no new chance"
    )
    slices: list[str] = Field(
        default_factory=lambda: ["direction", "label", "caption_length", "group_size"],
        description="the parts of the queries that are also compared. Each is direction, "
        "caption_length, group_size, or a column of the pairs table such as label, with a slice "
        "for each value",
    )
    slice_margin: float = Field(
        0.01,
        ge=0,
        lt=1,
        description="the most that a challenger may surely lose on a slice. The test is corrected "
        "for the number of slices",
    )
    max_megabytes: float | None = Field(
        None, gt=0, description="the largest registered model that is promoted; null sets no limit"
    )
    max_milliseconds: float | None = Field(
        None,
        gt=0,
        description="the longest time for 1,000 scores. A model that is slower in the best of "
        "many rounds is not promoted; null sets no limit",
    )
    approval: bool = Field(
        False,
        description="whether a promotion waits for a person, who answers with `csa approve` or on "
        "Prefect's page of the run",
    )
    approval_seconds: int = Field(
        86_400, gt=0, le=10**9, description="how long it waits. If nobody answers, the answer is no"
    )
    outside_moves: Literal["accept", "repair"] = Field(
        "accept",
        description="what happens to a champion that somebody moved in MLflow. `accept` writes "
        "the move to the ledger, `repair` moves the champion back",
    )
