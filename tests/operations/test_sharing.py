"""Two clones that share through a remote: nothing is computed twice, nothing damaged is used,
and no remote is no obstacle.
"""

import csv
import hashlib
import os
import shutil
import subprocess
import sys
import time

import pytest
import yaml
from small_repo import SmallRepo, draw_shape

from csa.errors import InputError
from csa.operations.cache import dvc, sharing
from csa.operations.cache.objects import Store
from csa.operations.opened import Project
from csa.pipeline.recipes import main_workspace


@pytest.fixture
def repo(tmp_path, monkeypatch):
    repo = SmallRepo(tmp_path / "repo")
    monkeypatch.chdir(repo.root)
    return repo


def test_a_remote_is_named_listed_and_forgotten(repo, tmp_path):
    ws = main_workspace()
    assert sharing.remotes(ws) == {} and sharing.push(ws) == sharing.Push(True)
    long = str(tmp_path / "a folder whose name is longer than a terminal is wide=" / ("x" * 80))
    sharing.add_remote(ws, "team", long, None, local=False)
    sharing.add_remote(ws, "cloud", "s3://bucket/csa", "http://127.0.0.1:9", local=True)
    assert sharing.remotes(ws) == {"team": long, "cloud": "s3://bucket/csa"}
    assert "endpointurl = http://127.0.0.1:9" in (repo.root / ".dvc" / "config.local").read_text()
    assert "team" in (repo.root / ".dvc" / "config").read_text(), "git carries it to the team"
    sharing.remove_remote(ws, "cloud")
    assert list(sharing.remotes(ws)) == ["team"]
    with pytest.raises(InputError, match="no remote 'cloud'; there are team"):
        sharing.remove_remote(ws, "cloud")


@pytest.mark.parametrize("name", ["team #2", "a.b", "[x], 50 %", 'a"b', "Zürich"])
def test_any_name_and_folder_of_a_remote_is_kept_and_what_dvc_cannot_take_loses_none(
    repo, tmp_path, name
):
    ws, store = one_stage(repo), tmp_path / "stores" / name
    sharing.add_remote(ws, "first", str(tmp_path / "Größe #1"), None, local=False)
    config = repo.root / ".dvc" / "config"
    key = sharing.add_remote(ws, name, str(store), None, local=False)
    assert key == name.lower()
    assert sharing.remotes(ws) == {"first": str(tmp_path / "Größe #1"), key: str(store)}
    before = {path.name for path in repo.root.iterdir()}
    dvc.compute(ws, "one")
    assert sharing.push(ws).said == f"pushed to {key}" or sharing.push(ws).said is None
    assert objects(store) and not (tmp_path / "Größe #1").exists()
    assert {path.name for path in repo.root.iterdir()} - before <= {"data", "dvc.lock", ".csa"}
    text = config.read_bytes()
    wrongs = [("x", "nonsense://here"), (" ", str(store)), ("q'x", str(store)), ("x", "50%(d)s")]
    for wrong, url in wrongs:
        with pytest.raises(InputError, match=r"choose another one|needs a name"):
            sharing.add_remote(ws, wrong, url, None, local=False)
        assert config.read_bytes() == text
    sharing.remove_remote(ws, name)
    assert list(sharing.remotes(ws)) == ["first"]


def test_a_remotes_folder_is_named_from_the_project(repo, tmp_path):
    ws = one_stage(repo)
    sharing.add_remote(ws, "Team", "../the store", None, local=True)
    dvc.compute(ws, "one")
    assert sharing.push(ws).said.endswith("to team") and objects(tmp_path / "the store")
    for wrong in ("s3:/bucket/path", "s3:bucket/path"):
        with pytest.raises(InputError, match=r"two slashes, as in s3://bucket/path$"):
            sharing.add_remote(ws, "other", wrong, None, local=False)
    (repo.root / "s3:").mkdir()
    sharing.add_remote(ws, "other", "s3:/", None, local=False)
    assert sharing.remotes(ws)["other"] == str(repo.root / "s3:")


def stage_of(text):
    """A pipeline of one stage that writes a file and a folder with a file in it."""
    command = (
        f"mkdir -p data/d/e && echo {text} > data/f && echo {text} > data/d/e/g && echo 2 > "
        f"data/d/a.b"
    )
    return {
        "stages": {"one": {"cmd": command, "deps": ["params.yaml"], "outs": ["data/f", "data/d"]}}
    }


def one_stage(repo):
    (repo.root / "dvc.yaml").write_text(yaml.safe_dump(stage_of("hello")))
    return repo.ws


def forget_locally(repo):
    """What a clean clone lacks: outputs and cache; dvc.lock stays."""
    shutil.rmtree(repo.root / "data/d")
    (repo.root / "data/f").unlink()
    shutil.rmtree(repo.root / ".dvc" / "cache")


