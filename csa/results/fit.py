"""fit.json: what `fit` chose, and what it says of itself."""

from dataclasses import dataclass, field
from typing import Literal

from csa.results.record import Record


@dataclass(frozen=True)
class TriedRecipe(Record):
    """A recipe that was compared on held-out folds.

    Attributes:
        preparation: of both views.
        pairs: how many were fitted.
        shrinkage: of both views, in [0, 1].
        held_out_mrr: mean reciprocal rank inside the folds.
    """

    preparation: list[str]
    pairs: int
    shrinkage: list[float]
    held_out_mrr: float


@dataclass(frozen=True)
class TriedScore(Record):
    """A score that was compared on held-out folds.

    Attributes:
        score: its name.
        n_components: None if the score weighs all.
        hubness_corrected: whether it was.
        held_out_mrr: mean reciprocal rank inside the folds.
    """

    score: str
    n_components: int | None
    hubness_corrected: bool
    held_out_mrr: float


@dataclass(frozen=True)
class TriedRound(Record):
    """A fit with unpaired items that was compared on held-out folds.

    Attributes:
        round: number of plans before it.
        weight: share of the plan in the moments.
        kappa, temperature: of the labels; 0 where they are not used.
        shrinkage: of both views, in the principal dimensions.
        held_out: geometric mean rank by which it was judged.
    """

    round: int
    weight: float
    kappa: float
    temperature: float
    shrinkage: list[float]
    held_out: float


@dataclass(frozen=True)
class Tried(Record):
    """What was compared on held-out folds, in order; empty if everything was set by hand.

    Attributes:
        recipes, scores: of the fit to the pairs.
        rounds: of fits with unpaired items; None without any.
    """

    recipes: list[TriedRecipe] = field(default_factory=list)
    scores: list[TriedScore] = field(default_factory=list)
    rounds: list[TriedRound] | None = None


@dataclass(frozen=True, kw_only=True)
class UnpairedAccount(Record):
    """What unpaired items brought to a fit.

    Attributes:
        items: of either view.
        left_out: of either view, since they are among the pairs.
        used: whether held-out true pairs are found better with them.
        round, weight: number of plans, and their share in the moments.
        labels, temperature: weight of an encoder's labels in the score, 0 without; their
            temperature.
        learned_from_labels: whether labels had a part in the alignment, in its score or in a plan.
        checked_on_true_pairs: whether there were any.
        held_out, held_out_without: geometric mean rank by which they were judged, and without them.
        label_names: of the labels, where they had a part.
    """

    items: list[int]
    left_out: list[int]
    used: bool
    round: int
    weight: float
    labels: float
    temperature: float | None
    learned_from_labels: bool
    checked_on_true_pairs: bool
    held_out: float | None = None
    held_out_without: float | None = None
    label_names: list[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Searched(Record):
    """Which road a fit took to its choices, and what the next one may be measured by.

    Attributes:
        road: "full", where everything on `auto` was searched for; "champion", where the champion's
            choices were taken over.
        why: in words.
        pairs, held_out_mrr: of the last full search: how many it was made on, and the mean
            reciprocal rank inside its folds; that is None where nothing was measured.
        started_from: id of the run whose choices were tried first; None where none were.
        held_out_mrr_of_start: what today's folds say of these choices; None where none were tried.
    """

    road: Literal["full", "champion"]
    why: str
    pairs: int
    held_out_mrr: float | None
    started_from: str | None = None
    held_out_mrr_of_start: float | None = None


@dataclass(frozen=True)
class KeptProfile(Record):
    """Numbers of a `csa.checks.profile.Profile`: groups, means (v, r), covariances (v, r, r), and
    how many groups were looked at where these were not all.
    """

    groups: int
    mean: list[list[float]]
    covariance: list[list[list[float]]]
    sampled: int | None = None


@dataclass(frozen=True, kw_only=True)
class FitReport(Record):
    """What `fit` chose and found.

    Attributes:
        pairs, groups: what was fitted on.
        score: the chosen score.
        shrinkage: of both views, in [0, 1].
        n_components: of the score.
        preparation: of both views.
        hubness_corrected: whether the score is.
        diagnostics: what held-out folds say, or in-sample numbers without them; see
            `csa.core.diagnostics`.
        tried: what was compared; None in files of older versions.
        searched: which road the fit took to its choices; None where everything was set by hand, and
            in files of older versions.
        profile: what drift is measured against; None in files of older versions.
        unpaired: what items without a partner brought; None without any.
        unpaired_profiles: by view, what their drift is measured against; None without any, and in
            files of older versions.
        weights, training_correlations: of the components, shape (r,).
    """

    pairs: int
    groups: int
    score: str
    shrinkage: list[float]
    n_components: int
    preparation: list[str]
    hubness_corrected: bool
    diagnostics: dict[str, float | bool | None]
    tried: Tried | None = None
    searched: Searched | None = None
    profile: KeptProfile | None = None
    unpaired: UnpairedAccount | None = None
    unpaired_profiles: dict[str, KeptProfile] | None = None
    weights: list[float]
    training_correlations: list[float]

    @property
    def nats(self) -> float | None:
        """Mutual information of held-out canonical coordinates; None if no folds were held
        out.
        """
        return self.diagnostics.get("mutual_information_nats")

    @property
    def effective_dimension(self) -> float | None:
        """Number of components that count; None if no folds were held out."""
        return self.diagnostics.get("effective_dimension")

    @property
    def overfit_gap(self) -> float | None:
        """Mean of in-sample correlation less weight; None if no folds were held out."""
        return self.diagnostics.get("overfit_gap")

    @property
    def held_out_mrr(self) -> float | None:
        """Mean reciprocal rank inside the folds; None if no folds were held out."""
        return self.diagnostics.get("held_out_mrr")

    @property
    def shared_signal(self) -> bool | None:
        """Whether a shared signal was found; None if it was not looked for."""
        found = self.diagnostics.get("shared_signal")
        return None if found is None else bool(found)

    @property
    def no_shared_signal(self) -> bool:
        """Whether it was looked for a shared signal and none was found."""
        return self.shared_signal is False

    @property
    def compared(self) -> Tried:
        """What was compared on held-out folds; nothing where everything was set by hand."""
        return self.tried or Tried()
