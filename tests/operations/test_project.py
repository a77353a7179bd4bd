"""A project of one's own: what `csa init` writes, and what it leaves alone."""

import json
import subprocess
import sys

import pytest
import yaml
from small_repo import make_shapes

from csa.errors import DataError, InputError, ParamsError, WorkspaceError
from csa.operations.cache import leftovers, lock
from csa.operations.cache.dvc import ensure_repo
from csa.operations.cache.lock import computed_anew, settle
from csa.operations.project import make_project
from csa.params.schema import Params
from csa.pipeline.recipes import existing_workspace, find_recipe, open_workspace, packaged_recipes
from csa.pipeline.workspace import Workspace


def files_of(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".git/" not in f"{path.relative_to(folder)}/"
    }


def git(folder, *arguments):
    return subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", folder, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "shapes"
    make_shapes(folder)
    return folder


def test_a_table_is_recognised_and_every_line_of_the_parameters_has_a_comment(tmp_path, shapes):
    made = make_project(tmp_path / "own", shapes)
    text = (tmp_path / "own" / "params.yaml").read_text()
    lines = [line for line in text.splitlines() if line.strip()]
    assert all("#" in line and line.partition("#")[2].strip() for line in lines)
    assert max(map(len, lines)) <= 100
    params = Params.load(tmp_path / "own" / "params.yaml")
    assert (params.dataset.kind, params.dataset.path) == ("table", str(shapes))
    assert params.model.name == "own" and params.view_names == ("image", "text")
    assert any("pairs.csv is a table" in line for line in made.recognised)
    assert len((tmp_path / "own" / "README.md").read_text().splitlines()) <= 12
    tracked = git(tmp_path / "own", "status", "--porcelain", "--untracked-files=all").stdout
    assert "params.yaml" in tracked and "data/.gitignore" in tracked and ".csa" not in tracked


def test_data_inside_the_project_is_named_as_a_clone_finds_it(tmp_path):
    make_shapes(tmp_path / "own" / "shapes")
    make_project(tmp_path / "own", tmp_path / "own" / "shapes")
    assert Params.load(tmp_path / "own" / "params.yaml").dataset.path == "shapes"


def test_run_twice_it_changes_nothing(tmp_path, shapes):
    make_project(tmp_path, shapes)
    before = files_of(tmp_path)
    made = make_project(tmp_path, shapes)
    assert files_of(tmp_path) == before
    assert not made.written and "nothing: all was there" in str(made)


def test_what_is_there_is_kept(tmp_path, shapes):
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("secret")
    (tmp_path / "README.md").write_text("mine\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "photo.jpg").write_bytes(b"mine")
    made = make_project(tmp_path, shapes)
    assert (tmp_path / "README.md").read_text() == "mine\n" and "README.md" in made.kept
    assert (tmp_path / ".gitignore").read_text() == "secret\n.csa/\n"
    assert git(tmp_path, "check-ignore", "data/photo.jpg").returncode == 1
    assert git(tmp_path, "check-ignore", "data/metrics.json").returncode == 0
    assert git(tmp_path, "check-ignore", "data/code.json").returncode == 1


def test_projects_of_one_repository_share_one_state(tmp_path, shapes):
    git(tmp_path, "init", "-q")
    for name in ("sounds", "models/photos"):
        make_project(tmp_path / name, shapes)
    spaces = [Workspace.find(tmp_path / name / "data") for name in ("sounds", "models/photos")]
    assert [ws.name for ws in spaces] == ["sounds", "models-photos"]
    assert {ws.state for ws in spaces} == {tmp_path / ".csa"}
    assert (tmp_path / ".dvc").is_dir() and not (tmp_path / "sounds" / ".dvc").exists()
    assert spaces[0].stage_record("fit") != spaces[1].stage_record("fit")


def test_without_git_dvc_keeps_no_scm(tmp_path, shapes):
    made = make_project(tmp_path, shapes, git=False)
    assert made.written[0] == ".dvc"
    assert "no_scm = True" in (tmp_path / ".dvc" / "config").read_text()


def test_without_data_it_starts_with_the_built_in_set(tmp_path):
    make_project(tmp_path)
    stages = yaml.safe_load((tmp_path / "dvc.yaml").read_text())["stages"]
    assert "demo" in stages
    assert Params.load(tmp_path / "params.yaml").dataset.path == "data/openmoji"


@pytest.mark.parametrize("name", packaged_recipes())
def test_every_recipe_makes_a_project(tmp_path, name, shapes):
    make_project(tmp_path, shapes, find_recipe(type(tmp_path)(name)), git=False)
    asked = yaml.safe_load(find_recipe(type(tmp_path)(name)).read_text())
    params = Params.load(tmp_path / "params.yaml")
    assert params.dataset.path == str(shapes)
    assert params.views == Params.from_mapping(asked).views
    assert params.fit == Params.from_mapping(asked).fit
    assert params.tasks == Params.from_mapping(asked).tasks


def test_unrecognised_data_says_what_was_seen_and_what_is_missing(tmp_path):
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "notes.xyz").write_text("?")
    with pytest.raises(
        InputError, match=r"layout was not recognised .*nearest: .* needs .*; .*;.*without-captions"
    ):
        make_project(tmp_path / "own", tmp_path / "odd")
    assert not (tmp_path / "own").exists(), "nothing is half made"


