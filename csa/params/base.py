"""What every section of the parameters is: strict, frozen, finite, and without unknown keys."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Seed = Annotated[int, Field(ge=0, lt=2**32)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]


def with_label(template: str) -> str:
    """A sentence that has a place for a label; without one all labels would read alike.

    Args:
        template: such as "a photo of a {label}".

    Returns:
        The template.

    Raises:
        ValueError: it has none.
    """
    if "{label}" not in template:
        raise ValueError(
            f"the template {template!r} has no {{label}}, the place of the label, as in 'a photo "
            f"of a {{label}}'"
        )
    return template


Template = Annotated[str, AfterValidator(with_label)]


class Section(BaseModel):
    """A section of the parameters: strict types, no unknown keys, finite numbers, no changes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
