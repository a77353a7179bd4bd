"""Dockerfile and compose.yaml call what is there, as a user without rights, with no secret."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import click
import pytest
import yaml

from csa.cli import main

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "compose.yaml").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "how-to" / "docker.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def services():
    return yaml.safe_load(COMPOSE)["services"]


def takes(command, words):
    """Refuse words that a click command does not take; nothing is carried out."""
    name, *rest = words
    context = click.Context(command, **command.context_settings)
    found = command.get_command(context, name)
    assert found is not None, name
    found.make_context(name, rest, parent=context)


def test_commands_of_csa_and_mlflow_take_what_they_are_given(services):
    from mlflow.cli import cli as mlflow

    for name in ("run", "serve"):
        takes(main, services[name]["command"])
    assert services["mlflow"]["entrypoint"] == ["mlflow"]
    takes(mlflow, services["mlflow"]["command"])
    shown = re.findall(r"^docker run .*? csa (.*)$", PAGE + DOCKERFILE.replace("#   ", ""), re.M)
    assert len(shown) == 4
    for line in shown:
        takes(main, line.split())


def test_services_name_each_other(services):
    for service in services.values():
        assert set(service.get("depends_on", ())) <= services.keys()
    addresses = set(re.findall(r"(?:http://|@)(\w+):\d+", COMPOSE)) - {"127"}
    assert addresses <= services.keys()
    volumes = yaml.safe_load(COMPOSE)["volumes"]
    used = {one.split(":")[0] for s in services.values() for one in s.get("volumes", ())}
    assert volumes.keys() <= used


def test_no_secret_stands_in_it_and_every_one_is_asked_for(services):
    secrets = set(re.findall(r"\$\{(\w+)", COMPOSE)) - {"PROJECT"}
    asked = set(re.findall(r"\$\{(\w+):\?set \1 in \.env\}", COMPOSE))
    assert secrets == asked == set(re.findall(r"^(\w+)=\S+$", PAGE, re.M))
    opened = [port for service in services.values() for port in service.get("ports", ())]
    assert opened and all(port.startswith("127.0.0.1:") for port in opened)


def test_the_image_has_extras_that_exist_and_a_user_without_rights():
    extras = re.search(r"^ARG EXTRAS=(\S+)$", DOCKERFILE, re.M)[1].split(",")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(extras) <= project["optional-dependencies"].keys()
    stages = re.split(r"^FROM .*$", DOCKERFILE, flags=re.M)[1:]
    for stage in stages:
        users = re.findall(r"^USER (\d+)$", stage, re.M)
        assert not users or users[-1] == "1000"
    assert "USER 1000" in stages[1] and not re.search(r"https?://", DOCKERFILE)


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="no hadolint")
def test_hadolint_finds_nothing():
    done = subprocess.run(
        ["hadolint", "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
