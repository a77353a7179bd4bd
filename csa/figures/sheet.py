"""Retrieval sheets: queries with their top results as pictures and texts, the right answers
marked.
"""

import textwrap
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from csa.figures.rendering import save_png
from csa.figures.style import GOOD, MUTED, blank_figure

if TYPE_CHECKING:
    from PIL.Image import Image

_CELL_INCHES = 1.45
_SIDE_INCHES = 1.36  # of a frame; the rest parts it from the next
_ROW_INCHES = 1.62  # a frame, the line below it, and what parts it from the next
_QUERY_GAP = 0.12  # in cells, between a query and its results
_MARGIN = 0.08
_TITLE_CHARACTERS = 14  # that fit above one cell
_CELL_CHARACTERS = 17
_CELL_LINES = 7
_LINE_CHARACTERS = 28  # that fit below one cell
_GRID_COLUMNS = 8


@dataclass(frozen=True)
class Result:
    """One retrieved item: what to show, its score, and whether it is right (None: unknown)."""

    item: "Image | str"
    score: float
    right: bool | None = None


@dataclass(frozen=True)
class Row:
    """A query and its results, best first; `note` is a short remark such as the rank of the
    right answer.
    """

    query: "Image | str"
    results: list[Result]
    note: str = ""


def draw_sheet(rows: list[Row], title: str, path: Path) -> None:
    """Write a sheet of queries (left) and their results (right) as a PNG.

    Args:
        rows: one or more.
        title: of the sheet.
        path: where to.
    """
    columns = 1 + max(len(row.results) for row in rows)
    lines = textwrap.wrap(title, _characters(title, _TITLE_CHARACTERS * columns))
    page = _Page(columns + _QUERY_GAP, len(rows), lines)
    for i, row in enumerate(rows):
        page.draw((i, 0), row.query, row.note, (MUTED, 0.8))
        for k, result in enumerate(row.results):
            frame = (GOOD, 3.0) if result.right else (MUTED, 0.4)
            page.draw((i, 1 + _QUERY_GAP + k), result.item, f"{result.score:.2f}", frame)
    save_png(page.figure, path)


def draw_grid(cells: "list[tuple[Image | str, str]]", title: str, path: Path) -> None:
    """Write items, each with a line below it, as a grid of eight columns (PNG).

    Args:
        cells: a picture or a text, and the line below it.
        title: of the grid.
        path: where to.
    """
    columns = min(_GRID_COLUMNS, len(cells))
    rows, wide = -(-len(cells) // columns), max(columns, 3)
    page = _Page(wide, rows, [textwrap.shorten(title, _TITLE_CHARACTERS * wide)])
    for i, (item, line) in enumerate(cells):
        below = textwrap.shorten(line, _LINE_CHARACTERS, placeholder=" …")
        page.draw(divmod(i, columns), item, below, (MUTED, 0.4))
    save_png(page.figure, path)


class _Page:
    """A figure of square cells on one axes, in inches from its lower left corner. An axes a cell
    would be laid out and drawn with two axis of its own each, which takes seconds a sheet.
    """

    def __init__(self, columns: float, rows: int, title: list[str]) -> None:
        width = _CELL_INCHES * (columns + _MARGIN)
        self._top = _ROW_INCHES * rows + _MARGIN
        height = self._top + 0.15 + 0.2 * len(title)
        self.figure = blank_figure(width, height)
        self.figure.set_layout_engine("none")  # each thing has its place
        self._axes: Any = self.figure.add_axes((0, 0, 1, 1))
        self._axes.set_axis_off()
        self._axes.set(xlim=(0, width), ylim=(0, height), autoscale_on=False)
        self.figure.text(
            _MARGIN / width,
            1 - 0.08 / height,
            "\n".join(title),
            fontsize=11,
            fontweight="bold",
            va="top",
            parse_math=False,
        )

    def draw(
        self,
        place: tuple[int, float],
        item: "Image | str",
        line: str,
        frame: tuple[str, float],
    ) -> None:
        """Draw an item and a line below it.

        Args:
            place: row, and column in cells.
            item: a picture or a text.
            line: below it.
            frame: colour, and width in points.
        """
        from matplotlib.patches import Rectangle

        (row, column), (edge, width) = place, frame
        left, top = _MARGIN + _CELL_INCHES * column, self._top - _ROW_INCHES * row
        middle = (left + _SIDE_INCHES / 2, top - _SIDE_INCHES / 2)
        if isinstance(item, str):
            self._axes.text(
                *middle, _broken(item), ha="center", va="center", fontsize=7.5, parse_math=False
            )
        else:
            tall, wide = np.asarray(item).shape[:2]
            x, y = (_SIDE_INCHES / 2 * side / max(tall, wide) for side in (wide, tall))
            extent = (middle[0] - x, middle[0] + x, middle[1] - y, middle[1] + y)
            self._axes.imshow(item, extent=extent, aspect="auto")
        drawn = Rectangle(
            (left, top - _SIDE_INCHES),
            *(_SIDE_INCHES, _SIDE_INCHES),
            fill=False,
            edgecolor=edge,
            linewidth=width,
        )
        self._axes.add_patch(drawn)
        below = top - _SIDE_INCHES - 0.04
        self._axes.text(middle[0], below, line, ha="center", va="top", fontsize=7, parse_math=False)


def _broken(text: str) -> str:
    """A text in as many lines as a cell has."""
    return textwrap.fill(
        text, _characters(text, _CELL_CHARACTERS), max_lines=_CELL_LINES, placeholder=" …"
    )


def _characters(text: str, width: int) -> int:
    """How many of a text's letters fit in a width given in Latin ones; those of East Asian
    scripts are twice as wide.
    """
    wide = any(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return width // 2 if wide else width
