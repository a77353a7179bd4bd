"""One ledger for all clones that share a registry: its lines also lie in MLflow, as tags of a run
of their own.

MLflow has no compare-and-set, so nothing is ever overwritten: each line is a tag named by its hash,
and the ledger is the union of what the clone and the registry hold. What one side lost, the other
gives back. An anchor file remembers the newest lines of the last meeting, so lines that both sides
lost are missed too.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csa.errors import ArtifactError
from csa.operations.ledger import ledger
from csa.operations.ledger.ledger import Line
from csa.operations.opened import Project
from csa.operations.registry.registry import Registry
from csa.pipeline.workspace import Workspace
from csa.storage.files import json_of, read_json, write_json

EXPERIMENT = "csa-ledger"
_MODEL = "csa.ledger"
_LINE = "line."
_BATCH = 50
_FORM = {"model": str, "seq": int, "when": str, "who": str, "host": str, "verdict": str}
_FORM |= {"reason": str, "previous": list}
_NUMBERS = {"gain", "low", "high"}
_SIDES = ("challenger", "champion")


@dataclass(frozen=True)
class Meeting:
    """What a meeting of clone and registry brought.

    Attributes:
        history: the model's lines, oldest first.
        pulled, pushed: lines that were new to the clone, to the registry.
        notes: what was amiss and has been made good.
    """

    history: list[Line]
    pulled: int
    pushed: int
    notes: tuple[str, ...] = ()


def meet(project: Project, model: str) -> Meeting:
    """Bring the clone's ledger and the registry's together.

    Args:
        project: the clone.
        model: whose lines.

    Returns:
        The lines, how many were new to either side, and what was amiss.

    Raises:
        ArtifactError: a line was edited, or lines are gone on both sides.
    """
    return meet_at(project.registry, model)


def meet_at(registry: Registry, model: str) -> Meeting:
    """Bring the ledger of the clone that has opened a registry together with the registry's.

    Args:
        registry: the registry.
        model: whose lines.

    Returns:
        The lines of both, and what to tell.

    Raises:
        ArtifactError: as for `meet`.
    """
    ws = registry.ws
    with registry.client() as client:
        runs = _runs(client, model)
        there = {line["hash"]: line for run in runs for line in _lines(run)}
        here = {line["hash"]: line for line in ledger.history(ws.ledger, model)}
        pulled = ledger.merge(ws.ledger, list(there.values()))
        history = ledger.history(ws.ledger, model)
        anchored = _anchored(ws, model)
        known = {line["hash"] for line in history}
        if not anchored <= known:
            raise ArtifactError(
                f"{ws.ledger}: {len(anchored - known)} of the newest lines on {model} are gone, "
                f"here and in the registry; "
                f"restore the file from a backup or another clone, or delete "
                f"{_anchor_file(ws).name} if that was meant"
            )
        missing = [line for line in history if line["hash"] not in there]
        if missing:
            _push(registry, runs, model, missing)
    notes = []
    if not anchored <= set(here):
        notes.append(
            f"{ws.ledger.name} had lost its newest lines on {model}; the registry gave them back"
        )
    if not anchored <= set(there):
        notes.append(
            f"the registry's ledger had lost its newest lines on {model}; this clone gave them back"
        )
    tips = sorted(line["hash"] for line in ledger.heads(history, model))
    if set(tips) != anchored:
        write_json(_anchor_file(ws), _anchors(ws) | {model: tips})
    return Meeting(history, len(pulled), len(missing), tuple(notes))


def append(project: Project, facts: dict[str, Any]) -> Line:
    """Add a line to the clone's ledger, then to the registry's; `meet` makes good what a kill
    between the two leaves.

    Args:
        project: the clone.
        facts: the line, see `ledger.append`.

    Returns:
        The line as written.
    """
    line = ledger.append(project.ws.ledger, facts)
    meet(project, facts["model"])
    return line


def _runs(client: Any, model: str) -> list[Any]:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return []
    return list(
        client.search_runs(
            [experiment.experiment_id],
            f"tags.`{_MODEL}` = '{model}'",
            order_by=["attributes.start_time"],
        )
    )


def _lines(run: Any) -> list[Line]:
    found = []
    for name, text in run.data.tags.items():
        if not name.startswith(_LINE):
            continue
        try:
            line = json_of(text)
            whole = line["hash"] == name.removeprefix(_LINE) == ledger.line_hash(line)
        except (ValueError, KeyError, TypeError):
            whole = False
        if not whole or not _has_its_form(line):
            raise ArtifactError(
                f"MLflow run {run.info.run_id} ({EXPERIMENT}): its tag {name} "
                f"{'is no line of a ledger' if whole else 'was edited'}; delete the tag"
            )
        found.append(line)
    return found


def _has_its_form(line: Line) -> bool:
    """Whether a line, whoever wrote it, has all that its readers take for granted."""
    evidence, gate = line.get("evidence", {}), line.get("gate")
    return (
        all(type(line.get(key)) is kind for key, kind in _FORM.items())
        and all(isinstance(line.get(key, 0), int | None) for key in ("from", "to", "challenger"))
        and {"from", "to"} <= line.keys()
        and all(isinstance(line.get(key, 0), float | int | None) for key in _NUMBERS)
        and all(isinstance(parent, str) for parent in line["previous"])
        and isinstance(evidence, dict)
        and all(isinstance(evidence.get(key, {}), dict | None) for key in _SIDES)
        and isinstance(gate, dict | str)
        and (line["verdict"] != "keep" or line.keys() >= _NUMBERS)
        and (line.get("gain") is None or ("metric" in gate and "evidence" in line))
    )


def _push(registry: Registry, runs: list[Any], model: str, lines: list[Line]) -> None:
    from mlflow.entities import RunTag

    with registry.client() as client:
        if runs:
            run_id = runs[0].info.run_id
        else:
            run = client.create_run(
                _experiment(registry, client), tags={_MODEL: model}, run_name=f"ledger of {model}"
            )
            run_id = run.info.run_id
            client.set_terminated(run_id)
        for start in range(0, len(lines), _BATCH):
            tags = [
                RunTag(_LINE + line["hash"], ledger.line_text(line))
                for line in lines[start : start + _BATCH]
            ]
            client.log_batch(run_id, tags=tags)


def _experiment(registry: Registry, client: Any) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        database = registry.database
        place = None if database is None else (database.parent / "artifacts").as_uri()
        try:
            return str(client.create_experiment(EXPERIMENT, artifact_location=place))
        except MlflowException:  # another clone made it at the same moment
            found = client.get_experiment_by_name(EXPERIMENT)
            if found is None:
                raise
    return str(found.experiment_id)


def _anchor_file(ws: Workspace) -> Path:
    return ws.ledger.with_suffix(".anchor.json")


def _anchors(ws: Workspace) -> dict[str, list[str]]:
    anchors: dict[str, list[str]] = (
        read_json(_anchor_file(ws)) if _anchor_file(ws).is_file() else {}
    )
    return anchors


def _anchored(ws: Workspace, model: str) -> set[str]:
    return set(_anchors(ws).get(model, []))
