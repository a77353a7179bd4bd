"""The page of suspected pairs, to go through: item, given partner, better partner, and a list of
those that a person marks.
"""

from dataclasses import dataclass

from csa.report.html import Section, render_page
from csa.report.shown import Shown


@dataclass(frozen=True)
class Suspect:
    """One pair as it is shown.

    Attributes:
        first, second: its items.
        better: the partner that scores higher with the first item.
        pair_id: as the pairs table has it.
        rank: 1 for the most suspect.
        probability: that the pair is no better than two strangers.
        score, better_score: of the given partner and of the better one.
        strangers_above: share of strangers that score as high as the pair.
    """

    first: Shown
    second: Shown
    better: Shown
    pair_id: str
    rank: int
    probability: float
    score: float
    better_score: float
    strangers_above: float


@dataclass(frozen=True)
class Review:
    """What a person is to go through.

    Attributes:
        title: of the page.
        lead: what was found, in a sentence.
        notes: further sentences.
        views: names of the first and the second view.
        suspects: most suspect first.
        alignment_sha256: of the alignment that the pairs were ranked under.
    """

    title: str
    lead: str
    notes: list[str]
    views: tuple[str, str]
    suspects: list[Suspect]
    alignment_sha256: str


def suspects_page(review: Review) -> str:
    """The page, self-contained; what a person marks stays in the browser until another alignment
    ranks the pairs.
    """
    sections = [
        Section("suspected", "Pairs to look at", review),
        Section("marked", "What you marked", {"pairs": len(review.suspects)}),
    ]
    return render_page(
        "suspects.html",
        sections,
        script="review.js",
        title=review.title,
        lead=review.lead,
        notes=review.notes,
    )
