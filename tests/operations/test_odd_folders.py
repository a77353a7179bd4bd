"""A project in a folder of any name: questions are answered, and nothing lies outside."""

import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner
from served import serving, shapes_workspace
from workspaces import STAGES, gate, make_report_workspace, no_reevaluation

from csa.cli.commands import main
from csa.operations.gate import settled
from csa.operations.opened import Project
from csa.operations.registry.registering import register
from csa.operations.runs import executions, metrics
from csa.operations.runs.records import record_run
from csa.pipeline.workspace import Workspace

NAMES = {
    "p[1]": ["p1"],
    "p #1": ["p ", "p"],
    "p, x": ["p", " x", "x"],
    "run_id=1": ["run_id"],
    "p%20ü 'q\"": ["p ü 'q\"", "p"],
}
"""A project's folder -> those beside it that a pattern, an address or a list could take it for."""
QUESTIONS = [
    ["metrics", "--json"],
    ["metrics", "--sql", "select run_id, (select count(*) from executions) from runs"],
    ["models"],
    ["ledger", "--verify"],
    ["lineage", "champion"],
    ["choices"],
    ["suspects", "--page", "suspects.html"],
    ["export", "vectors"],
    ["moments", "moments.safetensors"],
    ["merge", "moments.safetensors", "--out", "merged.safetensors"],
    ["report", "--out", "report.html"],
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A workspace whose stages have run, and that nothing has recorded yet."""
    return make_report_workspace(tmp_path_factory.mktemp("made") / "own").root


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_this_name(tmp_path, monkeypatch, local_registry, made, name):
    for other in NAMES[name]:
        (tmp_path / other).mkdir()
        (tmp_path / other / "kept").write_text("as it was")
    root = tmp_path / name
    shutil.copytree(made, root)
    project = Project(Workspace(root, root / ".csa"))
    run, _ = record_run(project, STAGES)
    with executions.noted(project) as execution:
        execution.run_id = run.run_id
        metrics.publish(project.ws, run.run_id)
    version = register(project.registry, run).version
    settled.remember(project, run, version, gate(project, run, version, no_reevaluation))
    monkeypatch.chdir(root)
    for question in QUESTIONS:
        done = CliRunner().invoke(main, question, prog_name="csa")
        assert done.exit_code == 0, (question, done.output, done.exception)
        assert run.run_id[:8] in done.output or question[0] != "metrics"
    assert {one.name for one in tmp_path.iterdir()} == {name, *NAMES[name]}
    for other in NAMES[name]:
        assert [one.name for one in (tmp_path / other).iterdir()] == ["kept"]
    written = {one.name for one in root.iterdir()} - {one.name for one in made.iterdir()}
    asked = {"suspects.html", "vectors", "moments.safetensors", "merged.safetensors", "report.html"}
    assert written == asked


@pytest.fixture(scope="module")
def with_encoders(tmp_path_factory, local_registry):
    """A workspace that encoders made, so that it answers questions about what it never saw."""
    ws = shapes_workspace(tmp_path_factory.mktemp("encoded") / "own", [{"score": "canonical"}])
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=ws.root, check=True)
    return ws


ASKED = [
    ["search", "a red circle", "--save", "sheet.png"],
    ["score", "shapes/images/red-circle.png", "a red circle"],
    ["classify", "shapes/images/red-circle.png", "-l", "circle", "-l", "star"],
    ["forget", "a red circle", "--reason", "asked for", "--yes"],
]


def test_questions_of_a_model_and_forgetting_in_a_folder_of_each_name(
    tmp_path, monkeypatch, with_encoders
):
    everywhere = tmp_path / "all"
    for name in NAMES:
        root = everywhere / name
        shutil.copytree(with_encoders.root, root)
        monkeypatch.chdir(root)
        before = {one.name for one in root.iterdir()}
        if name == list(NAMES)[-1]:
            with serving(root) as client:
                asked = {"query": {"text": ["a blue star"]}, "top": 3}
                assert len(client.ask("/v1/search", asked)[1]["found"][0]["results"]) == 3
        for question in ASKED:
            done = CliRunner().invoke(main, question, prog_name="csa")
            assert done.exit_code == 0, (name, question, done.output, done.exception)
        assert {one.name for one in root.iterdir()} - before <= {"sheet.png", "exclude.csv"}
    assert {one.name for one in everywhere.iterdir()} == set(NAMES)


def test_a_folder_with_a_question_mark_is_refused(tmp_path, monkeypatch, made):
    root = tmp_path / "p?"
    shutil.copytree(made, root)
    before = sorted(root.rglob("*"))
    monkeypatch.chdir(root)
    for question in [["run"], ["status"], ["plan"], *QUESTIONS]:
        done = CliRunner().invoke(main, question, prog_name="csa")
        assert done.exit_code == 2 and "no project can lie in a folder" in done.output, question
        assert len(done.output.splitlines()) == 1
    assert list(tmp_path.iterdir()) == [root] and sorted(root.rglob("*")) == before