@pytest.mark.parametrize("out", ["data/f", "data/d"])
@pytest.mark.parametrize("fault", ["flipped", "truncated", "swapped"])
def test_a_damaged_object_of_the_shared_cache_is_named_and_computed_again(
    repo, tmp_path, capsys, fault, out
):
    ws, store = one_stage(repo), tmp_path / "store"
    sharing.add_remote(ws, "team", str(store), None, local=True)
    dvc.compute(ws, "one")
    assert sharing.push(ws).said.endswith("to team") and sharing.push(ws) == sharing.Push(True)
    made = (repo.root / "data/f").read_bytes(), (repo.root / "data/d/e/g").read_bytes()
    outs = yaml.safe_load((repo.root / "dvc.lock").read_text())["stages"]["one"]["outs"]
    stored = next(store.rglob(next(one["md5"] for one in outs if one["path"] == out)[2:]))
    whole = stored.read_bytes()
    stored.chmod(0o644)
    stored.write_bytes({"flipped": b"hellO\n", "truncated": b"hel", "swapped": b"another\n"}[fault])
    forget_locally(repo)
    outcome = sharing.bring_up_to_date(Project(ws), "one")
    found = (repo.root / "data/f").read_bytes(), (repo.root / "data/d/e/g").read_bytes()
    assert found == made and outcome.status == "ran"
    assert capsys.readouterr().err == f"note: {out} arrived damaged from team; computing one here\n"
    assert stored.read_bytes() == whole, "the remote is mended"
    forget_locally(repo)
    assert sharing.bring_up_to_date(Project(ws), "one").status == "restored"


def test_a_remote_out_of_reach_is_said_and_tried_again(repo, tmp_path, monkeypatch):
    monkeypatch.setattr(sharing, "_PAUSE_SECONDS", 0.01)
    ws, store = one_stage(repo), tmp_path / "store"
    dvc.compute(ws, "one")
    store.write_text("a file where a folder should be")
    sharing.add_remote(ws, "team", str(store), None, local=True)
    said = sharing.push(ws).said
    assert said.startswith("nothing was pushed to team, the next run tries again (dvc push failed")
    assert "failed to transfer" in said, "DVC's reason is said"
    assert "\x1b" not in said and "troubles" not in said, "and nothing else of DVC's"
    assert sharing._in_short("a" * 500 + "b" * 5000 + "c" * 399) == f"{'a' * 200} … b{'c' * 399}"
    store.unlink()
    assert sharing.push(ws).said.endswith("to team")


@pytest.mark.parametrize(
    ("lost", "told"),
    [("hello\n", "data/d and 1 more"), ("2\n", "data/d"), ("[", "data/d")],
)
def test_a_push_counts_when_the_remote_has_every_object(repo, tmp_path, lost, told):
    """A broken disk kept an object out of DVC's cache, and `dvc push` says nothing of it."""
    ws, store = one_stage(repo), tmp_path / "store"
    sharing.add_remote(ws, "team", str(store), None, local=True)
    sharing.bring_up_to_date(Project(ws), "one")
    made = {file.name: file for file in objects(repo.root / ".dvc" / "cache")}
    (kept_out,) = [file for file in made.values() if file.read_text().startswith(lost)]
    kept_out.unlink()
    said = f"pushed to team, but it lacks {told}; the next run tries again"
    assert sharing.push(ws) == sharing.Push(False, said)
    assert sharing.bring_up_to_date(Project(ws), "one").status == "ran"
    assert sharing.push(ws).said.endswith("to team") and sharing.push(ws) == sharing.Push(True)
    assert {file.name for file in objects(store)} == made.keys()


def objects(cache):
    return [file for file in (cache / "files").rglob("*") if file.is_file()]


def test_a_remote_that_is_gone_after_a_push_is_asked_again(repo, tmp_path, monkeypatch):
    ws = one_stage(repo)
    sharing.add_remote(ws, "team", str(tmp_path / "store"), None, local=True)
    dvc.compute(ws, "one")

    def gone(*_):
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(Store, "lacking", gone)
        done = sharing.push(ws)
    assert not done.shared and "an answer to what is there (ConnectionError)" in done.said
    assert sharing.push(ws).said.endswith("to team")


@pytest.mark.parametrize("fault", ["hangs", "no credentials"])
def test_a_remote_that_hangs_or_refuses_us_costs_no_second_try(repo, tmp_path, monkeypatch, fault):
    ws, asked = one_stage(repo), []
    dvc.compute(ws, "one")
    sharing.add_remote(ws, "team", str(tmp_path / "store"), None, local=True)
    real = dvc.ask

    def ask(ws, *arguments, timeout=None):
        if arguments[0] != "push":
            return real(ws, *arguments)
        asked.append(timeout)
        if fault == "hangs":
            return real(ws, *arguments, timeout=0.01)  # it takes a second to start
        raise dvc.DvcError("dvc push failed: Unable to locate credentials")

    monkeypatch.setattr(dvc, "ask", ask)
    said = sharing.push(ws).said
    assert said.startswith("nothing was pushed to team") and (
        "timed out" in said or "credentials" in said
    )
    assert asked == [sharing._PUSH_SECONDS]


