"""The house keeps its order: arrows point one way, the core is light, and the docs are what the code says."""

import ast
import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import csa
from docs import generate

ROOT = Path(__file__).parents[1]
CORE = {"core", "container", "files", "errors"}
# Room -> rooms of csa it may import; what is not named here may import all of them.
MAY_IMPORT = {
    "baselines": CORE,
    "params": CORE,
    "images": CORE,
    "audio": CORE,
    "lidar": CORE,
    "series": CORE,
    "encoders": CORE | {"params", "audio", "lidar"},
    "datasets": CORE | {"params", "images", "audio", "lidar", "series"},
    "compute": CORE,
    "features": CORE | {"params", "encoders", "compute"},
    "tasks": CORE | {"params", "baselines"},
    "embedding": CORE | {"params", "encoders", "features"},
    "measuring": CORE | {"params", "embedding", "tasks"},
    "report": CORE | {"params", "tasks", "audio", "lidar"},
    "pages": CORE | {"params", "tasks", "report"},
}


def imports(path):
    """(package, room) of every import in a file, such as ('csa', 'moments')."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module] if node.module != "csa" else [f"csa.{alias.name}" for alias in node.names]
        for name in names:
            package, _, rest = name.partition(".")
            yield package, rest.partition(".")[0]


def room_of(path):
    return path.relative_to(ROOT / "csa").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", sorted((ROOT / "csa").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_point_one_way(path):
    room = room_of(path)
    for package, target in imports(path):
        if room not in ("cli", "__init__"):
            assert package != "flows", f"{path.name} imports flows"
            assert package not in ("prefect", "dvc", "mlflow", "duckdb"), f"{path.name} imports {package}"
        if package != "csa" or target in ("", room):
            continue
        allowed = CORE if room in CORE else MAY_IMPORT.get(room)
        assert allowed is None or target in allowed, f"csa.{room} imports csa.{target}"


def loaded_by(code):
    """Top-level modules that a fresh Python has loaded after some code."""
    code += "\nimport sys\nprint(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


HEAVY = {"torch", "polars", "prefect", "mlflow", "duckdb", "dvc", "PIL", "transformers"}


def test_the_core_needs_only_numpy_and_scipy():
    assert dir(csa) == sorted(csa.__all__)
    loaded = loaded_by("import csa\nassert all(getattr(csa, name) for name in csa.__all__)")
    assert "scipy" in loaded and not loaded & (HEAVY | {"pydantic", "yaml", "click"})


def test_the_commands_are_there_before_anything_heavy():
    assert not loaded_by("import csa.cli") & (HEAVY | {"scipy"})


def test_what_the_package_does_not_have_is_no_attribute():
    with pytest.raises(AttributeError, match="no attribute 'Csa'"):
        _ = csa.Csa


@pytest.mark.parametrize("name", generate.PAGES)
def test_generated_pages_are_current(name):
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == generate.PAGES[name]().rstrip() + "\n"


@pytest.mark.parametrize("path", sorted((ROOT / "csa").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_in_docstrings_print_what_they_say(path):
    if ">>>" in path.read_text(encoding="utf-8"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        result = doctest.testmod(importlib.import_module(name))
        assert result.attempted and not result.failed
