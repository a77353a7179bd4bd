"""The `csa` command. Exit codes: 0 done, 1 a gate or a check said no, 2 wrong use or bad input (one line, no traceback)."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from csa.errors import CSAError, RefusedError
from csa.workspace import Workspace


class _Group(click.Group):
    """Turns every CSAError into one line and exit code 2, and a no into exit code 1."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except RefusedError as error:
            click.echo(f"csa: refused: {' '.join(str(error).split())}", err=True)
            sys.exit(1)
        except CSAError as error:
            click.echo(f"csa: error: {' '.join(str(error).split())}", err=True)
            sys.exit(2)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="csa")
def main() -> None:
    """Canonical Similarity Analysis: two frozen encoders as one multimodal model, run as a pipeline a team can trust."""


def _workspace_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "-w",
        "--workspace",
        metavar="NAME",
        default="main",
        show_default=True,
        help="`main`, or the name of a recipe that was run.",
    )(command)


_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")


def _recipe_arguments(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option(
        "--data", metavar="PATH", help="The data set's folder or file, in place of the recipe's dataset.path."
    )(command)
    command = click.option(
        "--set",
        "overrides",
        metavar="KEY=VALUE",
        multiple=True,
        help="Lay a value over the recipe, such as fit.folds=10; repeatable.",
    )(command)
    return click.argument("recipe", required=False, type=click.Path(path_type=Path))(command)


@main.command()
@_recipe_arguments
@click.option(
    "--wait",
    metavar="SECONDS",
    type=click.FloatRange(0),
    default=0,
    show_default=True,
    help="Wait so long for another run to end; else it is refused.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show what DVC and Prefect say.")
@_json_option
def run(recipe: Path | None, overrides: tuple[str, ...], data: str | None, wait: float, verbose: bool, as_json: bool) -> None:
    """Run the pipeline: ingest, embed, fit, evaluate, register, gate.

    Without RECIPE: the repository's own params.yaml. With one: in a workspace of its own, .csa/workspaces/NAME. What is up to
    date is not computed again.

    \b
    Examples:
      csa run
      csa run recipes/flickr8k.yaml --data ~/flickr8k
    """
    from flows.environment import prepare_environment
    from flows.summary import summary_json, summary_text
    from flows.workspaces import open_workspace

    ws = open_workspace(recipe, overrides, data)
    prepare_environment(ws, verbose=verbose)
    from flows.retrain import run_retrain

    result = run_retrain(ws, wait)
    click.echo(json.dumps(summary_json(ws, result), indent=2) if as_json else summary_text(ws, result))


@main.command()
@_recipe_arguments
@_json_option
def plan(recipe: Path | None, overrides: tuple[str, ...], data: str | None, as_json: bool) -> None:
    """Say what `csa run` would do: which stages, how many items, about how long. Computes nothing.

    Exit code 1 when something is missing: the data set, or an encoder.

    \b
    Example:
      csa plan recipes/flickr8k.yaml --data ~/flickr8k
    """
    from flows.environment import prepare_environment
    from flows.plan import make_plan
    from flows.workspaces import open_workspace

    ws = open_workspace(recipe, overrides, data)
    prepare_environment(ws)
    result = make_plan(ws)
    click.echo(json.dumps(result.as_dict(), indent=2) if as_json else str(result))
    if result.problems:
        sys.exit(1)


@main.group()
def remote() -> None:
    """Where a team shares what it has computed: features, alignments, results. Every `csa run` pulls from it and pushes to it."""


@remote.command("add")
@click.argument("name")
@click.argument("url")
@click.option("--endpoint", metavar="URL", help="Of an S3 store that is not Amazon's.")
@click.option("--local", is_flag=True, help="For this clone alone; else git carries .dvc/config to the team.")
def remote_add(name: str, url: str, endpoint: str | None, local: bool) -> None:
    """Share through URL: a folder all can reach, or s3://bucket/path (extra `s3`; credentials as for any S3 tool).

    \b
    Examples:
      csa remote add team /mnt/shared/csa
      csa remote add team s3://our-bucket/csa
    """
    from flows import sharing
    from flows.environment import prepare_environment
    from flows.workspaces import main_workspace

    ws = main_workspace()
    prepare_environment(ws)
    sharing.add_remote(ws, name, url, endpoint, local)
    where = "this clone's .dvc/config.local" if local else ".dvc/config; commit it, and your team shares too"
    click.echo(f"{name}: {sharing.remotes(ws)[name]} ({where})")


@remote.command("list")
@_json_option
def remote_list(as_json: bool) -> None:
    """List the remotes.

    \b
    Example:
      csa remote list
    """
    from flows import sharing
    from flows.environment import prepare_environment
    from flows.workspaces import main_workspace

    ws = main_workspace()
    prepare_environment(ws)
    found = sharing.remotes(ws)
    lines = "\n".join(f"{name}  {url}" for name, url in found.items())
    click.echo(json.dumps(found, indent=2) if as_json else lines or "no remote yet; `csa remote add NAME URL` names one")


@remote.command("remove")
@click.argument("name")
def remote_remove(name: str) -> None:
    """Forget a remote; what lies there stays.

    \b
    Example:
      csa remote remove team
    """
    from flows import sharing
    from flows.environment import prepare_environment
    from flows.workspaces import main_workspace

    ws = main_workspace()
    prepare_environment(ws)
    sharing.remove_remote(ws, name)
    click.echo(f"{name} is no remote any more")


@main.command()
@_recipe_arguments
@click.option("--cron", metavar="EXPRESSION", help='When, five fields: "0 3 * * *" is every night at three.')
@click.option("--every", "minutes", metavar="MINUTES", type=float, help="Instead: so many minutes apart.")
@click.option("--ref", default="HEAD", show_default=True, help="The commit, branch or tag that runs, looked up at each run.")
@click.option(
    "--wait", metavar="SECONDS", type=click.FloatRange(0), default=3600, show_default=True, help="For another run to end."
)
@click.option(
    "--timeout", metavar="SECONDS", type=click.FloatRange(1), default=43200, show_default=True, help="After which a run is ended."
)
def schedule(
    recipe: Path | None,
    overrides: tuple[str, ...],
    data: str | None,
    cron: str | None,
    minutes: float | None,
    ref: str,
    wait: float,
    timeout: float,
) -> None:
    """Retrain on a schedule, until interrupted. Each run works in a git worktree of its own and computes only what has changed.

    Uses the Prefect server that PREFECT_API_URL names, else starts one on this machine. For a work pool, see prefect.yaml.

    \b
    Examples:
      csa schedule --cron "0 3 * * *"
      csa schedule recipes/flickr8k.yaml --data ~/flickr8k --every 60
    """
    from flows.environment import prepare_environment
    from flows.workspaces import main_workspace, open_workspace

    ws = main_workspace()
    prepare_environment(ws)
    from flows.schedule import Plan, check_times, serve

    check_times(cron, minutes)
    open_workspace(recipe, overrides, data)  # so that a mistake in it shows now, and not at night
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
    serve(ws, asked, cron, minutes)


@main.command()
@_workspace_option
@_json_option
def status(workspace: str, as_json: bool) -> None:
    """Say what is there and what is out of date, in one workspace.

    \b
    Example:
      csa status
    """
    from flows.environment import prepare_environment
    from flows.summary import status_json, status_text
    from flows.workspaces import existing_workspace

    ws = existing_workspace(workspace)
    prepare_environment(ws)
    state = status_json(ws)
    click.echo(json.dumps(state, indent=2) if as_json else status_text(state))
    from flows.standing import note

    _say(note(ws))


@main.command()
@click.option("--limit", default=20, show_default=True, help="The newest so many runs.")
@click.option("--sql", metavar="QUERY", help="Ask DuckDB yourself; tables: runs, metrics, queries, stages.")
@_json_option
def metrics(limit: int, sql: str | None, as_json: bool) -> None:
    """Show the metrics of every run, of all workspaces.

    \b
    Examples:
      csa metrics
      csa metrics --sql "SELECT direction, avg(mrr) FROM queries GROUP BY 1"
    """
    from flows.metrics import metrics_table, query

    ws = Workspace.find()
    frame = query(ws, sql) if sql else metrics_table(ws, limit)
    _print_frame(frame, as_json, "no runs yet; `csa run` makes the first")


@main.command()
@_workspace_option
@click.option("--out", metavar="FILE.html", type=click.Path(path_type=Path), help="Where to write.  [default: data/report.html]")
@click.option("--open", "show", is_flag=True, help="Open it in the browser.")
def report(workspace: str, out: Path | None, show: bool) -> None:
    """Write the report of what a workspace holds: one HTML file that needs no network.

    \b
    Examples:
      csa report
      csa report -w flickr8k --out flickr8k.html
    """
    from flows.report import write_report
    from flows.workspaces import existing_workspace

    file = write_report(existing_workspace(workspace), out)
    click.echo(str(file))
    if show:
        click.launch(str(file))


@main.command()
@_workspace_option
@_json_option
def models(workspace: str, as_json: bool) -> None:
    """List the registered versions of a workspace's model.

    \b
    Example:
      csa models
    """
    from flows.environment import prepare_environment
    from flows.registry import versions_table
    from flows.workspaces import existing_workspace

    ws = existing_workspace(workspace)
    prepare_environment(ws)
    from flows.standing import note

    _print_frame(versions_table(ws), as_json, "no versions yet; `csa run` registers the first")
    _say(note(ws))


@main.command()
@click.argument("first")
@click.argument("second")
@_workspace_option
@click.option("--report", metavar="FILE.html", type=click.Path(path_type=Path), help="Write a page about it, with pictures.")
@_json_option
def compare(first: str, second: str, workspace: str, report: Path | None, as_json: bool) -> None:
    """Compare two versions query by query: paired differences with intervals, second minus first.

    A version is a number, or one of the aliases champion and challenger.

    \b
    Examples:
      csa compare champion challenger
      csa compare 3 4 --report difference.html
    """
    from flows.compare import compare as compare_versions
    from flows.environment import prepare_environment
    from flows.workspaces import existing_workspace

    ws = existing_workspace(workspace)
    prepare_environment(ws)
    result = compare_versions(ws, first, second)
    if as_json:
        click.echo(json.dumps(result.as_dict(), indent=2))
    else:
        click.echo(
            f"version {result.first} and version {result.second}, {result.queries:,} held-out queries, both directions alike"
        )
        _print_frame(result.table, False, "")
    if report is not None:
        from flows.versus import write_comparison

        write_comparison(ws, first, second, report)
        if not as_json:
            click.echo(f"report: {report}")


@main.command()
@click.argument("version", type=click.IntRange(1))
@click.option("--reason", required=True, help="Why, for the ledger.")
@_workspace_option
def promote(version: int, reason: str, workspace: str) -> None:
    """Make a version champion by hand, whatever the gate said; its artifact is checked, the ledger tells who and why.

    \b
    Example:
      csa promote 3 --reason "better on the new shop's photos"
    """
    from flows.environment import prepare_environment
    from flows.moves import promote as promote_version
    from flows.workspaces import existing_workspace

    ws = existing_workspace(workspace)
    prepare_environment(ws)
    click.echo(str(promote_version(ws, version, reason)))


@main.command()
@click.option("--to", "version", type=click.IntRange(1), help="The version to go back to.  [default: the champion before]")
@click.option("--reason", required=True, help="Why, for the ledger.")
@_workspace_option
def rollback(version: int | None, reason: str, workspace: str) -> None:
    """Go back to the champion before this one. The gate will not promote again what was rolled back.

    \b
    Example:
      csa rollback --reason "customers complained"
    """
    from flows.environment import prepare_environment
    from flows.moves import rollback as roll_back
    from flows.workspaces import existing_workspace

    ws = existing_workspace(workspace)
    prepare_environment(ws)
    click.echo(str(roll_back(ws, version, reason)))


@main.command()
@click.option("--no", "refuse", is_flag=True, help="Keep the champion.")
@click.option("--reason", default="", help="Why, for the ledger.")
@click.option("--list", "only_list", is_flag=True, help="Only say which runs wait.")
@_workspace_option
@_json_option
def approve(refuse: bool, reason: str, only_list: bool, workspace: str, as_json: bool) -> None:
    """Answer a promotion that waits for a person (`gate.approval: true`): yes, or no with --no.

    \b
    Examples:
      csa approve --reason "looked at the sheets"
      csa approve --no --reason "worse on children's drawings"
    """
    from flows.environment import prepare_environment
    from flows.workspaces import existing_workspace

    ws = existing_workspace(workspace)
    prepare_environment(ws)
    from flows import approval

    if only_list:
        runs = [{"workspace": one.workspace, "until": one.until} for one in approval.waiting()]
        said = "\n".join(f"{run['workspace']}  until {run['until']}" for run in runs) or "no run waits"
        click.echo(json.dumps(runs, indent=2) if as_json else said)
        return
    approval.answer(str(ws.root), not refuse, reason)
    answer = {"workspace": workspace, "approved": not refuse}
    click.echo(json.dumps(answer) if as_json else f"{workspace}: {'refused' if refuse else 'approved'}; the run goes on")


@main.command()
@click.option(
    "--verify", is_flag=True, help="Check chain, registry, champion and the files of every version; 1 if a check fails."
)
@_workspace_option
@_json_option
def ledger(verify: bool, workspace: str, as_json: bool) -> None:
    """Show who made what champion, when and why: the same for every clone that shares the registry.

    \b
    Examples:
      csa ledger
      csa ledger --verify
    """
    from flows.environment import prepare_environment
    from flows.standing import ledger_lines, ledger_table, verify_all
    from flows.workspaces import existing_workspace

    ws = existing_workspace(workspace)
    prepare_environment(ws)
    if not verify:
        lines = ledger_lines(ws)
        if as_json:
            click.echo(json.dumps(lines, indent=2))
        else:
            _print_frame(ledger_table(lines), False, "no line yet; `csa run` writes the first")
        return
    checks = verify_all(ws)
    if as_json:
        click.echo(json.dumps([check.as_dict() for check in checks], indent=2))
    else:
        for check in checks:
            click.echo(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<24} {check.found}")
    if not all(check.ok for check in checks):
        sys.exit(1)


@main.command()
@click.argument("thing")
@click.option("--item", "is_item", is_flag=True, help="THING is an item, even if it looks like a version.")
@_workspace_option
@_json_option
def lineage(thing: str, is_item: bool, workspace: str, as_json: bool) -> None:
    """From a model down to data, code, parameters and environment; or from an item up to every model that saw it.

    THING is a model (models:/NAME@champion, models:/NAME/3, champion, 3, a run id) or an item (an image's path, a text, a
    sha256, a pair's id).

    \b
    Examples:
      csa lineage champion
      csa lineage data/openmoji/images/1F98A.png
    """
    from flows import lineage as lines
    from flows.environment import prepare_environment
    from flows.workspaces import existing_workspace

    ws = existing_workspace(workspace)
    prepare_environment(ws)
    if lines.names_a_model(thing) and not is_item:
        facts = lines.of_model(ws, thing)
        click.echo(json.dumps(facts, indent=2) if as_json else lines.text(facts))
        return
    answer = lines.of_item(ws, thing)
    if as_json:
        click.echo(json.dumps(answer.as_dict(), indent=2))
    else:
        _print_frame(answer.runs, False, f"no run on record saw {thing!r}")


@main.command()
@click.argument("first")
@click.argument("second")
@_workspace_option
@_json_option
def score(first: str, second: str, workspace: str, as_json: bool) -> None:
    """Score how well two items belong together, such as an image (a file) and a text.

    The score alone says little, so it is placed among the held-out pairs: the shares of true and of mismatched pairs below it,
    conformal p-values, and a verdict at evaluate.alpha: match, mismatch, undecided or neither.

    \b
    Example:
      csa score data/openmoji/images/1F98A.png "a fox"
    """
    from csa.ask import score_pair
    from flows.workspaces import existing_workspace

    answer = score_pair(existing_workspace(workspace), first, second)
    click.echo(json.dumps(answer.as_dict(), indent=2) if as_json else str(answer))


@main.command()
@click.argument("query")
@click.option("-k", "--top", default=5, show_default=True, type=click.IntRange(1), help="How many results.")
@click.option("--save", metavar="FILE.png", type=click.Path(path_type=Path), help="Write the results as a picture sheet.")
@_workspace_option
@_json_option
def search(query: str, top: int, save: Path | None, workspace: str, as_json: bool) -> None:
    """Search the data set across views: by a text for images, or by a file (image, audio, ...) for texts.

    \b
    Examples:
      csa search "a red heart"
      csa search "something to eat" -k 10 --save food.png
    """
    from csa.ask import search_items
    from flows.workspaces import existing_workspace

    answer = search_items(existing_workspace(workspace), query, top)
    if save is not None:
        answer.draw(save)
    click.echo(json.dumps(answer.as_dict(), indent=2) if as_json else str(answer))
    if save is not None and not as_json:
        click.echo(f"sheet: {save}")


@main.command()
@_workspace_option
@click.option("--top", default=20, show_default=True, type=click.IntRange(1), help="How many to show.")
@click.option("--page", metavar="FILE.html", type=click.Path(path_type=Path), help="Write them as a page with pictures.")
@click.option("--drop", metavar="FILE", type=click.Path(path_type=Path), help="Write those more likely wrong than not as a list.")
@click.option("--trim", metavar="SHARE", help="Refit without this share, or `auto`, and measure that on held-out pairs.")
@_json_option
def suspects(workspace: str, top: int, page: Path | None, drop: Path | None, trim: str | None, as_json: bool) -> None:
    """Rank the training pairs by how mislabelled they look, each scored by a fit without it.

    The whole ranking is data/suspects/suspects.parquet. Review the drop list, then save it as exclude.csv (of a recipe:
    RECIPE.exclude.csv beside RECIPE.yaml): the next `csa run` leaves those pairs out.

    \b
    Examples:
      csa suspects --top 50 --page suspects.html
      csa suspects -w flickr8k --drop drop.csv --trim auto
    """
    from csa.suspects import find
    from flows.workspaces import existing_workspace

    answer = find(existing_workspace(workspace), top, page, drop, trim)
    click.echo(json.dumps(answer.as_dict(), indent=2) if as_json else str(answer))
    for name, file in (("page", page), ("drop list", drop)):
        if file is not None and not as_json:
            click.echo(f"{name}: {file}")


@main.command()
@_workspace_option
@click.option("--methods", metavar="NAMES", default="csa,published,ridge,asif,procrustes", show_default=True, help="Or cca.")
@click.option("--sizes", metavar="NUMBERS", help="Numbers of training groups.  [default: 20, 50, 100, 300, ... all]")
@click.option("--noise", metavar="SHARES", default="0,0.1,0.3,0.5,0.7,1", show_default=True, help="Shares of shuffled pairs.")
@click.option("--noise-groups", type=click.IntRange(10), help="Training groups of the noise sweep.  [default: 1,000 or all]")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1), help="Random subsets of each size.")
@_json_option
def sweep(
    workspace: str, methods: str, sizes: str | None, noise: str, noise_groups: int | None, seeds: int, as_json: bool
) -> None:
    """Measure data efficiency and noise robustness of CSA and its baselines on a workspace's features.

    Fits to random parts of the training pairs and to shuffled ones; measures on the held-out pairs. Goes on where it stopped.
    Writes data/sweep: sweep.json, data_efficiency.png, noise.png. A group is what is never split: an image with its captions.

    \b
    Examples:
      csa sweep
      csa sweep -w flickr8k --methods csa,published --sizes 20,100,1000 --noise 0,0.3
    """
    from csa.sweep import run_sweep, split_list
    from flows.workspaces import existing_workspace

    ws = existing_workspace(workspace)
    result = run_sweep(
        ws,
        split_list(methods, str, "--methods"),
        None if sizes is None else split_list(sizes, int, "--sizes"),
        split_list(noise, float, "--noise"),
        noise_groups,
        seeds,
    )
    click.echo(json.dumps(result.as_dict(), indent=2) if as_json else f"{result}\npictures: {ws.data / 'sweep'}")


