"""R@1 against the number of training images, drawn from benchmarks/results/data_efficiency.json.

python -m benchmarks.data_efficiency_figure [docs/images/data_efficiency.png]
"""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.data_efficiency import RESULTS
from csa.figures.curves import Curve, draw_curves
from csa.figures.figures import BLUE, GREEN, GREY, ORANGE
from csa.results.estimate import Estimate

_SHOWN = {
    "default": (BLUE, "-", "CSA()"),
    "published, best s on dev": (ORANGE, "-", "CSA as published, its best s told"),
    "contrastive head": (GREEN, "--", "trained contrastive head"),
    "regularised CCA cosine": (GREY, "--", "regularised CCA, cosine"),
    "ASIF": (GREY, ":", "ASIF"),
}
_WAYS = {"image_to_text": "image → text", "text_to_image": "text → image"}


def data_efficiency(rows: list[dict[str, Any]], path: Path) -> None:
    """Mean recall at 1 over subsets, with the mean 95 % interval as a band, for both directions
    side by side.
    """
    panels = {
        f"Flickr8k, {title}": [_curve(rows, method, way) for method in _SHOWN]
        for way, title in _WAYS.items()
    }
    draw_curves(
        panels, "training images (five captions each)", "recall at 1, %", path, logarithmic=True
    )


def _curve(rows: list[dict[str, Any]], method: str, way: str) -> Curve:
    colour, line, label = _SHOWN[method]
    points: dict[float, list[Estimate]] = {}
    for row in rows:
        if row["method"] == method:
            points.setdefault(row["images"], []).append(Estimate(**row[way]["recall_at_1"]))
    return Curve(label, points, (colour, line))


if __name__ == "__main__":
    data_efficiency(
        json.loads(RESULTS.read_text())["rows"],
        Path((sys.argv[1:] or ["docs/images/data_efficiency.png"])[0]),
    )
