"""What the commands have in common: errors as one line, options, tables."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from csa.errors import CSAError, RefusedError


class Group(click.Group):
    """Turns every CSAError into one line and exit code 2, and a no into exit code 1."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """As click's, with our errors."""
        try:
            return super().main(*args, **kwargs)
        except RefusedError as error:
            click.echo(f"csa: refused: {' '.join(str(error).split())}", err=True)
            sys.exit(1)
        except CSAError as error:
            click.echo(f"csa: error: {' '.join(str(error).split())}", err=True)
            sys.exit(2)


def workspace_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which workspace."""
    return click.option(
        "-w",
        "--workspace",
        metavar="NAME",
        default="main",
        show_default=True,
        help="`main`, or the name of a recipe that was run.",
    )(command)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")


def recipe_arguments(command: Callable[..., Any]) -> Callable[..., Any]:
    """A recipe, and what is laid over it."""
    command = click.option(
        "--data",
        metavar="PATH",
        help="The data set's folder or file, in place of the recipe's dataset.path.",
    )(command)
    command = click.option(
        "--set",
        "overrides",
        metavar="KEY=VALUE",
        multiple=True,
        help="Lay a value over the recipe, such as fit.folds=10; repeatable.",
    )(command)
    return click.argument("recipe", required=False, type=click.Path(path_type=Path))(command)


def say(note: str | None) -> None:
    """A word that is no part of the answer."""
    if note:
        click.echo(f"csa: {note}", err=True)


def print_frame(frame: Any, as_json: bool, when_empty: str) -> None:
    """A table for people, or as JSON."""
    import polars as pl

    if as_json:
        click.echo(frame.write_json())
    elif frame.is_empty():
        click.echo(when_empty)
    else:
        with pl.Config() as table:
            table.set_tbl_rows(-1).set_tbl_cols(-1).set_tbl_width_chars(180).set_fmt_str_lengths(60)
            table.set_tbl_formatting("NOTHING").set_tbl_hide_dataframe_shape(
                True
            ).set_tbl_hide_column_data_types(True)
            click.echo(str(frame))
