"""One hash a stage over the code that its result depends on, for DVC to compare.

A stage depends on its own module and on all that this module imports of csa, wherever in a file
the import stands. What counts of a file is its syntax tree without docstrings: a comment or a
blank line changes no hash. The hashes do not depend on where csa is installed, nor on the version
of Python, so a stage has the same key in DVC's run cache on every machine.

    python -m csa.pipeline code        writes data/code.json; `csa run` does it by itself
"""

import ast
import hashlib
import json
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from csa.errors import ArtifactError
from csa.storage.files import read_json, write_json

STAGES = {
    "demo": "csa.pipeline.demo",
    "ingest": "csa.pipeline.ingest",
    "embed": "csa.pipeline.embed",
    "unpaired": "csa.pipeline.unpaired",
    "check": "csa.pipeline.check",
    "fit": "csa.pipeline.fit",
    "evaluate": "csa.pipeline.evaluate",
    "task": "csa.pipeline.task",
}
"""Name of a stage -> its module."""

NO_RESULT_DEPENDS_ON = frozenset(
    {"csa", "csa.errors", "csa.masking", "csa.modalities.drawing", "csa.pipeline.workspace"}
)
"""Modules that stages import and that change no byte of what they write: the version and the public
names, words of a refusal, pictures that only people see, and where files lie (an output that
moves is another line of dvc.yaml).
"""

NOT_FOLLOWED = frozenset({"csa.params.schema"})
"""Modules that count, but not for what they import. The schema has all sections; a stage itself
imports those that it reads."""

_PARSE_TRIES = 10

PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Source:
    """What counts of one module.

    Attributes:
        digest: sha256 of its syntax tree without docstrings.
        imports: names in csa that it imports, modules and what is in them alike.
    """

    digest: str
    imports: tuple[str, ...]


def stage_hashes(memory: Path | None = None) -> dict[str, str]:
    """The hash of every stage's code.

    Args:
        memory: file that remembers what is known of each source file, by its bytes; None looks at
            all of them anew.

    Returns:
        Name of a stage -> 16 hex digits.
    """
    known = _recall(memory)
    sources = _Sources(PACKAGE, dict(known))
    hashes = {stage: sources.hash_of(module) for stage, module in STAGES.items()}
    if memory is not None and sources.known != known:
        write_json(memory, {key: [one.digest, *one.imports] for key, one in sources.known.items()})
    return hashes


@cache
def code_hash(module: str) -> str:
    """The hash of a module's code and of all it imports of csa.

    Args:
        module: its dotted name, such as `csa.core.estimator`.

    Returns:
        16 hex digits.
    """
    return _Sources(PACKAGE, {}).hash_of(module)


def modules_of(module: str) -> list[str]:
    """Names of the modules that a module's hash covers, in order."""
    return sorted(_Sources(PACKAGE, {}).closure(module))


def files_of(module: str, memory: Path | None = None) -> list[Path]:
    """The files of all modules that a module needs when it runs, itself among them, in order.

    Args:
        module: its dotted name.
        memory: see `stage_hashes`; it is read and not added to.

    Returns:
        Paths.
    """
    sources = _Sources(PACKAGE, _recall(memory))
    return sorted(filter(None, map(sources.file, sources.closure(module, frozenset()))))


def write_hashes(path: Path, memory: Path | None = None) -> dict[str, str]:
    """Write the hashes of all stages, unless the file says the same already.

    Args:
        path: the file, `data/code.json` of a workspace.
        memory: see `stage_hashes`.

    Returns:
        The hashes.
    """
    hashes = stage_hashes(memory)
    try:
        written = read_json(path)
    except ArtifactError:
        written = None
    if written != hashes:
        write_json(path, hashes)
    return hashes


def _recall(memory: Path | None) -> dict[str, Source]:
    if memory is None:
        return {}
    try:
        noted = read_json(memory)
        return {key: Source(digest, tuple(names)) for key, (digest, *names) in noted.items()}
    except (ArtifactError, AttributeError, TypeError, ValueError):  # missing or damaged: made anew
        return {}


