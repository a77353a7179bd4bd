"""Features that the team has computed, into this machine's item cache: so that a new item costs
one item on any machine.
"""

import json
import sys
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import polars as pl

from csa.datasets.pairs_table import read_pairs
from csa.errors import ArtifactError
from csa.features.cache import FeatureCache
from csa.features.shards import FeatureTable, fingerprint_of_features
from csa.operations.cache.objects import Made, Store, digest, stores
from csa.operations.opened import Project
from csa.params.schema import Params
from csa.pipeline.workspace import Workspace


def from_restored(project: Project, view: str) -> int:
    """Put a view's restored features into the item cache; returns how many were new there.

    Args:
        project: whose features.
        view: which.
    """
    ws = project.ws
    if _not_kept(project.params, view):
        return 0
    fingerprint = fingerprint_of_features(ws.features(view))
    table = FeatureTable.read(ws.features(view))
    return _add(FeatureCache(ws.cache, fingerprint), table.items, table)


def from_the_team(project: Project, view: str) -> int:
    """Put the team's features of a view's items into the item cache, where the stage itself cannot
    be restored: some item is new.

    The run cache, which DVC has pulled, says what the same encoder has made. A damaged object is
    passed over; a remote that does not answer is no obstacle.

    Args:
        project: whose item cache.
        view: which.

    Returns:
        How many were new there.
    """
    ws, params = project.ws, project.params
    if _not_kept(params, view):
        return 0
    try:
        wanted = set(read_pairs(ws.pairs)[f"{view}_hash"])
        with stores(ws) as found:
            here = found.pop("cache")()
            made = [one for one in here.entries() if _same_view(one, params, view)]
            if not made or any(_same_inputs(ws, one) for one in made):
                return 0  # DVC restores it
            return _seed(ws, view, made, wanted, [here, *(opened() for opened in found.values())])
    except ArtifactError:
        return 0
    except Exception as error:  # whatever a storage's own library raises
        print(
            f"note: no features of {view} from the team ({type(error).__name__})", file=sys.stderr
        )
        return 0


def _seed(ws: Workspace, view: str, made: list[Made], wanted: set[str], places: list[Store]) -> int:
    count = 0
    for oid in dict.fromkeys(one.outs[f"data/features/{view}"] for one in made):
        index, shards = _shards(oid, places)
        if index is None:
            continue
        cache = FeatureCache(ws.cache, index["fingerprint"])
        missing = {item for item in wanted if item not in cache}
        if not missing:
            return count
        for table in shards:
            some = [item for item in table.items if item in missing]
            count += _add(cache, some, table)
    return count


def _shards(oid: str, places: list[Store]) -> tuple[dict[str, Any] | None, Iterator[FeatureTable]]:
    """The index of a folder of features, and its shards one by one, from wherever they are
    whole.
    """

    def fetched(part: str) -> bytes | None:
        return next(
            (content for place in places if (content := place.whole(part)) is not None), None
        )

    listed = next((content for place in places if (content := place.content("", oid))), {})
    index = json.loads(fetched(listed["index.json"]) or b"null") if "index.json" in listed else None

    def tables() -> Iterator[FeatureTable]:
        for name, part in listed.items():
            content = fetched(part) if name.endswith(".parquet") else None
            if content is not None:
                frame = pl.read_parquet(BytesIO(content))
                yield FeatureTable(frame["item"].to_list(), frame["features"].to_numpy())

    return index, tables()


def _add(cache: FeatureCache, items: list[str], table: FeatureTable) -> int:
    known = cache.read(items)
    new = [item for item in items if item not in known]
    if new:
        cache.write(new, table.rows(new))
    return len(new)


def _not_kept(params: Params, view: str) -> bool:
    """Whether the view's features are read from a file, and never kept."""
    return params.views[view].modality == "array"


def _same_view(made: Made, params: Params, view: str) -> bool:
    """Whether a stage has embedded this view by the encoder that the parameters ask for."""
    if f"data/features/{view}" not in made.outs:
        return False
    theirs = made.params.get("params.yaml", {}).get(f"views.{view}")
    return bool(theirs == params.dump()["views"][view])


def _same_inputs(ws: Workspace, made: Made) -> bool:
    return all(digest(ws.root / path) == md5 for path, md5 in made.deps.items())
