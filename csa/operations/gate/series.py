"""Series of challengers of one champion on the same held-out pairs: who tries often enough wins by
chance, so each further try is judged more strictly.

The k-th challenger is allowed 2 a / (k (k + 1)) false promotions, where a is one side of what
`gate.confidence` allows (alpha spending; Tian & Ramdas 2021). The first has the whole of a, and
however many follow, all together have 2 a: with a confidence of 95 %, one series in twenty. That
holds however the challengers resemble each other. A new champion, or other held-out pairs, begin a
new series. Another metric or a model that differs in nothing but its name do not.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from csa.results.words import ordinal

_KEPT = 32
# Held-out sets that share more than half of their items are the same pairs to a series.
_SAME = 0.5


@dataclass(frozen=True)
class Level:
    """How sure a promotion has to be.

    Attributes:
        alpha: the false promotions that are allowed, as a share.
        said: what people are told of the series, as a clause; empty for a first challenger.
    """

    alpha: float
    said: str = ""

    @property
    def confidence(self) -> str:
        """Of the interval with `alpha` on either side, in per cent, with two figures of the rest.

        >>> Level(0.025).confidence, Level(0.025 / 28).confidence
        ('95%', '99.82%')
        """
        outside = 200 * self.alpha
        return f"{round(100 - outside, max(0, 1 - int(np.floor(np.log10(outside))))):.12g}%"


@dataclass(frozen=True)
class Terms:
    """On what terms a challenger is compared.

    Attributes:
        number: which challenger of its champion on these pairs it is; 1 for the first.
        must_go: why the champion should not stay, as a clause; None if it may.
    """

    number: int = 1
    must_go: str | None = None

    def level(self, confidence: float) -> Level:
        """How sure a promotion has to be.

        Args:
            confidence: of `gate.confidence`; such as 0.95.
        """
        alpha, k = (1 - confidence) / 2, self.number
        if k == 1 or self.must_go is not None:
            return Level(alpha)
        return Level(
            2 * alpha / (k * (k + 1)),
            f"; it is the {ordinal(k)} challenger on these pairs, so it is judged more strictly, "
            f"and new held-out pairs would be a fresh start",
        )


FIRST = Terms()


def held_out_sketch(items: pl.DataFrame, views: tuple[str, str]) -> list[str]:
    """A few held-out items by which two held-out sets are told to be the same (bottom-k sketch,
    Cohen & Kaplan 2007), however many of them are asked.

    Args:
        items: of a run, see `csa.operations.runs.items`.
        views: names of the first and the second view.

    Returns:
        At most 32 hashes, sorted.
    """
    test = items.filter(pl.col("split") == "test")
    held_out = set().union(*(test[f"{view}_hash"].to_list() for view in views))
    return sorted(hashlib.sha256(f"query {item}".encode()).hexdigest()[:8] for item in held_out)[
        :_KEPT
    ]


def number_in_series(history: list[dict[str, Any]], evidence: dict[str, Any], metric: str) -> int:
    """Which challenger of its champion on these pairs a model is; one that was compared before by
    the same metric keeps its number.

    Args:
        history: the model's ledger lines, oldest first.
        evidence: of the comparison at hand, as the ledger keeps it.
        metric: of the comparison.

    Returns:
        Its number, from 1.
    """
    tries = dict.fromkeys(
        (_alignment(line["evidence"], "challenger"), line["gate"]["metric"])
        for line in history
        if line.get("gain") is not None and _same_series(line["evidence"], evidence)
    )
    this = (_alignment(evidence, "challenger"), metric)
    return list(tries).index(this) + 1 if this in tries else len(tries) + 1


def _alignment(evidence: dict[str, Any], side: str) -> str | None:
    sha256: str | None = (evidence.get(side) or {}).get("alignment_sha256")
    return sha256


def _same_series(one: dict[str, Any], other: dict[str, Any]) -> bool:
    if _alignment(one, "champion") != _alignment(other, "champion"):
        return False
    if one.get("evaluation_id") == other["evaluation_id"]:
        return True
    first, second = (set(side.get("held_out", ())) for side in (one, other))
    lowest = sorted(first | second)[:_KEPT]
    return len(first & second & set(lowest)) > _SAME * len(lowest)
