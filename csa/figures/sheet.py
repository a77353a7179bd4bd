"""Retrieval sheets: queries with their top results as pictures and texts, the right answers
marked.
"""

import textwrap
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from csa.figures.rendering import save_png
from csa.figures.style import GOOD, MUTED, blank_figure

if TYPE_CHECKING:
    from PIL.Image import Image

_CELL_INCHES = 1.45
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
    figure = blank_figure(
        _CELL_INCHES * (columns + 0.3), _CELL_INCHES * 1.22 * len(rows) + 0.3 + 0.2 * len(lines)
    )
    figure.suptitle("\n".join(lines), fontsize=11, fontweight="bold", x=0.01, ha="left")
    grid = figure.add_gridspec(len(rows), columns + 1, width_ratios=[1, 0.12, *[1] * (columns - 1)])
    for i, row in enumerate(rows):
        _draw_item(figure.add_subplot(grid[i, 0]), row.query, row.note, edge=MUTED, width=0.8)
        for k, result in enumerate(row.results):
            edge, width = (GOOD, 3.0) if result.right else (MUTED, 0.4)
            _draw_item(
                figure.add_subplot(grid[i, k + 2]), result.item, f"{result.score:.2f}", edge, width
            )
    save_png(figure, path)


def draw_grid(cells: "list[tuple[Image | str, str]]", title: str, path: Path) -> None:
    """Write items, each with a line below it, as a grid of eight columns (PNG).

    Args:
        cells: a picture or a text, and the line below it.
        title: of the grid.
        path: where to.
    """
    columns = min(_GRID_COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    figure = blank_figure(_CELL_INCHES * max(columns, 3), _CELL_INCHES * 1.22 * rows + 0.4)
    figure.suptitle(
        textwrap.shorten(title, _TITLE_CHARACTERS * max(columns, 3)),
        fontsize=11,
        fontweight="bold",
        x=0.01,
        ha="left",
    )
    grid = figure.add_gridspec(rows, max(columns, 3))
    for i, (item, line) in enumerate(cells):
        axes = figure.add_subplot(grid[divmod(i, columns)])
        _draw_item(
            axes, item, textwrap.shorten(line, _LINE_CHARACTERS, placeholder=" …"), MUTED, 0.4
        )
    save_png(figure, path)


def _draw_item(axes: Any, item: "Image | str", caption: str, edge: str, width: float) -> None:
    if isinstance(item, str):
        axes.text(0.5, 0.5, _broken(item), ha="center", va="center", fontsize=7.5, parse_math=False)
        axes.set(xlim=(0, 1), ylim=(0, 1))
    else:
        axes.imshow(item)
    axes.set(xticks=[], yticks=[])
    axes.set_box_aspect(1)
    axes.set_xlabel(caption, fontsize=7, labelpad=2)
    for spine in axes.spines.values():
        spine.set(edgecolor=edge, linewidth=width)


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
