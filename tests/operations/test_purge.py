"""What was forgotten stays out of the caches, whoever brings it back: each cache is looked at as a
whole, and again as far as something is new in it.
"""

import hashlib
import io
import json
from contextlib import contextmanager

import polars as pl
import pytest
import yaml
from dvc_objects.fs.local import LocalFileSystem

from csa.operations.cache.objects import Store
from csa.operations.forgetting import purge as purging
from csa.operations.forgetting.purge import look_again, purge
from csa.pipeline.workspace import Workspace

ITEM, OTHER = (hashlib.sha256(word).hexdigest() for word in (b"forgotten", b"kept"))


class Cache(Store):
    """A cache in a folder."""

    def put(self, content, directory=False):
        oid = hashlib.md5(content, usedforsecurity=False).hexdigest() + ".dir" * directory
        self.fs.makedirs(self.fs.parent(self.path(oid)), exist_ok=True)
        self.fs.pipe_file(self.path(oid), content)
        return oid

    def folder(self, files):
        listed = [{"md5": oid, "relpath": name} for name, oid in files.items()]
        return self.put(json.dumps(listed).encode(), directory=True)

    def ran(self, deps, outs):
        """An entry of the run cache: path -> object."""
        made = {"deps": deps, "outs": outs}
        entry = {"cmd": "c"} | {
            kind: [{"path": path, "md5": oid} for path, oid in named.items()]
            for kind, named in made.items()
        }
        text = yaml.safe_dump(entry).encode()
        name = hashlib.sha256(text).hexdigest()
        path = self.fs.join(self.base, "runs", name[:2], name, name)
        self.fs.makedirs(self.fs.parent(path), exist_ok=True)
        self.fs.pipe_file(path, text)


def table(*items, **more):
    return parquet(pl.DataFrame({"pair_id": ["p"] * len(items), "image_hash": items, **more}))


def shard(*items):
    return parquet(pl.DataFrame({"item": items, "features": [[0.0]] * len(items)}))


def parquet(frame):
    content = io.BytesIO()
    frame.write_parquet(content)
    return content.getvalue()


@pytest.fixture
def caches(tmp_path, monkeypatch):
    """This machine's cache and the team's, both with a run on both items and one on the other."""
    found = {name: Cache(LocalFileSystem(), str(tmp_path / name)) for name in ("cache", "team")}
    for cache in found.values():
        first = {name: cache.put(shard(items)) for name, items in (("a", ITEM), ("b", OTHER))}
        ran(cache, table(ITEM, OTHER), first, b"fitted on both")
        ran(cache, table(OTHER), {"b": first["b"]}, b"fitted on one")

    @contextmanager
    def stores(ws):
        yield {name: lambda cache=cache: cache for name, cache in found.items()}

    monkeypatch.setattr(purging, "stores", stores)
    return found


def ran(cache, pairs, shards, alignment):
    cache.put(pairs)
    features = cache.folder({f"{name}.parquet": oid for name, oid in shards.items()})
    cache.ran({"raw": cache.put(b"raw")}, {"pairs.parquet": cache.put(pairs)})
    cache.ran({"pairs.parquet": cache.put(pairs)}, {"features": features})
    deps = {"pairs.parquet": cache.put(pairs), "features": features}
    cache.ran(deps, {"alignment": cache.put(alignment)})


def held(cache):
    """The bytes of all that a cache holds."""
    return [cache.read(path) for path in cache.fs.find(cache.base)]


def knows(cache):
    return [content for content in held(cache) if ITEM.encode() in unpacked(content)]


def unpacked(content):
    if content[:4] != b"PAR1":
        return content
    return pl.read_parquet(io.BytesIO(content)).write_json().encode()


@pytest.fixture
def ws(tmp_path):
    return Workspace(tmp_path / "repo", tmp_path / "repo" / ".csa")


def test_what_an_item_went_into_is_gone_and_the_rest_stays(caches, ws):
    done = purge(ws, {ITEM})
    assert done.removed.keys() == {"cache", "team"} and not done.unreached and not done.unjudged
    for cache in caches.values():
        assert not knows(cache)
        left = held(cache)
        assert b"fitted on both" not in left and b"fitted on one" in left
        assert shard(OTHER) in left and table(OTHER) in left
    assert look_again(ws, {ITEM}) is None


@pytest.mark.parametrize("how", ["table", "shard", "folder", "alignment", "run", "other table"])
def test_what_comes_back_is_found_among_what_is_new(caches, ws, how, monkeypatch):
    purge(ws, {ITEM})
    team = caches["team"]
    kept = team.put(b"somebody's notes")
    if how == "table":
        team.put(table(ITEM, OTHER))
    elif how == "shard":
        team.put(shard(ITEM))
    elif how == "folder":  # of features, as plain `dvc push` leaves it
        team.folder({"a.parquet": team.put(shard(ITEM)), "b.parquet": team.put(shard(OTHER))})
    elif how == "alignment":  # it names nothing, and was removed before
        team.put(b"fitted on both")
    elif how == "run":
        ran(team, table(ITEM, OTHER), {"a": team.put(shard(ITEM))}, b"fitted on both")
    else:
        team.put(table(ITEM, caption=["of another run"]))
    done = look_again(ws, {ITEM})
    assert done.removed["team"] and not done.removed["cache"] and not knows(team)
    assert b"fitted on both" not in held(team) and shard(OTHER) in held(team)
    assert team.whole(kept) == b"somebody's notes"
    assert done.unjudged == ({} if how == "run" else {"team": 1})
    monkeypatch.setattr(Store, "head", None)  # a cache in which nothing is new is not read
    monkeypatch.setattr(Store, "whole", None)
    assert look_again(ws, {ITEM}) is None


def test_a_data_set_is_nobodys_to_remove(caches, ws):
    team = caches["team"]
    theirs = parquet(pl.DataFrame({"image": [ITEM], "caption": ["a picture"]}))
    folder = team.folder({"data.parquet": team.put(theirs), "broken.parquet": team.put(b"PAR1x")})
    purge(ws, {ITEM})
    team.put(table(ITEM))
    assert look_again(ws, {ITEM}).unjudged == {"team": 1}
    assert team.whole(folder) and theirs in held(team) and b"PAR1x" in held(team)


def test_a_cache_out_of_reach_is_named_and_looked_at_the_next_time(caches, ws, monkeypatch):
    team = caches["team"]

    def no(self, *_):
        if self is team:
            raise OSError("no network")
        return iter(())

    with monkeypatch.context() as patch:
        patch.setattr(Store, "objects", no)
        assert purge(ws, {ITEM}).unreached == {"team": "OSError: no network"} and knows(team)
    assert look_again(ws, {ITEM}).removed["team"] and not knows(team)
