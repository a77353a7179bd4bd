"""Features that the team has computed, into this machine's item cache: so that a new item costs
one item on any machine.

Features are what costs most, and what no proof covers they may be right all the same: so of a
teammate's, some are computed again here, drawn by chance, and all are taken where these agree. They
enter the item cache alone, under the fingerprint of the encoder that the parameters name here. The
stage then writes its own output of them.
"""

import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from csa.core.matrices import Float32
from csa.datasets.items import item_loader
from csa.datasets.pairs_table import read_pairs
from csa.datasets.roots import dataset_root
from csa.encoders.registry import load_view_encoder
from csa.encoders.several import ViewEncoder
from csa.errors import ArtifactError, CSAError
from csa.features.cache import FeatureCache
from csa.features.shards import FeatureTable
from csa.operations.cache.foreign import read_foreign
from csa.operations.cache.objects import Made, stores
from csa.operations.cache.quarantine import Quarantine, quarantine
from csa.operations.opened import Project
from csa.operations.trust.trusted import trusted_keys
from csa.params.schema import Params

SAMPLE = 64
"""How many of a teammate's features are computed again before the others are taken."""

_MOST_WRONG = 3  # entries that turn out wrong; whoever plants more costs nobody more
_LEAST_BYTES = 68  # of a row: the item's hash and a feature; shards are not compressed
_TOLERANCE = 0.02  # relative distance: another processor, or another runtime, rounds otherwise


@dataclass(frozen=True)
class _Wanted:
    """A view's items that the item cache lacks: hash -> value in the pairs table."""

    project: Project
    view: str
    encoder: ViewEncoder
    cache: FeatureCache
    items: dict[str, str]


def is_kept(params: Params, view: str) -> bool:
    """Whether a view's features go to the item cache: not where they are read from a file.

    Args:
        params: of the project.
        view: which.

    Returns:
        Whether they do.
    """
    return view in params.views and params.views[view].modality != "array"


def from_restored(project: Project, view: str) -> None:
    """Put a view's features, which came back by proof, into the item cache.

    Args:
        project: whose features.
        view: which.
    """
    try:
        encoder = load_view_encoder(project.params.views[view], project.params.compute.device)
    except CSAError:  # a machine without the encoder can still fit
        return
    table = FeatureTable.read(project.ws.features(view))
    cache = FeatureCache(project.ws.cache, encoder.fingerprint)
    new = [item for item in table.items if item not in cache]
    if new:
        cache.write(new, table.rows(new))


def from_the_team(project: Project, view: str) -> None:
    """Put the team's features of a view's items into the item cache, before the stage is run.

    The run caches say what the same encoder has made. What is damaged, of another encoder, or not
    what the encoder gives here is passed over; a remote that does not answer is no obstacle.

    Args:
        project: whose item cache; hold the lock of its state folder.
        view: which.
    """
    wanted = _wanted(project, view)
    if wanted is None or trusted_keys(project.ws) is not None:
        return  # where signatures are asked for, a sample is no proof
    wrong = 0
    with stores(project.ws) as found, quarantine(project.ws, found) as held:
        for made in _entries(held, project.params, view):
            if not any(item not in wanted.cache for item in wanted.items):
                break
            if wrong == _MOST_WRONG:
                print(f"note: no more features of {view} from the team are tried", file=sys.stderr)
                break
            try:
                _take(wanted, _shards(made, held, view))
            except CSAError as error:
                wrong += 1
                print(f"note: features of {view} from the team: {error}", file=sys.stderr)
        for name, why in held.silent.items():
            print(f"note: no features of {view} from {name} ({why})", file=sys.stderr)


def _wanted(project: Project, view: str) -> _Wanted | None:
    """What the item cache lacks; None if it lacks nothing, or nothing could be done with it."""
    try:
        pairs = read_pairs(project.ws.pairs)
        encoder = load_view_encoder(project.params.views[view], project.params.compute.device)
    except CSAError:  # the stage says so
        return None
    cache = FeatureCache(project.ws.cache, encoder.fingerprint)
    rows = pairs.select(f"{view}_hash", view).iter_rows()
    items = {item: value for item, value in rows if item not in cache}
    return _Wanted(project, view, encoder, cache, items) if items else None