@main.command()
@_recipe_arguments
@click.option(
    "--view", "candidates", metavar="VIEW=ENCODER", multiple=True, help="A candidate; repeatable.  [default: the recipe's]"
)
@click.option("--sample", default=500, show_default=True, help="Training pairs to embed, each of another group.")
@_json_option
def advise(
    recipe: Path | None,
    overrides: tuple[str, ...],
    data: str | None,
    candidates: tuple[str, ...],
    sample: int,
    as_json: bool,
) -> None:
    """Compare encoders on a sample of the pairs: which pair of them aligns best, before hours of embedding.

    A candidate may carry settings: VIEW=ENCODER:layer=-2,pooling=cls. Only the sample is embedded, and it stays in the cache.
    Pairings are ranked by retrieval inside held-out folds; those that the sample cannot tell from the best are named.

    \b
    Examples:
      csa advise --view text=minilm-l6-v2 --view text=minilm-l6-v2:layer=-3
      csa advise recipes/flickr8k.yaml --data ~/flickr8k --view image=efficientnet-lite0 --view image=/models/dinov2
    """
    from csa.advise import advise as give_advice
    from flows.workspaces import open_workspace

    advice = give_advice(open_workspace(recipe, overrides, data), candidates, sample)
    click.echo(json.dumps(advice.as_dict(), indent=2) if as_json else str(advice))


