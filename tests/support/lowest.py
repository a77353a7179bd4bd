"""The lowest versions that pyproject.toml allows, as a constraints file, for `make test-lowest`.

pip would search hours for a set of them, so uv finds it: the lowest version of what pyproject.toml
names, and of all else the version that constraints.txt has, where the others take it.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
_TOOLS = ("dev", "docs", "mpnet", "test")  # what checks the code, and what `all` does not have
_LOWER_BOUND = re.compile(r"(?P<name>[\w.-]+)(\[[^]]*])?(==|>=)(?P<version>[\w.]+)")


def lowest_versions() -> dict[str, str]:
    """Distribution -> the lowest version that its range allows, of the core and every extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
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
        found[_plain(bound["name"])] = bound["version"]
    return found


def write_constraints(path: Path) -> None:
    """Write the set, and stop where it has not the lowest versions: such a bound is not true."""
    lowest = lowest_versions()
    tested = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines(keepends=True)
    # what stands in the file that it writes, uv prefers
    path.write_text("".join(line for line in tested if _named(line)[0] not in lowest))
    command = "pip compile --quiet --extra all --resolution lowest-direct --no-annotate --no-header"
    python = ("--python", sys.executable, "--output-file", str(path))
    uv = [sys.executable, "-m", "uv", *command.split(), *python, "pyproject.toml"]
    subprocess.run(uv, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    found = dict(map(_named, path.read_text().splitlines()))
    wrong = [
        f"{name}>={least} cannot be had: with the other bounds it is {found[name]} at least"
        for name, least in lowest.items()
        if _numbers(found[name]) != _numbers(least)
    ]
    if wrong:
        raise SystemExit("pyproject.toml: " + "; ".join(wrong))


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _named(line: str) -> tuple[str, str]:
    name, _, version = line.partition("==")
    return _plain(name.strip()), version.strip()


def _numbers(version: str) -> str:
    return re.sub(r"(\.0)+$", "", version)


if __name__ == "__main__":
    write_constraints(Path(sys.argv[1]))
