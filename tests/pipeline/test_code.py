"""DVC knows each stage's own code: what can change a result makes it stale, and nothing else
does.
"""

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from csa.pipeline import code
from csa.pipeline.recipes import stage_graph

ROOT = Path(__file__).parents[2]
ALL = list(code.STAGES)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package whose files a test may edit."""
    copy = tmp_path / "csa"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(code.PACKAGE, copy, ignore=ignored)
    monkeypatch.setattr(code, "PACKAGE", copy)
    return copy


def edit(package, name, old, new):
    """Change one place of a file; the text must be there."""
    path = package / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def stale(before):
    """Stages whose hash differs now."""
    now = code.stage_hashes()
    return [stage for stage in ALL if now[stage] != before[stage]]


EDITS = {
    "a setting that fit passes": (
        "pipeline/fit.py",
        "CSA(**parameters)",
        "CSA(**parameters | {'folds': 3})",
        ["fit"],
    ),
    "another key in the metrics": (
        "results/evaluation.py",
        "    evaluation_id: str",
        "    more: int\n    evaluation_id: str",
        ["evaluate", "task"],
    ),
    "a constant of a score": ("core/search.py", "= ", "= 1 + ", ["fit", "evaluate", "task"]),
    "a reader": (
        "datasets/readers/flickr.py",
        "def read_flickr(",
        "X = 1\n\n\ndef read_flickr(",
        ["ingest", "unpaired", "task"],
    ),
    "an encoder": (
        "encoders/text.py",
        "class TextEncoder",
        "X = 1\n\n\nclass TextEncoder",
        ["embed", "unpaired", "evaluate", "task"],
    ),
    "a limit of a check": (
        "params/checks.py",
        "_limits(50, 10,",
        "_limits(51, 10,",
        ["check"],
    ),
    "what a profile holds": (
        "checks/profile.py",
        "_COMPONENTS = 32",
        "_COMPONENTS = 33",
        ["fit"],
    ),
    "how a number is said": ("results/words.py", ":.3f}", ":.4f}", []),
    "the default of a fit": (
        "params/fit.py",
        "5, ge=2, le=1000",
        "6, ge=2, le=1000",
        ["fit", "evaluate", "task"],
    ),
    "a comment": ("core/moments.py", "import numpy", "# why\nimport numpy", []),
    "a docstring": ("core/moments.py", '"""', '"""Other words. ', []),
    "a colour": ("figures/style.py", "#", "#0", []),
    "a file that no stage imports": (
        "multiview/gcca.py",
        "import numpy",
        "X = 1\nimport numpy",
        [],
    ),
    "a limit of the gate": ("params/gate.py", "        2000,", "        2001,", []),
    "what the gate does": ("operations/gate/paired.py", "import numpy", "X = 1\nimport numpy", []),
    "the words of an error": ("errors.py", "class CSAError", "X = 1\n\n\nclass CSAError", []),
    "the version": ("__init__.py", '__version__ = "', '__version__ = "9', []),
    "a command": ("cli/results.py", "import click", "X = 1\nimport click", []),
}


@pytest.mark.parametrize(("name", "old", "new", "expected"), EDITS.values(), ids=EDITS)
def test_an_edit_makes_stale_what_it_can_change(package, name, old, new, expected):
    before = code.stage_hashes()
    edit(package, name, old, new)
    assert stale(before) == expected
    edit(package, name, new, old)
    assert not stale(before), "changed back is as it was"


def test_blank_lines_and_layout_change_nothing(package):
    before = code.stage_hashes()
    for path in package.rglob("*.py"):
        path.write_text(ast.unparse(ast.parse(path.read_text())))
    assert not stale(before)


def test_the_hash_does_not_depend_on_where_the_package_lies(package):
    here = code.stage_hashes()
    script = (
        "import json; from csa.pipeline.code import stage_hashes; print(json.dumps(stage_hashes()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == here


def test_what_is_known_of_a_file_is_remembered_and_damage_is_no_obstacle(package, tmp_path):
    memory = tmp_path / "code.json"
    hashes = code.stage_hashes(memory)
    assert code.stage_hashes(memory) == hashes
    edit(package, "pipeline/fit.py", "CSA(**parameters)", "CSA(**parameters, folds=3)")
    assert code.stage_hashes(memory)["fit"] != hashes["fit"]
    for damage in (b"", b"{", b"[]", b'{"a": 1}', b'{"a": [1]}'):
        memory.write_bytes(damage)
        assert code.stage_hashes(memory)["ingest"] == hashes["ingest"]


def test_a_stage_imports_the_sections_it_reads():
    """The schema of all parameters is not followed, so a stage itself names those it reads."""
    modules = {
        "dataset": "data",
        "views": "views",
        "fit": "fit",
        "evaluate": "measure",
        "tasks": "measure",
        "checks": "checks",
    }
    for stage in ALL:
        path = ROOT.joinpath(*code.STAGES[stage].split(".")).with_suffix(".py")
        read = set(re.findall(r"params(?:_file\))?\.(\w+)", path.read_text())) & set(modules)
        reached = code.modules_of(code.STAGES[stage])
        for section in read:
            assert f"csa.params.{modules[section]}" in reached, f"{stage} reads {section}"


def test_every_stage_of_the_graph_names_its_code():
    stages = yaml.safe_load(stage_graph(with_demo=True))["stages"]
    assert set(stages) == {"code", *ALL}
    for name in ALL:
        stage = stages[name].get("do", stages[name])
        assert {"data/code.json": [name]} in stage["params"]
        assert stage["cmd"].split()[:4] == ["python", "-m", "csa.pipeline", name]
        assert not any(str(path).startswith("csa/") for path in stage.get("deps", []))


def test_a_project_of_ones_own_has_the_same_graph_without_the_demo():
    whole, own = (yaml.safe_load(stage_graph(with_demo)) for with_demo in (True, False))
    del whole["stages"]["demo"]
    assert own == whole
