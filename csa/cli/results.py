"""What came of the runs: metrics, reports, questions to the model, and measurements beside the
pipeline.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from csa.cli.common import json_option, print_frame, recipe_arguments, say, workspace_option
from csa.errors import CSAError, InputError
from csa.pipeline.workspace import Workspace

if TYPE_CHECKING:
    from csa.questions.search import Searcher


@click.command()
@click.option("--limit", default=20, show_default=True, help="The newest so many runs.")
@click.option(
    "--sql",
    metavar="QUERY",
    help="Ask DuckDB yourself; tables: runs, metrics, queries, stages, executions.",
)
@json_option
def metrics(limit: int, sql: str | None, as_json: bool) -> None:
    """Show the metrics of every run, of all workspaces.

    \b
    Examples:
      csa metrics
      csa metrics --sql "SELECT direction, avg(mrr) FROM queries GROUP BY 1"
    """
    from csa.operations.runs.metrics import metrics_table, query

    ws = Workspace.find()
    frame = query(ws, sql) if sql else metrics_table(ws, limit)
    print_frame(frame, as_json, "no runs yet; `csa run` makes the first")


@click.command()
@workspace_option
@click.option(
    "--out",
    metavar="FILE.html",
    type=click.Path(path_type=Path),
    help="Where to write.  [default: data/report.html]",
)
@click.option("--open", "show", is_flag=True, help="Open it in the browser.")
def report(workspace: str, out: Path | None, show: bool) -> None:
    """Write the report of what a workspace holds: one HTML file that needs no network.

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
@click.argument("first")
@click.argument("second")
@workspace_option
@json_option
def score(first: str, second: str, workspace: str, as_json: bool) -> None:
    """Score how well two items belong together, such as an image (a file) and a text.

    The score alone says little, so it is placed among the held-out pairs: the shares of true and of
    mismatched pairs below it, conformal p-values, and a verdict at evaluate.alpha: match, mismatch,
    undecided or neither.

    \b
    Example:
      csa score data/openmoji/images/1F98A.png "a fox"
    """
    from csa.pipeline.recipes import existing_workspace
    from csa.questions.score import score_pair

    answer = score_pair(existing_workspace(workspace), first, second)
    click.echo(json.dumps(answer.as_dict(), indent=2) if as_json else str(answer))


@click.command()
@click.argument("queries", metavar="[QUERY]...", nargs=-1)
@click.option(
    "-k", "--top", default=5, show_default=True, type=click.IntRange(1), help="How many results."
)
@click.option(
    "--save",
    metavar="FILE.png",
    type=click.Path(path_type=Path),
    help="Write the results as a picture sheet.",
)
@workspace_option
@json_option
def search(
    queries: tuple[str, ...], top: int, save: Path | None, workspace: str, as_json: bool
) -> None:
    """Search the data set across views: by a text for images, or by a file (image, audio, ...) for
    texts.

    Without QUERY, queries are read from standard input, one a line; encoders are loaded once. With
    --json each query that is read gives a line; several on the command line give a list.

    \b
    Examples:
      csa search "a red heart"
      csa search "something to eat" "a vehicle" -k 10 --save sheet.png
      csa search -w flickr8k < queries.txt
    """
    from csa.pipeline.recipes import existing_workspace
    from csa.questions.search import SearchAnswer, Searcher

    searcher = Searcher(existing_workspace(workspace))
    if not queries:
        _search_lines(searcher, top, save, as_json)
        return
    answers = [searcher.find(query, top) for query in queries]
    if save is not None:
        SearchAnswer.draw(answers, save)
    if as_json:
        shown = [answer.as_dict() for answer in answers]
        click.echo(json.dumps(shown if len(shown) > 1 else shown[0], indent=2))
        return
    for answer in answers:
        click.echo(f"{answer.title}\n{answer}" if len(answers) > 1 else str(answer))
    if save is not None:
        click.echo(f"sheet: {save}")


def _search_lines(searcher: "Searcher", top: int, save: Path | None, as_json: bool) -> None:
    """Answer queries as they come; one that cannot be read is said, and the next is asked for."""
    if save is not None:
        raise InputError("--save draws the queries of the command line; give them there")
    failed = 0
    for query in _typed_queries():
        try:
            answer = searcher.find(query, top)
        except CSAError as error:
            failed += 1
            click.echo(f"error: {error}", err=True)
            continue
        click.echo(json.dumps(answer.as_dict()) if as_json else f"{query}\n{answer}")
    if failed and not sys.stdin.isatty():
        raise InputError(f"{failed} of the queries could not be answered; see above")


