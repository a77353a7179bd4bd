"""Colours where a terminal is, and the same text without them elsewhere."""

import os
import re
import subprocess
import sys

import pytest
from own_project import Project, environment
from terminal import OnTerminal

from csa.cli import colours
from csa.cli.commands import main
from csa.operations.project import make_project

CODES = re.compile(r"\x1b\[\d+m")
RED = "\x1b[31m\x1b[1mcsa: error:\x1b[0m "


def on_terminal(folder, *arguments, **more):
    """All that a command of `csa` writes to a terminal."""
    variables = {name: value for name, value in environment().items() if name != "NO_COLOR"}
    begun = OnTerminal(["csa.cli", *arguments], folder, variables | {"TERM": "xterm"} | more)
    begun.process.wait(timeout=200)
    while not begun.said.endswith("\n"):
        pass
    return begun.said


def test_an_error_is_red_on_a_terminal_and_plain_in_a_pipe(tmp_path):
    said = on_terminal(tmp_path, "status", "-w", "nosuch")
    assert said.startswith(RED)
    pipe = subprocess.run(
        [sys.executable, "-m", "csa.cli", "status", "-w", "nosuch"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert pipe.returncode == 2 and pipe.stderr == CODES.sub("", said)


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_a_terminal_without_colours_gets_none(tmp_path, variable):
    said = on_terminal(tmp_path, "status", "-w", "nosuch", **variable)
    assert said.startswith("csa: error: ") and "\x1b" not in said


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("colours") / "own")
    project.write_features(120)
    make_project(project.root, project.root / "features")
    return project


@pytest.fixture
def shown(project, monkeypatch):
    """What a command writes to a terminal (True) or into a file (False) as standard output."""
    monkeypatch.chdir(project.root)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("TERM", "xterm")

    def call(terminal, *arguments):
        ends = os.openpty() if terminal else os.pipe()
        with os.fdopen(ends[1], "w") as out, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", out)
            main(list(arguments), prog_name="csa", standalone_mode=False)
            out.flush()
            os.set_blocking(ends[0], False)
            text = os.read(ends[0], 65536).decode().replace("\r\n", "\n")
        os.close(ends[0])
        return text

    return call


@pytest.mark.parametrize("command", ["status", "plan"])
def test_states_are_coloured_on_a_terminal_and_the_text_is_the_same(shown, command):
    plain, coloured = shown(False, command), shown(True, command)
    assert "\x1b" not in plain and CODES.sub("", coloured) == plain
    assert "\x1b[1mworkspace main\x1b[0m" in coloured
    assert re.search(r"\n  \S+ +\x1b\[3[23]m(up to date|out of date)\x1b\[0m", coloured), coloured


@pytest.mark.parametrize("command", ["status", "plan"])
def test_json_is_never_coloured(shown, command):
    assert "\x1b" not in shown(True, command, "--json")


def test_text_that_came_from_outside_adds_no_colour(project):
    said = on_terminal(project.root, "status", "-w", "a\x1b[32mb")
    assert said.startswith(RED) and "\x1b" not in said.removeprefix(RED)
    assert r"a\x1b[32mb" in said


@pytest.mark.parametrize(
    ("line", "word", "code"),
    [
        ("  embed@image   ran in 2.0 s", "ran", 32),
        ("  fit           unchanged in 0.0 s", "unchanged", 32),
        ("  fit           running", "running", 33),
        ("  gate        promote: there is no champion yet", "promote", 32),
        ("  gate        keep: version 1 is the champion already", "keep", 33),
        ("  checks        12 passed", "12 passed", 32),
        ("  checks        drift warn: moved", "drift warn", 33),
        ("  note: features were computed here", "note:", 33),
        ("csa: refused: too few pairs", "csa: refused:", 31),
        ("missing: no such data set", "missing:", 31),
        ("FAIL  git   not found", "FAIL", 31),
    ],
)
def test_what_is_coloured(line, word, code):
    said = colours.coloured(line)
    assert CODES.sub("", said) == line
    assert re.search(rf"\x1b\[{code}m(\x1b\[1m)?{word}\x1b\[0m", said), said


@pytest.mark.parametrize(
    "line", ["  1  0.9 photos/a.png  (the dog ran)", '  "gate": "keep"', "a gate promote", "noted:"]
)
def test_what_is_not(line):
    assert colours.coloured(line) == line
