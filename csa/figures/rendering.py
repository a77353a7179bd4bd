"""A figure as a PNG, or as an inline SVG that follows the page's theme.

The same figure gives the same bytes: neither form holds a date, a version or a random id. Render a
figure once, and draw it again for another form: Matplotlib lays out what it laid out before.
"""

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from csa.figures.fonts import readable
from csa.figures.style import VARIABLES, Chart, styled
from csa.storage.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 130
_SVG = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"
_LEFT_OUT = {f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"}
_AS_IT_IS = ("aria-labelledby", "class", "viewBox", "d")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_COLOUR = re.compile("|".join(VARIABLES))


def save_png(figure: "Figure", path: Path, title: str = "") -> None:
    """Write a figure as a PNG.

    Args:
        figure: of any style.
        path: where to; its folder is made.
        title: drawn above the figure; in a page it stands below.
    """
    buffer = io.BytesIO()
    with styled(), readable(figure):
        _put_title(figure, title)
        figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    write_atomic(path, buffer.getvalue())


def _put_title(figure: "Figure", title: str) -> None:
    """A title at the left; it heads the legend, which stands where a title would."""
    from matplotlib.font_manager import FontProperties

    font = FontProperties(weight="bold", size=12)
    if title and figure.legends:
        figure.legends[0].set_title(title, prop=font)
    elif title:
        figure.suptitle(title, x=0.01, ha="left", fontproperties=font)


def inline_svg(chart: Chart) -> str:
    """A figure as an `<svg>` element of a page.

    Its colours are the page's CSS variables, so it follows the light and the dark theme. Its text
    stays text: it has the page's typeface, can be selected, and is read aloud. Its ids begin with
    the chart's name, so several figures lie in one page.

    Args:
        chart: its title and description are there for screen readers.
    """
    buffer = io.StringIO()
    with styled():
        chart.figure.savefig(
            buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
    # a label may hold characters that XML has no place for
    drawn = ElementTree.fromstring(_NOT_XML.sub("\ufffd", buffer.getvalue()))
    root = ElementTree.Element(
        f"{{{_SVG}}}svg",
        {
            "class": "chart",
            "viewBox": drawn.attrib["viewBox"],
            "role": "img",
            "aria-labelledby": f"{chart.name}-title {chart.name}-description",
        },
    )
    for part, text in (("title", chart.title), ("desc", chart.description)):
        name = f"{chart.name}-{'title' if part == 'title' else 'description'}"
        element = ElementTree.SubElement(root, f"{{{_SVG}}}{part}", {"id": name})
        element.text = _NOT_XML.sub("\ufffd", text)
    root.extend(child for child in drawn if child.tag not in _LEFT_OUT)
    for element in root.iter():
        _fit_into_page(element, chart.name)
    ElementTree.register_namespace("", _SVG)
    return ElementTree.tostring(root, encoding="unicode")


def _fit_into_page(element: ElementTree.Element, name: str) -> None:
    """Make ids the figure's own, colours the page's, and leave the typeface to the page."""
    for parent in (element, *element):
        for child in [child for child in parent if child.tag in _LEFT_OUT]:
            parent.remove(child)
    if not (element.text or "").strip():
        element.text = None
    element.tail = "\n" if (element.tail or "").strip() == "" else element.tail
    attributes = [(key, _fitted(key, value, name)) for key, value in element.attrib.items()]
    element.attrib.clear()
    element.attrib.update({("href" if key == _LINK else key): value for key, value in attributes})


def _fitted(key: str, value: str, name: str) -> str:
    """An attribute's value as the page needs it."""
    if key == "id":
        return value if value.startswith(f"{name}-") else f"{name}-{value}"
    if key == _LINK:
        return value.replace("#", f"#{name}-", 1)
    if key in _AS_IT_IS:
        return value
    value = value.replace("url(#", f"url(#{name}-")
    value = _COLOUR.sub(lambda found: f"var({VARIABLES[found[0]]})", value)
    value = re.sub(r"font: ([\d.]+px) [^;]*", r"font-size: \1", value)
    return re.sub(r"font-family: [^;]*;?\s*", "", value)