class _Sources:
    """The source files of the package, each looked at once.

    Args:
        package: folder of the package `csa`.
        known: what is known of sources, by the sha256 of module name and bytes; added to.
    """

    def __init__(self, package: Path, known: dict[str, Source]):
        self.known = known
        self._package = package
        self._of: dict[str, Source] = {}
        self._files: dict[str, Path | None] = {}

    def hash_of(self, module: str) -> str:
        """The hash of a module and of all it imports."""
        lines = (f"{name} {self._source(name).digest}" for name in sorted(self.closure(module)))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    def closure(self, module: str, without: frozenset[str] = NO_RESULT_DEPENDS_ON) -> set[str]:
        """The module, the packages it lies in, and all modules reached by imports.

        Args:
            module: its dotted name.
            without: modules that are left out, with what they alone import.
        """
        reached: set[str] = set()
        rest = [module]
        while rest:
            name = rest.pop()
            if name in reached or name in without:
                continue
            reached.add(name)
            rest += filter(None, [name.rpartition(".")[0]])
            if name not in NOT_FOLLOWED:
                rest += filter(None, map(self._module_of, self._source(name).imports))
        return reached

    def _module_of(self, name: str) -> str | None:
        """The module that a dotted name lies in: itself, or the one it is an attribute of."""
        for candidate in (name, name.rpartition(".")[0]):
            if candidate and self.file(candidate) is not None:
                return candidate
        return None

    def file(self, module: str) -> Path | None:
        """The source file of a module; None if there is no such module."""
        if module not in self._files:
            path = self._package.parent.joinpath(*module.split("."))
            candidates = (path.with_suffix(".py"), path / "__init__.py")
            self._files[module] = next((file for file in candidates if file.is_file()), None)
        return self._files[module]

    def _source(self, module: str) -> Source:
        if module not in self._of:
            file = self.file(module)
            assert file is not None, module
            content = file.read_bytes()
            key = hashlib.sha256(module.encode() + b"\0" + content).hexdigest()
            if key not in self.known:
                self.known[key] = _look(content)
            self._of[module] = self.known[key]
        return self._of[module]


@lru_cache(maxsize=1024)
def _look(content: bytes) -> Source:
    tree = _parse(content)
    _drop_docstrings(tree)
    imports = sorted(set(_imports(tree)))
    digest = hashlib.sha256(json.dumps(_plain(tree)).encode()).hexdigest()
    return Source(digest, tuple(imports))


def _parse(content: bytes) -> ast.AST:
    """The syntax tree. Python 3.11 may fail where another thread makes a tree at the same moment,
    as Prefect's do (https://github.com/python/cpython/issues/106905); the next try does not.
    """
    for _ in range(_PARSE_TRIES - 1):
        try:
            return ast.parse(content)
        except SystemError:
            continue
    return ast.parse(content)


def _drop_docstrings(tree: ast.AST) -> None:
    """Remove every statement that is nothing but a text."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [  # type: ignore[attr-defined]
                statement
                for statement in body
                if not (
                    isinstance(statement, ast.Expr)
                    and isinstance(statement.value, ast.Constant)
                    and isinstance(statement.value.value, str)
                )
            ]


def _imports(tree: ast.AST) -> list[str]:
    """Names in csa that a file imports, less those that only type checkers see."""
    names = []
    rest: list[ast.AST] = [tree]
    while rest:
        node = rest.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            rest += node.orelse
            continue
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        rest += ast.iter_child_nodes(node)
    return [name for name in names if name.partition(".")[0] == "csa"]


def _plain(node: object) -> object:
    """A syntax tree as plain data, the same from every version of Python: empty fields are left
    out, as newer versions have more of them."""
    if isinstance(node, ast.AST):
        fields = ((name, getattr(node, name, None)) for name in node._fields)
        return [
            type(node).__name__,
            *([name, _plain(value)] for name, value in fields if value is not None and value != []),
        ]
    if isinstance(node, list):
        return [_plain(one) for one in node]
    return node if isinstance(node, (str, bool, int, type(None))) else repr(node)