@main.command()
@_json_option
def doctor(as_json: bool) -> None:
    """Check the installation: versions, the two pins that break silently, the state folder, the built-in encoders.

    Exit code 1 when something is wrong.

    \b
    Example:
      csa doctor
    """
    from flows.doctor import diagnose

    checks = diagnose()
    if as_json:
        click.echo(json.dumps([check.as_dict() for check in checks], indent=2))
    else:
        for check in checks:
            click.echo(
                f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<24} {check.found}{'' if check.ok else f'  <- {check.remedy}'}"
            )
    if not all(check.ok for check in checks):
        sys.exit(1)


def _say(note: str | None) -> None:
    """A word that is no part of the answer."""
    if note:
        click.echo(f"csa: {note}", err=True)


def _print_frame(frame: Any, as_json: bool, when_empty: str) -> None:
    import polars as pl

    if as_json:
        click.echo(frame.write_json())
    elif frame.is_empty():
        click.echo(when_empty)
    else:
        with pl.Config() as table:
            table.set_tbl_rows(-1).set_tbl_cols(-1).set_tbl_width_chars(180).set_fmt_str_lengths(60)
            table.set_tbl_formatting("NOTHING").set_tbl_hide_dataframe_shape(True).set_tbl_hide_column_data_types(True)
            click.echo(str(frame))


if __name__ == "__main__":
    main()
