"""sweep.json: what methods are worth with few training pairs and with shuffled ones."""

from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from csa.results.evaluation import RetrievalMetrics
from csa.results.record import Record


@dataclass(frozen=True)
class Cell(Record):
    """One measurement: a method, fitted to a random subset of the training groups.

    Attributes:
        method: its short name.
        groups: training groups in the subset.
        noise: share of its pairs that are shuffled, in [0, 1].
        seed: of the subset and of the shuffling.
    """

    method: str
    groups: int
    noise: float
    seed: int


@dataclass(frozen=True)
class SweepRow(Cell):
    """A cell that was measured.

    Attributes:
        pairs: training pairs in the subset.
        fit_seconds: that the fit took.
        retrieval: direction -> metrics on all held-out pairs.
    """

    pairs: int
    fit_seconds: float
    retrieval: dict[str, RetrievalMetrics]

    @property
    def recall(self) -> float:
        """Recall at 1, the mean of the directions."""
        return fmean(way.recall_at_1.value for way in self.retrieval.values())


@dataclass(frozen=True)
class SweepPart:
    """The rows of a sweep in which one thing varies.

    Attributes:
        varied: what.
        rows: at least one.
    """

    varied: Literal["groups", "noise"]
    rows: list[SweepRow]

    @property
    def title(self) -> str:
        """What people call it."""
        return {"groups": "data efficiency", "noise": "noise"}[self.varied]

    @property
    def places(self) -> list[float]:
        """Values of what varies, ascending."""
        return sorted({getattr(row, self.varied) for row in self.rows})

    @property
    def methods(self) -> list[str]:
        """Short names, in order."""
        return list(dict.fromkeys(row.method for row in self.rows))

    @property
    def directions(self) -> list[str]:
        """Of retrieval, in order."""
        return list(self.rows[0].retrieval)

    def at(self, method: str, place: float) -> list[SweepRow]:
        """The measurements of a method in one place.

        Args:
            method: its short name.
            place: value of what varies.

        Returns:
            A row for each random subset.
        """
        return [
            row for row in self.rows if row.method == method and getattr(row, self.varied) == place
        ]


@dataclass(frozen=True)
class SweepReport(Record):
    """All measurements of a sweep.

    Attributes:
        workspace: whose pairs.
        training_groups, held_out_pairs: how many there are.
        seeds: random subsets of each size.
        evaluation_id: names the held-out pairs.
        methods: short name -> what people call it.
        data_efficiency, noise: rows of either part.
    """

    workspace: str
    training_groups: int
    held_out_pairs: int
    seeds: int
    evaluation_id: str
    methods: dict[str, str]
    data_efficiency: list[SweepRow]
    noise: list[SweepRow]

    @property
    def parts(self) -> list[SweepPart]:
        """What was measured: against the number of groups, and against the shuffled share."""
        parts = SweepPart("groups", self.data_efficiency), SweepPart("noise", self.noise)
        return [part for part in parts if part.rows]