def test_wrong_use_is_one_error_and_writes_nothing(tmp_path, shapes):
    with pytest.raises(DataError, match="no such"):
        make_project(tmp_path / "own", tmp_path / "nowhere")
    (tmp_path / "bad.yaml").write_text("fitt: {}\n")
    with pytest.raises(ParamsError, match="did you mean 'fit'"):
        make_project(tmp_path / "own", shapes, tmp_path / "bad.yaml")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="a file; give the folder"):
        make_project(tmp_path / "file", shapes)
    assert not (tmp_path / "own").exists()


def test_a_folder_that_sqlite_cannot_name_is_refused_at_once(tmp_path, shapes):
    with pytest.raises(WorkspaceError, match=r"holds a `\?`.*rename the folder"):
        make_project(tmp_path / "p?", shapes)
    assert not (tmp_path / "p?").exists()
    make_project(tmp_path / "p", shapes)
    (tmp_path / "p").rename(tmp_path / "p?")
    with pytest.raises(WorkspaceError, match="rename the folder"):
        Workspace.find(tmp_path / "p?")


def test_a_recipe_by_name_or_the_nearest_names(tmp_path, monkeypatch, shapes):
    make_project(tmp_path, shapes)
    monkeypatch.chdir(tmp_path)
    ws = open_workspace(type(tmp_path)("flickr8k"), data=str(shapes))
    assert ws.root == tmp_path / ".csa" / "workspaces" / "flickr8k" and ws.name == "flickr8k"
    assert {path.name for path in ws.root.iterdir()} == {
        "dvc.yaml",
        "params.yaml",
        "exclude.csv",
        ".dvcignore",
    }
    with pytest.raises(InputError, match="did you mean flickr8k"):
        find_recipe(type(tmp_path)("flikr8k"))


LOCK = """schema: '2.0'
stages:
  embed@image:
    cmd: python -m csa.pipeline embed image
    params: {{data/code.json: {{embed: 12}}}}
    outs:
    - path: data/features/image
      md5: {}
"""


def conflicted(ours, theirs):
    return LOCK.format("@").replace(
        "      md5: @\n",
        f"<<<<<<< HEAD\n      md5: {ours}\n=======\n      md5: {theirs}\n>>>>>>> branch\n",
    )


def test_a_lock_with_conflict_marks_is_settled(tmp_path, capsys):
    ws = Workspace(tmp_path, tmp_path / ".csa")
    assert not settle(ws)
    (tmp_path / "dvc.lock").write_text(conflicted("aa", "bb"))
    assert settle(ws) and "merge conflict" in capsys.readouterr().err
    assert (tmp_path / "dvc.lock").read_text() == LOCK.format("aa")
    assert not settle(ws)


def test_a_lock_that_is_no_lock_afterwards_is_made_anew(tmp_path):
    ws = Workspace(tmp_path, tmp_path / ".csa")
    (tmp_path / "dvc.lock").write_text("<<<<<<< a\n[\n=======\n>>>>>>> b\n")
    assert settle(ws) and not (tmp_path / "dvc.lock").exists()


def test_a_list_of_who_is_at_work_is_removed_wherever_its_writing_was_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(leftovers, "_WRITTEN_SECONDS", 0.0)
    ws = Workspace(tmp_path, tmp_path / ".csa")
    path = tmp_path / ".dvc" / "tmp" / "rwlock"
    path.parent.mkdir(parents=True)
    whole = json.dumps({str(tmp_path / "data"): {"write": {"pid": 1, "cmd": "dvc repro"}}})
    for size in range(len(whole)):
        path.write_text(whole[:size])
        settle(ws)
        assert not path.exists(), whole[:size]
    path.write_text(whole)
    settle(ws)
    assert path.read_text() == whole


def test_what_was_on_its_way_into_the_run_cache_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(leftovers, "_WRITTEN_SECONDS", 0.0)
    ws, elsewhere = Workspace(tmp_path, tmp_path / ".csa"), tmp_path / "a cache, elsewhere #2"
    (tmp_path / ".dvc").mkdir()
    assert leftovers.remove_from_run_cache(ws) == []
    for cache in (tmp_path / ".dvc" / "cache", elsewhere):
        entry = cache / "runs" / "12" / "12ab" / "34cd"
        entry.parent.mkdir(parents=True)
        entry.write_text("cmd: x\nouts: []\n")
        cut = entry.with_name(".T7kQ.tmp")
        cut.write_text("cmd: x\n")
        alone = cache / "runs" / "12" / "12ff" / ".x9.tmp"
        alone.parent.mkdir()
        alone.touch()
        assert set(leftovers.remove_from_run_cache(ws)) == {cut, alone}
        assert list(cache.rglob("*.tmp")) == [] and entry.is_file() and not alone.parent.exists()
        config = f"[cache]\n    dir = '{elsewhere}'\n"
        (tmp_path / ".dvc" / "config.local").write_text(config)


