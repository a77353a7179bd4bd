"""A shared cache in which one thing was changed, hashes and all: the run notices, or ends in the
same bytes. `make mutations` tries many, over all stages.
"""

import os

import pytest
import yaml
from tampering import Tamperer, cases
from team import STAGES, outputs, tree

from csa.datasets.pairs_table import read_pairs
from csa.encoders.registry import load_view_encoder
from csa.features.cache import FeatureCache
from csa.operations.cache import seeding
from csa.operations.cache.restoring import restore
from csa.operations.opened import Project

COUNT = int(os.environ.get("CSA_MUTATIONS", len(STAGES)))


@pytest.fixture(scope="module")
def mates(team, tmp_path_factory):
    """Stage and whether dvc.lock is there -> a teammate's clone that is at that stage."""
    return {}


@pytest.mark.parametrize("lock", [False, True], ids=["unlocked", "locked"])
@pytest.mark.parametrize(("seed", "stage"), cases(COUNT), ids=str)
def test_no_change_of_a_shared_output_is_believed(team, mates, tmp_path, seed, stage, lock):
    if (stage, lock) not in mates:
        folder = tmp_path.parent / f"mate-{stage.replace('@', '-')}-{lock}"
        mates[stage, lock] = team.teammate(folder, tmp_path.parent / "shared", stage, lock)
    ws, shared = mates[stage, lock], tmp_path.parent / "shared"
    store = team.store_copy(tmp_path / "store")
    outs = [out["path"] for out in locked(team)[stage]["outs"]]
    told = Tamperer(seed).change(store, outs, in_place=lock)
    if shared.is_symlink():
        shared.unlink()
    shared.symlink_to(store.root)
    before = tree(ws.root)
    found = restore(ws, stage)
    assert found.status == ("restored" if lock and found.status != "missing" else "missing"), told
    if found.status == "restored":
        assert outputs(ws, stage) == team.outputs(stage), told
        for out in outs:
            remove(ws.root / out)
        restore_lock(ws, before)
    assert tree(ws.root) == before, told
    if stage.startswith("embed@"):
        check_features(team, ws, stage.removeprefix("embed@"), told)


def check_features(team, ws, view, told):
    """Whatever enters the item cache is what the owner's encoder gave."""
    seeding.from_the_team(Project(ws), f"embed@{view}")
    encoder = load_view_encoder(ws.params().views[view])
    items = read_pairs(ws.pairs)[f"{view}_hash"].unique().to_list()
    mine = dict(FeatureCache(ws.cache, encoder.fingerprint).read(items))
    theirs = dict(FeatureCache(team.owner.ws.cache, encoder.fingerprint).read(items))
    assert all((row == theirs[item]).all() for item, row in mine.items()), told
    for file in (ws.cache / encoder.fingerprint).glob("*.safetensors"):
        file.unlink()


def locked(team):
    return yaml.safe_load((team.owner.root / "dvc.lock").read_text())["stages"]


def remove(path):
    import shutil

    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def restore_lock(ws, before):
    (ws.root / "dvc.lock").write_bytes(before["dvc.lock"])
    remove(ws.root / ".dvc" / "cache")
