"""CLAIMS.md: where each measured number of the pages comes from, and which of them have no home.

A *claim* is a block of a page (a paragraph, a list, a table) that has a number with a decimal point
or with one of the units in `_UNIT`, or console output with a per cent. A comment on a line of its
own, right before the block, names its home:

    <!-- measured: NAME -->      each of its numbers stands in benchmarks/results/NAME.json
    <!-- computed: NAME -->      they were worked out from that file by hand, such as a ratio
    <!-- once: COMMIT, HOW -->   measured once, and no file was kept
    <!-- set -->                 people have chosen them, such as a limit: nothing is measured

Columns of a table whose heading begins with `goal` or `chance` are no claims. Nor are the pages
that are made from the code, what a tutorial's own commands print, and the records of decisions.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
_UNIT = r"(?: ?(?:%|(?:s|ms|seconds|minutes|hours|MB|GB|MiB|times)\b)|x(?!\w))"
_NUMBER = re.compile(rf"(?<![\w.])(?:\d[\d,]*(?:\.\d+)?(?={_UNIT})|\d*\.\d+(?!\.?\w))")
_MARK = re.compile(r"^<!-- (measured|computed|once|set)(?:: (.+?))? -->$", re.MULTILINE)
# what is no text, and numbers that are names
_ASIDE = re.compile(
    r"<!--.*?-->|`[^`]*`|\]\([^)]*\)|(?:Apache|BY-SA|wav2vec|Python|arXiv|version) [\d.]+"
)
_FILES = ("measured", "computed")
_NO_CLAIMS = {"CLAIMS.md", "CHANGELOG.md", "cli.md", "parameters.md", "tested.md"}


@dataclass(frozen=True)
class Claim:
    """A block of a page that has measured numbers.

    Attributes:
        page: its path in the repository.
        line: where the block begins.
        section: the heading above it.
        numbers: as the page has them, without units.
        homes: (kind, what it names) of each mark.
    """

    page: str
    line: int
    section: str
    numbers: list[str]
    homes: list[tuple[str, str]]


def pages() -> list[Path]:
    """Those whose numbers need a home."""
    folders = (ROOT, ROOT / "benchmarks", ROOT / "docs", ROOT / "docs" / "how-to")
    return [p for at in folders for p in sorted(at.glob("*.md")) if p.name not in _NO_CLAIMS]


def claims(pages: Iterable[Path]) -> list[Claim]:
    """Every claim, in the order of the pages."""
    return [claim for page in pages for claim in _claims(page)]


def _claims(page: Path) -> Iterator[Claim]:
    section = ""
    for line, block in _blocks(page.read_text(encoding="utf-8")):
        section = next((row.lstrip("# ") for row in block if row.startswith("# ")), section)
        section = next((row.lstrip("# ") for row in block if row.startswith("##")), section)
        homes, numbers = _MARK.findall("\n".join(block)), _numbers(block)
        if numbers or homes:
            yield Claim(page.relative_to(ROOT).as_posix(), line, section, numbers, homes)


def _blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """(first line, lines) of what blank lines outside of code part."""
    block: list[str] = []
    code = False
    for at, line in enumerate([*text.splitlines(), ""], 1):
        code ^= line.startswith("```")
        if line.strip() or code:
            block.append(line)
        elif block:
            yield at - len(block), block
            block = []


def _numbers(block: list[str]) -> list[str]:
    if "```" in block:
        return re.findall(r"[\d.]+(?=%)", "\n".join(block))
    found: list[str] = []
    for is_table, rows in groupby(block, key=lambda row: row.startswith("|")):
        lines = [_ASIDE.sub("", row) for row in rows if not row.startswith("#")]
        if not is_table:
            found += _NUMBER.findall("\n".join(lines))
            continue
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        kept = [i for i, head in enumerate(cells[0]) if not head.startswith(("goal", "chance"))]
        found += [n for row in cells for i in kept for n in _NUMBER.findall(row[i])]
    return found


def homeless(claimed: Iterable[Claim]) -> list[str]:
    """What is wrong with claims: no mark, no such file, or a number that is not in it.

    Args:
        claimed: claims of pages.

    Returns:
        A line for each fault, with what to do about it.
    """
    told = []
    for claim in claimed:
        at = f"{claim.page}:{claim.line}"
        names = [name for kind, said in claim.homes if kind in _FILES for name in said.split(", ")]
        lost = [name for name in names if not (RESULTS / f"{name}.json").is_file()]
        if not claim.homes:
            told.append(f"{at}: no home of {', '.join(claim.numbers[:5])}; see docs/claims.py")
        elif not claim.numbers:
            told.append(f"{at}: a mark, and no number that needs one")
        elif lost:
            told.append(f"{at}: there is no benchmarks/results/{lost[0]}.json")
        elif {kind for kind, _ in claim.homes} == {"measured"}:
            absent = [n for n in claim.numbers if not any(_holds(name, n) for name in names)]
            if absent:
                told.append(f"{at}: {', '.join(absent)} not in {' or '.join(names)}.json")
    return told


def _holds(name: str, number: str) -> bool:
    """Whether a file has a value that is rounded to a number, as it is or in per cent."""
    half = 0.5 * 10.0 ** -len(number.partition(".")[2]) + 1e-9
    sought = float(number.replace(",", ""))
    return any(np.abs(scale * _values(name) - sought).min() <= half for scale in (1, 100))


@cache
def _values(name: str) -> Any:
    """Sizes of all numbers that a file has, in its words too, and of what seeds share."""
    text = (RESULTS / f"{name}.json").read_text(encoding="utf-8")
    found = [float(number) for number in re.findall(r"\d+(?:\.\d+)?(?:e-?\d+)?", text)]
    alike = defaultdict(list)
    for row in result_of(name).get("rows", []):
        kind = tuple(row.get(key) for key in ("method", "images", "photos"))
        for key, value in _leaves(row):
            alike[kind, key].append(value)
    for values in alike.values():
        error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
        found += [np.mean(values), np.median(values), error]
    return np.abs(np.array(found, dtype=float))


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{key}/{name}")
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _leaves(inner, f"{key}/{i}")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield key, float(value)


def result_of(name: str) -> dict[str, Any]:
    """What a benchmark has recorded.

    Args:
        name: of the script and of its file.
    """
    result: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return result


def claims_page() -> str:
    """CLAIMS.md: the pages' claims with their homes, and what is known of each file.

    Raises:
        ValueError: a number has no home; a line for each.
    """
    claimed = claims(pages())
    wrong = homeless(claimed)
    if wrong:
        raise ValueError("\n".join(wrong))
    lines = [
        "# Where the numbers come from",
        "",
        "Made by `make docs`, which refuses a measured number without a home; docs/claims.py says "
        "what counts as one. *Measured* numbers",
        "were looked up in the file, *computed* ones were worked out from it. Numbers that were "
        "measured once name a commit and a command.",
        "",
        "## Files",
        "",
        "| file | made by | commit | machine |",
        "|---|---|---|---|",
    ]
    for name in sorted(path.stem for path in RESULTS.glob("*.json")):
        about = result_of(name)
        machine = about["machine"]
        known = f"{machine['cpu']}, {machine['cpus']} cores" if "cpu" in machine else machine
        lines.append(
            f"| [{name}](benchmarks/results/{name}.json) | `{about['command']}` "
            f"([script](benchmarks/{name}.py)) | {about['commit']} | {known} |"
        )
    lines += ["", "Files from before 29 November 2026 name the commit that brought them."]
    for page, of_page in groupby(claimed, key=lambda claim: claim.page):
        rows = [_row(claim) for claim in of_page if claim.homes[0][0] != "set"]
        if rows:
            lines += ["", f"## {page}", "", "| section | numbers | home |", "|---|---|---|", *rows]
    return "\n".join(lines)


def _row(claim: Claim) -> str:
    anchor = re.sub(r"[^\w\- ]", "", claim.section.lower()).replace(" ", "-")
    shown = ", ".join(claim.numbers[:6]) + (" …" if len(claim.numbers) > 6 else "")
    homes = "; ".join(_home(kind, name) for kind, name in claim.homes)
    return f"| [{claim.section}]({claim.page}#{anchor}) | {shown} | {homes} |"


def _home(kind: str, name: str) -> str:
    if kind in _FILES:
        links = (f"[{one}](benchmarks/results/{one}.json)" for one in name.split(", "))
        return f"{kind}: {', '.join(links)}"
    commit, _, how = name.partition(", ")
    return "chosen" if kind == "set" else f"once, {commit}: {how}"
