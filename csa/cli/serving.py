"""A fit for others: exported into other tools' formats."""

import json
from pathlib import Path

import click

from csa.cli.common import json_option, workspace_option


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "name",
    default="sentence-transformers",
    show_default=True,
    help="Or parquet, faiss, usearch.",
)
@click.option("--view", help="Whose items a gallery holds.  [default: the view that is no text]")
@click.option(
    "--unit",
    is_flag=True,
    help="Vectors of one length and a dimension more, for stores that know the cosine alone.",
)
@click.option("--with-weights", is_flag=True, help="Put the encoders' files into a model's folder.")
@workspace_option
@json_option
def export(
    folder: Path,
    name: str,
    view: str | None,
    unit: bool,
    with_weights: bool,
    workspace: str,
    as_json: bool,
) -> None:
    """Write what a workspace holds into a new FOLDER, in a format of another tool.

    sentence-transformers: a model that SentenceTransformer loads, by both views' items. parquet,
    faiss, usearch: the gallery's vectors with ids; inner products are the scores.

    \b
    Examples:
      csa export my-model
      csa export gallery --format parquet
      csa export index --format faiss --view text
    """
    from csa.exporting.formats import Options, export
    from csa.pipeline.recipes import existing_workspace

    options = Options(view, unit, with_weights)
    told = export(existing_workspace(workspace), folder, name, options)
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    about = ", ".join(f"{key.replace('_', ' ')}: {value}" for key, value in told.items())
    click.echo(about)


COMMANDS = (export,)
