"""The house keeps its order: arrows point down, the core is light, docs are current."""

import ast
import doctest
import graphlib
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import csa
from docs import generate

ROOT = Path(__file__).parents[1]

# The house, from the ground up: a room may import rooms of the floors below its own, no others.
FLOORS = (
    ("masking",),
    ("errors",),
    ("extras", "storage", "results"),
    ("core", "modalities"),
    ("params",),
    ("multiview", "baselines", "encoders", "datasets"),
    ("features", "evaluation", "testing"),
    ("checks", "figures", "scoring"),
    ("report", "pipeline"),
    ("questions",),
    ("operations",),
    ("flows", "serving", "exporting"),
    ("cli",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
NOT_BELOW = dict.fromkeys(("dvc", "mlflow", "duckdb"), "operations") | {
    "prefect": "flows",
    **dict.fromkeys(("fastapi", "starlette", "uvicorn", "prometheus_client"), "serving"),
}
SOURCES = sorted((ROOT / "csa").rglob("*.py")) + sorted((ROOT / "flows").rglob("*.py"))


def imports(path):
    """(package, room) of every import in a file, such as ('csa', 'core')."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module]
            if node.module == "csa":
                names = [f"csa.{alias.name}" for alias in node.names]
        for name in names:
            package, _, rest = name.partition(".")
            yield package, rest.partition(".")[0]


def room_of(path):
    top, *rest = path.relative_to(ROOT).parts
    return (rest[0] if top == "csa" else top).removesuffix(".py")


def test_every_room_stands_on_a_floor():
    assert {room_of(path) for path in SOURCES} == {"__init__", *FLOOR}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_point_down(path):
    room = room_of(path)
    if room == "__init__":
        return
    for package, target in imports(path):
        if package in NOT_BELOW:
            assert FLOOR[room] >= FLOOR[NOT_BELOW[package]], f"{path.name} imports {package}"
        assert package != "flows", f"{path.name} imports flows, whose name is csa.flows"
        if package == "csa" and target not in ("", room):
            assert FLOOR[target] < FLOOR[room], f"csa.{room} imports csa.{target}"


def module_of(path):
    """Dotted name of a source file; flows/ is imported as csa.flows."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "csa" else ("csa", *parts)
    return ".".join(part for part in parts if part != "__init__")


MODULES = {module_of(path): path for path in SOURCES}


def imported_modules(source):
    """Modules of the house that some code imports, within functions too, but not for types alone.

    What only the type checker reads runs never, so it closes no circle.
    """
    tree = ast.parse(source)
    todo, seen = [tree], []
    for node in todo:
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            seen.append(node)
            todo += ast.iter_child_nodes(node)
    for node in seen:
        if isinstance(node, ast.Import):
            yield from {alias.name for alias in node.names} & set(MODULES)
        if isinstance(node, ast.ImportFrom) and node.module in MODULES:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else node.module for name in inner)


def test_no_module_imports_itself_in_a_circle():
    graph = {
        name: set(imported_modules(path.read_text(encoding="utf-8"))) - {name}
        for name, path in MODULES.items()
        if name != "csa"  # hands out what the rooms hold
    }
    graphlib.TopologicalSorter(graph).prepare()  # a CycleError names the circle


def test_what_counts_as_an_import():
    source = (
        "import csa.errors\nif TYPE_CHECKING:\n    import csa.extras\n"
        "def f():\n    from csa.storage import files\n    from csa.core.base import Estimator\n"
    )
    assert set(imported_modules(source)) == {"csa.errors", "csa.storage.files", "csa.core.base"}


def loaded_by(code):
    """Top-level modules that a fresh Python has loaded after some code."""
    code += "\nimport sys\nprint(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


HEAVY = {"torch", "polars", "prefect", "mlflow", "duckdb", "dvc", "PIL", "transformers"}


def test_the_core_needs_only_numpy_and_scipy():
    assert dir(csa) == sorted(csa.__all__)
    loaded = loaded_by("import csa\nassert all(getattr(csa, name) for name in csa.__all__)")
    assert "scipy" in loaded and not loaded & (HEAVY | {"pydantic", "yaml", "click"})


def test_the_commands_are_there_before_anything_heavy():
    assert not loaded_by("import csa.cli") & (HEAVY | {"scipy"})


def test_a_search_waits_for_nothing_that_it_does_not_use():
    heavy = HEAVY - {"polars"} | {"scipy", "matplotlib"}
    assert not loaded_by("import csa.questions.search, csa.pipeline.recipes") & heavy


def test_what_the_package_does_not_have_is_no_attribute():
    with pytest.raises(AttributeError, match="no attribute 'Csa'"):
        _ = csa.Csa


@pytest.mark.parametrize("name", generate.PAGES)
def test_generated_pages_are_current(name):
    current = generate.PAGES[name]().rstrip() + "\n"
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == current


@pytest.mark.parametrize(
    "path",
    [path for path in SOURCES if ">>>" in path.read_text(encoding="utf-8")],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_examples_in_docstrings_print_what_they_say(path):
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted and not result.failed
