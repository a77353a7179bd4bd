"""Colours on a terminal: states, verdicts, notes and errors, at the places where csa writes them.

Text is coloured after `csa.storage.terminal` has made control characters visible, so nothing that
somebody else wrote can add a colour. Pipes, files and NO_COLOR get the text alone.
"""

import os
import re
from collections.abc import Callable
from functools import partial
from typing import Any, TextIO

import click

_GOOD: dict[str, Any] = {"fg": "green"}
_OPEN: dict[str, Any] = {"fg": "yellow"}
_BAD: dict[str, Any] = {"fg": "red", "bold": True}
_HEAD: dict[str, Any] = {"bold": True}
_SHOWN = (
    (r"^(csa: (?:error|refused):)", _BAD),
    (r"^(csa:)(?! error:| refused:)", _OPEN),
    (r"^(workspace \S+)", _HEAD),
    (r"^(\S+  run )[0-9a-f]{8,}", _HEAD),
    (r"^  [\w@.-]+ +(up to date|unchanged|restored|ran)\b", _GOOD),
    (r"^  [\w@.-]+ +(out of date|follows|running)\b", _OPEN),
    (r"^  gate +(promote)\b", _GOOD),
    (r"^  gate +(keep)\b", _OPEN),
    (r"^  checks +(\d+ passed)", _GOOD),
    (r"^  (?:checks|to forget) +(\S+ (?:warn|fail|items)\w*)", _OPEN),
    (r"^  (note:)", _OPEN),
    (r"^(nothing to do)", _GOOD),
    (r"^(ok) ", _GOOD),
    (r"^(missing:|FAIL) ", _BAD),
    (r"^([Nn]ext:|Report:) ", _HEAD),
)
_RULES = [(re.compile(pattern, re.MULTILINE), style) for pattern, style in _SHOWN]


def painter(stream: TextIO) -> Callable[[str], str]:
    """What colours the text for a stream.

    Args:
        stream: such as `sys.stdout`.

    Returns:
        `coloured` for a terminal that knows colours, unless NO_COLOR is set
        (https://no-color.org); else what leaves a text as it is.
    """
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return coloured if stream.isatty() and not plain else str


def coloured(text: str) -> str:
    """A text with its states, verdicts, notes and errors in colour.

    Args:
        text: one or more whole lines, as a command prints them.

    Returns:
        The same text with escape sequences of colours.

    >>> coloured("  fit           ran in 2.0 s")
    '  fit           \\x1b[32mran\\x1b[0m in 2.0 s'
    """
    for pattern, style in _RULES:
        text = pattern.sub(partial(_styled, style=style), text)
    return text


def _styled(found: re.Match[str], *, style: dict[str, Any]) -> str:
    """What was found, with its group in a style."""
    start, end = (place - found.start() for place in found.span(1))
    whole = found[0]
    return f"{whole[:start]}{click.style(whole[start:end], **style)}{whole[end:]}"
