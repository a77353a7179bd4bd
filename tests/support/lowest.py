"""The lowest versions that pyproject.toml allows, as a constraints file: `make test-lowest`."""

import re
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
_TOOLS = ("dev", "test")  # what checks the code, not what it runs on
_LOWER_BOUND = re.compile(r"(?P<name>[\w.-]+)(\[[^]]*])?(==|>=)(?P<version>[\w.]+)")


def lowest_versions() -> dict[str, str]:
    """Distribution -> the lowest version that its range allows, of the core and every extra."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].items()
    wanted = [*project["dependencies"]]
    wanted += [line for extra, lines in extras if extra not in _TOOLS for line in lines]
    found = {}
    for line in wanted:
        if line.startswith(f"{project['name']}["):
            continue
        bound = _LOWER_BOUND.match(line)
        if bound is None:
            raise SystemExit(f"pyproject.toml: {line!r} has no lower bound; give it one")
        found[bound["name"]] = bound["version"]
    return found


if __name__ == "__main__":
    for name, version in sorted(lowest_versions().items()):
        print(f"{name}=={version}")
