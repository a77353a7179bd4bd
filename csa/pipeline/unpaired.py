"""Stage `unpaired`: items of one view that have no partner, their features, and the labels that
the view's encoder knows.
"""

from typing import Any

from csa.datasets.items import item_loader
from csa.datasets.pairs_table import read_pairs, write_pairs
from csa.datasets.rows import read_lines
from csa.datasets.unpaired import read_unpaired, tell
from csa.encoders.labels import Head, head_of
from csa.encoders.registry import load_view_encoder
from csa.errors import DataError, InputError
from csa.features.embed import Items, embed_view
from csa.features.embedder import Embedder
from csa.features.shards import write_shards
from csa.params.schema import Params
from csa.params.views import ViewParams
from csa.pipeline.workspace import Workspace
from csa.storage.container import save_tensors
from csa.storage.files import write_json


def unpaired_stage(ws: Workspace, view: str) -> dict[str, Any]:
    """Read one view's unpaired items, leave out what is held out, and write the rest with features.

    Args:
        ws: where to work.
        view: the name of the view.

    Returns:
        How many features were computed and how many were in the cache, for the stage's record.

    Raises:
        InputError: there is no such view, or no unpaired items of it are named.
        DataError: nothing is left.
    """
    params = Params.load(ws.params_file)
    if view not in params.dataset.unpaired:
        raise InputError(
            f"unpaired {view!r}: dataset.unpaired names no items of it; it has "
            f"{', '.join(params.dataset.unpaired) or 'none'}"
        )
    settings = params.views[view]
    found = read_unpaired(params.dataset, (view, settings), ws.root, read_pairs(ws.pairs))
    tell(view, found.account)
    if found.items.is_empty():
        raise DataError(
            f"dataset.unpaired.{view}: no item is left of {found.account['found']}, as all are "
            f"among the pairs, repeated or unusable; name other items"
        )
    encoder = load_view_encoder(settings, params.compute.device)
    items = found.items.select(f"{view}_hash", view)
    load_item = item_loader(settings, found.root, params.dataset.max_image_pixels)
    asked = Items(items.rows(), load_item, f"embed unpaired {view}")
    result = embed_view(encoder, asked, ws.cache, params.compute.dask)
    folder = ws.unpaired(view)
    write_shards(folder, items[f"{view}_hash"].to_list(), result.features, encoder)
    write_pairs(found.items, ws.unpaired_items(view))
    write_pairs(found.quarantine, folder / "quarantine.parquet")
    head = _labels(ws, settings)
    other = next(name for name in params.views if name != view)
    if head is not None and params.views[other].modality == "text":
        embedder = Embedder(ws.cache, params.compute)
        tensors = {
            "weights": head.weights,
            "bias": head.bias,
            "label_features": embedder.texts(params.views[other], head.texts, "embed labels"),
        }
        save_tensors(ws.labels(view), "labels", {"names": head.names}, tensors)
    write_json(folder / "account.json", {**found.account, "labels": len(head.names) if head else 0})
    return {"computed": result.computed, "reused": result.reused}


def _labels(ws: Workspace, view: ViewParams) -> Head | None:
    """The labels that the parameters ask for.

    Raises:
        InputError: words for labels where the encoder has no head.
    """
    if view.labels == "none":
        return None
    head = head_of(view)
    if view.labels == "auto":
        return head
    if head is None:
        raise InputError(
            f"labels: {view.labels} gives words to labels, but the encoder {view.encoder_names} "
            f"has no classifier that reads its features; remove it, or use another encoder"
        )
    path = ws.root / view.labels
    lines = [line.strip() for line in read_lines(path) if line.strip()]
    return head.worded(lines, str(path))