def _typed_queries() -> Iterator[str]:
    """Queries from standard input, one a line; a terminal is asked for them until one is empty."""
    asking = sys.stdin.isatty()
    while True:
        if asking:
            click.echo("search (empty to end): ", nl=False, err=True)
        line = sys.stdin.readline()
        query = line.strip()
        if not line or (asking and not query):
            return
        if query:
            yield query


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option(
    "-l", "--label", "given", metavar="LABEL", multiple=True, help="A candidate; repeatable."
)
@click.option(
    "--labels",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A text file of candidates, one a line.",
)
@click.option(
    "--template",
    metavar="TEXT",
    multiple=True,
    help="How a label is put into words, with {label} in its place; several are averaged.  "
    "[default: evaluate.prompts]",
)
@click.option(
    "-k",
    "--top",
    default=3,
    show_default=True,
    type=click.IntRange(1),
    help="Labels shown for each file.",
)
@click.option(
    "--out",
    metavar="FILE.csv",
    type=click.Path(path_type=Path),
    help="Write the best labels as a table.",
)
@click.option(
    "--save",
    metavar="FILE.png",
    type=click.Path(path_type=Path),
    help="Write the first 40 as a picture sheet.",
)
@workspace_option
@json_option
def classify(
    files: tuple[str, ...],
    given: tuple[str, ...],
    labels: Path | None,
    template: tuple[str, ...],
    top: int,
    out: Path | None,
    save: Path | None,
    workspace: str,
    as_json: bool,
) -> None:
    """Label files without examples: zero-shot classification by labels of your own.

    FILES are images (or recordings, scans, series: items of the view that is not texts), and
    folders of them. Where even the best label scores less than true held-out pairs nearly ever do,
    it is said that none fits; a file that is less like any training item than held-out ones are is
    called unfamiliar.

    \b
    Examples:
      csa classify data/openmoji/images/1F98A.png -l "a fox" -l "a car" -l "a house"
      csa classify photos/ --labels classes.txt --template "a photo of a {label}" --out labels.csv
      -w flickr8k
    """
    from csa.pipeline.recipes import existing_workspace
    from csa.questions.classify import classify_files, read_labels

    candidates = [*given, *(read_labels(labels) if labels is not None else [])]
    answer = classify_files(existing_workspace(workspace), files, candidates, template, top)
    for _, fault in answer.unusable:
        say(f"left out: {fault}")
    if out is not None:
        answer.write(out)
    if save is not None:
        answer.draw(save)
    click.echo(json.dumps(answer.as_dict(), indent=2) if as_json else str(answer))
    for name, file in (("table", out), ("sheet", save)):
        if file is not None and not as_json:
            click.echo(f"{name}: {file}")


@click.command()
@workspace_option
@click.option(
    "--top", default=20, show_default=True, type=click.IntRange(1), help="How many to show."
)
@click.option(
    "--page",
    metavar="FILE.html",
    type=click.Path(path_type=Path),
    help="Write them as a page with pictures.",
)
@click.option(
    "--drop",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write those more likely wrong than not as a list.",
)
@click.option(
    "--trim",
    metavar="SHARE",
    help="Refit without this share, or `auto`, and measure that on held-out pairs.",
)
@json_option
def suspects(
    workspace: str, top: int, page: Path | None, drop: Path | None, trim: str | None, as_json: bool
) -> None:
    """Rank the training pairs by how mislabelled they look, each scored by a fit without it.

    The whole ranking is data/suspects/suspects.parquet. Review the drop list, then save it as
    exclude.csv (of a recipe: RECIPE.exclude.csv beside RECIPE.yaml): the next `csa run` leaves
    those pairs out.

    \b
    Examples:
      csa suspects --top 50 --page suspects.html
      csa suspects -w flickr8k --drop drop.csv --trim auto
    """
    from csa.pipeline.recipes import existing_workspace
    from csa.questions.suspects import find

    answer = find(existing_workspace(workspace), top, page, drop, trim)
    click.echo(json.dumps(answer.as_dict(), indent=2) if as_json else str(answer))
    for name, file in (("page", page), ("drop list", drop)):
        if file is not None and not as_json:
            click.echo(f"{name}: {file}")


