"""Write what is made from the code, its tests and measurements: docs/cli.md, docs/parameters.md,
docs/tested.md, CLAIMS.md, and the measured parts of docs/results.md and the README.

python -m docs.generate            write them
python -m docs.generate --check    exit 1 if a page on disk is not what the code says, if a promise
                                   names no test that is there, or a number has no home
"""

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from csa.cli import main as cli
from csa.cli.commands import SECTIONS
from csa.cli.guesses import GUESSES
from csa.params.schema import Params
from docs.claims import claims_page
from docs.measured import headline, measured
from docs.tested import faults, promises, tested

FOLDER = Path(__file__).parent


def cli_page() -> str:
    """Every command's help, as `csa COMMAND --help` prints it at 100 columns."""
    lines = [
        "# The `csa` command",
        "",
        "Made by `python -m docs.generate` from the commands themselves.",
        "",
    ]
    lines += [
        "Exit codes: 0 done, 1 a gate or a check said no, 2 wrong use or bad input. States,",
        "verdicts, notes and errors are in colour on a terminal, unless `NO_COLOR` is set.",
        "",
    ]
    parent = click.Context(cli, info_name="csa", terminal_width=100, **cli.context_settings)
    for section, names in SECTIONS.items():
        lines += [f"## {section}", ""]
        for name, command in _commands(cli, names):
            context = click.Context(command, info_name=name, parent=parent, terminal_width=100)
            help_text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
            lines += [f"### csa {name}", "", "```", help_text, "```", ""]
    lines += ["## What other tools call it", "", "An error names the right command, too.", ""]
    lines += ["| you know the word from | you type | here it is |", "|---|---|---|"]
    lines += [
        f"| {guess.known_from} | {', '.join(f'`{word}`' for word in guess.words)} | {guess.here} |"
        for guess in GUESSES
    ]
    return "\n".join(lines)


def _commands(
    group: click.Group, names: Iterable[str], prefix: str = ""
) -> Iterator[tuple[str, click.Command]]:
    """(name, command) of every command, a group before its own."""
    for name in names:
        command = group.commands[name]
        yield prefix + name, command
        if isinstance(command, click.Group):
            yield from _commands(command, sorted(command.commands), f"{prefix}{name} ")


def parameters_page() -> str:
    """Every key of params.yaml with its type, default and meaning."""
    lines = [
        "# Parameters",
        "",
        "Made by `python -m docs.generate` from the schema in `csa/params/`. An unknown key is an "
        "error.",
        "",
    ]
    for name, field in Params.model_fields.items():
        section = next(
            (c for c in (field.annotation, *get_args(field.annotation)) if _is_section(c)), None
        )
        title = {"views": "views.VIEW", "tasks": "tasks.NAME"}.get(name, name)
        assert section is not None
        lines += [
            f"## {title}",
            "",
            inspect.cleandoc(section.__doc__ or ""),
            "",
            "| key | type | default | meaning |",
            "|---|---|---|---|",
        ]
        lines += [*_rows(section), ""]
    return "\n".join(lines)


def _rows(section: type[BaseModel], prefix: str = "") -> list[str]:
    rows = []
    for name, field in section.model_fields.items():
        inner = next(
            (part for part in (field.annotation, *get_args(field.annotation)) if _is_section(part)),
            None,
        )
        if inner is not None and get_origin(field.annotation) is not dict:
            several = get_origin(field.annotation) is tuple
            if several and issubclass(section, inner):  # its keys are above already
                keys = list(inner.model_fields)
                rows.append(
                    f"| `{prefix}{name}` | list of sections with the keys `{keys[0]}` to "
                    f"`{keys[-1]}` | empty | {field.description} |"
                )
                continue
            rows += (
                [f"| `{prefix}{name}` | list of the following | empty | {field.description} |"]
                if several
                else []
            )
            rows += _rows(inner, f"{prefix}{name}[]." if several else f"{prefix}{name}.")
            continue
        named = next(
            (section for section in get_args(field.annotation) if _is_section(section)), None
        )
        if get_origin(field.annotation) is dict and named is not None:
            rows += _rows(named, f"{prefix}{name}.NAME.")
            continue
        default = field.get_default(call_default_factory=True)
        shown = (
            "required" if default is PydanticUndefined else f"`{default!r}`".replace("None", "null")
        )
        rows.append(
            f"| `{prefix}{name}` | {_type_name(field.annotation)} | {shown} | {field.description} |"
        )
    return rows


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _type_name(annotation: Any, several: bool = False) -> str:
    """What a parameter takes, in words; several of it, such as `texts`, where it is in a list."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        values = ", ".join(f"`{value}`" for value in inside)
        return f"names out of {values}" if several else values
    if origin in (Union, UnionType):
        return " or ".join(_type_name(part, several) for part in inside)
    if origin is Annotated:
        return _type_name(inside[0], several)
    if origin in (list, tuple):
        return f"list of {_type_name(inside[0], several=True)}"
    return "mapping" if origin is dict else _NAMES[annotation][several]


def page_with(name: str, made: Callable[[], str]) -> Callable[[], str]:
    """A page whose measured part is made anew from benchmarks/results."""

    def page() -> str:
        before, rest = (FOLDER / name).read_text(encoding="utf-8").split(_BEGIN)
        return f"{before}{_BEGIN}\n{made()}\n{_END}{rest.split(_END)[1]}"

    return page


_NAMES: dict[Any, tuple[str, str]] = {
    str: ("text", "texts"),
    int: ("whole number", "whole numbers"),
    float: ("number", "numbers"),
    bool: ("yes or no", "answers"),
    type(None): ("null", "null"),
}
_BEGIN, _END = "<!-- made by make docs -->", "<!-- end of what is made -->"
PAGES = {
    "cli.md": cli_page,
    "parameters.md": parameters_page,
    "tested.md": tested,
    "results.md": page_with("results.md", measured),
    "../README.md": page_with("../README.md", headline),
    "../CLAIMS.md": claims_page,  # the last, as it reads the pages
}


def main(arguments: list[str]) -> int:
    """Write or check the pages; returns the exit code."""
    untested = faults(promises())
    if untested:
        print("promises without a test:", *untested, sep="\n", file=sys.stderr)
        return 1
    drifted = []
    for name, make in PAGES.items():
        try:
            page, path = make().rstrip() + "\n", FOLDER / name
        except ValueError as error:
            print(f"{name} cannot be made:", error, sep="\n", file=sys.stderr)
            return 1
        if "--check" not in arguments:
            path.write_text(page, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != page:
            drifted.append(name)
    if drifted:
        print(
            f"docs drift: {', '.join(drifted)} differ from the code; run `make docs`",
            file=sys.stderr,
        )
    return 1 if drifted else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
