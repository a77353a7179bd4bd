"""Settings of DVC and odd names of folders: runs go on."""

import json
import shutil

import pytest
from own_project import Project

pytestmark = pytest.mark.pipeline


def made(project):
    """What a run leaves, as bytes do not depend on the place."""
    return {name: found for name, found in project.hashes().items() if name != "metrics.json"}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A project in a plain folder, which has run."""
    project = Project.make(tmp_path_factory.mktemp("plain") / "own")
    project.run_here()
    return project


@pytest.mark.parametrize("kind", ["symlink", "hardlink"])
def test_outputs_may_be_links_into_dvcs_cache(tmp_path, plain, kind):
    project = Project.make(tmp_path / "own")
    project.dvc("config", "--local", "cache.type", kind)
    assert project.run_here()["model"]["version"] == 1 and made(project) == made(plain)
    alignment = project.outputs["alignment.safetensors"]
    assert alignment.is_symlink() == (kind == "symlink")
    assert alignment.is_symlink() or alignment.stat().st_nlink == 2
    assert project.out_of_date() == []
    project.csa("ledger", "--verify")
    project.write_features(130)
    assert project.run_here()["model"]["version"] == 2
    project.csa("ledger", "--verify")


def test_a_folder_may_have_an_odd_name(tmp_path, plain):
    name = "a #2, [ü] 50 %41 'q' \"x\" = b"
    project = Project.make(tmp_path / "all" / name)
    store = tmp_path / "all" / f"the team's {name}"
    project.csa("remote", "add", "team", str(store))
    inside = {path.name for path in project.root.iterdir()}
    assert "pushed to team" in project.csa("run").stderr
    assert (store / "files").is_dir() and made(project) == made(plain)
    assert {path.name for path in (tmp_path / "all").iterdir()} == {name, store.name}
    assert {path.name for path in project.root.iterdir()} - inside == {"dvc.lock"}
    for question in (["status"], ["metrics"], ["ledger", "--verify"], ["lineage", "champion"]):
        project.csa(*question)
    assert project.out_of_date() == []


def test_what_dvc_gc_removed_of_a_recipe_is_computed_again(plain):
    first = plain.hashes()
    text = (plain.root / "params.yaml").read_text()
    (plain.root / "few.yaml").write_text(text.replace("bootstrap: 100", "bootstrap: 120"))
    run = ("run", "few.yaml", "--data", str(plain.root / "features"), "--json")
    few = json.loads(plain.csa(*run).stdout)
    plain.dvc("gc", "--workspace", "--force")
    shutil.rmtree(plain.root / ".csa" / "workspaces" / "few" / "data")
    assert plain.out_of_date() == [] and plain.hashes() == first
    plain.csa("status", "-w", "few")
    again = json.loads(plain.csa(*run).stdout)
    assert again["run_id"] == few["run_id"]
    assert plain.out_of_date() == [] and plain.hashes() == first
