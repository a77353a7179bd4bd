"""What the API takes, field by field; pydantic refuses everything else."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

MOST_ITEMS = 64
"""Items of one request."""
MOST_RESULTS = 200
"""Results of one query."""

Cell = Annotated[
    str | list[float],
    Field(description="a text; a file in base64 or as a data: address; or its features"),
]
Items = Annotated[dict[str, list[Cell]], Field(min_length=1, max_length=2)]
Name = Annotated[str, Field(min_length=1, max_length=1000)]
Alpha = Annotated[float | None, Field(default=None, gt=0, lt=0.5)]
Top = Annotated[int, Field(ge=1, le=MOST_RESULTS)]


class Asked(BaseModel):
    """A body of a request; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")


class Embed(Asked):
    """Items whose index vectors are wanted."""

    items: Items = Field(description="view -> items")


class Score(Asked):
    """Pairs to be judged."""

    pairs: Annotated[list[dict[str, Cell]], Field(min_length=1, max_length=MOST_ITEMS)] = Field(
        description="an item of each view, by the view's name"
    )
    alpha: Alpha = Field(None, description="error rate of the verdicts; default the model's")


class Like(Asked):
    """An item of the gallery."""

    pair: Name = Field(description="id of its pair")
    view: Name = Field(description="of the item")


class Search(Asked):
    """Items to look for, or an item of the gallery to find more like."""

    query: Annotated[dict[str, list[Cell]], Field(min_length=1, max_length=1)] | None = Field(
        None, description="one view -> items"
    )
    like: Like | None = Field(None, description="in place of `query`")
    into: Name | None = Field(
        None, description="view to search; default the other one, with `like` the item's own"
    )
    top: Top = Field(12, description="results of each query")
    split: Name | None = Field(None, description="only pairs of this split")
    label: Name | None = Field(None, description="only pairs with this label")

    @model_validator(mode="after")
    def _one_of_both(self) -> "Search":
        if (self.query is None) == (self.like is None):
            raise ValueError("give either 'query' or 'like'")
        return self


class Classify(Asked):
    """Items and the labels that they may get."""

    items: Annotated[dict[str, list[Cell]], Field(min_length=1, max_length=1)] = Field(
        description="the view that is no text -> items"
    )
    labels: Annotated[list[Name], Field(min_length=2, max_length=1000)]
    templates: Annotated[list[Name], Field(max_length=100)] = Field(
        default_factory=list, description="sentences with {label}; default the model's"
    )
    top: Top = Field(5, description="labels of each item")
    alpha: Alpha = Field(None, description="of the conformal set; default the model's")
