"""Stage `embed`: features of one view."""

from typing import Any

from csa.datasets.items import item_loader
from csa.datasets.pairs_table import read_pairs
from csa.datasets.roots import dataset_root
from csa.encoders.registry import load_view_encoder
from csa.errors import InputError
from csa.features.embed import Items, embed_view
from csa.features.shards import write_shards
from csa.params.schema import Params
from csa.pipeline.workspace import Workspace


def embed_stage(ws: Workspace, view: str) -> dict[str, Any]:
    """Compute the features of one view's items that the cache does not have; write all as shards.

    Args:
        ws: where to work.
        view: the name of the view.

    Returns:
        How many features were computed and how many were in the cache, for the stage's record.

    Raises:
        InputError: there is no such view.
    """
    params = Params.load(ws.params_file)
    if view not in params.views:
        raise InputError(f"embed {view!r}: no such view; params.yaml has {', '.join(params.views)}")
    items = (
        read_pairs(ws.pairs)
        .select(f"{view}_hash", view)
        .unique(f"{view}_hash", keep="first", maintain_order=True)
    )
    encoder = load_view_encoder(params.views[view], params.compute.device)
    load_item = item_loader(
        params.views[view], dataset_root(params.dataset, ws.root), params.dataset.max_image_pixels
    )
    result = embed_view(
        encoder, Items(items.rows(), load_item, f"embed {view}"), ws.cache, params.compute.dask
    )
    write_shards(ws.features(view), items[f"{view}_hash"].to_list(), result.features, encoder)
    return {"computed": result.computed, "reused": result.reused}
