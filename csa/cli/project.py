"""What makes a project."""

import json
from pathlib import Path

import click

from csa.cli.common import json_option


@click.command()
@click.argument("folder", required=False, default=".", type=click.Path(path_type=Path))
@click.option(
    "--data",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="The data set: a folder, or one table. Its layout is recognised.",
)
@click.option(
    "--recipe",
    metavar="NAME",
    type=click.Path(path_type=Path),
    help="Start from a recipe: the name of one that comes with csa, or a params file.",
)
@click.option("--no-git", is_flag=True, help="Make no git repository where there is none.")
@json_option
def init(folder: Path, data: Path | None, recipe: Path | None, no_git: bool, as_json: bool) -> None:
    """Make a project in an empty folder or in a git repository that exists.

    It looks at the data, says what it recognised and what it is unsure of, and writes params.yaml,
    dvc.yaml and what git and DVC need. What is there already is kept.

    \b
    Examples:
      csa init --data photos.csv
      csa init pets --data ~/pets
      csa init flickr --recipe flickr8k --data ~/flickr8k
    """
    from csa.operations.project import make_project

    made = make_project(folder, data, recipe, git=not no_git)
    click.echo(json.dumps(made.as_dict(), indent=2) if as_json else str(made))


COMMANDS = (init,)