def test_pushes_at_once_and_a_killed_push_leave_a_whole_store(repo, tmp_path):
    ws, store = one_stage(repo), tmp_path / "store"
    sharing.add_remote(ws, "team", str(store), None, local=True)
    dvc.compute(ws, "one")
    command = [sys.executable, "-m", "dvc", "push", "--run-cache", "--quiet"]
    pushes = [subprocess.Popen(command, cwd=repo.root, stderr=subprocess.PIPE) for _ in range(2)]
    assert {push.wait(timeout=100) for push in pushes} == {0}, [
        push.stderr.read() for push in pushes
    ]
    for push in pushes:
        push.stderr.close()
    shutil.rmtree(store)
    with subprocess.Popen(command, cwd=repo.root) as killed:
        for _ in range(2000):
            if store.is_dir() or killed.poll() is not None:
                break
            time.sleep(0.005)
        killed.kill()
    assert sharing.push(ws).said.endswith("to team")
    forget_locally(repo)
    assert sharing.bring_up_to_date(Project(ws), "one").status == "restored"
    assert (repo.root / "data/d/e/g").read_text() == "hello\n"


@pytest.mark.parametrize("left", [b"", b'[{"md5": "'])
def test_a_list_that_a_killed_push_left_damaged_is_put_right(repo, tmp_path, monkeypatch, left):
    """DVC makes the list of a folder's files at its last name first, and fills it then; it reads
    what is there before it pushes, and pushes nothing where it cannot.
    """
    monkeypatch.setattr(sharing, "_PAUSE_SECONDS", 0.01)
    ws, store = one_stage(repo), tmp_path / "store"
    sharing.add_remote(ws, "team", str(store), None, local=True)
    dvc.compute(ws, "one")
    oid = dvc.output_hashes(ws, ["one"])["data/d"]
    torn = store / "files" / "md5" / oid[:2] / oid[2:]
    torn.parent.mkdir(parents=True)
    torn.write_bytes(left)
    assert sharing.push(ws).said == "pushed to team"
    assert hashlib.md5(torn.read_bytes()).hexdigest() == oid.removesuffix(".dir")


def test_an_s3_store_serves_as_well(repo, monkeypatch):
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0, verbose=False)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "t",
        "AWS_SECRET_ACCESS_KEY": "t",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
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
        dvc.compute(ws, "one")
        assert sharing.push(ws).said.endswith("to team")
        shutil.rmtree(repo.root / ".dvc" / "cache")
        shutil.rmtree(repo.root / "data/d")
        (repo.root / "data/f").unlink()
        outcome = sharing.bring_up_to_date(Project(ws), "one")
        assert outcome.status == "restored" and (repo.root / "data/d/e/g").read_text() == "hello\n"
    finally:
        server.stop()


@pytest.mark.pipeline
def test_a_teammates_clone_computes_nothing_and_a_new_image_costs_one(tmp_path, capsys):
    first, second = (SmallRepo(tmp_path / name) for name in ("first", "second"))
    for repo in (first, second):
        done = repo.run("remote", "add", "Team", str(tmp_path / "store"), "--local")
        assert done.returncode == 0 and done.stdout.startswith("team: "), done.stderr
    mine = first.run_here()
    assert "push" in capsys.readouterr().err and (tmp_path / "store").is_dir()
    shutil.copy(first.root / "dvc.lock", second.root)  # git carries it
    theirs = second.csa_run()
    assert {stage["status"] for stage in theirs["stages"]} == {"restored"} and theirs[
        "run_id"
    ] == mine["run_id"]
    add_a_magenta_star(second)
    grown = second.run_here()
    assert [grown["features"][view]["computed"] for view in ("image", "text")] == [1, 1]
    assert [grown["features"][view]["reused"] for view in ("image", "text")] == [64, 64]

    third = SmallRepo(tmp_path / "third")  # its first run has a new image at once
    assert third.run("remote", "add", "team", str(tmp_path / "store"), "--local").returncode == 0
    add_a_magenta_star(third, "a star that is magenta")
    grown = third.run_here()
    assert [grown["features"][view]["computed"] for view in ("image", "text")] == [0, 1], (
        "the second clone pushed the image's"
    )


def add_a_magenta_star(repo, text="a magenta star"):
    draw_shape("magenta", "star").save(repo.root / "shapes" / "images" / "magenta-star.png")
    with (repo.root / "shapes" / "pairs.csv").open("a", newline="") as table:
        csv.writer(table).writerow(["magenta-star", "images/magenta-star.png", text])
