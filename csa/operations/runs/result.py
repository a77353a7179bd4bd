"""What a run did."""

from dataclasses import dataclass

from csa.operations.cache.dvc import StageOutcome
from csa.operations.gate.decision import Decision


@dataclass(frozen=True)
class RetrainResult:
    """What a run did: its stages, the run it amounts to, the version that run is registered as,
    and the gate's decision.
    """

    outcomes: list[StageOutcome]
    run_id: str
    new_run: bool
    version: int
    created: bool
    decision: Decision
