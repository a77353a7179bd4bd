"""Some pairs of a data set as they will be fitted, for a person to look at before anything is
computed.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from csa.datasets.items import item_loader
from csa.figures.sheet import draw_grid
from csa.figures.shown import shown_or_gone
from csa.params.schema import Params

if TYPE_CHECKING:
    import polars as pl

SHOWN = 12
"""Pairs on a sheet."""


def draw_pairs(pairs: "pl.DataFrame", params: Params, root: Path, path: Path) -> int:
    """Draw pairs spread evenly over the table, both items side by side as encoders take them.

    Args:
        pairs: the pairs table.
        params: of the run.
        root: the data set's folder.
        path: of the PNG.

    Returns:
        How many pairs were drawn.
    """
    limit = params.dataset.max_image_pixels
    loaders = {name: item_loader(view, root, limit) for name, view in params.views.items()}
    count = min(SHOWN, len(pairs))
    places = np.linspace(0, len(pairs) - 1, count).round().astype(int).tolist()
    first, *others = loaders
    cells = []
    for row in pairs[places].to_dicts():
        label = f", {row['label']}" if row["label"] else ""
        said = dict.fromkeys(others, f"{row['split']}{label}") | {first: row["pair_id"]}
        cells += [(shown_or_gone(load, row[view]), said[view]) for view, load in loaders.items()]
    draw_grid(cells, f"{count} of {len(pairs):,} pairs: {' and '.join(loaders)}", path)
    return count
