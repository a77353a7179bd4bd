"""CITATION.cff and CHANGELOG.md say what the package says."""

import re
from pathlib import Path

import yaml

import csa

ROOT = Path(__file__).parents[2]


def test_the_newest_release_of_the_changelog_is_this_version_and_says_who_is_affected():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest, section = re.findall(r"^## \[(\d[\d.]*)\][^\n]*\n(.*?)(?=^## |\Z)", text, re.M | re.S)[
        0
    ]
    assert newest == csa.__version__ and "### Who is affected" in section


def test_the_citation_is_of_this_version():
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert found["version"] == csa.__version__ and found["license"] == "MIT"
    assert found["preferred-citation"]["url"].endswith("2410.07610")
