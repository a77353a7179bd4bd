"""What every section of the parameters is: strict, frozen, and without unknown keys."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section of the parameters: strict types, no unknown keys, no changes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
