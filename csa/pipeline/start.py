"""Where a fit's search for its choices begins: with the champion's, or with nothing.

`data/start.json` holds them, and stage `fit` names the file in dvc.yaml. So a fit stays a function
of what DVC compares: the same data, code, parameters and start give the same bytes in every clone.
`csa run` writes the file before a fit is computed (`csa.operations.starting`); nothing else does.
"""

from dataclasses import dataclass
from typing import Any

from csa.errors import ArtifactError
from csa.pipeline.workspace import Workspace
from csa.results.fit import FitReport
from csa.results.record import Record
from csa.storage.files import read_json, write_json

_KEY = "start"


@dataclass(frozen=True, kw_only=True)
class Start(Record):
    """The choices of a run, and what the search that made them found.

    Attributes:
        run_id: whose choices.
        pairs: how many pairs the search was made on.
        held_out_mrr: mean reciprocal rank inside its folds.
        choices: parameters of `csa.CSA`.
    """

    run_id: str
    pairs: int
    held_out_mrr: float
    choices: dict[str, Any]

    @classmethod
    def of_report(cls, run_id: str, report: FitReport) -> "Start | None":
        """What a fit leaves to the next one.

        Args:
            run_id: of its run.
            report: its fit.json.

        Returns:
            Its choices; None if it searched for nothing, or also learned from unpaired items.
        """
        from csa.core.scores import SCORES

        searched = report.searched
        if searched is None or searched.held_out_mrr is None or report.unpaired is not None:
            return None
        # named with a shrinkage, the canonical score would be the published one
        free = SCORES[report.score].in_sample
        choices = {
            "score": report.score,
            "shrinkage": "auto" if free else report.shrinkage,
            "n_components": report.n_components if SCORES[report.score].truncated else "auto",
            "preparation": report.preparation,
            "hubness": report.hubness_corrected,
        }
        return cls(
            run_id=run_id,
            pairs=searched.pairs,
            held_out_mrr=searched.held_out_mrr,
            choices=choices,
        )


def read_start(ws: Workspace) -> Start | None:
    """What `data/start.json` holds; None if that is nothing.

    Args:
        ws: whose.

    Raises:
        ArtifactError: the file is damaged.
    """
    from csa.params.fit import FitParams

    if not ws.start.is_file():
        return None
    held = read_json(ws.start)
    if not isinstance(held, dict) or not isinstance(held.get(_KEY), dict):
        raise ArtifactError(f"{ws.start}: holds no choices to begin with; delete it and run again")
    if not held[_KEY]:
        return None
    start = Start.of(held[_KEY], str(ws.start))
    try:
        FitParams(**start.choices)
    except (ValueError, TypeError):
        raise ArtifactError(
            f"{ws.start}: its choices are none that a fit could make; delete it and run again"
        ) from None
    return start


def write_start(ws: Workspace, start: Start | None) -> None:
    """Write `data/start.json`, unless it says the same already.

    Args:
        ws: whose.
        start: None for nothing.
    """
    content = {_KEY: {} if start is None else start.as_dict()}
    try:
        written = read_json(ws.start)
    except ArtifactError:
        written = None
    if written != content:
        write_json(ws.start, content)


def keep_start(ws: Workspace) -> None:
    """Write a file that begins with nothing where there is none."""
    if not ws.start.is_file():
        write_start(ws, None)
