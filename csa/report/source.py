"""What a report is made from: artifacts of one run and facts about it, as plain data."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import polars as pl

from csa.core.alignment import Alignment
from csa.evaluation.held_out import HeldOut
from csa.evaluation.ranked import RankedQueries
from csa.params.schema import Params
from csa.results.estimate import Estimate
from csa.results.evaluation import ClassificationMetrics, EvaluationMetrics
from csa.results.fit import FitReport
from csa.results.suspects import SuspectsReport
from csa.results.sweep import SweepReport
from csa.results.task import OutOfContextTaskMetrics, TaskMetrics

Loader = Callable[[str], Any]


@dataclass(frozen=True)
class Registration:
    """What the registry and the ledger say of a run.

    Attributes:
        version: it is registered as.
        champion: the version that is champion, or None.
        verdict, reason: the gate's.
        slices: rows of slice, gain and at_most, where the gate compared slices.
    """

    version: int
    champion: int | None
    verdict: str
    reason: str
    slices: list[dict[str, Any]] = field(default_factory=list)


class Measure(NamedTuple):
    """One line of a page: what is measured, the estimate, and what a guess is worth."""

    name: str
    found: Estimate
    chance: float | None


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured of one data set beyond retrieval, where it was: the held-out pairs' own, or
    a further task's.

    Attributes:
        metrics: metrics.json.
        classes: a row a class: label, images, top_1, top_5, predicted, confused_with, confused.
        calibration: a row a kind of decision and error rate: kind, alpha, coverage, low, high,
            size.
        images: a row a labelled image: label, predicted.
        rows: a row a second caption: part, out, caption_similarity, image_similarity.
    """

    metrics: EvaluationMetrics | TaskMetrics
    classes: pl.DataFrame | None = None
    calibration: pl.DataFrame | None = None
    images: pl.DataFrame | None = None
    rows: pl.DataFrame | None = None

    @property
    def classification(self) -> ClassificationMetrics | None:
        """Of images by classes; None if they carry no labels."""
        if isinstance(self.metrics, OutOfContextTaskMetrics):
            return None
        return self.metrics.classification


@dataclass(frozen=True, eq=False)
class Suspects:
    """Training pairs that look mislabelled: the summary, and a row a pair, the most suspect
    first.
    """

    summary: SuspectsReport
    table: pl.DataFrame


@dataclass(frozen=True, eq=False)
class Source:
    """One run's artifacts and facts.

    Attributes:
        workspace: its name.
        params: of the run.
        alignment: the fitted model.
        held_out: the held-out pairs with their features.
        pairs: the whole pairs table.
        quarantine: rows set aside, with the reason of each.
        queries, scores: the evaluation's tables, a row a query and a row a pair.
        fit, metrics: fit.json and metrics.json.
        features: view -> the index.json of its features.
        loaders: of the items of each view, in order.
        further: classes and calibration of the held-out pairs.
        tasks: name -> what a further task measured.
        sweep: sweep.json of these held-out pairs, or None if there is none.
        suspects: what was found of this alignment's training pairs, or None.
        run: the run record as a mapping, or None if the run is not recorded.
        registration: or None if it is not registered.
    """

    workspace: str
    params: Params
    alignment: Alignment
    held_out: HeldOut
    pairs: pl.DataFrame
    quarantine: pl.DataFrame
    queries: pl.DataFrame
    scores: pl.DataFrame
    fit: FitReport
    metrics: EvaluationMetrics
    features: dict[str, dict[str, Any]]
    loaders: tuple[Loader, Loader]
    further: Measured
    tasks: dict[str, Measured]
    sweep: SweepReport | None = None
    suspects: Suspects | None = None
    run: dict[str, Any] | None = None
    registration: Registration | None = None

    @property
    def views(self) -> tuple[str, str]:
        """Names of both views."""
        return self.params.view_names

    @cached_property
    def ranked(self) -> RankedQueries:
        """The held-out queries as the alignment ranked them."""
        return RankedQueries(self.alignment, self.held_out, self.queries)

    @property
    def dimensions(self) -> tuple[int, int]:
        """(p, q) of the prepared features."""
        return len(self.alignment.A), len(self.alignment.B)
