"""Features that the team has computed, into this machine's item cache: so that a new item costs
one item on any machine.

Features are what costs most, and what no proof covers they may be right all the same: so of a
teammate's, some are computed again here, drawn by chance, and all are taken where these agree. They
enter the item cache alone, under the fingerprint of the encoder that the parameters name here. The
stage then writes its own output of them. An item is the same item with a partner and without, so
features of pairs and of unpaired items serve both.
"""

import re
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import polars as pl

from csa.core.matrices import Float32
from csa.datasets.items import item_loader
from csa.datasets.pairs_table import read_pairs
from csa.datasets.roots import dataset_root
from csa.datasets.unpaired import read_unpaired
from csa.encoders.registry import load_view_encoder
from csa.encoders.several import ViewEncoder
from csa.errors import ArtifactError, CSAError
from csa.features.cache import FeatureCache
from csa.features.shards import FeatureTable
from csa.operations.cache.foreign import read_foreign
from csa.operations.cache.objects import Made, stores
from csa.operations.cache.quarantine import Quarantine, quarantine
from csa.operations.cache.structure import SHARD
from csa.operations.opened import Project
from csa.operations.trust.trusted import trusted_keys
from csa.params.schema import Params
from csa.params.views import ViewParams

SAMPLE = 64
"""How many of a teammate's features are computed again before the others are taken."""

_MOST_WRONG = 3  # entries that turn out wrong; whoever plants more costs nobody more
_LEAST_BYTES = 68  # of a row: the item's hash and a feature; shards are not compressed
_TOLERANCE = 0.02  # relative distance: another processor, or another runtime, rounds otherwise
_STAGES = ("embed", "unpaired")


@dataclass(frozen=True)
class _Wanted:
    """A view's items that the item cache lacks: hash -> value, as their table has it, relative to
    the root.
    """

    project: Project
    view: str
    encoder: ViewEncoder
    cache: FeatureCache
    items: dict[str, str]
    root: Path


def is_kept(params: Params, stage: str) -> bool:
    """Whether a stage's features go to the item cache: not where they are read from a file.

    Args:
        params: of the project.
        stage: any stage; those of features are embed@VIEW and unpaired@VIEW.

    Returns:
        Whether they do.
    """
    kind, _, view = stage.partition("@")
    return kind in _STAGES and view in params.views and params.views[view].modality != "array"


def from_restored(project: Project, stage: str) -> None:
    """Put a stage's features, which came back by proof, into the item cache.

    Args:
        project: whose features.
        stage: embed@VIEW or unpaired@VIEW.
    """
    kind, _, view = stage.partition("@")
    try:
        encoder = load_view_encoder(project.params.views[view], project.params.compute.device)
    except CSAError:  # a machine without the encoder can still fit
        return
    folder = project.ws.unpaired(view) if kind == "unpaired" else project.ws.features(view)
    table = FeatureTable.read(folder)
    cache = FeatureCache(project.ws.cache, encoder.fingerprint)
    new = [item for item in table.items if item not in cache]
    if new:
        cache.write(new, table.rows(new))


def from_the_team(project: Project, stage: str) -> None:
    """Put the team's features of a stage's items into the item cache, before it is run.

    The run caches say what the same encoder has made. What is damaged, of another encoder, or not
    what the encoder gives here is passed over; a remote that does not answer is no obstacle.
    Unpaired items are read for it only where a remote has features that were not made here.

    Args:
        project: whose item cache; hold the lock of its state folder.
        stage: embed@VIEW or unpaired@VIEW.
    """
    kind, _, view = stage.partition("@")
    paired = kind == "embed"
    asked = cache(partial(_wanted if paired else _wanted_unpaired, project, view))
    if trusted_keys(project.ws) is not None or (paired and asked() is None):
        return  # where signatures are asked for, a sample is no proof
    wrong = 0
    with stores(project.ws) as found, quarantine(project.ws, found) as held:
        for made, path in _entries(held, project.params, view, made_here=paired):
            wanted = asked()
            if wanted is None or not any(item not in wanted.cache for item in wanted.items):
                break
            if wrong == _MOST_WRONG:
                print(f"note: no more features of {view} from the team are tried", file=sys.stderr)
                break
            try:
                _take(wanted, _shards(made, held, path))
            except CSAError as error:
                wrong += 1
                print(f"note: features of {view} from the team: {error}", file=sys.stderr)
        for name, why in held.silent.items():
            print(f"note: no features of {view} from {name} ({why})", file=sys.stderr)


def _wanted(project: Project, view: str) -> _Wanted | None:
    """What the item cache lacks of the pairs; None if it lacks nothing, or nothing could be done
    with it.
    """
    try:
        pairs = read_pairs(project.ws.pairs)
    except CSAError:  # the stage says so
        return None
    return _lacking(project, view, pairs, dataset_root(project.params.dataset, project.ws.root))


def _wanted_unpaired(project: Project, view: str) -> _Wanted | None:
    """The same of the unpaired items."""
    params, ws = project.params, project.ws
    try:
        pool = read_unpaired(
            params.dataset, (view, params.views[view]), ws.root, read_pairs(ws.pairs)
        )
    except CSAError:
        return None
    return _lacking(project, view, pool.items, pool.root)


def _lacking(project: Project, view: str, items: pl.DataFrame, root: Path) -> _Wanted | None:
    try:
        encoder = load_view_encoder(project.params.views[view], project.params.compute.device)
    except CSAError:
        return None
    cached = FeatureCache(project.ws.cache, encoder.fingerprint)
    rows = items.select(f"{view}_hash", view).iter_rows()
    lacking = {item: value for item, value in rows if item not in cached}
    return _Wanted(project, view, encoder, cached, lacking, root) if lacking else None


def _entries(
    held: Quarantine, params: Params, view: str, made_here: bool
) -> Iterator[tuple[Made, str]]:
    """Entries of this view and the encoder that the parameters ask for, and the path of their
    features, each once; those of this machine's own cache only if these are asked for too.
    """
    seen = set()
    for name, store in {"cache": held.here, **held.places}.items():
        try:
            for made in store.entries():
                for path in (f"data/features/{view}", f"data/features/unpaired/{view}"):
                    oid = made.outs.get(path)
                    if oid is None or oid in seen or not _gives_the_same(made, params, view):
                        continue
                    seen.add(oid)
                    if made_here or name != "cache":
                        yield made, path
        except Exception as error:  # whatever a storage's own library raises
            held.silent.setdefault(name, type(error).__name__)


def _gives_the_same(made: Made, params: Params, view: str) -> bool:
    """Whether an entry's view gives the features that the parameters ask for. Defaults may be left
    out there, and no feature depends on the labels or on how many items a pass takes.
    """
    named = made.params.get("params.yaml") or {}
    views = named.get("views")  # stage unpaired names all views, stage embed its own
    theirs = views.get(view) if isinstance(views, dict) else named.get(f"views.{view}")
    try:
        given = ViewParams.model_validate(theirs)
    except ValueError:
        return False
    one, other = (
        settings.model_copy(update={"labels": "none", "batch_size": 1})
        for settings in (given, params.views[view])
    )
    return one == other


def _shards(made: Made, held: Quarantine, path: str) -> list[Path]:
    """The shards of an entry's features, fetched and whole."""
    of_view = [out for out in made.written["outs"] if out["path"] == path]
    files = held.fetch(Made.of({"cmd": made.command, "outs": of_view}))[path]
    return [file for name, file in files.items() if re.fullmatch(SHARD, name)]


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
    load = item_loader(view, wanted.root, params.dataset.max_image_pixels)
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
