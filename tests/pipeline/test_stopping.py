"""A run is stopped at a terminal: one line, an exit code, nobody left behind; and the next run goes
on to the bytes of a run that nobody stopped.
"""

import json
import re
import signal

import pytest
from own_project import Project, environment
from terminal import OnTerminal

pytestmark = pytest.mark.pipeline

STAGE = "csa.pipeline {}".format


def runs(command):
    """Whether the run has started a process whose command line holds this."""
    return lambda run: any(command in line for line in run.commands())


# Where it is stopped, and how: a typed Ctrl-C, or a signal to the process or to its group.
STOPS = {
    "while Prefect starts": (lambda run: "starting Prefect" in run.said, "key", signal.SIGINT),
    "ingest": (runs(STAGE("ingest")), "group", signal.SIGTERM),
    "embed": (runs(STAGE("embed")), "group", signal.SIGHUP),
    "check": (runs(STAGE("check")), "key", signal.SIGINT),
    "fit": (runs(STAGE("fit")), "key", signal.SIGINT),
    "evaluate": (runs(STAGE("evaluate")), "key", signal.SIGINT),
    "register and gate": (lambda run: "evaluate      " in run.said, "process", signal.SIGTERM),
    "push": (runs("dvc_process push"), "group", signal.SIGINT),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stopping")
    project = Project.make(folder / "own")
    project.csa("remote", "add", "team", str(folder / "store"))
    return project


@pytest.mark.parametrize("place", STOPS)
def test_a_run_that_is_stopped_is_one_line_and_goes_on(project, place):
    reached, way, number = STOPS[place]
    run = OnTerminal(["csa.cli", "run"], project.root, environment(TERM="xterm"))
    run.await_(reached)
    code, seconds, said, left = run.stop(way, number)
    assert code == 128 + number and seconds < 5, (code, seconds, said)
    lines = [line for line in said.replace("^C", "").splitlines() if line.strip()]
    stopped = "csa: stopped; what is finished is kept; `csa run` goes on"
    assert lines[-1] == stopped and "Traceback" not in said, said
    assert all(line.startswith("  ") for line in lines[:-1]), "no library's word"
    states = re.findall(r"\n  \S+ +(\S+) in ", run.said.replace("\r", "\n"))
    assert all(re.match(r"\x1b\[32m\w+\x1b\[0m$", state) for state in states), "in colour"
    assert left == [], "nobody is left behind"
    assert not list(project.root.rglob("*.tmp")), "nothing half made"
    last = (project.root / ".csa" / "executions.jsonl").read_text().splitlines()[-1]
    noted = json.loads(last)
    assert noted["outcome"] == "interrupted"
    assert noted["message"] == f"stopped by {number.name}"


def test_the_next_run_comes_to_the_bytes_of_one_that_nobody_stopped(project, tmp_path):
    project.csa("run")
    other = Project.make(tmp_path / "undisturbed")
    other.run_here()
    assert project.hashes() == other.hashes() and project.out_of_date() == []
