"""The threat model has a row for every attack; tests/test_docs.py: every row has its tests."""

from pathlib import Path

from docs.tested import functions, promises

FOLDER = Path(__file__).parent


def test_every_attack_has_its_row():
    named = {test for row in promises() if row.page == "threat-model.md" for test in row.tests}
    tried = {
        test
        for test, files in functions().items()
        if any(file.parent == FOLDER and file != Path(__file__) for file in files)
    }
    assert tried and tried <= named
