"""CITATION.cff says what the package says."""

from pathlib import Path

import yaml

import csa


def test_the_citation_is_of_this_version():
    path = Path(__file__).parents[2] / "CITATION.cff"
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert found["version"] == csa.__version__ and found["license"] == "MIT"
    assert found["preferred-citation"]["url"].endswith("2410.07610")
