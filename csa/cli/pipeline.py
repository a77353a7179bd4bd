"""What runs the pipeline, and what it says of itself."""

import json
import sys
from pathlib import Path

import click

from csa.cli.common import (
    SECONDS,
    Amount,
    json_option,
    recipe_arguments,
    say,
    workspace_option,
)
from csa.cli.outputs import OutputFile


@click.command()
@recipe_arguments
@click.option(
    "--wait",
    metavar="SECONDS",
    type=SECONDS,
    default=0,
    show_default=True,
    help="How long to wait for another run to end, before this one is refused.",
)
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    help="Show each step of every stage, and the messages of DVC and Prefect.",
)
@json_option
def run(
    recipe: Path | None,
    overrides: tuple[str, ...],
    data: str | None,
    wait: float,
    verbose: bool,
    as_json: bool,
) -> None:
    """Run the pipeline: ingest, embed, check, fit, evaluate, register, gate.

    It runs the stages whose data, parameters or code have changed, and no others. It prints a line
    for each stage and a summary at the end. Without RECIPE it uses the project's params.yaml; a
    recipe runs in a workspace of its own, .csa/workspaces/NAME.

    \b
    Examples:
      csa run
      csa run recipes/flickr8k.yaml --data ~/flickr8k
    """
    from csa.flows.environment import end_with_parent
    from csa.operations import stopping
    from csa.operations.environment import prepare_environment
    from csa.operations.inspection.summary import summary_json, summary_text
    from csa.operations.opened import Project
    from csa.pipeline.recipes import open_workspace

    stopping.say("stopped; what is finished is kept; `csa run` goes on")
    project = Project(open_workspace(recipe, overrides, data))
    end_with_parent()
    prepare_environment(project.ws, verbose=verbose)
    from csa.flows.retrain import run_retrain

    result = run_retrain(project, wait)
    click.echo(
        json.dumps(summary_json(project, result), indent=2)
        if as_json
        else summary_text(project, result)
    )


@click.command()
@recipe_arguments
@click.option(
    "--sheet",
    metavar="FILE.png",
    type=OutputFile(".png"),
    help="Draw twelve of the pairs, so that you can see that they are read rightly.",
)
@json_option
def plan(
    recipe: Path | None,
    overrides: tuple[str, ...],
    data: str | None,
    sheet: Path | None,
    as_json: bool,
) -> None:
    """Say what `csa run` would do: which stages, how many items, and about how long.

    It computes nothing, so try it before a long run. The exit code is 1 when something is missing,
    such as the data set or an encoder.

    \b
    Example:
      csa plan recipes/flickr8k.yaml --data ~/flickr8k --sheet pairs.png
    """
    from csa.operations.environment import prepare_environment
    from csa.operations.inspection.plan import make_plan
    from csa.operations.opened import Project
    from csa.pipeline.recipes import open_workspace

    ws = open_workspace(recipe, overrides, data)
    prepare_environment(ws)
    result = make_plan(Project(ws), sheet)
    click.echo(json.dumps(result.as_dict(), indent=2) if as_json else str(result))
    if sheet is not None and result.data and not as_json:
        click.echo(f"sheet: {sheet}")
    if result.problems:
        sys.exit(1)


@click.command()
@recipe_arguments
@click.option(
    "--cron",
    metavar="EXPRESSION",
    help='When to run, in five fields: "0 3 * * *" is every night at 3.',
)
@click.option(
    "--every",
    "minutes",
    metavar="MINUTES",
    type=Amount(0, 1e9, min_open=True),
    help="Run every MINUTES, in place of --cron.",
)
@click.option(
    "--timezone",
    metavar="ZONE",
    help="The time zone of --cron, such as Europe/Berlin.  [default: this machine's]",
)
@click.option(
    "--ref",
    default="HEAD",
    show_default=True,
    help="The commit, branch or tag to run. It is looked up at each run.",
)
@click.option(
    "--wait",
    metavar="SECONDS",
    type=SECONDS,
    default=3600,
    show_default=True,
    help="How long a run waits for another one to end.",
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=Amount(1, 1e9),
    default=43200,
    show_default=True,
    help="How long a run may take before it is ended.",
)
def schedule(
    recipe: Path | None,
    overrides: tuple[str, ...],
    data: str | None,
    cron: str | None,
    minutes: float | None,
    timezone: str | None,
    ref: str,
    wait: float,
    timeout: float,
) -> None:
    """Retrain on a schedule, until you interrupt it.

    Each run works in a git worktree of its own and computes only what has changed. The first line
    that is printed says the next three times; each run prints when it begins and how it ends. The
    schedule uses the Prefect server that PREFECT_API_URL names, or else starts one on this machine.
    To use a work pool instead, see prefect.yaml.

    \b
    Examples:
      csa schedule --cron "0 3 * * *"
      csa schedule recipes/flickr8k.yaml --data ~/flickr8k --every 60
    """
    from csa.operations.environment import prepare_environment
    from csa.pipeline.recipes import main_workspace, open_workspace

    ws = main_workspace()
    prepare_environment(ws)
    ws.prepare_state()  # Prefect warns where it cannot make a folder there
    from csa.flows.schedule import Plan, serve
    from csa.flows.times import Times
    from csa.flows.worktrees import check_commit

    times = Times.asked(cron, minutes, timezone)
    # so that a mistake shows now, and not at night
    open_workspace(recipe, overrides, data)
    check_commit(ws, ref)
    here = recipe.resolve() if recipe else None
    inside = here is not None and here.is_relative_to(ws.root)
    asked = Plan(
        recipe=str(here.relative_to(ws.root) if here and inside else here) if here else None,
        data=str(Path(data).resolve()) if data else None,
        overrides=overrides,
        ref=ref,
        wait=wait,
        timeout=timeout,
    )
    serve(ws, asked, times)


@click.command()
@workspace_option
@json_option
def status(workspace: str, as_json: bool) -> None:
    """Say what a workspace has, and what is out of date.

    It prints the stages and what they cost, the last run, the champion, the checks, the next
    scheduled run, and the disk space in use. It computes nothing.

    \b
    Example:
      csa status
    """
    from csa.operations.environment import prepare_environment
    from csa.operations.inspection.status import status_json, status_text
    from csa.operations.opened import Project
    from csa.pipeline.recipes import existing_workspace

    ws = existing_workspace(workspace)
    prepare_environment(ws)
    state = status_json(Project(ws))
    click.echo(json.dumps(state, indent=2) if as_json else status_text(state))
    say(state["note"])


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check the installation, and say how to mend what is wrong.

    It looks at the versions, at the two pinned packages whose other versions break silently, at the
    state folder, at the built-in encoders, and at whether Python keeps what it compiles. It prints
    a line for each check. The exit code is 1 when a check fails.

    \b
    Example:
      csa doctor
    """
    from csa.operations.inspection.doctor import diagnose

    checks = diagnose()
    if as_json:
        click.echo(json.dumps([check.as_dict() for check in checks], indent=2))
    else:
        for check in checks:
            click.echo(
                f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<24} "
                f"{check.found}{'' if check.ok else f'  <- {check.remedy}'}"
            )
    if not all(check.ok for check in checks):
        sys.exit(1)


COMMANDS = (run, plan, schedule, status, doctor)
