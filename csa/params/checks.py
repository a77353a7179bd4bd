"""Section `checks`: what data must be like to be fitted on."""

from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator

from csa.params.base import Section

Limits = list[Annotated[float, Field(ge=0)] | None]


def _limits(warn: float | None, refuse: float | None, description: str) -> Any:
    return Field(
        default_factory=lambda: [warn, refuse],
        min_length=2,
        max_length=2,
        description=f"[warn, refuse]: {description}",
    )


class ChecksParams(Section):
    """What data must be like to be fitted on. Each is [warn, refuse]: a number beyond the first is
    said, one beyond the second ends the run with exit code 1; null: never. None of them changes a
    result."""

    fewest_groups: Limits = _limits(50, 10, "fewer training groups than this")
    duplicate_pairs: Limits = _limits(
        0.2, 0.9, "share of training pairs that repeat another, item by item"
    )
    dead_features: Limits = _limits(0.0, 0.01, "share of items whose features are all zero")
    repeated_features: Limits = _limits(
        0.05, 0.5, "share of items of a view whose features are another item's, number by number"
    )
    leakage: Limits = _limits(
        None,
        0.0,
        "share of held-out groups, or of items that make groups, that are in training too",
    )
    near_duplicates: Limits = _limits(
        0.05,
        None,
        "share of held-out items with a training item, or an unpaired one, at cosine 0.99 or more",
    )
    copied_items: Limits = _limits(
        0.02,
        0.1,
        "share of held-out items that have the very features of a training item (the same pixels "
        "in another file), or whose nearest one, at cosine 0.8 or more, looks the same from afar "
        "or has the same text as they have, one that hardly any other group has",
    )
    lost_groups: Limits = _limits(
        0.1, 0.5, "share of the champion's training groups that there are fewer now"
    )
    mismatched: Limits = _limits(
        0.05,
        0.3,
        "share of new pairs that the champion surely finds mismatched (lower bound, beyond its "
        "false alarms)",
    )
    mean_shift: Limits = _limits(
        0.2,
        1.0,
        "how far training means moved since the champion, in its standard deviations, beyond "
        "sampling noise",
    )
    covariance_shift: Limits = _limits(
        0.1,
        0.5,
        "how far covariances moved since the champion, in nats per component, beyond sampling "
        "noise",
    )

    @field_validator("*")
    @classmethod
    def _warn_comes_first(cls, limits: Limits, info: ValidationInfo) -> Limits:
        warn, refuse = limits
        fewer = str(info.field_name).startswith("fewest_")
        if warn is not None and refuse is not None and (warn < refuse if fewer else warn > refuse):
            order = "the first is the larger" if fewer else "the first is the smaller"
            raise ValueError(f"[warn, refuse] in the wrong order: {order} of the two")
        return limits
