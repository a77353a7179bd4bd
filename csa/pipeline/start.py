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
_CHOICES = ("score", "shrinkage", "n_components", "preparation", "hubness")


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
    def checked(cls, value: Any, name: str) -> "Start":
        """What a file holds, if a fit can have left it.

        Args:
            value: the JSON object.
            name: of the file, for errors.

        Returns:
            The choices.

        Raises:
            ArtifactError: it is no such record, or no fit could make these choices.
        """
        start = cls.of(value, name)
        wrong = _what_is_wrong(start)
        if wrong:
            raise ArtifactError(f"{name}: {wrong}; delete it and run `csa run` again")
        return start

    @classmethod
    def of_fit(cls, run_id: str, report: FitReport, choices: dict[str, Any]) -> "Start | None":
        """What a fit leaves to the next one.

        Args:
            run_id: of its run.
            report: its fit.json, which says what its search found.
            choices: as its alignment gives them.

        Returns:
            Its choices; None if it searched for nothing, also learned from unpaired items, or chose
            what today's fits do not know.
        """
        searched = report.searched
        if searched is None or searched.held_out_mrr is None or report.unpaired is not None:
            return None
        start = cls(
            run_id=run_id,
            pairs=searched.pairs,
            held_out_mrr=searched.held_out_mrr,
            choices=choices,
        )
        return None if _what_is_wrong(start) else start


def _what_is_wrong(start: Start) -> str | None:
    """Why no fit can have left these choices; None if one can."""
    from csa.params.fit import FitParams

    if start.pairs < 1 or not 0 <= start.held_out_mrr <= 1:
        return "its number of pairs or its mean reciprocal rank is none"
    try:
        FitParams(**start.choices)
    except (ValueError, TypeError):
        possible = False
    else:
        possible = start.choices.keys() == set(_CHOICES)
    return None if possible else "its choices are none that a fit could make"


def read_start(ws: Workspace) -> Start | None:
    """What `data/start.json` holds; None if that is nothing.

    Args:
        ws: whose.

    Raises:
        ArtifactError: the file is damaged.
    """
    if not ws.start.is_file():
        return None
    held = read_json(ws.start)
    if not isinstance(held, dict) or not isinstance(held.get(_KEY), dict):
        raise ArtifactError(f"{ws.start}: holds no choices to begin with; delete it and run again")
    if not held[_KEY]:
        return None
    return Start.checked(held[_KEY], str(ws.start))


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
