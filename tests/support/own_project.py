"""A small project of somebody's own: features of two encoders, driven by csa, DVC and git."""

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import first_use
import numpy as np
import plainly
import warm
from here import run_here

from csa.operations.project import make_project
from csa.operations.runs.records import file_sha256
from csa.pipeline.workspace import Workspace

NOBODY = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "t"), ("EMAIL", "t@example.org"))
}
OUTPUTS = ("pairs.parquet", "alignment.safetensors", "metrics.json", "features/image/index.json")


def environment(**more):
    """The variables of a command that is told of no server, and that finds the programs beside
    this Python first.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "MLFLOW_T"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept["PATH"]])
    return kept | NOBODY | {"PATH": path, "COLUMNS": "100"} | more


class Project:
    """A folder with features of two encoders, driven as its owner drives it."""

    def __init__(self, root, **more):
        self.root, self.more = root, more

    @property
    def outputs(self):
        return {name: self.root / "data" / name for name in OUTPUTS}

    @classmethod
    def make(cls, root, **more):
        project = cls(root, **more)
        project.write_features(120)
        make_project(root, root / "features")
        first_use.prepare(project.ws)
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
        """A command to its end; `csa run` as a fork is without Prefect and figures."""
        fork = "PYTHONPATH" not in self.more
        variables = environment(**self.more, **(plainly.VARIABLES if fork else {}))
        with warm.processes() if fork else nullcontext():
            done = subprocess.run(
                command,
                cwd=folder or self.root,
                env=variables,
                capture_output=True,
                text=True,
                check=False,
                timeout=300,
            )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def csa(self, *arguments, **options):
        return self.call(sys.executable, "-m", "csa.cli", *arguments, **options)

    @property
    def ws(self):
        return Workspace(self.root, self.root / ".csa")

    def run_here(self):
        """What `csa run --json` does, in this process and without Prefect."""
        return run_here(self.ws)

    def dvc(self, *arguments, **options):
        return self.call(sys.executable, "-m", "dvc", *arguments, **options)

    def git(self, *arguments, **options):
        return self.call("git", *arguments, **options)

    def commit(self, message):
        self.git("add", "-A")
        self.git("commit", "-qm", message)

    def hashes(self):
        return {name: file_sha256(path) for name, path in self.outputs.items()}

    def out_of_date(self, folder=None):
        return json.loads(self.csa("status", "--json", folder=folder).stdout)["out_of_date"]
