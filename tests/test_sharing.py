"""Two clones that share through a remote: nothing is computed twice, nothing damaged is used, and no remote is no obstacle."""

import csv
import json
import os
import shutil
import subprocess

import pytest
import yaml
from small_repo import SmallRepo, draw_shape

from csa.errors import InputError
from flows import dvc, sharing
from flows.workspaces import main_workspace


@pytest.fixture
def repo(tmp_path, monkeypatch):
    repo = SmallRepo(tmp_path / "repo")
    monkeypatch.chdir(repo.root)
    return repo


def test_a_remote_is_named_listed_and_forgotten(repo, tmp_path):
    ws = main_workspace()
    assert sharing.remotes(ws) == {} and sharing.push(ws) is None
    sharing.add_remote(ws, "team", str(tmp_path / "store"), None, local=False)
    sharing.add_remote(ws, "cloud", "s3://bucket/csa", "http://127.0.0.1:9", local=True)
    assert sharing.remotes(ws) == {"team": str(tmp_path / "store"), "cloud": "s3://bucket/csa"}
    assert "endpointurl = http://127.0.0.1:9" in (repo.root / ".dvc" / "config.local").read_text()
    assert "team" in (repo.root / ".dvc" / "config").read_text(), "git carries it to the team"
    sharing.remove_remote(ws, "cloud")
    assert list(sharing.remotes(ws)) == ["team"]
    with pytest.raises(InputError, match="no remote 'cloud'; there are team"):
        sharing.remove_remote(ws, "cloud")


def stage_of(text):
    """A pipeline of one stage that writes a file and a folder with a file in it."""
    command = f"mkdir -p data/d/e && echo {text} > data/f && echo {text} > data/d/e/g && echo 2 > data/d/a.b"
    return {"stages": {"one": {"cmd": command, "deps": ["params.yaml"], "outs": ["data/f", "data/d"]}}}


def one_stage(repo):
    (repo.root / "dvc.yaml").write_text(yaml.safe_dump(stage_of("hello")))
    return repo.ws


def test_restored_bytes_are_held_against_dvc_lock(repo):
    ws = one_stage(repo)
    assert dvc.repro(ws, "one").status == "ran" and sharing.check_restored(ws, "one") == []
    for path, found in (("data/f", ["data/f"]), ("data/d/e/g", ["data/d"])):
        file = repo.root / path
        whole = file.read_bytes()
        file.chmod(0o644)
        file.write_bytes(whole[:-2])
        assert sharing.check_restored(ws, "one") == found
        file.write_bytes(whole)
    (repo.root / "data/d/more").touch()
    assert sharing.check_restored(ws, "one") == ["data/d"]
    shutil.rmtree(repo.root / "data/d")
    assert sharing.check_restored(ws, "one") == ["data/d"]


@pytest.mark.parametrize("fault", ["flipped", "truncated", "swapped"])
def test_a_damaged_object_of_the_shared_cache_is_named_and_computed_again(repo, tmp_path, capsys, fault):
    ws, store = one_stage(repo), tmp_path / "store"
    sharing.add_remote(ws, "team", str(store), None, local=True)
    dvc.repro(ws, "one")
    assert sharing.push(ws).endswith("to team") and sharing.push(ws) is None
    whole = (repo.root / "data/f").read_bytes()
    md5 = next(out["md5"] for out in yaml.safe_load((repo.root / "dvc.lock").read_text())["stages"]["one"]["outs"])
    stored = next(store.rglob(md5[2:]))
    stored.chmod(0o644)
    stored.write_bytes({"flipped": b"hellO\n", "truncated": b"hel", "swapped": b"another\n"}[fault])
    shutil.rmtree(repo.root / "data/d")
    (repo.root / "data/f").unlink()
    shutil.rmtree(repo.root / ".dvc" / "cache")
    outcome = sharing.restore_or_recompute(ws, "one", dvc.repro(ws, "one"))
    assert (repo.root / "data/f").read_bytes() == whole and sharing.check_restored(ws, "one") == []
    assert outcome.status == "ran"


def test_a_remote_out_of_reach_is_said_and_tried_again(repo, tmp_path, monkeypatch):
    monkeypatch.setattr(sharing, "_PAUSE_SECONDS", 0.01)
    ws, store = one_stage(repo), tmp_path / "store"
    dvc.repro(ws, "one")
    store.write_text("a file where a folder should be")
    sharing.add_remote(ws, "team", str(store), None, local=True)
    assert sharing.push(ws).startswith("nothing was pushed to team, the next run tries again (dvc push failed")
    store.unlink()
    assert sharing.push(ws).endswith("to team")


def test_an_s3_store_serves_as_well(repo, monkeypatch):
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0, verbose=False)
    for name, value in {"AWS_ACCESS_KEY_ID": "t", "AWS_SECRET_ACCESS_KEY": "t", "AWS_DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    server.start()
    try:
        import boto3

        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="team")
        ws = one_stage(repo)
        sharing.add_remote(ws, "team", "s3://team/csa", endpoint, local=True)
        dvc.repro(ws, "one")
        assert sharing.push(ws).endswith("to team")
        shutil.rmtree(repo.root / ".dvc" / "cache")
        for path in ("data/d", "data/f", "dvc.lock"):
            shutil.rmtree(repo.root / path) if (repo.root / path).is_dir() else (repo.root / path).unlink()
        outcome = sharing.restore_or_recompute(ws, "one", dvc.repro(ws, "one"))
        assert outcome.status == "restored" and (repo.root / "data/d/e/g").read_text() == "hello\n"
    finally:
        server.stop()


@pytest.mark.pipeline
def test_a_teammates_clone_computes_nothing_and_a_new_image_costs_one(tmp_path):
    first, second = SmallRepo(tmp_path / "first"), SmallRepo(tmp_path / "second")
    for repo in (first, second):
        done = repo.run("remote", "add", "team", str(tmp_path / "store"), "--local")
        assert done.returncode == 0, done.stderr
    done = first.run("run", "--json")
    assert "push" in done.stderr and (tmp_path / "store").is_dir(), done.stderr
    mine, theirs = json.loads(done.stdout), second.csa_run()
    assert {stage["status"] for stage in theirs["stages"]} == {"restored"} and theirs["run_id"] == mine["run_id"]
    draw_shape("pink", "star").save(second.root / "shapes" / "images" / "pink-star.png")
    with (second.root / "shapes" / "pairs.csv").open("a", newline="") as table:
        csv.writer(table).writerow(["pink-star", "images/pink-star.png", "a pink star"])
    grown = second.csa_run()
    assert [grown["features"][view]["computed"] for view in ("image", "text")] == [1, 1]
    assert [grown["features"][view]["reused"] for view in ("image", "text")] == [64, 64]
    subprocess.run(["git", "-C", str(second.root), "status"], check=True, capture_output=True)
