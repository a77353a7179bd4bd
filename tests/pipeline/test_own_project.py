"""A project of one's own, as somebody who knows DVC uses it: checkouts, experiments, artifacts,
merges, a recipe beside it, a teammate.
"""

import json
import shutil

import pytest
from own_project import OUTPUTS, Project

from csa.operations.runs.records import file_sha256
from csa.pipeline.code import PACKAGE

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """A project with two versions in git, `v1` and `v2`, each with its lock."""
    project = Project.make(tmp_path_factory.mktemp("own") / "p, x [1]")
    project.csa("run")
    project.commit("first run")
    project.git("tag", "v1")
    project.first = project.hashes()
    project.write_features(140)
    project.dvc("repro")  # DVC alone does it as well
    project.commit("more rows")
    project.git("tag", "v2")
    project.second = project.hashes()
    return project


def test_a_checkout_brings_back_features_alignment_and_metrics(story):
    assert story.first.keys() == story.second.keys()
    assert all(story.first[name] != story.second[name] for name in OUTPUTS)
    story.git("checkout", "-q", "v1")
    story.dvc("checkout")
    assert story.hashes() == story.first
    assert story.out_of_date() == []
    status = json.loads(story.dvc("status", "--json").stdout)
    assert set(status) == {"code"}, "DVC itself finds no stage out of date"
    story.git("checkout", "-q", "v2")
    story.dvc("checkout")
    assert story.hashes() == story.second


def test_commands_work_from_any_folder_below(story):
    (story.root / "notes" / "deep").mkdir(parents=True, exist_ok=True)
    assert story.out_of_date(folder=story.root / "notes" / "deep") == []


def test_dvc_fetches_the_alignment_from_another_repository_by_its_name(story, tmp_path):
    story.git("tag", "-a", "alignment@v1.0.0", "-m", "one", "v1")
    got = tmp_path / "got.safetensors"
    story.dvc("artifacts", "get", str(story.root), "alignment", "-o", str(got), folder=tmp_path)
    assert file_sha256(got) == story.first["alignment.safetensors"]


def test_an_experiment_changes_one_parameter_and_is_shown(story):
    story.dvc("exp", "run", "-S", "fit.shrinkage=0.1", "--name", "small")
    shown = story.dvc("exp", "show", "--csv", "--only-changed").stdout.splitlines()
    header = shown[0].split(",")
    assert "fit.shrinkage" in header
    row = next(line.split(",") for line in shown if line.startswith("small"))
    assert row[header.index("fit.shrinkage")] == "0.1"
    story.git("checkout", "-q", ".")
    story.dvc("checkout")
    assert story.hashes() == story.second


def test_the_same_stages_of_a_recipe_are_restored_and_not_run(story):
    recipe = story.root / "same.yaml"
    shutil.copy(story.root / "params.yaml", recipe)
    done = story.csa("run", "same.yaml", "--data", "features", "--json")
    stages = {stage["stage"]: stage["status"] for stage in json.loads(done.stdout)["stages"]}
    recipe.unlink()
    (story.root / "same.exclude.csv").unlink(missing_ok=True)
    del stages["ingest"]  # its data set has another path there
    assert set(stages.values()) == {"restored"}


def test_two_branches_that_were_both_run_merge_into_a_lock_that_is_accepted(story):
    for branch, old, new in (("one", "folds: 5", "folds: 4"), ("two", "alpha: 0.1", "alpha: 0.2")):
        story.git("checkout", "-q", "v2", "-b", branch)
        story.set(old, new)
        story.dvc("repro")
        story.commit(branch)
    merged = story.git("merge", "-q", "one", "-m", "both", code=1)
    assert "dvc.lock" in merged.stdout
    done = story.csa("run", "--json")
    assert "dvc.lock held a merge conflict" in done.stderr
    statuses = {stage["stage"]: stage["status"] for stage in json.loads(done.stdout)["stages"]}
    assert statuses["fit"] == "restored", "branch one computed it"
    assert statuses["evaluate"] == "ran", "nobody evaluated both changes together"
    assert story.out_of_date() == []
    story.commit("both")
    assert "<<<<" not in (story.root / "dvc.lock").read_text()


def test_a_teammates_clone_computes_nothing(story, tmp_path):
    story.git("checkout", "-q", "v2")
    story.dvc("checkout")
    shared = tmp_path / "shared"
    shared.mkdir()
    story.csa("remote", "add", "team", str(shared))
    story.git("add", ".dvc/config")
    story.git("commit", "-qm", "remote")
    story.csa("run")
    story.git("clone", "-q", str(story.root), str(tmp_path / "mate"))
    mate = Project(tmp_path / "mate", **story.more)
    done = json.loads(mate.csa("run", "--json").stdout)
    assert {stage["status"] for stage in done["stages"]} <= {"restored", "unchanged"}
    assert mate.hashes() == story.second


def test_changed_code_runs_its_stage_and_changed_back_is_restored(tmp_path):
    copy = tmp_path / "code" / "csa"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    project = Project.make(tmp_path / "own", PYTHONPATH=str(copy.parent))
    project.dvc("repro")
    before = project.hashes()
    source = copy / "evaluation" / "retrieval.py"
    original = source.read_text()
    source.write_text("# Why.\n" + original)
    assert project.out_of_date() == []
    source.write_text(original + "\nMORE = 1\n")
    assert project.out_of_date() == ["evaluate"]
    done = project.dvc("repro")
    assert "Running stage 'evaluate'" in done.stdout and "Running stage 'fit'" not in done.stdout
    source.write_text(original)
    assert project.out_of_date() == ["evaluate"]
    assert "Stage 'evaluate' is cached" in project.dvc("repro").stdout
    assert project.hashes() == before and project.out_of_date() == []
