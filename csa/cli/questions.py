"""Questions to a fitted model about single items: score, search, classify."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from csa.cli.common import COUNT, json_option, say, workspace_option
from csa.cli.net import checked_text, one_line
from csa.cli.outputs import OutputFile
from csa.errors import CSAError, InputError

if TYPE_CHECKING:
    from csa.questions.search import Searcher


@click.command()
@click.argument("first")
@click.argument("second")
@workspace_option
@json_option
def score(first: str, second: str, workspace: str, as_json: bool) -> None:
    """Score how well two items belong together, such as an image (a file) and a text.

    A score alone says little, so it is compared with the held-out pairs. The answer has the shares
    of true and of mismatched pairs that score lower, and a verdict: match, mismatch, undecided or
    neither. The verdict keeps the error rate evaluate.alpha.

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
    "-k", "--top", default=5, show_default=True, type=COUNT, help="How many results to show."
)
@click.option(
    "--save",
    metavar="FILE.png",
    type=OutputFile(".png"),
    help="Write the results as a picture sheet.",
)
@workspace_option
@json_option
def search(
    queries: tuple[str, ...], top: int, save: Path | None, workspace: str, as_json: bool
) -> None:
    """Search the data set across views: a text finds images, and an image finds texts.

    It prints the best results with their scores. Without QUERY it reads queries from standard
    input, one a line, and loads the encoders once for all of them. With --json, each of these
    queries gives a line of JSON; several queries on the command line give a list.

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
            answer = searcher.find(checked_text("the query", query), top)
        except CSAError as error:
            failed += 1
            click.echo(f"error: {one_line(error)}", err=True)
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
        line = sys.stdin.buffer.readline().decode("utf-8", "surrogateescape")
        query = line.strip()
        if not line or (asking and not query):
            return
        if query:
            yield query


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option(
    "-l",
    "--label",
    "given",
    metavar="LABEL",
    multiple=True,
    help="A label to choose from. Repeatable.",
)
@click.option(
    "--labels",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A text file with labels to choose from, one a line.",
)
@click.option(
    "--template",
    metavar="TEXT",
    multiple=True,
    help="The sentence for a label, with {label} in its place; the scores of several are averaged."
    "  [default: evaluate.prompts]",
)
@click.option(
    "-k",
    "--top",
    default=3,
    show_default=True,
    type=COUNT,
    help="How many labels to show for each file.",
)
@click.option(
    "-o",
    "--out",
    metavar="FILE.csv",
    type=OutputFile(".csv"),
    help="Write the best labels as a table.",
)
@click.option(
    "--save",
    metavar="FILE.png",
    type=OutputFile(".png"),
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
    """Label files by labels of your own, without examples (zero-shot classification).

    FILES are images, or whatever the view beside the texts has, and folders of them. It prints the
    best labels of each file with their scores. If even the best label scores lower than almost all
    true pairs, it says that none fits. A file that is less similar to the training items than
    held-out items are is called unfamiliar.

    \b
    Examples:
      csa classify data/openmoji/images/1F98A.png -l "a fox" -l "a car" -l "a house"
      csa classify photos/ --labels classes.txt --template "a photo of a {label}" \\
        --out labels.csv -w flickr8k
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


COMMANDS = (score, search, classify)
