"""A project of one's own, as somebody who knows DVC uses it: checkouts, experiments, artifacts,
merges, a recipe beside it, a teammate.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from csa.operations.project import make_project

pytestmark = pytest.mark.pipeline
OUTPUTS = ("pairs.parquet", "alignment.safetensors", "metrics.json", "features/image/index.json")


class Project:
    """A folder with features of two encoders, driven as its owner drives it."""

    def __init__(self, root):
        self.root = root

    @classmethod
    def make(cls, root):
        project = cls(root)
        project.write_features(120)
        make_project(root, root / "features")
        project.set("bootstrap: 1000", "bootstrap: 100")
        project.commit("start")
        return project

    def write_features(self, n):
        """The first n rows of a stream of pairs: more rows leave the earlier ones as they are."""
        rng = np.random.default_rng(0)
        Z, noise = rng.normal(size=(200, 4)), rng.normal(size=(2, 200, 10))
        (self.root / "features").mkdir(parents=True, exist_ok=True)
        for k, view in enumerate(("image", "text")):
            X = Z @ np.random.default_rng(k).normal(size=(4, 10)) + 0.3 * noise[k]
            np.save(self.root / "features" / f"{view}.npy", X[:n].astype(np.float32))

    def set(self, old, new):
        path = self.root / "params.yaml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def call(self, *command, folder=None, code=0):
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "MLFLOW_T"))}
        path = os.pathsep.join([str(Path(sys.executable).parent), keep["PATH"]])
        who = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org"}
        who |= {key.replace("AUTHOR", "COMMITTER"): value for key, value in who.items()}
        environment = keep | who | {"PATH": path, "COLUMNS": "100"}
        done = subprocess.run(
            command,
            cwd=folder or self.root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def csa(self, *arguments, **options):
        return self.call(sys.executable, "-m", "csa.cli", *arguments, **options)

    def dvc(self, *arguments, **options):
        return self.call(sys.executable, "-m", "dvc", *arguments, **options)

    def git(self, *arguments, **options):
        return self.call("git", *arguments, **options)

    def commit(self, message):
        self.git("add", "-A")
        self.git("commit", "-qm", message)

    def hashes(self):
        files = {name: (self.root / "data" / name).read_bytes() for name in OUTPUTS}
        return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}

    def out_of_date(self, folder=None):
        return json.loads(self.csa("status", "--json", folder=folder).stdout)["out_of_date"]


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
    digest = hashlib.sha256(got.read_bytes()).hexdigest()
    assert digest == story.first["alignment.safetensors"]


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
    mate = Project(tmp_path / "mate")
    done = json.loads(mate.csa("run", "--json").stdout)
    assert {stage["status"] for stage in done["stages"]} <= {"restored", "unchanged"}
    assert mate.hashes() == story.second