def test_a_lock_is_settled_wherever_its_writing_was_cut(tmp_path, capsys):
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    git(tmp_path, "init", "-q")
    ws, path = Workspace(tmp_path, tmp_path / ".csa"), tmp_path / "dvc.lock"
    whole = LOCK.format("12ab")

    def dvc_reads(text):
        try:
            COMPILED_LOCKFILE_SCHEMA(yaml.safe_load(text))
        except (yaml.YAMLError, Invalid):
            return False
        return True

    assert dvc_reads(whole) and lock._is_whole(whole)
    cuts = [whole[:end] for end in range(len(whole))]
    assert all(dvc_reads(text) for text in cuts if lock._is_whole(text))
    for damaged in ("", "stages: 2024-13-45\n", "stages: " + "[" * 5000):
        path.write_text(damaged)
        assert settle(ws) and not path.exists() and "it was removed" in capsys.readouterr().err
    path.write_text(whole)
    assert not settle(ws)
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "one")
    newer = LOCK.format("34cd")
    path.write_text(newer)
    assert not settle(ws)  # and it is kept
    path.write_text(newer[: len(newer) // 2])
    assert settle(ws) and path.read_text() == newer
    assert "that of before the last run was taken" in capsys.readouterr().err
    several = newer + "".join(f"  {name}:\n    cmd: x\n" for name in ("fit", "evaluate"))
    path.write_text(several)
    assert not settle(ws)
    for end in range(len(newer), len(several)):  # between two lines it reads as a smaller lock
        if several[:end].endswith("fit:\n    cmd: x\n") or not lock._is_whole(several[:end]):
            path.write_text(several[:end])
            assert settle(ws) and path.read_text() == several, several[:end]
    path.write_text(newer)
    assert settle(ws) and path.read_text() == several
    path.write_text(whole)  # a commit of before there were more stages
    assert not settle(ws) and path.read_text() == whole
    capsys.readouterr()
    ws.kept_lock.unlink()
    path.write_text(newer[: len(newer) // 2])
    assert settle(ws) and path.read_text() == whole
    assert "the committed one was taken" in capsys.readouterr().err


def test_a_relative_registry_is_one_file_for_all_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ws = Workspace(tmp_path / "own", tmp_path / "own" / ".csa")
    for named in ("sqlite:///mlflow.db", "sqlite:///./mlflow.db"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", named)
        assert ws.mlflow_uri == f"sqlite:///{tmp_path / 'own' / 'mlflow.db'}"
    for named in (f"sqlite:///{tmp_path / 'm.db'}", "http://mlflow.example.org:5000"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", named)
        assert ws.mlflow_uri == named


def test_features_that_another_processor_rounded_otherwise_are_told(tmp_path):
    git(tmp_path, "init", "-q")
    ws = Workspace(tmp_path, tmp_path / ".csa")
    (tmp_path / "dvc.lock").write_text(LOCK.format("aa"))
    assert computed_anew(ws) == [], "nothing is committed"
    git(tmp_path, "add", "-A")
    assert git(tmp_path, "commit", "-qm", "one").returncode == 0
    assert computed_anew(ws) == []
    (tmp_path / "dvc.lock").write_text(LOCK.format("bb"))
    assert computed_anew(ws) == ["image"]
    (tmp_path / "dvc.lock").write_text(LOCK.format("bb").replace("12", "13"))
    assert computed_anew(ws) == [], "the code differs, so features may"


def test_the_command_says_what_it_did(tmp_path, shapes):
    done = subprocess.run(
        [sys.executable, "-m", "csa.cli", "init", str(tmp_path / "own"), "--data", str(shapes)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and not done.stderr
    assert done.stdout.startswith("project in "), "and DVC says nothing before it"
    assert "read as dataset.kind table" in done.stdout and "wrote   .git, .dvc" in done.stdout


def test_a_recipe_is_tried_without_a_project(tmp_path, monkeypatch, shapes):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WorkspaceError, match="`csa init` makes one"):
        open_workspace(None)
    ws = open_workspace(type(tmp_path)("flickr8k"), data=str(shapes))
    assert ws.root == tmp_path / ".csa" / "workspaces" / "flickr8k"
    assert existing_workspace("flickr8k") == ws
    with pytest.raises(InputError, match=r"no project here, only .* recipes \(flickr8k\)"):
        existing_workspace("main")
    with pytest.raises(WorkspaceError, match="`csa init` makes one"):
        open_workspace(None)
    ensure_repo(ws)
    assert f"dir = {tmp_path / '.csa' / 'dvc'}" in (ws.root / ".dvc" / "config").read_text()
