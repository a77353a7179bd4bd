"""Section `fit`: the alignment."""

from typing import Any, Literal

from pydantic import Field, field_validator

from csa.params.base import Count, Section, Seed

Preparation = Literal["auto", "raw", "unit", "root", "kernel"]


class FitParams(Section):
    """How the alignment is fitted. `auto` is chosen by cross-fitting on the training pairs."""

    score: Literal["auto", "likelihood_ratio", "normalised_likelihood_ratio", "canonical"] = Field(
        "auto", description="which similarity scores pairs"
    )
    shrinkage: Literal["auto"] | float | list[float] = Field(
        "auto",
        description="how much the covariances are shrunk. It is auto, one number in [0, 1] for "
        "both views, or [first view, second view]",
    )
    n_components: Literal["auto"] | Count = Field(
        "auto", description="how many canonical dimensions the canonical score keeps"
    )
    preparation: Preparation | list[Preparation] = Field(
        "auto",
        description="how features are transformed before the fit: one name for both views, or "
        "[first view, second view]",
    )
    hubness: Literal["auto"] | bool = Field(
        "auto",
        description="whether the score is corrected for hubs, which are items that are near "
        "everything",
    )
    search: Literal["auto", "full"] = Field(
        "auto",
        description="where the search for what is `auto` begins. `auto` begins with the champion's "
        "choices and looks further only where held-out folds say so; `full` tries everything",
    )
    folds: int = Field(
        5, ge=2, le=1000, description="how many folds the cross-fitting has; a group is never split"
    )
    seed: Seed = Field(0, description="another seed puts groups into other folds")

    @property
    def searches(self) -> bool:
        """Whether the whole recipe of a fit is searched for."""
        return self.score == self.shrinkage == self.preparation == "auto"

    @field_validator("preparation")
    @classmethod
    def _a_preparation_a_view(cls, value: Any) -> Any:
        if isinstance(value, list) and len(value) != 2:
            raise ValueError("a list of preparations has two names, one per view")
        return value

    @field_validator("shrinkage")
    @classmethod
    def _shrinkage_in_range(cls, value: Any) -> Any:
        values = value if isinstance(value, list) else [value]
        if isinstance(value, list) and len(value) != 2:
            raise ValueError("a list of shrinkages has two numbers, one per view")
        if any(not isinstance(v, str) and not 0 <= v <= 1 for v in values):
            raise ValueError("a shrinkage must lie in [0, 1]")
        return value
