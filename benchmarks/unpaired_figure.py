"""R@1 against the number of paired photos with and without unpaired items, from
benchmarks/results/unpaired.json; the table of docs/unpaired.md goes to the terminal.

python -m benchmarks.unpaired_figure [docs/images/unpaired.png]
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.unpaired import METHODS, RESULTS
from csa.figures.methods import LINES, Axes, Curve, curves_chart
from csa.figures.rendering import save_png
from csa.results.estimate import Estimate
from csa.storage.files import read_json

_SHOWN = {
    "pairs": "pairs alone",
    "pools": "with unpaired items",
    "pools and bridge": "with unpaired items and labels",
}
_WAYS = {"image_to_text": "image → text", "text_to_image": "text → image"}
_NONE = "labels and no pair"


def unpaired(rows: list[dict[str, Any]], path: Path) -> None:
    """Mean recall at 1 over subsets; what no pair at all reaches is a level line.

    Args:
        rows: of benchmarks/results/unpaired.json.
        path: of the PNG.
    """
    panels = {
        f"Flickr8k, {title}": [
            *(_curve(rows, method, way) for method in METHODS),
            *_level(rows, way),
        ]
        for way, title in _WAYS.items()
    }
    against = Axes("paired photos (five captions each)", "recall at 1, %", logarithmic=True)
    save_png(curves_chart("unpaired", "", panels, against).figure, path)


def _estimate(row: dict[str, Any], way: str) -> Estimate:
    value = row[f"{way}_r1"] / 100
    return Estimate(value, value, value)


def _curve(rows: list[dict[str, Any]], method: str, way: str) -> Curve:
    points: dict[float, list[Estimate]] = {}
    for row in rows:
        if row["method"] == method and row["photos"]:
            points.setdefault(row["photos"], []).append(_estimate(row, way))
    return Curve(_SHOWN[method], points, LINES[METHODS.index(method)])


def _level(rows: list[dict[str, Any]], way: str) -> list[Curve]:
    found = [_estimate(row, way) for row in rows if not row["photos"]]
    places = sorted({row["photos"] for row in rows if row["photos"]})
    points: dict[float, list[Estimate]] = {place: found for place in (places[0], places[-1])}
    return [Curve(_NONE, points, LINES[len(METHODS)])] if found else []


def table(rows: list[dict[str, Any]]) -> str:
    """R@1 both ways with standard errors over subsets, FOSCTTM and seconds, in Markdown."""
    lines = [f"| photos | {' | '.join(_SHOWN[m] for m in METHODS)} |", "|---" * 4 + "|"]
    for n in sorted({row["photos"] for row in rows}):
        cells = [
            _cell([row for row in rows if (row["photos"], row["method"]) == (n, method)])
            for method in METHODS
        ]
        lines.append(f"| {n:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "-"
    recalls = " / ".join(_mean([row[f"{way}_r1"] for row in rows]) for way in _WAYS)
    closer = np.mean([row["foscttm"] for row in rows])
    return f"{recalls}; {closer:.3f}; {np.mean([row['fit_seconds'] for row in rows]):.0f} s"


def _mean(values: list[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:.1f}"
    return f"{np.mean(values):.1f}±{np.std(values, ddof=1) / np.sqrt(len(values)):.1f}"


if __name__ == "__main__":
    found = read_json(RESULTS)["rows"]
    unpaired(found, Path((sys.argv[1:] or ["docs/images/unpaired.png"])[0]))
    print(table(found))
