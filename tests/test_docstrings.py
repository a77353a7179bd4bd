"""In most rooms every public function says what it takes, gives and refuses, and takes no more than
five things.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = (
    "csa/core",
    "csa/multiview",
    "csa/baselines",
    "csa/encoders",
    "csa/modalities",
    "csa/features",
    "csa/evaluation",
    "csa/checks",
    "csa/figures",
    "csa/report",
    "csa/results",
    "csa/extras.py",
    "csa/storage",
    "csa/datasets",
    "csa/pipeline",
    "csa/questions",
    "csa/operations",
    "csa/scoring",
    "flows",
)
SOURCES = [
    path
    for room in ROOMS
    for path in sorted({ROOT / room, *(ROOT / room).rglob("*.py")})
    if path.suffix == ".py"
]
# The parameters of CSA are the arguments of __init__, as scikit-learn has it, and what it is fitted
# to are those of fit: the public contract names all six.
ESTIMATORS = ("CSA", "CSA.fit")


def parents():
    """Class -> the names of those that it derives from, of all classes in the house."""
    files = [*(ROOT / "csa").rglob("*.py"), *(ROOT / "flows").rglob("*.py")]
    return {
        node.name: [base.id for base in node.bases if isinstance(base, ast.Name)]
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    }


PARENTS = parents()


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


def derives(name, base):
    """Whether a class derives from another, itself not counted."""
    return any(parent == base or derives(parent, base) for parent in PARENTS.get(name, ()))


def stands_with_the_base(name, node):
    """Whether an override leaves its contract to the base: "See `Base.method`." """
    seen = re.match(r"See `(\w+)\.(\w+)`[.;]", ast.get_docstring(node) or "")
    owner, _, method = name.rpartition(".")
    return bool(seen) and seen[2] == method and derives(owner, seen[1])


def is_documented(name, node):
    public = not any(part.startswith("_") for part in name.split("."))
    overload = any(getattr(mark, "id", "") == "overload" for mark in node.decorator_list)
    exempt = overload or stands_with_the_base(name, node)
    return public and not exempt and len(parameters(node)) > 1


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


@pytest.mark.parametrize(
    ("name", "words", "exempt"),
    [
        ("VisionEncoder.forward", "See `Encoder.forward`.", True),  # its base's base
        ("Picture.holds", "See `Kind.holds`; pictures are known without loading Pillow.", True),
        ("Encoder.forward", "See `Encoder.forward`.", False),  # the base itself
        ("VisionEncoder.forward", "See `Encoder.run`.", False),  # another method
        ("VisionEncoder.forward", "See `Kind.forward`.", False),  # no base of it
        ("forward", "See `Encoder.forward`.", False),  # a function
        ("VisionEncoder.forward", "Features.", False),
    ],
)
def test_an_override_may_leave_its_contract_to_its_base(name, words, exempt):
    (node,) = ast.parse(f'def {name.rpartition(".")[2]}(self, a, b):\n    """{words}"""\n').body
    assert is_documented(name, node) is not exempt
