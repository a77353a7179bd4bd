"""Which test holds which promise: every table of the pages here whose last column is `test`, row by
row, with the files in which the tests lie.
"""

import ast
import re
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path

DOCS = Path(__file__).parent
TESTS = DOCS.parent / "tests"
_NAMED = re.compile(r"`(test_\w+)::(test_\w+)`")


@dataclass(frozen=True)
class Promise:
    """A row of a table of promises.

    Attributes:
        page: its name.
        cells: what the row says, without the last cell.
        tests: those that the last cell names, as (file without its ending, function).
    """

    page: str
    cells: tuple[str, ...]
    tests: tuple[tuple[str, str], ...]


def promises(pages: Path = DOCS) -> list[Promise]:
    """Every promise, in the order in which the pages make them.

    Args:
        pages: folder of the pages.

    Returns:
        A row of a table each; the table's last heading is `test`.
    """
    return [
        Promise(page.name, tuple(cells), tuple(_NAMED.findall(named)))
        for page in sorted(pages.glob("*.md"))
        for heading, rows in _tables(page.read_text(encoding="utf-8"))
        if heading[-1] == "test"
        for *cells, named in rows
    ]


def _tables(text: str) -> list[tuple[list[str], list[list[str]]]]:
    """Heading and rows of every table of a page."""
    found = []
    for in_table, lines in groupby(text.splitlines(), key=lambda line: line.startswith("|")):
        if in_table:
            heading, _, *rows = ([cell.strip() for cell in _cells(line)] for line in lines)
            found.append((heading, rows))
    return found


def _cells(line: str) -> list[str]:
    return re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))


@cache
def functions(tests: Path = TESTS) -> dict[tuple[str, str], list[Path]]:
    """(file without its ending, function) -> the files of that name that have the test.

    Args:
        tests: folder of the tests.
    """
    found: dict[tuple[str, str], list[Path]] = {}
    for file in sorted(tests.glob("**/test_*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found.setdefault((file.stem, node.name), []).append(file)
    return found


def faults(promised: list[Promise]) -> list[str]:
    """What is wrong with promises: they name no test, or one that is not there.

    Args:
        promised: rows.

    Returns:
        A line for each fault.
    """
    told = []
    for row in promised:
        at = f"{row.page}: {row.cells[0]!r}"
        told += [] if row.tests else [f"{at} names no test; write `test_file::test_name`"]
        for file, name in row.tests:
            there = len(functions().get((file, name), ()))
            if there != 1:
                told.append(f"{at} names {file}::{name}, which {there} files have")
    return told


def tested() -> str:
    """The index, as Markdown.

    Raises:
        ValueError: a promise has no test; a line for each such row.
    """
    rows = promises()
    wrong = faults(rows)
    if wrong:
        raise ValueError("\n".join(wrong))
    lines = [
        "# Which test holds each promise",
        "",
        "Made by `python -m docs.generate` from every table whose last column is `test`; "
        "`make check` fails where a row has none. Run one with",
        "`python -m pytest FILE -k NAME`.",
    ]
    for page, of_page in groupby(rows, key=lambda row: row.page):
        lines += ["", f"## [{page}]({page})", "", "| promise | held by |", "|---|---|"]
        for row in of_page:
            held = (
                f"[`{file}::{name}`](../{functions()[file, name][0].relative_to(DOCS.parent)})"
                for file, name in row.tests
            )
            lines.append(f"| {': '.join(filter(None, row.cells))} | {'<br>'.join(held)} |")
    return "\n".join(lines)
