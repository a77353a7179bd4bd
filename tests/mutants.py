"""Do the tests notice? Small faults are put into the method and the gate, one at a time, in a copy.

    make mutants                    40 mutants of all rooms
    python tests/mutants.py -n 10 --seed 3 csa/core/diagnostics.py

A mutant is a constant off by one, another comparison, arithmetic or boolean operator, or a `not`
left out. It meets the tests that ran its function, the quickest first. A survivor either shows a
test that is missing or changes nothing that anybody could see (a tie that cannot happen, a block
size): a reader decides. Integers above 50 are such sizes and stay, as do f-strings.
"""

import argparse
import ast
import itertools
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GATE_TESTS = ("gate", "promotion", "series", "slices")
# Room -> the tests that know it.
ROOMS = {
    "csa/core": ["tests/core"],
    "csa/evaluation": [
        "tests/evaluation",
        "tests/questions/test_suspects.py",
        "tests/pipeline/test_task_stages.py",
    ],
    "csa/operations/gate": [
        *(f"tests/operations/test_{name}.py" for name in GATE_TESTS),
        "tests/checks/test_drift_exactly.py",
    ],
    "csa/operations/ledger": ["tests/operations/test_ledger.py", "tests/attacks/test_registry.py"],
}
COPIED = ("csa", "flows", "tests", "docs", "benchmarks", "pyproject.toml", "params.yaml", "data")
HEAVY = ("torch", "polars", "hypothesis", "scipy.stats", "sklearn.linear_model")
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Pow: ast.Mult, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
LARGEST_CONSTANT = 50
# Of the tests that ran a function the quickest are asked, up to so long in all; a mutant that makes
# them take much longer hangs, which they notice too.
ASKED_SECONDS, HANGS_AFTER = 15.0, 150


class Recorder:
    """A pytest plugin: which functions of csa each test runs, and how long it takes."""

    def __init__(self, path: Path):
        self.path, self.tests, self.shared = path, {}, defaultdict(set)
        self.ran: set[str] = set()
        self.code = str(Path.cwd() / "csa")

    def see(self, frame, event, _):
        name = frame.f_code.co_filename
        if event == "call" and name.startswith(self.code):
            function = frame.f_code.co_qualname.partition(".<locals>")[0]
            self.ran.add(f"csa{name.removeprefix(self.code)}::{function}")

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_setup(self, item):  # what a fixture runs, all tests of the file rest on
        yield from self.watched(self.shared[item.nodeid.partition("::")[0]])

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self, item):
        yield from self.watched(self.tests.setdefault(item.nodeid, {"ran": set()})["ran"])

    def watched(self, ran):
        self.ran = ran
        threading.setprofile(self.see)
        sys.setprofile(self.see)
        yield
        sys.setprofile(None)
        threading.setprofile(None)

    def pytest_runtest_logreport(self, report):
        if report.when == "call" and report.passed:
            self.tests[report.nodeid]["seconds"] = report.duration

    def pytest_sessionfinish(self):
        passed = {name: test for name, test in self.tests.items() if "seconds" in test}
        for name, test in passed.items():
            test["ran"] = sorted(test["ran"] | self.shared[name.partition("::")[0]])
        self.path.write_text(json.dumps(passed))


def mutants_of(path: Path) -> list[tuple[str, int, str, str]]:
    """(function, line, what, mutated source) of every mutant of a file."""
    source = path.read_text(encoding="utf-8")
    found = []
    for number, (function, line, _) in enumerate(places(ast.parse(source))):
        tree = ast.parse(source)
        what = list(places(tree))[number][2]()
        found.append((function, line, what, ast.unparse(tree)))
    return found


def places(tree: ast.AST, function: str = "<module>") -> Iterator[tuple[str, int, object]]:
    """(function, line, change the tree there) of every place that can be mutated, in order."""
    for node in ast.iter_child_nodes(tree):
        inside = function
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            known = function.rpartition(".")[2] if "<" not in function else ""
            is_class = isinstance(tree, ast.ClassDef)
            inside = f"{known}.{node.name}" if is_class else function
            inside = node.name if function == "<module>" else inside
        if isinstance(node, ast.JoinedStr | ast.arg) or ast.unparse(node).startswith("__all__"):
            continue
        yield from ((function, node.lineno, change) for change in changes(node))
        yield from places(node, inside)


