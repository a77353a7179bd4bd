"""The checks of the installation, and that they can fail."""

import json
import re
import shlex
import subprocess

import pytest
from click.testing import CliRunner
from workspaces import bare_workspace

from csa.cli import main
from csa.operations.inspection import doctor


@pytest.mark.parametrize(
    ("requirement", "installed", "ok"),
    [
        ("sqlalchemy>=2.0,<2.1", "2.0.58", True),
        ("sqlalchemy>=2.0,<2.1", "2.1.0", False),
        ("fastapi>=0.139,<0.148", "0.155.1", False),
        ("torch>=2.13,<2.14", "2.13.0+cpu", True),
    ],
)
def test_the_pins_that_break_silently(requirement, installed, ok):
    check = doctor.check_requirement(requirement, "schedules never fire", lambda name: installed)
    assert check.ok == ok and "schedules never fire" in check.remedy


def test_this_installation_is_sound():
    result = CliRunner().invoke(main, ["doctor", "--json"])
    checks = {check["name"]: check["ok"] for check in json.loads(result.output)}
    assert result.exit_code == 0 and all(checks.values())
    assert {"fastapi", "sqlalchemy", "encoders", "device", "state folder"} <= checks.keys()


def test_outside_of_a_project_each_line_says_its_own_thing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["doctor"])
    failed = [line for line in result.output.splitlines() if line.startswith("FAIL")]
    assert result.exit_code == 1 and [line[6:31].strip() for line in failed] == [
        "workspace",
        "state folder",
    ]
    assert "no project here or above" in failed[0] and "csa init" in failed[0]
    assert failed[1].endswith("not looked at  <- it lies in the workspace, so mend that first")


def test_a_state_folder_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    bare_workspace(tmp_path / "project", {})
    (tmp_path / "project" / ".csa").write_text("a file in its place")
    monkeypatch.chdir(tmp_path / "project")
    result = CliRunner().invoke(main, ["doctor"])
    (line,) = (line for line in result.output.splitlines() if line.startswith("FAIL"))
    assert "state folder" in line and "not usable" in line and ".csa" in line


def test_the_device_is_named_or_missed(monkeypatch):
    monkeypatch.setenv("CSA_DEVICE", "cpu")
    check = doctor._guarded("device", doctor._device)
    assert check.ok and check.found == "compute.device: cpu; networks run on cpu"
    monkeypatch.setenv("CSA_DEVICE", "cuda:99")
    check = doctor._guarded("device", doctor._device)
    assert not check.ok and check.remedy.startswith("compute.device is cuda:99, and torch")


@pytest.mark.parametrize("forbidden", ["by the environment", "by the file system"])
def test_packages_that_every_command_would_compile_are_told(tmp_path, monkeypatch, forbidden):
    package = tmp_path / "slow_to_import" / "__init__.py"
    package.parent.mkdir()
    package.write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(doctor, "_SLOW", ("slow_to_import",))
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    assert doctor._bytecode().ok, "the first import compiles it, and keeps that"
    if forbidden == "by the environment":
        monkeypatch.setattr("sys.dont_write_bytecode", True)
    else:
        monkeypatch.setattr(doctor.os, "access", lambda path, right: False)
    check = doctor._bytecode()
    assert not check.ok and "slow_to_import would be compiled by every command" in check.found
    remedy = shlex.split(re.search("`(.+)`", check.remedy)[1])
    assert subprocess.run(remedy, check=False).returncode == 0
    assert doctor._bytecode() == doctor.Check("bytecode", True, "kept")


def test_a_failed_check_is_exit_code_1_with_its_remedy(monkeypatch):
    asked = ["sqlalchemy>=9; extra == 'pipeline'", "nonesuch>=1; extra == 'dev'", "click>=8"]
    monkeypatch.setattr(doctor, "requires", lambda distribution: asked)
    monkeypatch.setattr(doctor, "_WHY", {"sqlalchemy": "nothing works"})
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 1
    assert (
        "FAIL  sqlalchemy" in result.output
        and "pip install 'sqlalchemy>=9' (nothing works)" in result.output
    )
    assert "nonesuch" not in result.output and "ok    click" in result.output


def test_what_says_of_no_requirement_is_told(monkeypatch):
    monkeypatch.setattr(doctor, "packages_distributions", dict)
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 1 and "FAIL  requirements" in result.output


def test_the_distribution_is_found_by_the_package_it_brings():
    bounds = {one.name: str(one.specifier) for one in doctor.requirements_of("csa", "pipeline")}
    assert bounds["sqlalchemy"] == "<2.1,>=2.0.20" and "numpy" in bounds
    assert "pytest" not in bounds, "what development needs"
