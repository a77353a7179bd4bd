"""sweep.json: what methods are worth with few training pairs and with shuffled ones."""

from dataclasses import dataclass

from csa.results.evaluation import RetrievalMetrics
from csa.results.record import Record


@dataclass(frozen=True)
class SweepRow(Record):
    """One measurement: a method, fitted to a random subset of the training groups.

    Attributes:
        method: its short name.
        groups: training groups in the subset.
        noise: share of its pairs that were shuffled, in [0, 1].
        seed: of the subset and of the shuffling.
        pairs: training pairs in the subset.
        fit_seconds: that the fit took.
        retrieval: direction -> metrics on all held-out pairs.
    """

    method: str
    groups: int
    noise: float
    seed: int
    pairs: int
    fit_seconds: float
    retrieval: dict[str, RetrievalMetrics]


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
