"""The one net around every command: whatever is raised in it becomes one line and an exit code.

0 done, 1 a gate or a check said no, 2 wrong use or bad input. What no command raises on purpose is
said as a fault of csa, with its place; CSA_TRACEBACK=1 shows all of it.
"""

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from errno import ELOOP, ENAMETOOLONG
from pathlib import Path
from typing import Any

import click

from csa.cli import colours
from csa.errors import CSAError, InputError, RefusedError
from csa.storage.room import beyond_us
from csa.storage.terminal import made_visible

TRACEBACK = "CSA_TRACEBACK"
"""The variable that asks for the whole traceback of what no command raises on purpose."""

_LONGEST = 2000  # characters
_PACKAGE = Path(__file__).parents[1]


class Group(click.Group):
    """A group of commands inside the net."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **more: Any) -> Any:
        """As click's, with our errors."""
        given = sys.argv[1:] if args is None else list(args)
        with made_visible(colours.painter):
            try:
                for place, argument in enumerate(given, start=1):
                    checked_text(f"argument {place}", argument)
                return super().main(given, *rest, **more)
            except RefusedError as error:
                said, code = f"csa: refused: {one_line(error)}", 1
            except (SystemExit, ModuleNotFoundError):  # the latter names an extra, see `entry`
                raise
            except BaseException as error:  # polars' PanicException is no Exception
                said, code = f"csa: error: {explained(error)}", 2
                if TRACEBACK in os.environ:
                    traceback.print_exc()
            print(said, file=sys.stderr)
            sys.exit(code)

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        """As click's, with wrong use as one line."""
        with _usage():
            context = super().make_context(*args, **more)
        context.color = True  # click would take escape sequences out; they are made visible
        return context

    def invoke(self, ctx: click.Context) -> Any:
        """As click's, with wrong use as one line."""
        with _usage():
            return super().invoke(ctx)


@contextmanager
def _usage() -> Iterator[None]:
    """What click calls wrong use, as an error of ours that names the help."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "csa"
        said = one_line(error.format_message()).rstrip(".")
        then = " See" if said.endswith("?") else "; see"
        raise InputError(f"{said}{then} `{command} --help`") from None


def checked_text(what: str, text: str) -> str:
    """A text that came from outside, if it is UTF-8: no parameter, table or page holds another.

    Args:
        what: what errors call it.
        text: as Python decoded it, with surrogates in place of what is no UTF-8.

    Returns:
        The text.

    Raises:
        InputError: it is not.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{what} is not UTF-8 text: {text[:80]!a}; type it again, or rename the file that has "
            f"this name"
        ) from None
    return text


def one_line(said: object) -> str:
    """What an error says, on one line, and not without end."""
    words = " ".join(str(said).split())
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]} …"


def explained(error: BaseException) -> str:
    """One line about anything that was raised.

    Args:
        error: one of ours, whose words are kept; or whatever a library raises.

    Returns:
        What is wrong and what helps.
    """
    if isinstance(error, CSAError):
        return one_line(error)
    words = one_line(error)[:300]
    said = beyond_us(error)
    if said is not None:
        return said
    if isinstance(error, OSError) and error.errno in (ENAMETOOLONG, ELOOP):
        return f"{str(error.filename)[:80]!r} can be no file ({error.strerror}); give another name"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'the system'}: {error.strerror}; {_place(error)}"
    kind = type(error).__name__
    return f"{kind}: {words or 'no words'}; {_place(error)}"


def _place(error: BaseException) -> str:
    """Where in this package it came from, and how to see more."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(_PACKAGE)]
    at = f" at {Path(ours[-1].filename).relative_to(_PACKAGE)}:{ours[-1].lineno}" if ours else ""
    return (
        f"nothing here was ready for this{at}; if the input is sound, report it with what "
        f"{TRACEBACK}=1 shows"
    )
