"""What a run leaves for those who watch: an execution on record, word to a webhook, artifacts on
the run's page in Prefect.
"""

import base64
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect.artifacts import create_markdown_artifact

from csa.flows import notify
from csa.operations.cache.dvc import StageOutcome
from csa.operations.gate.paired import Decision
from csa.operations.runs import executions
from csa.operations.runs.executions import Execution
from csa.pipeline.workspace import Workspace
from csa.storage.files import read_json


@contextmanager
def watched(ws: Workspace) -> Iterator[Execution]:
    """Note the block as an execution and tell the webhook what it came to, also where it raises."""
    execution: Execution | None = None
    try:
        with executions.noted(ws) as execution:
            yield execution
    finally:
        said = execution and notify.tell(ws.params().notify, execution)
        if said:
            print(f"note: {said}", file=sys.stderr)


def show_in_prefect(
    ws: Workspace, outcomes: list[StageOutcome], run_id: str, version: int, decision: Decision
) -> None:
    """Put a summary and the spectrum on the run's page; call it inside the flow.

    Args:
        ws: what was run.
        outcomes: of its stages.
        run_id, version, decision: what it came to.
    """
    key = re.sub(r"[^a-z0-9]+", "-", ws.params().model.name.lower()).strip("-")
    text = summary_markdown(ws, outcomes, run_id, version, decision)
    spectrum = ws.evaluation / "spectrum.png"
    # inside the summary: as an image artifact its address, the whole picture, is shown as text
    # beside it
    if spectrum.is_file():
        text += (
            f"\n\n![Canonical "
            f"correlations](data:image/png;base64,{base64.b64encode(spectrum.read_bytes()).decode()})"
        )
    create_markdown_artifact(
        text, key=f"{key}-summary", description=f"{decision.verdict}: {decision.reason}"
    )


def summary_markdown(
    ws: Workspace, outcomes: list[StageOutcome], run_id: str, version: int, decision: Decision
) -> str:
    """The run in one table for each: gate, retrieval, stages."""
    metrics = read_json(ws.metrics)
    rows: list[tuple[Any, ...]] = [
        ("direction", "R@1", "R@5", "R@10", "MRR"),
        ("---",) + ("---:",) * 4,
    ]
    for way, found in metrics["retrieval"].items():
        values = [found[name] for name in ("recall_at_1", "recall_at_5", "recall_at_10", "mrr")]
        shown = (
            f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]" for value in values
        )
        rows.append((way.replace("_to_", " → "), *shown))
    stages: list[tuple[Any, ...]] = [("stage", "what", "seconds"), ("---", "---", "---:")]
    stages += [(outcome.stage, outcome.status, f"{outcome.seconds:.1f}") for outcome in outcomes]
    return "\n".join(
        [
            f"**{ws.params().model.name} version {version}**, run `{run_id}`, workspace {ws.name}",
            "",
            f"Gate: **{decision.verdict}**: {decision.reason}",
            "",
            *_table(rows),
            "",
            *_table(stages),
            "",
            f"Report: `{ws.report}`; it is with the version in MLflow too, at `{ws.mlflow_uri}`",
        ]
    )


def _table(rows: list[tuple[Any, ...]]) -> list[str]:
    return [f"| {' | '.join(map(str, row))} |" for row in rows]
