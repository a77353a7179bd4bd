"""The ledger: a chain that shows edits, one history for clones that share a registry, and a
champion that agrees with it.
"""

import json
import os

import pytest
from workspaces import make_workspace

from csa.errors import ArtifactError, WorkspaceError
from csa.operations.ledger import ledger, team_ledger
from csa.operations.opened import Project
from csa.pipeline.workspace import Workspace
from csa.storage.files import read_json

pytestmark = pytest.mark.usefixtures("local_registry")

MODEL = "csa-openmoji"


def facts(number, model=MODEL):
    judged = {"gate": {"metric": "mrr"}, "evidence": {}, "gain": 0.1, "low": 0.0, "high": 0.2}
    moved = {"verdict": "keep", "reason": "a tie", "from": 1, "to": 1}
    return {"model": model, "number": number, **moved, **judged}


def numbers(lines):
    return [line["number"] for line in lines]


def test_the_ledger_is_a_chain(tmp_path):
    path = tmp_path / "ledger.jsonl"
    for number in range(3):
        ledger.append(path, facts(number))
    assert [line["seq"] for line in ledger.entries(path)] == [1, 2, 3]
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    edited = json.loads(lines[1]) | {"number": 9}
    for broken in (
        lines[1:],
        [lines[0], lines[2]],
        [lines[1], lines[0], lines[2]],
        [lines[0], json.dumps(edited).encode() + b"\n", lines[2]],
        [lines[0], b"{}\n"],
    ):
        path.write_bytes(b"".join(broken))
        with pytest.raises(ArtifactError, match=r"line \d was edited or does not follow"):
            ledger.append(path, facts(4))
        assert path.read_bytes() == b"".join(broken)
    path.write_bytes(whole + b'{"seq": 4, "half')
    ledger.append(path, facts(3))
    assert path.read_bytes().startswith(whole) and numbers(ledger.entries(path)) == [0, 1, 2, 3]


def test_an_edit_with_its_hash_made_anew_breaks_the_next_line(tmp_path):
    path = tmp_path / "ledger.jsonl"
    for number in range(2):
        ledger.append(path, facts(number))
    first, second = ledger.entries(path)
    first["number"] = 9
    first["hash"] = ledger.line_hash(first)
    path.write_text("".join(ledger.line_text(line) + "\n" for line in (first, second)))
    with pytest.raises(ArtifactError, match="line 2 was edited or does not follow"):
        ledger.entries(path)


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "b"},  # after a line of another model
        {"seq": 3},  # two after the line it follows
        {"seq": 1},
        {"previous": []},  # the second line, after none
        {"previous": ["0" * 64]},  # after a line that is nowhere
    ],
)
def test_a_line_whose_hash_is_right_must_follow_a_line_of_its_own_model(tmp_path, changed):
    path = tmp_path / "ledger.jsonl"
    first, second = (ledger.append(path, facts(number, "a")) for number in range(2))
    forged = second | changed
    forged["hash"] = ledger.line_hash(forged)
    path.write_text("".join(ledger.line_text(line) + "\n" for line in (first, forged)))
    with pytest.raises(ArtifactError, match="line 2 was edited or does not follow"):
        ledger.entries(path)
    path.write_text(ledger.line_text(first) + "\n")
    with pytest.raises(ArtifactError, match="was edited, or the line before it is gone"):
        ledger.merge(path, [forged])
    assert ledger.merge(path, [first, second]) == [second]


def test_models_have_histories_of_their_own(tmp_path):
    path = tmp_path / "ledger.jsonl"
    for number, model in enumerate("abab"):
        ledger.append(path, facts(number, model))
    assert numbers(ledger.history(path, "a")) == [0, 2] and numbers(ledger.history(path, "b")) == [
        1,
        3,
    ]
    assert [line["seq"] for line in ledger.history(path, "b")] == [1, 2]


@pytest.mark.parametrize("clock", ["2020-01-01T00:00:00+00:00", "2099-01-01T00:00:00+00:00"])
def test_a_clock_that_jumps_moves_no_line(tmp_path, clock, monkeypatch):
    path = tmp_path / "ledger.jsonl"
    ledger.append(path, facts(0))

    class Clock:
        @staticmethod
        def now(zone):
            from datetime import datetime

            return datetime.fromisoformat(clock)

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "datetime", Clock)
        ledger.append(path, facts(1))
    ledger.append(path, facts(2))
    assert numbers(ledger.history(path, MODEL)) == [0, 1, 2]


