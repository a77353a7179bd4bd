"""Matplotlib figures as inline SVG that follow the page's theme: their colours are the page's CSS
variables.

Text stays text, so it is the page's typeface, can be selected, and is read aloud. The same figure
gives the same bytes.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Stand-ins that Matplotlib draws with, and the CSS variable that takes their place. No two are
# alike, and none is a grey it uses.
INK, MUTED, RULE = "#00010a", "#00010b", "#00010c"
FIRST, SECOND, THIRD, GOOD, BAD = "#00020a", "#00020b", "#00020c", "#00020d", "#00020e"
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    RULE: "--rule",
    FIRST: "--first",
    SECOND: "--second",
    THIRD: "--third",
    GOOD: "--good",
    BAD: "--bad",
}

_STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.labelsize": 11,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "legend.fontsize": 10.5,
    "legend.frameon": False,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "axes.edgecolor": RULE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "grid.alpha": 0.6,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "text.parse_math": False,  # a class may be called $5
    "svg.fonttype": "none",
    "svg.hashsalt": "csa",
}


@dataclass(frozen=True)
class Chart:
    """An inline SVG, what it shows in one line (its title), and in words for those who cannot
    see it.
    """

    name: str
    title: str
    description: str
    svg: str


@contextmanager
def drawn(width: float = 380, height: float = 255) -> Iterator[tuple["Figure", Any]]:
    """A figure of the given size in CSS pixels with one axes, in the house style."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # the browser draws the text, in a font that has it
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
        FigureCanvasSVG(figure)
        yield figure, figure.add_subplot()


def chart(figure: "Figure", name: str, title: str, description: str) -> Chart:
    """Render a figure that `drawn` made; call it inside the `with`.

    Args:
        figure: the figure.
        name: a word unlike that of any other figure on the page; element ids begin with it.
        title: one line.
        description: the same for those who cannot see it.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return Chart(name, title, description, _inline(buffer.getvalue(), name, title, description))


def _inline(svg: str, name: str, title: str, description: str) -> str:
    body = svg[svg.index("<svg") :]
    opening, body = body.split(">", 1)
    viewbox = re.search(r'viewBox="[^"]*"', opening)
    assert viewbox is not None
    body = re.sub(r"\s*<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"\s*<style type=\"text/css\">.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'href="#', f'href="#{name}-', body).replace("xlink:href", "href")
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", body)
    body = re.sub(r"font-family: [^;\"]*;?\s*", "", body)
    for stand_in, variable in _VARIABLES.items():
        body = body.replace(stand_in, f"var({variable})")
    body = re.sub(r"\n\s*", "\n", body)
    head = (
        f'<svg class="chart" xmlns="http://www.w3.org/2000/svg" {viewbox[0]} role="img" '
        f'aria-labelledby="{name}-title {name}-description">'
        f'<title id="{name}-title">{escape(title)}</title><desc '
        f'id="{name}-description">{escape(description)}</desc>'
    )
    return head + body.strip()
