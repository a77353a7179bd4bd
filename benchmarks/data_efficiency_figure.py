"""R@1 against the number of training images, drawn from benchmarks/results/data_efficiency.json.

python -m benchmarks.data_efficiency_figure [docs/images/data_efficiency.png]
"""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.data_efficiency import RESULTS
from csa.figures.methods import LINES, Axes, Curve, curves_chart
from csa.figures.rendering import save_png
from csa.results.estimate import Estimate

_SHOWN = {
    "default": "CSA()",
    "published, best s on dev": "CSA as published, its best s told",
    "contrastive head": "trained contrastive head",
    "regularised CCA cosine": "regularised CCA, cosine",
    "ASIF": "ASIF",
}
_WAYS = {"image_to_text": "image → text", "text_to_image": "text → image"}


def data_efficiency(rows: list[dict[str, Any]], path: Path) -> None:
    """Mean recall at 1 over subsets, with the mean 95 % interval as a band, for both directions
    side by side.

    Args:
        rows: of benchmarks/results/data_efficiency.json.
        path: of the PNG.
    """
    panels = {
        f"Flickr8k, {title}": [_curve(rows, method, way) for method in _SHOWN]
        for way, title in _WAYS.items()
    }
    against = Axes("training images (five captions each)", "recall at 1, %", logarithmic=True)
    save_png(curves_chart("data-efficiency", "", panels, against).figure, path)


def _curve(rows: list[dict[str, Any]], method: str, way: str) -> Curve:
    points: dict[float, list[Estimate]] = {}
    for row in rows:
        if row["method"] == method:
            points.setdefault(row["images"], []).append(Estimate(**row[way]["recall_at_1"]))
    return Curve(_SHOWN[method], points, LINES[list(_SHOWN).index(method)], banded=True)


if __name__ == "__main__":
    data_efficiency(
        json.loads(RESULTS.read_text())["rows"],
        Path((sys.argv[1:] or ["docs/images/data_efficiency.png"])[0]),
    )
