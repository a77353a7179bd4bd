"""Every recipe is valid, pins its models, and its plan says what is missing and what it would
cost.
"""

import re
from pathlib import Path

import pytest
import tiny_models
import yaml

from csa.errors import InputError
from csa.operations.inspection import estimates
from csa.operations.inspection.plan import make_plan
from csa.operations.opened import Project
from csa.params.schema import Params
from csa.pipeline.recipes import find_recipe
from csa.pipeline.workspace import Workspace

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
NAMES = [path.stem for path in RECIPES]
PAPER = [
    "imagenet",
    "leafy_spurge",
    "cosmos",
    "flickr30k",
    "coco",
    "musiccaps",
    "kitti",
    "handwriting",
]


@pytest.fixture(autouse=True)
def no_hub(monkeypatch, tmp_path):
    """A machine that has none of the hub's models; a plan must not fetch them."""

    def fetch(*arguments):
        raise AssertionError("a plan downloads nothing")

    monkeypatch.setattr("csa.encoders.models._download", fetch)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(
        "huggingface_hub._snapshot_download.HF_HUB_CACHE", str(tmp_path / "hub"), raising=False
    )


def plan(recipe, tmp_path, monkeypatch):
    """The plan of a recipe in a workspace of its own, with a pipeline that was never run."""
    ws = Workspace(tmp_path / ".csa" / "workspaces" / recipe.stem, tmp_path / ".csa")
    ws.root.mkdir(parents=True)
    ws.params_file.write_text(recipe.read_text(encoding="utf-8"))
    stages = ["ingest", *(f"embed@{view}" for view in ws.params().views), "fit", "evaluate"]
    monkeypatch.setattr("csa.operations.cache.dvc.ensure_repo", lambda ws: None)
    monkeypatch.setattr("csa.operations.cache.dvc.stages", lambda ws: stages)
    monkeypatch.setattr("csa.operations.cache.dvc.status", lambda ws: {"ingest": []})
    return make_plan(Project(ws))


def test_the_papers_data_sets_have_recipes():
    assert set(PAPER) <= set(NAMES)


@pytest.mark.parametrize("recipe", RECIPES, ids=NAMES)
def test_recipe_is_valid_and_pins_what_it_fetches(recipe):
    params = Params.load(recipe)
    assert f"csa run recipes/{recipe.name} --data " in recipe.read_text(encoding="utf-8")
    for view in params.views.values():
        if "/" in view.encoder:
            assert re.fullmatch("[0-9a-f]{40}", view.revision or ""), view.encoder


@pytest.mark.parametrize("recipe", RECIPES, ids=NAMES)
def test_plan_says_what_is_missing(recipe, tmp_path, monkeypatch):
    result = plan(recipe, tmp_path, monkeypatch)
    text = str(result)
    assert result.problems and "missing: " in text
    assert any("no such data set" in problem for problem in result.problems)
    for view in Params.load(recipe).views.values():
        if "/" in view.encoder:
            assert any(
                view.encoder in problem and "is not on this machine" in problem
                for problem in result.problems
            )


@pytest.mark.parametrize("recipe", RECIPES, ids=NAMES)
def test_plan_says_which_models_beside_csa_are_missing(recipe, tmp_path, monkeypatch):
    params, result = Params.load(recipe), plan(recipe, tmp_path, monkeypatch)
    told = [problem for problem in result.problems if "(evaluate.multimodal." in problem]
    assert len(told) == len(params.evaluate.multimodal)
    for (label, model), problem in zip(params.evaluate.multimodal.items(), told, strict=True):
        assert (
            problem.startswith(f"model {model.encoder} is not on this machine")
            and f"evaluate.multimodal.{label}," in problem
        )
        assert all(f"task@{task}" in problem for task in params.tasks)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"encoder": "openai/clip-vit-base-patch32"}, "pin the commit of 40 hex digits"),
        ({"encoder": "no-such-folder"}, "unknown encoder 'no-such-folder'"),
        ({"encoder": "HERE"}, None),
    ],
)
def test_plan_says_what_is_wrong_with_a_model_beside_csa(model, said, tmp_path, monkeypatch):
    (tmp_path / "clip").mkdir()
    encoder = (
        str(tiny_models.clip(tmp_path / "clip")) if model["encoder"] == "HERE" else model["encoder"]
    )
    changed = Params.load(ROOT / "recipes" / "flickr8k.yaml").dump()
    changed["evaluate"]["multimodal"] = {"clip": {"encoder": encoder}}
    recipe = tmp_path / "changed.yaml"
    recipe.write_text(yaml.safe_dump(changed))
    told = [
        problem
        for problem in plan(recipe, tmp_path, monkeypatch).problems
        if "multimodal" in problem
    ]
    assert told == [] if said is None else said in told[0] and len(told) == 1


def test_plan_has_an_entry_for_each_encoder_of_a_view(tmp_path, monkeypatch):
    changed = Params.load(ROOT / "recipes" / "imagenet.yaml").dump()
    other = {"encoder": "google/vit-large-patch32-384", "revision": "a" * 40, "pooling": "mean"}
    changed["views"]["image"]["beside"] = [
        other,
        {"encoder": "efficientnet-lite2", "pooling": "mean"},
    ]
    recipe = tmp_path / "imagenet.yaml"
    recipe.write_text(yaml.safe_dump(changed))
    result = plan(recipe, tmp_path, monkeypatch)
    assert [view.encoder for view in result.views if view.view == "image"] == [
        "facebook/dinov2-giant",
        other["encoder"],
        "efficientnet-lite2",
    ]
    assert [
        other["encoder"] in problem for problem in result.problems if "view image" in problem
    ] == [False, True]


@pytest.mark.parametrize("name", [name for name in PAPER if name != "leafy_spurge"])
def test_plan_says_what_it_would_cost(name, tmp_path, monkeypatch):
    result = plan(ROOT / "recipes" / f"{name}.yaml", tmp_path, monkeypatch)
    assert len(result.views) == 2
    for view in result.views:
        assert view.items > 0 and "items as published" in view.basis
        assert view.encoder == "rocket" or (
            view.seconds > 0 and "million parameters" in str(result)
        )


def test_a_giant_model_on_imagenet_takes_hours(monkeypatch):
    monkeypatch.setattr(estimates, "_operations_per_second", lambda: 100e9)
    assert 50_000 * estimates.seconds_per_item("facebook/dinov2-giant") / 3600 == pytest.approx(
        135.6, rel=0.01
    )
    assert estimates.seconds_per_item("somebody/unknown") is None


def test_a_guess_follows_the_device(monkeypatch):
    assert estimates._on_device("cpu", side=64) > 0
    monkeypatch.setattr(estimates, "_operations_per_second", lambda: 100e9)
    monkeypatch.setattr(estimates, "_on_device", lambda device: 100e12)
    monkeypatch.setattr(estimates, "device_name", lambda asked: asked)
    here, there = (
        estimates.seconds_per_item("facebook/dinov2-giant", device) for device in ("cpu", "cuda")
    )
    assert here / there == pytest.approx(1000)


def test_a_name_too_long_is_no_recipe():
    with pytest.raises(InputError, match="no such file, and no recipe of that name"):
        find_recipe(Path("x" * 5000))