@pytest.fixture
def clones(tmp_path, monkeypatch):
    """Two clones of one team: states of their own, one registry."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/team.db")
    monkeypatch.chdir(tmp_path)
    workspaces = [make_workspace(tmp_path / name) for name in ("ada", "bob")]
    return tuple(Workspace(ws.root, ws.state) for ws in workspaces)


def test_clones_read_the_same_history(clones):
    ada, bob = clones
    for number, ws in enumerate((ada, bob, bob, ada)):
        team_ledger.append(Project(ws), facts(number))
    histories = [team_ledger.meet(Project(ws), MODEL).history for ws in clones]
    assert histories[0] == histories[1] and sorted(numbers(histories[0])) == [0, 1, 2, 3]


def test_two_lines_at_the_same_time_are_both_kept_and_the_next_follows_both(clones):
    ada, bob = clones
    team_ledger.append(Project(ada), facts(0))
    team_ledger.meet(Project(bob), MODEL)
    left, right = (ledger.append(ws.ledger, facts(number)) for number, ws in ((1, ada), (2, bob)))
    histories = [team_ledger.meet(Project(ws), MODEL).history for ws in (ada, bob, ada)]
    assert len(histories[1]) == 3 and histories[1] == histories[2]
    after = team_ledger.append(Project(bob), facts(3))
    assert sorted(after["previous"]) == sorted([left["hash"], right["hash"]]) and after["seq"] == 3
    assert numbers(team_ledger.meet(Project(ada), MODEL).history)[-1] == 3


def test_lines_dropped_from_the_end_are_missed_and_given_back(clones):
    ada, _ = clones
    for number in range(3):
        team_ledger.append(Project(ada), facts(number))
        assert team_ledger.meet(Project(ada), MODEL).notes == ()
    whole = ada.ledger.read_bytes()
    ada.ledger.write_bytes(b"".join(whole.splitlines(keepends=True)[:1]))
    meeting = team_ledger.meet(Project(ada), MODEL)
    assert ada.ledger.read_bytes() == whole and "had lost its newest lines" in meeting.notes[0]
    assert team_ledger.meet(Project(ada), MODEL).notes == ()


def test_lines_deleted_in_the_registry_are_missed_and_given_back(clones):
    ada, bob = clones
    for number in range(3):
        team_ledger.append(Project(ada), facts(number))
    with Project(ada).registry.client() as client:
        experiment = client.get_experiment_by_name(team_ledger.EXPERIMENT)
        (run,) = client.search_runs([experiment.experiment_id])
        client.delete_tag(run.info.run_id, f"line.{ledger.entries(ada.ledger)[-1]['hash']}")
    assert len(team_ledger.meet(Project(bob), MODEL).history) == 2
    assert "the registry's ledger had lost" in team_ledger.meet(Project(ada), MODEL).notes[0]
    assert numbers(team_ledger.meet(Project(bob), MODEL).history) == [0, 1, 2]


def test_lines_gone_on_both_sides_stop_everything(clones):
    ada, _ = clones
    for number in range(2):
        team_ledger.append(Project(ada), facts(number))
    last = ledger.entries(ada.ledger)[-1]["hash"]
    with Project(ada).registry.client() as client:
        experiment = client.get_experiment_by_name(team_ledger.EXPERIMENT)
        (run,) = client.search_runs([experiment.experiment_id])
        client.delete_tag(run.info.run_id, f"line.{last}")
    ada.ledger.write_bytes(ada.ledger.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(
        ArtifactError,
        match="1 of the newest lines on csa-openmoji are gone, here and in the registry",
    ):
        team_ledger.meet(Project(ada), MODEL)
    assert read_json(ada.ledger.with_suffix(".anchor.json")) == {MODEL: [last]}


def test_a_line_edited_in_the_registry_is_named(clones):
    ada, bob = clones
    line = team_ledger.append(Project(ada), facts(0))
    with Project(ada).registry.client() as client:
        experiment = client.get_experiment_by_name(team_ledger.EXPERIMENT)
        (run,) = client.search_runs([experiment.experiment_id])
        client.set_tag(run.info.run_id, f"line.{line['hash']}", json.dumps(line | {"number": 9}))
    with pytest.raises(ArtifactError, match=r"its tag line\.\w+ was edited"):
        team_ledger.meet(Project(bob), MODEL)


def test_a_ledger_of_an_earlier_version_is_named(tmp_path):
    path = tmp_path / "ledger.jsonl"
    path.write_text(
        json.dumps({"seq": 1, "model": MODEL, "previous": "0" * 64, "hash": "f" * 64}) + "\n"
    )
    with pytest.raises(ArtifactError, match="earlier version of csa; move it aside"):
        ledger.entries(path)


def test_a_line_that_follows_another_models_line_is_no_line(tmp_path):
    path = tmp_path / "promotions.jsonl"
    other = ledger.append(path, {"model": "other", "verdict": "promote"})
    forged = {"seq": 2, "when": "now", "model": "mine", "previous": [other["hash"]]}
    forged["hash"] = ledger.line_hash(forged)
    with pytest.raises(ArtifactError, match=r"ledger of mine: line .* was edited"):
        ledger.merge(path, [forged])
    path.write_text(path.read_text() + ledger.line_text(forged) + "\n")
    with pytest.raises(ArtifactError, match="line 2 was edited or does not follow"):
        ledger.entries(path)


@pytest.mark.parametrize(("seq", "whole"), [(1, False), (2, True), (3, False)])
def test_a_line_has_the_number_after_the_newest_it_follows(tmp_path, seq, whole):
    path = tmp_path / "promotions.jsonl"
    first = ledger.append(path, {"model": "m", "verdict": "promote"})
    line = {"seq": seq, "when": "now", "model": "m", "previous": [first["hash"]]}
    line["hash"] = ledger.line_hash(line)
    if whole:
        assert ledger.merge(path, [line]) == [line]
        assert ledger.heads(ledger.entries(path), "m") == [line]
    else:
        with pytest.raises(ArtifactError, match="was edited"):
            ledger.merge(path, [line])


def test_a_line_that_a_broken_disk_did_not_take_is_not_there(tmp_path, monkeypatch):
    path = tmp_path / "promotions.jsonl"
    ledger.append(path, {"model": "m", "verdict": "keep"})
    before = path.read_bytes()

    def broken(file):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(WorkspaceError, match="cannot be written"):
            ledger.append(path, {"model": "m", "verdict": "promote"})
    assert path.read_bytes() == before
    assert ledger.append(path, {"model": "m", "verdict": "promote"})["seq"] == 2
