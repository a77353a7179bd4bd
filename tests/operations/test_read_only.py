"""A project that may be read and not written, such as one on a read-only disk: what only reads
answers, what has to write is refused in one line, and nothing is changed.
"""

import shutil

import pytest
from click.testing import CliRunner
from rights import as_anybody
from workspaces import two_versions

from csa.cli.commands import main
from csa.operations.runs import metrics

ANSWERED = [
    ["metrics", "--json"],
    ["metrics", "--sql", "select count(*) from runs"],
    ["models"],
    ["ledger", "--verify"],
    ["lineage", "champion"],
    ["choices"],
]
REFUSED = [
    ["compare", "1", "2"],  # it keeps what it measures of a version
    ["report"],
    ["export", "vectors"],
    ["moments", "moments.safetensors"],
    ["promote", "1", "--reason", "why"],
]


@pytest.fixture(scope="module")
def project(tmp_path_factory, local_registry):
    """Two versions, in files that nobody may write."""
    root = tmp_path_factory.mktemp("read") / "only"
    made = two_versions(root)
    for run in made.runs:
        metrics.publish(made.ws, run.run_id)
    files = [root, *root.rglob("*")]
    modes = [file.stat().st_mode for file in files]
    for file in files:
        file.chmod(file.stat().st_mode & ~0o222)
    yield root
    for file, mode in zip(files, modes, strict=True):
        file.chmod(mode)
    shutil.rmtree(root)


def asked(project, monkeypatch, question):
    """What a command says, and that it changes nothing."""
    before = {file: file.stat().st_mtime_ns for file in project.rglob("*")}
    monkeypatch.chdir(project)
    with as_anybody():
        done = CliRunner().invoke(main, question, prog_name="csa")
    assert {file: file.stat().st_mtime_ns for file in project.rglob("*")} == before
    return done


@pytest.mark.parametrize("question", ANSWERED, ids=" ".join)
def test_what_only_reads_answers(project, monkeypatch, question):
    done = asked(project, monkeypatch, question)
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("question", REFUSED, ids=" ".join)
def test_what_writes_is_refused_in_one_line(project, monkeypatch, question):
    done = asked(project, monkeypatch, question)
    assert done.exit_code == 2 and len(done.output.splitlines()) == 1, done.output
    assert "cannot be written" in done.output or "not yours to write" in done.output
