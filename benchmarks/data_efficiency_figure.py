"""R@1 against the number of training images, drawn from benchmarks/results/data_efficiency.json.

python -m benchmarks.data_efficiency_figure [docs/images/data_efficiency.png]
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data_efficiency import RESULTS
from csa.report.figures import BLUE, GREEN, GREY, ORANGE, new_figure, plain_axes, save

_SHOWN = {
    "default": (BLUE, "-", "CSA()"),
    "published, best s on dev": (ORANGE, "-", "CSA as published, its best s told"),
    "contrastive head": (GREEN, "--", "trained contrastive head"),
    "regularised CCA cosine": (GREY, "--", "regularised CCA, cosine"),
    "ASIF": (GREY, ":", "ASIF"),
}
_WAYS = {"image_to_text": "image → text", "text_to_image": "text → image"}


def data_efficiency(rows: list[dict[str, Any]], path: Path) -> None:
    """Mean recall at 1 over subsets, with the mean 95 % interval as a band, for both directions side by side."""
    figure = new_figure(10, 4)
    for column, (way, title) in enumerate(_WAYS.items()):
        axes = figure.add_subplot(1, 2, column + 1)
        for method, (colour, line, label) in _SHOWN.items():
            sizes = sorted({row["images"] for row in rows if row["method"] == method})
            if not sizes:
                continue
            estimates = [
                [row[way]["recall_at_1"] for row in rows if (row["method"], row["images"]) == (method, n)] for n in sizes
            ]
            value, low, high = (
                [100 * np.mean([e[key] for e in subsets]) for subsets in estimates] for key in ("value", "low", "high")
            )
            axes.plot(sizes, value, line, color=colour, label=label, marker="o", markersize=3)
            axes.fill_between(sizes, low, high, color=colour, alpha=0.12, linewidth=0)
        axes.set_xscale("log")
        plain_axes(axes, f"Flickr8k, {title}", "training images (five captions each)", "recall at 1, %")
        if not column:
            axes.legend(frameon=False, fontsize=8)
    save(figure, path)


if __name__ == "__main__":
    data_efficiency(json.loads(RESULTS.read_text())["rows"], Path((sys.argv[1:] or ["docs/images/data_efficiency.png"])[0]))
