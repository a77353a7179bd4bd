"""Stage `check`: whether the data may be fitted on."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from csa.checks.checks import admit
from csa.checks.data_checks import Anchor, check_data, check_pool
from csa.core.matrices import Array
from csa.datasets.items import item_loader
from csa.datasets.roots import dataset_root
from csa.errors import DataError
from csa.modalities.image import NO_LOOK, look_of
from csa.params.checks import ChecksParams
from csa.pipeline.data import PipelineData
from csa.pipeline.workspace import Workspace
from csa.storage.files import write_json


def check_stage(ws: Workspace) -> dict[str, Any]:
    """Check that the data may be fitted on; what was found is written even where it may not."""
    data = PipelineData(ws)
    params = data.params
    limits: ChecksParams = params.checks
    checks = check_data(
        data.pairs,
        params.view_names,
        data.feature_tables,
        Anchor(params.anchor_view, looks_of(data, params.anchor_view)),
        limits,
    )
    test = data.pairs.filter(pl.col("split") == "test")
    for view in params.view_names:
        pool = data.unpaired(view)
        if pool is not None:
            held_out = test[f"{view}_hash"].unique().sort().to_list()
            checks.append(check_pool(view, held_out, data.features(view), pool, limits))
    write_json(ws.checks, [check.as_dict() for check in checks])
    admit(checks)
    write_json(ws.admitted, {"admitted": True})
    return {"checks": len(checks), "warnings": sum(check.outcome == "warn" for check in checks)}


def looks_of(data: PipelineData, view: str) -> Callable[[list[str]], Array] | None:
    """What the pictures of a view look like.

    Args:
        data: of a workspace where ingest has run.
        view: its name.

    Returns:
        A function of items' hashes, as `csa.checks.data_checks.Anchor` takes it; None if the
        view's items are no pictures.
    """
    settings, dataset = data.params.views[view], data.params.dataset
    if settings.modality != "image":
        return None
    load = item_loader(settings, dataset_root(dataset, data.ws.root), dataset.max_image_pixels)
    items = data.pairs.select(f"{view}_hash", view).unique(f"{view}_hash", keep="first")
    names = dict(items.iter_rows())

    def look(item: str) -> Array:
        try:
            return look_of(load(names[item]))
        except DataError:  # gone since ingest: nothing is said of it
            return NO_LOOK

    return lambda asked: np.stack([look(item) for item in asked])
