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
    """What data must be like, so that a fit makes sense. Each value is [warn, refuse]: a run prints
    a note when a number is beyond the first limit, and ends with exit code 1 when it is beyond the
    second. A limit of null never applies. No check changes a result."""

    fewest_groups: Limits = _limits(50, 10, "the number of training groups; fewer are too few")
    duplicate_pairs: Limits = _limits(
        0.2, 0.9, "share of training pairs that have the same two items as another pair"
    )
    dead_features: Limits = _limits(0.0, 0.01, "share of items whose features are all zero")
    repeated_features: Limits = _limits(
        0.05, 0.5, "share of items of a view that have exactly the features of another item"
    )
    leakage: Limits = _limits(
        None,
        0.0,
        "share of held-out groups, or of the items that make groups, that are among the training "
        "pairs too",
    )
    near_duplicates: Limits = _limits(
        0.05,
        None,
        "share of held-out items that have a training item at a cosine of 0.99 or more",
    )
    unpaired_near_duplicates: Limits = _limits(
        0.05,
        None,
        "share of a view's held-out items that have an unpaired item at a cosine of 0.99 or more",
    )
    copied_items: Limits = _limits(
        0.02,
        0.1,
        "share of held-out items that are copies of a training item. A copy has exactly its "
        "features (the same pixels in another file), or it has a cosine of 0.8 or more with it and "
        "looks the same when both are made small, or has the same rare text",
    )
    lost_groups: Limits = _limits(
        0.1, 0.5, "by which share the training groups are fewer than the champion's"
    )
    mismatched: Limits = _limits(
        0.05,
        0.3,
        "share of new pairs that the champion finds mismatched (the lower bound of the share, less "
        "the champion's false alarms)",
    )
    mean_shift: Limits = _limits(
        0.2,
        1.0,
        "how far the means of the training features have moved since the champion, in its standard "
        "deviations and beyond sampling noise",
    )
    covariance_shift: Limits = _limits(
        0.1,
        0.5,
        "how far the covariances have moved since the champion, in nats per component and beyond "
        "sampling noise",
    )
    lost_unpaired: Limits = _limits(
        0.1, None, "by which share a view's unpaired items are fewer than the champion's"
    )
    unpaired_mean_shift: Limits = _limits(
        0.2,
        None,
        "how far the means of a view's unpaired items have moved since the champion, measured as "
        "`mean_shift` is. Held-out true pairs decide whether a fit uses such items, so nothing "
        "refuses a run here unless you set a limit",
    )
    unpaired_covariance_shift: Limits = _limits(
        0.1,
        None,
        "how far the covariances of a view's unpaired items have moved since the champion, "
        "measured as `covariance_shift` is",
    )

    @field_validator("*")
    @classmethod
    def _warn_comes_first(cls, limits: Limits, info: ValidationInfo) -> Limits:
        warn, refuse = limits
        fewer = str(info.field_name).startswith("fewest_")
        if warn is not None and refuse is not None and (warn < refuse if fewer else warn > refuse):
            order = "larger" if fewer else "smaller"
            raise ValueError(f"[warn, refuse] are in the wrong order: warn must be the {order} one")
        return limits
