"""The net around every command: one line and an exit code, whatever is typed or raised; and what is
printed cannot steer a terminal.
"""

import json
import os
import re
import sys
import traceback

import click
import polars as pl
import pytest
from click.testing import CliRunner
from workspaces import two_versions

from csa.cli import common, net, outputs
from csa.cli.commands import main
from csa.errors import InputError
from csa.storage.terminal import made_visible, visible


@pytest.fixture(scope="module")
def project(tmp_path_factory, local_registry):
    """A workspace with two registered versions."""
    return two_versions(tmp_path_factory.mktemp("net") / "repo").ws


@pytest.fixture
def call(project, monkeypatch):
    """Call `csa` in that workspace: exit code, standard output, standard error."""
    monkeypatch.chdir(project.root)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def run(*arguments, typed=None, code=0):
        done = CliRunner().invoke(main, list(arguments), input=typed, prog_name="csa")
        escaped = done.exception and not isinstance(done.exception, SystemExit)
        assert not escaped, "".join(traceback.format_exception(done.exception))
        assert done.exit_code == code, (arguments, done.output)
        return done

    return run


@pytest.fixture
def refused(call):
    """Call `csa` with something wrong: its one line."""

    def run(*arguments, **options):
        lines = call(*arguments, code=2, **options).stderr.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("csa: error: "), lines
        return lines[0].removeprefix("csa: error: ")

    return run


class Panic(BaseException):
    """As polars' PanicException: no Exception."""


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (KeyError("names"), "KeyError: 'names'; nothing here was ready for this at "),
        (Panic("in Rust\nof two lines"), "Panic: in Rust of two lines; nothing here"),
        (MemoryError(), "not enough memory for this"),
        (OSError(28, "No space left on device", "x"), "x: cannot be written (No space left on "),
        (OSError(24, "Too many open files", "x.png"), "x.png: Too many open files; "),
        (OSError(36, "File name too long", "x"), "'x' can be no file (File name too long); give "),
        (RecursionError(), "RecursionError: no words; "),
        (InputError("two\nlines"), "two lines"),
    ],
)
def test_whatever_is_raised_is_one_line(call, monkeypatch, raised, said):
    @click.command()
    def broken():
        raise raised

    monkeypatch.setitem(main.commands, "broken", broken)
    line = call("broken", code=2).stderr
    assert line.startswith(f"csa: error: {said}") and line.count("\n") == 1, line
    monkeypatch.setenv(net.TRACEBACK, "1")
    assert "Traceback (most recent call last)" in call("broken", code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["metrics", "--limit", "0"], "'-n' / '--limit': 0 is not in the range"),
        (["metrics", "--limit", "9" * 5000], "'-n' / '--limit'"),
        (["search", "-k", "1" * 30, "x"], "not in the range"),
        (["schedule", "--every", "nan"], "nan is not a number"),
        (["run", "--wait", "inf"], "not in the range"),
        (["nosuch\x1b]0;title\x07"], r"No such command 'nosuch\x1b]0;title\x07'; see `csa --help`"),
        (["runn"], "No such command 'runn'. Did you mean 'run'? See `csa --help`"),
        (["-w"], "No such option"),
        (["search", "\udcff"], "argument 2 is not UTF-8 text"),
        (["classify", "a.png", "-l", "\udcff"], "argument 4 is not UTF-8 text"),
        (["lineage", "\udcff"], "argument 2 is not UTF-8 text"),
        (["compare", "9" * 5000, "2"], "no version or alias"),
        (["models", "-w", "../.."], "a name is one word"),
        (["models", "-w", "w" * 5000], "no workspace"),
        (["score", "nothere.jpg", "a fox"], "there is no such file; give the path of one"),
        (["score", "PIPE", "a fox"], "it is a pipe; give the path of one"),
        (["merge", "/dev/null", "--out", "m.safetensors"], "it is a device"),
        (["merge", "PIPE", "--out", "m.safetensors"], "it is a pipe"),
        (["classify", "x.png", "--labels", "/dev/zero"], "/dev/zero: it is a device"),
        (["classify", "x.png", "--labels", "PIPE"], "PIPE: it is a pipe"),
        (["run", "FOLDER"], "no such file, and no recipe of that name"),
        (["run", "FOLDER/"], "no such file, and no recipe of that name"),
        (["plan", "/dev/zero"], "/dev/zero: it is a device"),
        (["init", "PIPE"], "a pipe; give the folder"),
        (["init", "new", "--recipe", "/dev/zero"], "/dev/zero: it is a device"),
        (["suspects", "--trim", "nan"], "share of nan"),
        (["export", "x" * 300], "can be no file (File name too long)"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else None,
)
def test_a_wrong_argument_is_one_line(refused, project, arguments, said):
    for name, make in (("PIPE", os.mkfifo), ("FOLDER", os.mkdir)):
        if not (project.root / name).exists():
            make(project.root / name)
    assert said in refused(*arguments)


