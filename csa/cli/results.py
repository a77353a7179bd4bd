"""What came of the runs: metrics, reports, and the choices of a fit."""

import json
from pathlib import Path

import click

from csa.cli.common import COUNT, json_option, print_frame, workspace_option
from csa.cli.outputs import OutputFile
from csa.pipeline.workspace import Workspace


@click.command()
@click.option(
    "-n",
    "--limit",
    type=COUNT,
    default=20,
    show_default=True,
    help="How many runs to show, the newest first.",
)
@click.option(
    "--sql",
    metavar="QUERY",
    help="Ask a question in SQL; docs/artifacts.md lists the tables and views.",
)
@json_option
def metrics(limit: int, sql: str | None, as_json: bool) -> None:
    """Show the metrics of all runs in all workspaces.

    \b
    Examples:
      csa metrics
      csa metrics --sql "SELECT direction, avg(mrr) FROM queries GROUP BY 1"
    """
    from csa.operations.runs.metrics import metrics_table, query

    ws = Workspace.find()
    frame = query(ws, sql) if sql else metrics_table(ws, limit)
    empty = "no row answers this" if sql else "no runs yet; `csa run` makes the first"
    print_frame(frame, as_json, empty)


@click.command()
@workspace_option
@click.option(
    "-o",
    "--out",
    metavar="FILE.html",
    type=OutputFile(".html", ".htm"),
    help="The file to write.  [default: data/report.html]",
)
@click.option("--open", "show", is_flag=True, help="Open the report in the browser.")
def report(workspace: str, out: Path | None, show: bool) -> None:
    """Write the report of a workspace as one HTML file that needs no network.

    It shows the figures with intervals, pictures of good and bad answers, the choices of the fit
    and the model card. It prints the file's name.

    \b
    Examples:
      csa report
      csa report -w flickr8k --out flickr8k.html
    """
    from csa.operations.report.run import write_report
    from csa.pipeline.recipes import existing_workspace

    file = write_report(existing_workspace(workspace), out)
    click.echo(str(file))
    if show:
        click.launch(str(file))


@click.command()
@click.argument("version", required=False)
@workspace_option
@json_option
def choices(version: str | None, workspace: str, as_json: bool) -> None:
    """Print what a fit chose by cross-validation, as the section `fit:` of a params file.

    With these lines in params.yaml, or in a recipe, a run does not choose again, which saves most
    of a fit's time. With `fit.search: auto` a retraining begins with the champion's choices by
    itself, and looks further where held-out folds say so. VERSION is a number or an alias. Without
    VERSION it prints the choices of the workspace's last fit.

    \b
    Examples:
      csa choices champion
      csa choices -w flickr8k
    """
    from csa.operations.inspection.choices import choices_of, choices_text
    from csa.operations.opened import Project
    from csa.pipeline.recipes import existing_workspace

    found = choices_of(Project(existing_workspace(workspace)), version)
    click.echo(json.dumps(found, indent=2) if as_json else choices_text(found))


COMMANDS = (metrics, report, choices)
