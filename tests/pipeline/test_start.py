"""A retraining begins with the champion's choices, as dvc.lock has them, and says so."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from here import run_here
from measured import FIT
from own_project import Project
from team import trust

from csa.core.estimator import CSA
from csa.errors import ArtifactError
from csa.operations.ledger import ledger
from csa.operations.opened import Project as Registered
from csa.operations.trust.keys import KEY_VARIABLE, make_key
from csa.pipeline.fit import fit_from
from csa.pipeline.recipes import open_workspace
from csa.pipeline.start import Start, keep_start, read_start, write_start
from csa.pipeline.workspace import Workspace
from csa.results.fit import FitReport, Searched
from csa.storage.files import read_json


def pairs(n, shared=4, most=400):
    """The first n of a stream of pairs."""
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(most, shared))
    views = (Z @ rng.normal(size=(shared, d)) + 0.5 * rng.normal(size=(most, d)) for d in (12, 9))
    return tuple(view[:n] for view in views)


@pytest.fixture(scope="module")
def search():
    """A full search on 240 pairs: the model, and what it found."""
    X, Y = pairs(240)
    return fit_from("nobody has searched", {}, 240, 240, lambda asked: CSA(**asked).fit(X, Y))


def start_of(search, **other):
    model, searched = search
    found = {
        "run_id": "a",
        "pairs": searched.pairs,
        "held_out_mrr": searched.held_out_mrr,
        "choices": model.alignment_.choices(),
    }
    return Start(**(found | other))


def test_without_a_start_all_is_searched_for(search):
    model, searched = search
    assert (searched.road, searched.pairs, searched.started_from) == ("full", 240, None)
    assert searched.held_out_mrr == model.alignment_.notes["held_out_mrr"]
    assert model.tried_["recipes"]


def test_the_champions_choices_are_taken_over_where_they_do(search):
    X, Y = pairs(250)
    model, searched = fit_from(start_of(search), {}, 250, 250, lambda asked: CSA(**asked).fit(X, Y))
    assert model.alignment_.choices() == search[0].alignment_.choices()
    assert model.tried_["recipes"] == []
    assert (searched.road, searched.started_from, searched.pairs) == ("champion", "a", 240)
    assert searched.held_out_mrr == search[1].held_out_mrr, (
        "of the last search, so no drift adds up"
    )
    assert searched.held_out_mrr_of_start == model.alignment_.notes["held_out_mrr"]


def test_choices_that_no_longer_do_are_left(search):
    X, Y = pairs(250)
    poor = search[0].alignment_.choices() | {"shrinkage": [1.0, 1.0], "preparation": "root"}
    model, searched = fit_from(
        start_of(search, choices=poor), {}, 250, 250, lambda asked: CSA(**asked).fit(X, Y)
    )
    assert (searched.road, searched.pairs) == ("full", 250)
    assert searched.held_out_mrr_of_start < searched.held_out_mrr
    assert model.tried_["recipes"]


@pytest.mark.parametrize("n", [120, 320])
def test_another_number_of_pairs_asks_for_a_search(search, n):
    X, Y = pairs(n)
    _, searched = fit_from(start_of(search), {}, n, n, lambda asked: CSA(**asked).fit(X, Y))
    assert (searched.road, searched.started_from) == ("full", None)
    assert "240 pairs" in searched.why


@pytest.mark.parametrize(("worse", "road"), [(1.9, "champion"), (2.1, "full")])
def test_two_means_of_other_folds_differ_by_chance(search, worse, road):
    """Ten new pairs put most groups into other folds, so both means have an error of their own."""
    mrr = search[1].held_out_mrr
    ours = SimpleNamespace(notes={"held_out_mrr": mrr - worse * np.sqrt(2 * mrr * (1 - mrr) / 250)})
    _, searched = fit_from(
        start_of(search), {}, 250, 250, lambda asked: SimpleNamespace(alignment_=ours)
    )
    assert searched.road == road
    assert "the standard error of the difference is at most" in searched.why


def searched_report(**other):
    found = Searched(road="full", why="", pairs=FIT.pairs, held_out_mrr=0.5)
    return replace(FIT, **({"searched": found} | other))


def test_a_fit_gives_the_choices_of_its_alignment(search):
    choices = search[0].alignment_.choices()
    start = Start.of_fit("a", searched_report(), choices)
    assert (start.pairs, start.held_out_mrr, start.choices) == (FIT.pairs, 0.5, choices)


def test_what_was_set_by_hand_is_no_start(search):
    choices = search[0].alignment_.choices()
    assert Start.of_fit("a", replace(FIT, searched=None), choices) is None
    unmeasured = Searched(road="full", why="", pairs=9, held_out_mrr=None)
    assert Start.of_fit("a", searched_report(searched=unmeasured), choices) is None
    assert Start.of_fit("a", searched_report(), choices | {"score": "of_a_newer_csa"}) is None


def test_the_file_is_read_as_it_was_written_and_refused_where_it_is_damaged(tmp_path, search):
    ws = Workspace(tmp_path, tmp_path / ".csa")
    assert read_start(ws) is None
    keep_start(ws)
    assert read_start(ws) is None and read_json(ws.start) == {"start": {}}
    start = start_of(search)
    write_start(ws, start)
    keep_start(ws)
    assert read_start(ws) == start
    for damaged in ('{"start": 3}', "[]", '{"start": {"run_id": "a"}}', "{"):
        ws.start.write_text(damaged)
        with pytest.raises(ArtifactError, match=r"start\.json"):
            read_start(ws)
    for choices in ({"score": "best"}, {}, start.choices | {"folds": 2}):
        write_start(ws, replace(start, choices=choices))
        with pytest.raises(ArtifactError, match="choices are none that a fit could make"):
            read_start(ws)
    for numbers in ({"pairs": 0}, {"held_out_mrr": 1.5}, {"held_out_mrr": float("nan")}):
        write_start(ws, replace(start, **numbers))
        with pytest.raises(ArtifactError, match=r"start\.json"):
            read_start(ws)


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """A project that was run on 120 rows, and then on 130."""
    project = Project.make(tmp_path_factory.mktemp("nights") / "own")
    project.run_here()
    project.commit("first night")
    project.first = project.hashes()
    project.write_features(130)
    project.run_here()
    project.commit("second night")
    project.second = project.hashes()
    return project


def road(project):
    return FitReport.read(project.ws.fit_report).searched


@pytest.mark.pipeline
def test_the_second_night_begins_with_the_champions_choices(nights):
    version = Registered(nights.ws).registry.version(1)
    searched = road(nights)
    assert (searched.road, searched.started_from) == ("champion", version.tags["run_id"])
    assert read_start(nights.ws).run_id == searched.started_from
    line = ledger.history(nights.ws.ledger, Registered(nights.ws).model)[-1]
    assert line["evidence"]["searched"] == searched.as_dict()
    assert nights.git("ls-files", "data/start.json").stdout
    assert nights.out_of_date() == []


@pytest.mark.pipeline
def test_dvc_alone_gives_the_same_bytes_from_the_same_start(nights, tmp_path):
    nights.git("clone", "-q", str(nights.root), str(tmp_path / "mate"))
    mate = Project(tmp_path / "mate")
    mate.dvc("repro", "evaluate")
    assert mate.hashes() == nights.second
    assert road(mate).road == "champion"


@pytest.mark.pipeline
@pytest.mark.parametrize("keys", [False, True], ids=["no keys", "trusted keys"])
def test_a_clone_with_neither_registry_nor_cache_comes_to_the_locks_bytes(
    nights, tmp_path, keys, monkeypatch
):
    nights.git("clone", "-q", str(nights.root), str(tmp_path / "mate"))
    mate = Project(tmp_path / "mate")
    mate.ws.start.unlink()
    if keys:
        monkeypatch.setenv(KEY_VARIABLE, str(tmp_path / "key"))
        trust(mate.root, make_key()[0], "compute")
    done = mate.run_here()
    assert {stage["stage"]: stage["status"] for stage in done["stages"]}["fit"] == "ran"
    assert mate.hashes() == nights.second
    assert mate.git("status", "--porcelain", "--untracked-files=no").stdout == ""


@pytest.mark.pipeline
def test_data_that_go_back_find_what_was_computed(nights):
    for rows, found in ((120, nights.first), (130, nights.second)):
        nights.write_features(rows)
        done = nights.run_here()
        statuses = {stage["stage"]: stage["status"] for stage in done["stages"]}
        assert statuses["fit"] == "restored"
        assert nights.hashes() == found


@pytest.mark.pipeline
def test_a_full_search_can_be_asked_for(nights):
    text = (nights.root / "params.yaml").read_text()
    params = yaml.safe_load(text)
    params["fit"] = params.get("fit", {}) | {"search": "full"}
    (nights.root / "params.yaml").write_text(yaml.safe_dump(params))
    nights.write_features(125)
    nights.run_here()
    assert road(nights).road == "full" and read_start(nights.ws) is None
    assert road(nights).why == "`fit.search` is full"
    assert json.loads(nights.ws.start.read_text()) == {"start": {}}
    (nights.root / "params.yaml").write_text(text)


@pytest.mark.pipeline
def test_other_parameters_are_searched_for_anew(nights):
    nights.git("checkout", "-q", ".")
    nights.write_features(135)
    nights.set("folds: 5", "folds: 4")
    nights.run_here()
    assert road(nights).road == "full"


@pytest.mark.pipeline
def test_a_recipes_workspace_begins_with_the_champions_choices_too(nights, tmp_path, capfd):
    """As a retraining on 1 % of new items: the search is asked for in full, and then left to the
    default.
    """
    mapping = nights.ws.params().dump()
    mapping["dataset"]["path"] = str(nights.root / "features")
    mapping["model"] = {"name": "again"}
    recipe, said, roads = tmp_path / "again.yaml", [], []
    for rows, search in ((120, "full"), (121, "auto"), (122, "auto")):
        if rows == 122:
            mapping["fit"]["folds"] = 3
        nights.write_features(rows)
        mapping["fit"]["search"] = search
        recipe.write_text(yaml.safe_dump(mapping))
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(nights.root)
            ws = open_workspace(recipe)
        run_here(ws)
        said.append(capfd.readouterr().err)
        roads.append(FitReport.read(ws.fit_report).searched.road)
    assert roads == ["full", "champion", "full"]
    told = ["the fit begins with nobody's choices" in text for text in said]
    assert told == [False, False, True]
    assert "section `views` or `fit` of params.yaml has changed since the last fit" in said[2]
