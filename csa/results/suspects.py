"""suspects.json: training pairs that look mislabelled, in numbers."""

from dataclasses import dataclass
from typing import Any

from csa.results.estimate import Estimate
from csa.results.record import Record
from csa.results.words import signed


@dataclass(frozen=True)
class Trimmed(Record):
    """What a refit without suspects gained on the held-out pairs.

    Attributes:
        share: of the training pairs that was left out.
        inside_folds_mrr: share that was tried -> gain in mean reciprocal rank in held-out folds;
            empty if the share was given.
        gain: metric -> paired difference over the held-out queries of both directions, refit less
            fit.
    """

    share: float
    inside_folds_mrr: dict[str, Estimate]
    gain: dict[str, Estimate]

    @property
    def mrr(self) -> Estimate:
        """What the refit gained in mean reciprocal rank."""
        return self.gain["mrr"]

    def __str__(self) -> str:
        if self.share == 0:
            best, e = max(self.inside_folds_mrr.items(), key=lambda item: item[1].value)
            return (
                "trimmed refit: leaving suspects out does not help retrieval inside the folds "
                f"beyond chance (best: {float(best):.0%} of them, mrr "
                f"{signed(e, 4, ', interval')}), so nothing is left out"
            )
        verdict = (
            "better"
            if self.mrr.low > 0
            else "worse"
            if self.mrr.high < 0
            else "no difference that can be told from chance"
        )
        return (
            f"trimmed refit: without the {self.share:.1%} most suspect pairs, held-out mrr "
            f"{signed(self.mrr, 4, ', interval')}: {verdict}"
        )


@dataclass(frozen=True)
class _OfAlignment(Record):
    alignment_sha256: str


@dataclass(frozen=True)
class SuspectsSummary(Record):
    """The training pairs in numbers.

    Attributes:
        pairs: how many were scored.
        share_no_better_than_strangers: estimated share of mislabelled ones.
        more_likely_than_not: how many are more likely wrong than not.
        trim: what a refit without the worst gained; None if none was asked for.
        worst: the most suspect pairs, a row each.
    """

    pairs: int
    share_no_better_than_strangers: float
    more_likely_than_not: int
    trim: Trimmed | None
    worst: list[dict[str, Any]]


@dataclass(frozen=True)
class SuspectsReport(SuspectsSummary, _OfAlignment):  # fields of the last base come first
    """The same, as suspects.json holds it: with the alignment whose training pairs they are."""
