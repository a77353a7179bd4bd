"""What is printed cannot steer the terminal: a caption, a file's name or a library's message may
hold escape sequences, and nobody typed them.
"""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

# Control characters, marks that turn the direction of writing, line ends that are no \n, and what
# is no UTF-8. A carriage return is a progress bar's on standard error; elsewhere it hides text.
_STEERS = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_OUT, _ERR = re.compile(f"[{_STEERS}\r]"), re.compile(f"[{_STEERS}]")
_COLOUR = re.compile(r"\x1b\[[\d;]*m")


class Visible:
    """A text stream whose control characters are written as escapes that can be read.

    Args:
        stream: where the text goes.
        steers: what is made visible.
        paint: adds colours to text that has been made visible.
    """

    def __init__(
        self, stream: TextIO, steers: re.Pattern[str], paint: Callable[[str], str] = str
    ) -> None:
        self._stream, self._steers, self._paint = stream, steers, paint

    def write(self, text: str) -> int:
        """Write a text, made visible; the number of its characters."""
        self._stream.write(self._paint(self._steers.sub(_escape, text)))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _escape(found: re.Match[str]) -> str:
    return repr(found[0])[1:-1]


def visible(text: str) -> str:
    """A text with its control characters made visible; tabs and line feeds stay.

    Args:
        text: anything.

    Returns:
        What a terminal shows as it is.

    >>> visible("a cat\\x1b[2J")
    'a cat\\\\x1b[2J'
    """
    return _OUT.sub(_escape, text)


def uncoloured(text: str) -> str:
    """A text without the escape sequences that colour it.

    Args:
        text: what another program wrote.

    Returns:
        The same letters.

    >>> uncoloured("\\x1b[31mERROR\\x1b[39m: no space left")
    'ERROR: no space left'
    """
    return _COLOUR.sub("", text)


@contextmanager
def made_visible(
    painter: Callable[[TextIO], Callable[[str], str]] = lambda stream: str,
) -> Iterator[None]:
    """While the block runs, all that this process prints is visible text.

    Args:
        painter: gives for a stream what adds colours to visible text; by default nothing does.

    Yields:
        Nothing.
    """
    out, err = sys.stdout, sys.stderr
    sys.stdout = Visible(out, _OUT, painter(out))
    sys.stderr = Visible(err, _ERR, painter(err))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err
