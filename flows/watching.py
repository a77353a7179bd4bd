"""What a run leaves for those who watch: an execution on record, word to whoever wants to know,
artifacts on the run's page in Prefect.
"""

import base64
import json
import logging
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from csa.flows.stage_graph import mermaid, needs
from csa.masking import masked
from csa.operations import stopping
from csa.operations.opened import Project
from csa.operations.runs import executions
from csa.operations.runs.executions import Execution
from csa.operations.runs.result import RetrainResult
from csa.params.project import NotifyParams
from csa.results.evaluation import EvaluationMetrics
from csa.results.words import arrow, plain, recall

_TRIES = 3
_PAUSE_SECONDS = 2.0
_TIMEOUT_SECONDS = 10.0
# What apprise calls an event; services that know colours show it as one.
_KINDS = {"promoted": "success", "kept": "info", "refused": "warning", "failed": "failure"}


@contextmanager
def watched(project: Project) -> Iterator[Execution]:
    """Note the block as an execution and tell what it came to, also where it raises."""
    execution: Execution | None = None
    try:
        with executions.noted(project) as execution:
            yield execution
    finally:
        said = execution and not stopping.begun() and tell(project.params.notify, execution)
        if said:
            print(f"note: {said}", file=sys.stderr)


def event_of(execution: Execution) -> str:
    """The name of what happened, as `notify.events` has them."""
    if execution.outcome != "done":
        return "failed" if execution.outcome == "interrupted" else execution.outcome
    return "promoted" if execution.verdict == "promote" else "kept"


def tell(settings: NotifyParams, execution: Execution) -> str | None:
    """Tell of an execution, if somebody wants to know of it, in at most three tries.

    An http(s) address gets a POST of JSON: `text`, one line for people, which chat services show;
    `event`; and `execution`, all of it. Any other address is one of apprise's, such as slack://,
    msteams:// or mailto://, and gets the line for people.

    Args:
        settings: who is told, and of what.
        execution: what happened.

    Returns:
        What to say where it was wanted and did not arrive, without the address, which may be a
        secret; a run does not fail for that.
    """
    url, event = settings.url, event_of(execution)
    if not url or event not in settings.events:
        return None
    said, again = "", True
    for attempt in range(_TRIES):
        if url.startswith(("http://", "https://")):
            said, again = _post(url, event, execution)
        else:
            said, again = _by_apprise(url, event, execution)
        if not again:
            break
        time.sleep(_PAUSE_SECONDS * 2**attempt if attempt + 1 < _TRIES else 0)
    return f"the webhook was not told ({said})" if said else None


def _post(url: str, event: str, execution: Execution) -> tuple[str, bool]:
    """What went wrong, empty if nothing did, and whether trying again can help."""
    body = {"text": f"csa: {execution}", "event": event, "execution": execution.as_dict()}
    try:
        request = urllib.request.Request(
            url, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS):
            return "", False
    except urllib.error.HTTPError as error:
        # below 500 the same request is wrong again
        return f"it answered {error.code}", error.code >= 500
    except ValueError as error:  # its words hold the address
        return type(error).__name__, True
    except OSError as error:
        return str(getattr(error, "reason", error)), True


def _by_apprise(url: str, event: str, execution: Execution) -> tuple[str, bool]:
    """As `_post`."""
    import apprise

    logger = logging.getLogger("apprise")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)  # it would name the host
    try:
        service = apprise.Apprise()
        if not service.add(url):
            return "apprise knows no such address", False
        kind = apprise.NotifyType(_KINDS[event])
        arrived = service.notify(str(execution), title=f"csa {event}", notify_type=kind)
    finally:
        logger.setLevel(level)
    return ("", False) if arrived else ("the service did not take it", True)


def show_in_prefect(project: Project, result: RetrainResult) -> None:
    """Put a summary and the spectrum on the run's page; call it inside the flow.

    Args:
        project: what was run.
        result: what it came to.
    """
    from prefect.artifacts import create_markdown_artifact

    ws, decision = project.ws, result.decision
    text = summary_markdown(project, result)
    spectrum = ws.pictures / "spectrum.png"
    # inside the summary: as an image artifact its address, the whole picture, is shown as text
    # beside it
    if spectrum.is_file():
        text += (
            f"\n\n![Canonical "
            f"correlations](data:image/png;base64,{base64.b64encode(spectrum.read_bytes()).decode()})"
        )
    create_markdown_artifact(
        text, key=_key(project), description=f"{decision.verdict}: {decision.reason}"
    )


def show_failure(project: Project, became: dict[str, str], said: str) -> None:
    """Put on the page of a run that failed how far it came; call it inside the flow.

    Args:
        project: what was run.
        became: stage -> what became of it.
        said: the error's message, without secrets.
    """
    from prefect.artifacts import create_markdown_artifact

    if became:
        text = f"{mermaid(needs(project.ws), became)}\n\n```\n{said}\n```"
        create_markdown_artifact(text, key=_key(project), description="failed")


def _key(project: Project) -> str:
    """Of the artifact: Prefect shows the newest of a key, and its history."""
    return re.sub(r"[^a-z0-9]+", "-", project.model.lower()).strip("-") + "-summary"


def summary_markdown(project: Project, result: RetrainResult) -> str:
    """The run in one table for each: gate, retrieval, stages; and the stage graph.

    Args:
        project: what was run.
        result: what it came to.

    Returns:
        Markdown.
    """
    ws, decision = project.ws, result.decision
    metrics = EvaluationMetrics.read(ws.metrics)
    rows: list[tuple[Any, ...]] = [
        ("direction", *(recall(k) for k in (1, 5, 10)), "MRR"),
        ("---",) + ("---:",) * 4,
    ]
    rows += [
        (arrow(direction), *map(plain, found.of_queries.values()))
        for direction, found in metrics.retrieval.items()
    ]
    stages: list[tuple[Any, ...]] = [("stage", "what", "seconds"), ("---", "---", "---:")]
    stages += [
        (outcome.stage, outcome.status, f"{outcome.seconds:.1f}") for outcome in result.outcomes
    ]
    return "\n".join(
        [
            f"**{project.model} version {result.version}**, run `{result.run_id}`, "
            f"workspace {ws.name}",
            "",
            f"Gate: **{decision.verdict}**: {decision.reason}",
            "",
            *_table(rows),
            "",
            mermaid(needs(ws), {outcome.stage: outcome.status for outcome in result.outcomes}),
            "",
            *_table(stages),
            "",
            f"Report: `{ws.report}`; it is with the version in MLflow too, at "
            f"`{masked(ws.mlflow_uri)}`",
        ]
    )


def _table(rows: list[tuple[Any, ...]]) -> list[str]:
    return [f"| {' | '.join(map(str, row))} |" for row in rows]
