"""In the rooms of the method every public function says what it takes, gives and refuses, and takes
no more than five things.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("core", "multiview", "baselines")
SOURCES = [path for room in ROOMS for path in sorted((ROOT / "csa" / room).glob("*.py"))]
# Its parameters are the arguments of __init__, as scikit-learn has it.
ESTIMATORS = ("CSA",)


def functions(path):
    """(qualified name, node) of every function and method, but not of those inside functions."""
    todo = [("", node) for node in ast.parse(path.read_text(encoding="utf-8")).body]
    for prefix, node in todo:
        if isinstance(node, ast.ClassDef):
            todo += [(f"{prefix}{node.name}.", inner) for inner in node.body]
        elif isinstance(node, ast.FunctionDef):
            yield prefix + node.name, node


def parameters(node):
    """Names of what a caller gives."""
    names = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls")]


def undocumented(node):
    """What the docstring of a function lacks."""
    text = ast.get_docstring(node) or ""
    found = re.search(r"^Args:\n((?:    .*\n?|\n)*)", text, re.M)
    described = re.findall(r"^    ([\w, ]+):", found.group(1), re.M) if found else []
    names = {name for line in described for name in line.split(", ")}
    raises = any(
        isinstance(inner, ast.Raise) and isinstance(inner.exc, ast.Call) for inner in ast.walk(node)
    )
    gives = not (isinstance(node.returns, ast.Constant) and node.returns.value is None)
    lacks = [name for name in parameters(node) if name not in names]
    lacks += ["Returns"] * (gives and not re.search(r"^(Returns|Yields):", text, re.M))
    return lacks + ["Raises"] * (raises and "Raises:" not in text)


def is_documented(name, node):
    public = not any(part.startswith("_") for part in name.split("."))
    overload = any(getattr(mark, "id", "") == "overload" for mark in node.decorator_list)
    return public and not overload and len(parameters(node)) > 1


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_public_functions_say_what_they_take_give_and_refuse(path):
    lacking = {
        name: lacks
        for name, node in functions(path)
        if is_documented(name, node) and (lacks := undocumented(node))
    }
    assert not lacking


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_function_takes_more_than_five_things(path):
    many = [
        name
        for name, node in functions(path)
        if len(parameters(node)) > 5 and name.removesuffix(".__init__") not in ESTIMATORS
    ]
    assert not many


def test_the_rule_sees_what_is_missing():
    (node,) = ast.parse(
        'def f(a, b, c) -> int:\n    """One.\n\n    Args:\n        a, b: two.\n    """\n'
        '    raise ValueError("no")\n'
    ).body
    assert undocumented(node) == ["c", "Returns", "Raises"]
