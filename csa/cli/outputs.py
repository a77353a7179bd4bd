"""Where a command is asked to write: looked at before any work is done for it."""

import os
from pathlib import Path
from typing import Any

import click

from csa.errors import InputError
from csa.storage.files import what_is


class OutputFile(click.ParamType[Path]):
    """The path of a file to write, refused where writing would fail or destroy.

    What lies there already is replaced only where it is a regular file; a link is followed. The
    name is kept as it was given.

    Args:
        endings: which the name may have, such as ".png".
    """

    name = "file"

    def __init__(self, *endings: str) -> None:
        self._endings = endings

    def convert(self, value: Any, param: Any, ctx: Any) -> Path:
        """The path, if it can be written."""
        path = Path(value)
        what = max(param.opts, key=len) if isinstance(param, click.Option) else "output"
        if path.suffix.lower() not in self._endings:
            raise InputError(
                f"{what} {value!r}: csa cannot write this kind of file; give a name that ends in "
                f"{' or '.join(self._endings)}"
            )
        _check_place(path, f"{what} {value!r}")
        return path.resolve() if path.is_symlink() else path


def _check_place(path: Path, said: str) -> None:
    """Refuse a path that cannot be written, or where something that is not a file lies."""
    found = what_is(path)
    if path.is_symlink() and found == "nothing":
        found = "a link that leads nowhere"
    if found not in ("a file", "nothing"):
        raise InputError(f"{said}: this is {found}, and csa never replaces it; give another name")
    above = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    if not above.is_dir():
        raise InputError(f"{said}: {above} is not a folder; give a path inside one")
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"{said}: nothing can be written in {above}; choose another folder")
    try:
        path.with_name(path.name + "x" * 16).lstat()  # as long as its temporary file's name
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or "no such name is possible"
        raise InputError(f"{said}: {words}; give another name") from None
