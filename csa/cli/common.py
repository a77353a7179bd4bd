"""What the commands have in common: errors as one line, options, tables."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

_MOST = 10**9


class Amount(click.FloatRange):
    """A number in a range. click lets NaN pass, which lies in none."""

    name = "number"

    def _describe_range(self) -> str:
        return _range(super()._describe_range())

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """The number."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not a number", param, ctx)
        return number


class Count(click.IntRange):
    """A whole number in a range."""

    name = "number"

    def _describe_range(self) -> str:
        return _range(super()._describe_range())


def _range(described: str) -> str:
    """A range as help and errors show it, without a row of zeros."""
    return described.replace(f"{float(_MOST)}", "1e9").replace(f"{_MOST}", "1e9")


SECONDS = Amount(0, _MOST)
COUNT = Count(1, _MOST)


def workspace_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which workspace."""
    return click.option(
        "-w",
        "--workspace",
        metavar="NAME",
        default="main",
        show_default=True,
        help="Which workspace: `main`, or the name of a recipe that was run.",
    )(command)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")


def recipe_arguments(command: Callable[..., Any]) -> Callable[..., Any]:
    """A recipe, and parameters that replace its own."""
    command = click.option(
        "--data",
        metavar="PATH",
        help="Read this folder or file, in place of the recipe's dataset.path.",
    )(command)
    command = click.option(
        "-S",
        "--set",
        "overrides",
        metavar="KEY=VALUE",
        multiple=True,
        help="Set a parameter for this run, such as fit.folds=10. Repeatable.",
    )(command)
    return click.argument("recipe", required=False, type=click.Path(path_type=Path))(command)


def say(note: str | None) -> None:
    """A note beside the answer, on standard error."""
    if note:
        click.echo(f"csa: {note}", err=True)


def print_frame(frame: Any, as_json: bool, when_empty: str) -> None:
    """A table for people, or as JSON."""
    import polars as pl

    if as_json:
        click.echo(_json_rows(frame))
    elif frame.is_empty():
        click.echo(when_empty)
    else:
        with pl.Config() as table:
            table.set_tbl_rows(-1).set_tbl_cols(-1).set_tbl_width_chars(180).set_fmt_str_lengths(60)
            table.set_tbl_formatting("NOTHING").set_tbl_hide_dataframe_shape(
                True
            ).set_tbl_hide_column_data_types(True)
            click.echo(str(frame))


def _json_rows(frame: Any) -> str:
    """A table as a list of objects; what JSON has no form for is a text, NaN is null."""
    import polars.selectors as cs

    finite = frame.with_columns(cs.float().fill_nan(None))
    return json.dumps(finite.to_dicts(), default=str)
