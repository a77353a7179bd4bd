"""Registered versions: who is champion, why, and what a version is made of."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from csa.cli.common import COUNT, json_option, print_frame, say, workspace_option
from csa.cli.outputs import OutputFile

if TYPE_CHECKING:
    from csa.pipeline.workspace import Workspace


@click.command()
@workspace_option
@click.option(
    "--where",
    metavar="SQL",
    help="List only the versions for which this holds, such as: mrr_back > 0.2",
)
@json_option
def models(workspace: str, where: str | None, as_json: bool) -> None:
    """List the registered versions of a workspace's model.

    \b
    Examples:
      csa models
      csa models --where "aliases != ''"
    """
    from csa.operations.environment import prepare_environment
    from csa.operations.opened import Project
    from csa.operations.registry.versions import having, versions_table
    from csa.pipeline.recipes import existing_workspace

    ws = existing_workspace(workspace)
    prepare_environment(ws)
    from csa.operations.ledger.standing import note

    project = Project(ws)
    table = versions_table(project.registry.versions())
    if where is not None and table.height:
        table = having(table, where)
        print_frame(table, as_json, "no version is so; `csa models` lists all")
    else:
        print_frame(table, as_json, "no versions yet; `csa run` registers the first")
    say(note(project))


@click.command()
@click.argument("first")
@click.argument("second")
@workspace_option
@click.option(
    "--report",
    metavar="FILE.html",
    type=OutputFile(".html", ".htm"),
    help="Write the comparison as a page with pictures.",
)
@json_option
def compare(first: str, second: str, workspace: str, report: Path | None, as_json: bool) -> None:
    """Compare two versions query by query: paired differences with intervals, second minus first.

    A version is a number, or one of the aliases champion and challenger. Use it to see what a new
    version gains, and on which queries.

    \b
    Examples:
      csa compare champion challenger
      csa compare 3 4 --report difference.html
    """
    from csa.operations.environment import prepare_environment
    from csa.operations.inspection.compare import compare as compare_versions
    from csa.operations.opened import Project
    from csa.pipeline.recipes import existing_workspace

    ws = existing_workspace(workspace)
    prepare_environment(ws)
    result = compare_versions(Project(ws), first, second)
    if as_json:
        click.echo(json.dumps(result.as_dict(), indent=2))
    else:
        click.echo(
            f"version {result.first} and version {result.second}, {result.queries:,} held-out "
            f"queries, mean of both directions"
        )
        print_frame(result.table, False, "")
    if report is not None:
        from csa.operations.report.comparison import write_comparison

        write_comparison(ws, first, second, report)
        if not as_json:
            click.echo(f"report: {report}")


@click.command()
@click.argument("version", type=COUNT)
@click.option("-m", "--reason", required=True, help="Why; the ledger keeps it.")
@workspace_option
def promote(version: int, reason: str, workspace: str) -> None:
    """Make a version the champion by hand, whatever the gate said.

    Its files are checked first. The ledger keeps who did it and why.

    \b
    Example:
      csa promote 3 --reason "better on the new shop's photos"
    """
    from csa.operations.environment import prepare_environment
    from csa.operations.ledger.moves import promote as promote_version
    from csa.operations.opened import Project
    from csa.pipeline.recipes import existing_workspace

    ws = existing_workspace(workspace)
    prepare_environment(ws)
    click.echo(str(promote_version(Project(ws), version, reason)))


@click.command()
@click.option(
    "--to",
    "version",
    type=COUNT,
    help="The version to go back to.  [default: the champion before]",
)
@click.option("-m", "--reason", required=True, help="Why; the ledger keeps it.")
@workspace_option
def rollback(version: int | None, reason: str, workspace: str) -> None:
    """Go back to the champion before this one.

    The gate does not promote again the version that was rolled back.

    \b
    Example:
      csa rollback --reason "customers complained"
    """
    from csa.operations.environment import prepare_environment
    from csa.operations.ledger.moves import rollback as roll_back
    from csa.operations.opened import Project
    from csa.pipeline.recipes import existing_workspace

    ws = existing_workspace(workspace)
    prepare_environment(ws)
    click.echo(str(roll_back(Project(ws), version, reason)))


@click.command()
@click.option("--no", "refuse", is_flag=True, help="Say no: the champion stays.")
@click.option("-m", "--reason", default="", help="Why; the ledger keeps it.")
@click.option("--list", "only_list", is_flag=True, help="List the runs that wait, and answer none.")
@workspace_option
@json_option
def approve(refuse: bool, reason: str, only_list: bool, workspace: str, as_json: bool) -> None:
    """Answer a promotion that waits for a person, because `gate.approval` is true.

    The answer is yes, or no with --no. The waiting run then goes on. If that run has
    ended, by a restart of the machine for example, the next `csa run` takes the answer.

    \b
    Examples:
      csa approve --reason "looked at the sheets"
      csa approve --no --reason "worse on children's drawings"
    """
    from csa.operations.environment import prepare_environment
    from csa.operations.gate import asked
    from csa.pipeline.recipes import existing_workspace

    ws = existing_workspace(workspace)
    prepare_environment(ws)
    if only_list:
        _list_waiting(ws, as_json)
        return
    if not asked.anything(ws):
        raise asked.nothing_waits(ws)
    from csa.flows import approval

    answered = approval.answer(ws, not refuse, reason)
    answer = {"workspace": workspace, "approved": not refuse, "ended": answered.ended}
    then = (
        "the run that asked has ended, and the next `csa run` carries the answer out"
        if answered.ended
        else "the run goes on"
    )
    click.echo(
        json.dumps(answer)
        if as_json
        else f"{workspace}: {'refused' if refuse else 'approved'}; {then}"
    )


def _list_waiting(ws: "Workspace", as_json: bool) -> None:
    from csa.operations.gate import asked

    runs = []
    if asked.anything(ws):
        from csa.flows import approval

        runs = approval.waiting(ws)
    if as_json:
        listed = [
            {"workspace": one.workspace, "until": one.until, "ended": one.ended} for one in runs
        ]
        click.echo(json.dumps(listed, indent=2))
        return
    ended = "; that run has ended, and the next one takes the answer"
    lines = [f"{one.workspace}  until {one.until}{ended * one.ended}" for one in runs]
    click.echo("\n".join(lines) or "no run waits")


@click.command()
@click.option(
    "--verify",
    is_flag=True,
    help="Check the chain of lines, the registry, the champion and the files of every version. The "
    "exit code is 1 when a check fails.",
)
@workspace_option
@json_option
def ledger(verify: bool, workspace: str, as_json: bool) -> None:
    """Show who made which version the champion, when and why.

    Every clone that shares the registry shows the same lines.

    \b
    Examples:
      csa ledger
      csa ledger --verify
    """
    from csa.operations.environment import prepare_environment
    from csa.operations.ledger.standing import ledger_lines, ledger_table, verify_all
    from csa.operations.opened import Project
    from csa.pipeline.recipes import existing_workspace

    ws = existing_workspace(workspace)
    prepare_environment(ws)
    if not verify:
        lines = ledger_lines(Project(ws))
        if as_json:
            click.echo(json.dumps(lines, indent=2))
        else:
            print_frame(ledger_table(lines), False, "no line yet; `csa run` writes the first")
        return
    checks = verify_all(Project(ws))
    if as_json:
        click.echo(json.dumps([check.as_dict() for check in checks], indent=2))
    else:
        for check in checks:
            click.echo(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<24} {check.found}")
    if not all(check.ok for check in checks):
        sys.exit(1)


@click.command()
@click.argument("thing")
@click.option(
    "--item", "is_item", is_flag=True, help="THING is an item, even if it looks like a version."
)
@workspace_option
@json_option
def lineage(thing: str, is_item: bool, workspace: str, as_json: bool) -> None:
    """Show what a model was made from, or which models have seen an item.

    THING is a model (champion, 3, models:/NAME@champion, models:/NAME/3 or a run id) or an item
    (the path of an image, a text, a sha256 or the id of a pair). For a model it prints its data,
    code, parameters and environment; for an item, the runs and versions that used it.

    \b
    Examples:
      csa lineage champion
      csa lineage data/openmoji/images/1F98A.png
    """
    from csa.operations.environment import prepare_environment
    from csa.operations.inspection import lineage as lines
    from csa.operations.opened import Project
    from csa.pipeline.recipes import existing_workspace

    ws = existing_workspace(workspace)
    prepare_environment(ws)
    if lines.names_a_model(thing) and not is_item:
        facts = lines.of_model(Project(ws), thing)
        click.echo(json.dumps(facts, indent=2) if as_json else lines.text(facts))
        return
    answer = lines.of_item(Project(ws), thing)
    if as_json:
        click.echo(json.dumps(answer.as_dict(), indent=2))
    else:
        print_frame(answer.runs, False, f"no run on record saw {thing!r}")


COMMANDS = (models, compare, promote, rollback, approve, ledger, lineage)
