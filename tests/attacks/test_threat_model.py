"""The threat model and the attacks agree: a row without a test fails, and so does a test without a
row.
"""

import ast
import re
from pathlib import Path

FOLDER = Path(__file__).parent
PAGE = FOLDER.parents[1] / "docs" / "threat-model.md"


def test_every_row_has_its_test_and_every_test_its_row():
    table = PAGE.read_text(encoding="utf-8").split("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    named = [re.findall(r"`(test_\w+::test_\w+)`", row) for row in rows]
    assert rows and all(named), [row for row, names in zip(rows, named, strict=True) if not names]
    tried = {
        f"{file.stem}::{node.name}"
        for file in FOLDER.glob("test_*.py")
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    } - {f"{Path(__file__).stem}::{test_every_row_has_its_test_and_every_test_its_row.__name__}"}
    assert {name for names in named for name in names} == tried
