"""The frame of a page: templates, number formats, and a policy that forbids it every network
request.

Everything is escaped by the template engine; only figures, which this package draws itself, are
not.
"""

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from csa.figures.rendering import inline_svg
from csa.results.words import spaced

_FOLDER = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class Section:
    """A part of a page: its anchor, its title, its template in templates/sections, and what that
    template shows.
    """

    id: str
    title: str
    facts: Any

    @property
    def template(self) -> str:
        """The template's path."""
        return f"sections/{self.id}.html"


def render_page(
    template: str, sections: list[Section], script: str | None = None, **facts: Any
) -> str:
    """One self-contained page.

    Args:
        template: in templates/, extending page.html.
        sections: in order.
        script: in templates/, run after the frame's own; None for a page that needs no other.
        facts: what the template shows besides.

    Returns:
        The page's HTML.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals |= {
        function.__name__: function
        for function in (inline_svg, share, percent, decimal, signed, count, day, spaced, sentence)
    }
    dark = _read("dark.css").strip()
    code = "".join(map(_read, ["theme.js", *([script] if script else [])]))
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    page = environment.get_template(template).render(
        sections=sections,
        style=_safe(_read("style.css").replace("/* dark */", dark)),
        script=_safe(code),
        script_hash=_safe(f"sha256-{digest}"),
        **facts,
    )
    return "\n".join(line for line in page.splitlines() if line.strip()) + "\n"


def share(value: float) -> str:
    """A place on a bar, as CSS: a percentage kept in [0, 100]."""
    return f"{100 * min(max(value, 0.0), 1.0):.2f}%"


def percent(value: float, digits: int = 1) -> str:
    """0.355 as 35.5 %, with a no-break space.

    Args:
        value: a share.
        digits: behind the point.

    Returns:
        The percentage.
    """
    return f"{100 * value:.{digits}f}\u00a0%"


def decimal(value: float, digits: int = 3) -> str:
    """A number with a true minus sign.

    Args:
        value: any number.
        digits: behind the point.

    Returns:
        The number.
    """
    return f"{value:.{digits}f}".replace("-", "\u2212")


def signed(value: float, digits: int = 3) -> str:
    """A number with its sign.

    Args:
        value: any number.
        digits: behind the point.

    Returns:
        The number, with a true minus sign where it is negative.
    """
    return f"{value:+.{digits}f}".replace("-", "\u2212")


def count(value: float) -> str:
    """A whole number, or a half, with separators."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def day(iso: str) -> str:
    """An ISO 8601 time as people write a day and an hour."""
    return f"{datetime.fromisoformat(iso):%-d %B %Y, %H:%M} UTC"


def sentence(text: str) -> str:
    """With a capital first letter and a full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _safe(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)
