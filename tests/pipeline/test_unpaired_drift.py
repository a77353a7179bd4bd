"""Unpaired items against those the champion was fitted on: the same ones say nothing, others are
told, and nothing is compared where the champion had none.
"""

import copy
import json

import numpy as np
import pytest
from PIL import Image
from small_repo import COLOURS, SHAPES, SHAPES_PARAMS, SmallRepo, draw_shape

from csa.operations.gate.drift import checks_against_champion
from csa.operations.opened import Project

NAMES = {"lost_unpaired", "unpaired_mean_shift", "unpaired_covariance_shift"}
MORE = ["pink", "grey", "cyan", "olive"]
THINGS = ["invoice", "parliament", "sonata", "protein", "harbour", "mortgage", "verdict", "glacier"]


def with_pools(**limits):
    params = copy.deepcopy(SHAPES_PARAMS)
    params["dataset"]["unpaired"] = {"image": "pool", "text": "pool.txt"}
    params["views"]["image"]["labels"] = "none"
    return params | {"checks": limits}


def compared(repo):
    """What is found of unpaired items: each view's checks."""
    found = [c for c in checks_against_champion(Project(repo.ws)) if c.name in NAMES]
    return {
        (check.name, view): check
        for check in found
        for view in ("image", "text")
        if f"unpaired {view}" in check.said
    }


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    """A project with pools, whose champion had none."""
    repo = SmallRepo(tmp_path_factory.mktemp("drift") / "repo")
    repo.run_here()
    (repo.root / "pool").mkdir()
    for colour in MORE:
        for shape in SHAPES:
            draw_shape(colour, shape).save(repo.root / "pool" / f"{colour}-{shape}.png")
    texts = [
        f"{size} {colour} {shape}"
        for size in ("a large", "one small")
        for colour in (*COLOURS, *MORE)
        for shape in SHAPES
    ]
    (repo.root / "pool.txt").write_text("\n".join(texts))
    repo.set_params(with_pools())
    return repo


@pytest.mark.pipeline
def test_drift_of_unpaired_items_is_told(repo):
    repo.summary = repo.run_here()
    assert compared(repo) == {}, "the champion had no unpaired items"
    done = repo.run("promote", str(repo.summary["model"]["version"]), "--reason", "pools")
    assert done.returncode == 0, done.stderr

    same = compared(repo)
    assert set(same) == {(name, view) for name in NAMES for view in ("image", "text")}
    assert {check.value for check in same.values()} == {0.0}

    sentences = [
        f"the {a} of the {b} was {c}"
        for a in THINGS
        for b in THINGS
        if a != b
        for c in ("delayed", "approved")
    ]
    (repo.root / "pool.txt").write_text("\n".join(sentences))
    done = repo.run("run")
    assert done.returncode == 0, done.stderr
    assert (
        "note: unpaired_mean_shift: the means of unpaired text coordinates moved by" in done.stderr
    )
    assert "unpaired image" not in done.stderr
    status = repo.run("status")
    assert "unpaired_mean_shift warn: the means of unpaired text" in status.stdout
    found = compared(repo)
    assert found["lost_unpaired", "text"].outcome == "warn"
    assert found["unpaired_mean_shift", "text"].outcome == "warn"
    assert found["unpaired_mean_shift", "image"].value == 0

    rng = np.random.default_rng(0)
    for file in sorted((repo.root / "pool").iterdir()):
        noise = rng.integers(256, size=(12, 12, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((96, 96)).save(file)
    before = repo.ws.alignment.read_bytes()
    repo.set_params(with_pools(unpaired_mean_shift=[0.1, 0.3]))
    done = repo.run("run")
    assert done.returncode == 1, done.stderr
    last = done.stderr.splitlines()[-1]
    assert "refused: unpaired_mean_shift: the means of unpaired image" in last
    assert "the limit is 0.3 (and unpaired_mean_shift)" in last
    assert repo.ws.alignment.read_bytes() == before
    kept = json.loads(repo.ws.drift.read_text())
    assert kept["refused"] and {check["name"] for check in kept["checks"]} > NAMES


@pytest.mark.pipeline
def test_a_fit_keeps_profiles_of_the_pools_it_had_and_of_no_other(repo):
    runs = [json.loads(file.read_text()) for file in repo.ws.runs.glob("*/fit.json")]
    profiles = [fit.get("unpaired_profiles") for fit in runs]
    assert None in profiles, "a fit without pools has no such key"
    kept = json.loads((repo.ws.runs / repo.summary["run_id"] / "fit.json").read_text())[
        "unpaired_profiles"
    ]
    assert {view: profile["groups"] for view, profile in kept.items()} == {
        "image": len(MORE) * len(SHAPES),
        "text": 2 * (len(COLOURS) + len(MORE)) * len(SHAPES),
    }
    assert np.shape(kept["image"]["mean"]) == (1, 3) and np.shape(kept["text"]["mean"])[0] == 1
    assert "unpaired_profiles" not in repo.summary["fit"]