def _entries(held: Quarantine, params: Params, view: str) -> Iterator[Made]:
    """Entries of this view and the encoder that the parameters ask for, each once."""
    asked, seen = params.dump()["views"][view], set()
    for name, store in {"cache": held.here, **held.places}.items():
        try:
            for made in store.entries():
                theirs = made.params.get("params.yaml") or {}
                oid = made.outs.get(f"data/features/{view}")
                if oid is not None and oid not in seen and theirs.get(f"views.{view}") == asked:
                    seen.add(oid)
                    yield made
        except Exception as error:  # whatever a storage's own library raises
            held.silent.setdefault(name, type(error).__name__)


def _shards(made: Made, held: Quarantine, view: str) -> list[Path]:
    """The shards of an entry's features, fetched and whole."""
    path = f"data/features/{view}"
    of_view = [out for out in made.written["outs"] if out["path"] == path]
    files = held.fetch(Made.of({"cmd": made.command, "outs": of_view}))[path]
    return [file for name, file in files.items() if name != "index.json"]


def _take(wanted: _Wanted, shards: list[Path]) -> None:
    """Put what is missing into the item cache, if the encoder gives the same here."""
    items = {
        item: shard
        for shard in shards
        for item in _items_of(shard)
        if item in wanted.items and item not in wanted.cache
    }
    if not items:
        return
    drawn = secrets.SystemRandom().sample(sorted(items), min(SAMPLE, len(items)))
    theirs = {shard: _table(shard) for shard in {items[item] for item in drawn}}
    _compare(wanted, drawn, np.stack([theirs[items[item]].rows([item])[0] for item in drawn]))
    for shard in shards:
        table = _table(shard)
        some = [item for item in table.items if items.get(item) == shard]
        if some:
            wanted.cache.write(some, table.rows(some))


def _items_of(shard: Path) -> list[str]:
    return list(_column(shard, "item", pl.String).to_list())


def _table(shard: Path) -> FeatureTable:
    """A shard that somebody else wrote.

    Raises:
        ArtifactError: it is no shard of finite features.
    """
    items = _items_of(shard)
    features = _column(shard, "features", pl.Array).to_numpy()
    if features.dtype != np.float32 or features.ndim != 2 or not np.isfinite(features).all():
        raise ArtifactError("a shard does not hold finite float32 features")
    return FeatureTable(items, features)


def _column(shard: Path, name: str, kind: type[pl.DataType]) -> pl.Series:
    content = shard.read_bytes()
    column = read_foreign("a shard", content, _LEAST_BYTES, [name])[name]
    if column.dtype.base_type() is not kind or column.null_count():
        raise ArtifactError(
            f"a shard's column {name!r} is {column.dtype}, with {column.null_count()} empty"
        )
    return column


def _compare(wanted: _Wanted, drawn: list[str], theirs: Float32) -> None:
    """Hold features of some items against what the encoder gives.

    Raises:
        ArtifactError: they differ.
    """
    params = wanted.project.params
    view = params.views[wanted.view]
    load = item_loader(
        view, dataset_root(params.dataset, wanted.project.ws.root), params.dataset.max_image_pixels
    )
    here = wanted.encoder.encode([load(wanted.items[item]) for item in drawn])
    if here.shape != theirs.shape:
        raise ArtifactError(
            f"they have {theirs.shape[1]} numbers an item, but the encoder here gives "
            f"{here.shape[1]}; none of them was used"
        )
    off = np.linalg.norm(here - theirs, axis=1) > _TOLERANCE * np.linalg.norm(here, axis=1)
    if off.any():
        raise ArtifactError(
            f"{int(off.sum())} of {len(drawn)} differ from what the encoder gives here; none "
            f"was used"
        )
