"""What the stages have written, opened for the next one."""

from typing import Any

import polars as pl

from csa.datasets.ingest import dataset_root, item_loader
from csa.datasets.pairs import read_pairs
from csa.features.shards import FeatureTable
from csa.params.schema import Params
from csa.pipeline.workspace import Workspace


def training(ws: Workspace, params: Params) -> tuple[Any, Any, Any]:
    """X, Y and groups of the training pairs."""
    train = read_pairs(ws.pairs).filter(pl.col("split") == "train")
    X, Y = (
        table.rows(train[f"{name}_hash"].to_list())
        for name, table in zip(params.view_names, feature_tables(ws, params), strict=True)
    )
    return X, Y, train["group"].to_numpy()


def feature_tables(ws: Workspace, params: Params) -> tuple[FeatureTable, FeatureTable]:
    """Features of all items of either view, as `embed` left them."""
    first, second = params.view_names
    return FeatureTable.read(ws.features(first)), FeatureTable.read(ws.features(second))


def loaders(ws: Workspace, params: Params) -> list[Any]:
    """What turns a value of the pairs table into an item, for either view."""
    root = dataset_root(params, ws.root)
    return [
        item_loader(view, root, params.dataset.max_image_pixels) for view in params.views.values()
    ]