@click.command()
@workspace_option
@click.option(
    "--methods",
    metavar="NAMES",
    default="csa,published,ridge,asif,procrustes",
    show_default=True,
    help="Or cca.",
)
@click.option(
    "--sizes",
    metavar="NUMBERS",
    help="Numbers of training groups.  [default: 20, 50, 100, 300, ... all]",
)
@click.option(
    "--noise",
    metavar="SHARES",
    default="0,0.1,0.3,0.5,0.7,1",
    show_default=True,
    help="Shares of shuffled pairs.",
)
@click.option(
    "--noise-groups",
    type=click.IntRange(10),
    help="Training groups of the noise sweep.  [default: 1,000 or all]",
)
@click.option(
    "--seeds",
    default=3,
    show_default=True,
    type=click.IntRange(1),
    help="Random subsets of each size.",
)
@json_option
def sweep(
    workspace: str,
    methods: str,
    sizes: str | None,
    noise: str,
    noise_groups: int | None,
    seeds: int,
    as_json: bool,
) -> None:
    """Measure data efficiency and noise robustness of CSA and its baselines on a workspace's
    features.

    Fits to random parts of the training pairs and to shuffled ones; measures on the held-out pairs.
    Goes on where it stopped. Writes data/sweep: sweep.json, data_efficiency.png, noise.png. A group
    is what is never split: an image with its captions.

    \b
    Examples:
      csa sweep
      csa sweep -w flickr8k --methods csa,published --sizes 20,100,1000 --noise 0,0.3
    """
    from csa.pipeline.recipes import existing_workspace
    from csa.questions.sweep import run_sweep, split_list

    ws = existing_workspace(workspace)
    result = run_sweep(
        ws,
        split_list(methods, str, "--methods"),
        None if sizes is None else split_list(sizes, int, "--sizes"),
        split_list(noise, float, "--noise"),
        noise_groups,
        seeds,
    )
    click.echo(
        json.dumps(result.as_dict(), indent=2)
        if as_json
        else f"{result}\npictures: {ws.data / 'sweep'}"
    )


@click.command()
@recipe_arguments
@click.option(
    "--view",
    "candidates",
    metavar="VIEW=ENCODER",
    multiple=True,
    help="A candidate; repeatable.  [default: the recipe's]",
)
@click.option(
    "--sample",
    default=500,
    show_default=True,
    help="Training pairs to embed, each of another group.",
)
@json_option
def advise(
    recipe: Path | None,
    overrides: tuple[str, ...],
    data: str | None,
    candidates: tuple[str, ...],
    sample: int,
    as_json: bool,
) -> None:
    """Compare encoders on a sample of the pairs: which pair of them aligns best, before hours of
    embedding.

    A candidate may carry settings: VIEW=ENCODER:layer=-2,pooling=cls, and be several encoders side
    by side: VIEW=A+B. Only the sample is embedded, and it stays in the cache. Pairings are ranked
    by retrieval inside held-out folds; those that the sample cannot tell from the best are named.

    \b
    Examples:
      csa advise --view text=minilm-l6-v2 --view text=minilm-l6-v2:layer=0/-1
      csa advise --view image=efficientnet-lite0 --view image=efficientnet-lite0+efficientnet-lite2
      csa advise recipes/flickr8k.yaml --data ~/flickr8k --view image=efficientnet-lite0 --view
      image=/models/dinov2
    """
    from csa.pipeline.recipes import open_workspace
    from csa.questions.advise import advise as give_advice

    advice = give_advice(open_workspace(recipe, overrides, data), candidates, sample)
    click.echo(json.dumps(advice.as_dict(), indent=2) if as_json else str(advice))


@click.command()
@click.argument("version", required=False)
@workspace_option
@json_option
def choices(version: str | None, workspace: str, as_json: bool) -> None:
    """Print what a fit chose by cross-validation, as the section `fit:` of a params file.

    A run with these lines in params.yaml, or in a recipe, chooses nothing anew: most of a fit's
    time is the search. So retrain daily with the champion's choices, and with `auto` when the data
    have grown. VERSION is a number or an alias; without it, the workspace's last fit.

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


COMMANDS = (metrics, report, score, search, classify, suspects, sweep, advise, choices)
