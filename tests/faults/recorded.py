"""What a run does with its results, in one process and without DVC and MLflow: record, DuckDB,
ledger, note of the execution. `python recorded.py --serve ADDRESS` serves forks that do it.
"""

import sys
from pathlib import Path

import forks


def main():
    """Do it in the folder where this was called, inside the net of every command."""
    import click

    from csa.cli.net import Group

    Group(commands={"do": click.Command("do", callback=_do)}).main(["do"])


def _do():
    from csa.operations.ledger import ledger
    from csa.operations.opened import Project
    from csa.operations.runs import executions, metrics
    from csa.operations.runs.records import record_run
    from csa.pipeline.workspace import Workspace

    project = Project(Workspace(Path.cwd(), Path.cwd() / ".csa"))
    with executions.noted(project) as execution:
        record, _ = record_run(project, ["ingest", "embed@image", "embed@text", "fit", "evaluate"])
        metrics.publish(project.ws, record.run_id)
        known = [line["run_id"] for line in ledger.entries(project.ws.ledger)]
        if record.run_id not in known:
            facts = {"model": project.model, "run_id": record.run_id, "verdict": "keep"}
            ledger.append(project.ws.ledger, facts)
        execution.run_id = record.run_id


if __name__ == "__main__":
    if "--serve" in sys.argv:
        forks.serve(sys.argv[-1], lambda: None, lambda: None)
    else:
        main()
