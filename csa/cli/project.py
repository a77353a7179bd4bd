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
    help="The data set: a folder or a table. csa recognises its layout.",
)
@click.option(
    "--recipe",
    metavar="NAME",
    type=click.Path(path_type=Path),
    help="Start from a recipe: a name that comes with csa, or a params file.",
)
@click.option("--no-git", is_flag=True, help="Do not make a git repository if there is none.")
@json_option
def init(folder: Path, data: Path | None, recipe: Path | None, no_git: bool, as_json: bool) -> None:
    """Make a project in FOLDER, which may be a git repository already.

    It looks at your data, prints what it recognised and where it is unsure, and writes params.yaml,
    dvc.yaml and the files that git and DVC need. It keeps files that are there already.

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