def changes(node: ast.AST) -> Iterator[object]:
    """What can be changed at one node; each is called once, and says what it did."""

    def swap(owner, field, index=None):
        old = getattr(owner, field) if index is None else getattr(owner, field)[index]

        def change():
            new = SWAPS[type(old)]()
            if index is None:
                setattr(owner, field, new)
            else:
                getattr(owner, field)[index] = new
            return f"{type(old).__name__} -> {type(new).__name__}"

        return change

    if isinstance(node, ast.Compare):
        yield from (swap(node, "ops", i) for i, op in enumerate(node.ops) if type(op) in SWAPS)
    elif isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in SWAPS:
        yield swap(node, "op")
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):

        def affirm():
            node.op, node.operand = ast.Not(), ast.UnaryOp(ast.Not(), node.operand)
            return "not left out"

        yield affirm
    elif (
        isinstance(node, ast.Constant)
        and type(node.value) in (int, float)
        and abs(node.value) <= LARGEST_CONSTANT
    ):

        def increase():
            node.value += 1
            return f"{node.value - 1:g} -> {node.value:g}"

        yield increase


def run_tests(arguments: list[str], seconds: float, plugins: tuple[Recorder, ...] = ()) -> int:
    """The exit code of pytest in a process that has the heavy packages already; 124 if it hangs."""
    child = os.fork()
    if not child:
        code = 70
        try:
            for stream in (1, 2):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
            code = int(pytest.main(["-q", "-p", "no:cacheprovider", *arguments], list(plugins)))
        finally:
            os._exit(code)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 124


def covering(tests: dict[str, dict], file: str, function: str) -> list[str]:
    """Tests that ran the function, the quickest first; of a module's own lines, those that ran any
    of its functions.
    """
    wanted = f"{file}::" if function == "<module>" else f"{file}::{function}"
    ran = [
        (test["seconds"], name)
        for name, test in tests.items()
        if any(
            one.startswith(wanted) if function == "<module>" else one == wanted
            for one in test["ran"]
        )
    ]
    so_far = itertools.accumulate(seconds for seconds, _ in sorted(ran))
    return [
        name for (_, name), total in zip(sorted(ran), so_far, strict=True) if total < ASKED_SECONDS
    ]


def main() -> int:
    """Sample mutants, try each, say which survived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", default=list(ROOMS))
    parser.add_argument("-n", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--known", type=Path, help="recording of an earlier call, or where to keep")
    asked = parser.parse_args()
    files = [
        path.relative_to(ROOT)
        for given in asked.paths
        for path in sorted((ROOT / given).rglob("*.py")) or [ROOT / given]
    ]
    every = [(file, *mutant) for file in files for mutant in mutants_of(ROOT / file)]
    sample = random.Random(asked.seed).sample(every, min(asked.n, len(every)))
    rooms = sorted({room for room in ROOMS for file, *_ in sample if str(file).startswith(room)})
    survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        known = (asked.known or Path(folder) / "tests.json").resolve()
        move_to_copy(Path(folder))
        if not known.exists():
            run_tests([test for room in rooms for test in ROOMS[room]], 3600, (Recorder(known),))
        ran = json.loads(known.read_text())
        for file, function, line, what, source in sorted(sample, key=lambda mutant: mutant[:3]):
            chosen, code = covering(ran, str(file), function), 0
            if chosen:
                file.write_text(source)
                code = run_tests(["-x", *chosen], HANGS_AFTER)
                shutil.copy(ROOT / file, file)
            survivors += code == 0
            verdict = "killed  " if code else "SURVIVED" if chosen else "NO TEST "
            text = (ROOT / file).read_text().splitlines()[line - 1].strip()
            print(f"{verdict} {file}:{line} {what}: {text}", flush=True)
    killed = len(sample) - survivors
    print(f"{killed} of {len(sample)} killed ({killed / len(sample):.0%}), seed {asked.seed}")
    return 0


def move_to_copy(folder: Path) -> None:
    """Copy the repository's code and work there, with what takes long to import in memory."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            unwanted = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=unwanted)
        else:
            shutil.copy(ROOT / name, folder / name)
    os.chdir(folder)
    os.environ |= {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "HF_HUB_OFFLINE": "1"}
    sys.dont_write_bytecode = True
    sys.path[:] = [str(folder), *(entry for entry in sys.path if entry not in ("", str(ROOT)))]
    for name in HEAVY:
        import_module(name)


if __name__ == "__main__":
    sys.exit(main())
