"""The lowest versions that pyproject.toml allows, as a constraints file, for `make test-lowest`."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
_TOOLS = ("dev", "test")  # what checks the code, not what it runs on
# dvc-s3 and its like want these in ranges that pip would search for an hour: as tested.
_AS_TESTED = ("aiobotocore", "boto3", "botocore")
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
        found[bound["name"]] = bound["version"]
    tested = (line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines())
    return found | {line[0]: line[1] for line in tested if line[0] in _AS_TESTED}


if __name__ == "__main__":
    for name, version in sorted(lowest_versions().items()):
        print(f"{name}=={version}")