def test_a_recipe_that_would_take_the_projects_own_name_is_refused(refused, project):
    for name in ("main.yaml", ".hidden.yaml"):
        (project.root / name).write_text("fit: {folds: 3}\n")
        assert "rename the recipe" in refused("plan", name)


def test_ten_thousand_words_are_an_item_as_any_other(call):
    assert "no run on record saw" in call("lineage", "word " * 10_000).stdout


OUTPUTS = {
    ".png": ["search", "a circle", "--save"],
    ".html": ["report", "--out"],
    ".csv": ["suspects", "--drop"],
    ".safetensors": ["moments"],
}


@pytest.mark.parametrize("ending", OUTPUTS)
def test_outputs_are_looked_at_before_the_work(refused, project, monkeypatch, ending):
    monkeypatch.setattr(
        "csa.pipeline.recipes.existing_workspace", lambda name: pytest.fail("work was begun")
    )
    folder = project.root / f"outputs{ending}"
    folder.mkdir()
    (folder / "file").write_text("kept")
    os.mkfifo(folder / f"pipe{ending}")
    (folder / f"dead{ending}").symlink_to("nowhere")
    (folder / f"folder{ending}").mkdir()
    before = sorted(path.name for path in folder.iterdir())
    for name, said in {
        "x.txt": f"ends in {ending}",
        f"pipe{ending}": "this is a pipe, and csa never replaces it",
        f"folder{ending}": "this is a folder",
        f"dead{ending}": "this is a link that leads nowhere",
        f"file/x{ending}": "is not a folder",
        f"{'x' * 300}{ending}": "File name too long",
    }.items():
        assert said in refused(*OUTPUTS[ending], str(folder / name))
    assert sorted(path.name for path in folder.iterdir()) == before
    assert (folder / "file").read_text() == "kept"


def test_a_folder_that_cannot_be_written_is_refused(refused, project, monkeypatch):
    monkeypatch.setattr(outputs.os, "access", lambda path, mode: False)  # tests may run as root
    assert "nothing can be written in" in refused("report", "--out", "x.html")


def test_what_a_link_leads_to_is_written_and_the_link_stays(call, project):
    (project.root / "real.html").write_text("old")
    (project.root / "link.html").symlink_to("real.html")
    call("report", "--out", "link.html")
    assert (project.root / "link.html").is_symlink()
    assert "<html" in (project.root / "real.html").read_text()[:200]


@pytest.mark.parametrize("harm", ["\x1b[2J", "\x1b]0;title\x07", "\x9b2J", "\u202egnp.exe", "a\rb"])
def test_what_nobody_typed_cannot_steer_the_terminal(call, project, harm):
    shown = call("metrics", "--sql", f"SELECT '{harm}' AS caption").stdout
    assert harm not in shown and visible(harm) in shown
    table = json.loads(call("metrics", "--sql", f"SELECT '{harm}' AS c", "--json").stdout)
    assert table == [{"c": harm}], "machines get it as it is"
    echoed = call("lineage", harm).stdout
    assert harm not in echoed


def test_progress_bars_still_move(capsys):
    with made_visible():
        print("10%\r20%", file=sys.stderr)
    assert capsys.readouterr().err == "10%\r20%\n"


SQL = {
    "COPY runs TO 'stolen.csv'": "disabled by configuration",
    "COPY (SELECT 1) TO '/tmp/stolen.csv'": "disabled by configuration",
    "SELECT * FROM read_text('/etc/hostname')": "disabled by configuration",
    "SELECT * FROM 'params.yaml'": "disabled by configuration|does not exist",
    "ATTACH 'other.db'": "disabled by configuration",
    "INSTALL httpfs": "disabled by configuration",
    "LOAD httpfs": "is disabled through configuration|not found",
    "SET enable_external_access = true": "has been locked",
    "SET lock_configuration = false": "has been locked",
    "DROP TABLE runs": "read-only",
    "SELECT * FROM ws": "does not exist",
    "SELECT interval 1 day": "cast it",
}


@pytest.mark.parametrize("sql", SQL)
def test_a_question_in_sql_reads_the_tables_and_nothing_else(call, project, sql):
    before = sorted(path.name for path in project.root.iterdir())
    for more in ([], ["--json"]):
        line = call("metrics", "--sql", sql, *more, code=2).stderr
        assert line.count("\n") == 1 and re.search(SQL[sql], line), line
    assert sorted(path.name for path in project.root.iterdir()) == before


def test_json_of_what_json_has_no_form_for():
    frame = pl.DataFrame({"x": [float("nan"), 1.0], "d": [None, b"\xff"]})
    rows = json.loads(common._json_rows(frame))
    assert rows[0] == {"x": None, "d": None} and rows[1]["x"] == 1.0
