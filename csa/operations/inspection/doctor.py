"""Checks of the installation that a person would otherwise learn of the hard way."""

import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, packages_distributions, requires, version
from importlib.util import cache_from_source, find_spec
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from csa.errors import CSAError
from csa.pipeline.workspace import Workspace

# What goes wrong outside of a requirement's bounds, where a person could not guess it. The first
# two install cleanly above their cap and then break without a word.
_WHY = {
    "fastapi": "from 0.148 Prefect's server refuses its own client (422): `prefect deploy` and "
    "reading runs fail",
    "sqlalchemy": "from 2.1 Prefect schedules silently never fire, while runs by hand work",
    "prefect": "flows are written for Prefect 3",
    "dvc": "stages are driven through DVC 3",
    "mlflow": "the registry uses aliases and models from code",
    "duckdb": "metrics are read through DuckDB 2",
    "polars": "tables are read and written with polars 2",
    "torch": "features are computed with this torch",
    "transformers": "encoders are loaded with transformers 5",
}
_SLOW = ("mlflow", "torch")  # to import; compiling them takes longer than all the rest


@dataclass(frozen=True)
class Check:
    """One thing looked at: what was found, whether it is right, and the remedy if not."""

    name: str
    ok: bool
    found: str
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def diagnose() -> list[Check]:
    """All checks, in the order a person would fix them."""
    python = Check(
        "python", sys.version_info >= (3, 11), platform.python_version(), "use Python 3.11 or newer"
    )
    rest = [
        _guarded("workspace", _workspace),
        _state(),
        _git(),
        _bytecode(),
        _guarded("encoders", _encoders),
        _guarded("device", _device),
    ]
    return [python, *_requirements(), *rest]


def requirements_of(package: str, extra: str) -> list[Requirement]:
    """What the distribution that an import package came with asks for, as it says itself.

    Args:
        package: its name in imports.
        extra: whose requirements count beside those that always do.

    Returns:
        One a package, those whose bounds are known to matter first; empty if the package was
        not installed but lies on the path.
    """
    order = list(_WHY)
    found = {}
    for distribution in packages_distributions().get(package, []):
        for text in requires(distribution) or []:
            wanted = Requirement(text)
            applies = wanted.marker is None or wanted.marker.evaluate({"extra": extra})
            if applies and wanted.name != distribution:
                wanted.marker = None
                found[wanted.name] = wanted
    return sorted(
        found.values(),
        key=lambda wanted: order.index(wanted.name) if wanted.name in order else len(order),
    )


def check_requirement(text: str, why: str, installed: Callable[[str], str] = version) -> Check:
    """Whether an installed version satisfies a requirement.

    Args:
        text: such as `sqlalchemy>=2.0,<2.1`.
        why: what goes wrong otherwise.
        installed: gives the version of a package; raises PackageNotFoundError.

    Returns:
        What was found, with the remedy where it does not satisfy.
    """
    requirement = Requirement(text)
    remedy = f"pip install '{text}'" + (f" ({why})" if why else "")
    try:
        found = installed(requirement.name)
    except PackageNotFoundError:
        return Check(requirement.name, False, "not installed", remedy)
    return Check(
        requirement.name,
        requirement.specifier.contains(found.split("+")[0], prereleases=True),
        found,
        remedy,
    )


def _requirements() -> list[Check]:
    found = requirements_of("csa", "pipeline")
    if not found:
        remedy = "install it with pip; a copy on the path does not say what it needs"
        return [Check("requirements", False, "csa is not installed", remedy)]
    return [check_requirement(str(one), _WHY.get(one.name.lower(), "")) for one in found]


def _guarded(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, check())
    except CSAError as error:
        return Check(name, False, "not usable", " ".join(str(error).split()))


def _workspace() -> str:
    ws = Workspace.find()
    ws.params()
    return "params.yaml is valid"


def _state() -> Check:
    name = "state folder"
    try:
        ws = Workspace.find()
    except CSAError:  # said of the workspace
        return Check(name, False, "not looked at", "it lies in the workspace, so mend that first")

    def look() -> str:
        ws.prepare_state()
        free = shutil.disk_usage(ws.state).free / 2**30
        return f"writable, {free:.0f} GiB free"

    return _guarded(name, look)


def _git() -> Check:
    found = shutil.which("git") is not None
    return Check(
        "git", found, "found" if found else "not found", "install git: DVC and lineage need it"
    )


def _bytecode() -> Check:
    """Whether Python keeps what it compiles. Where it must not, as PYTHONDONTWRITEBYTECODE asks for
    in many images of containers, and pip compiled nothing, every command compiles anew.
    """
    sources = [Path(found.origin) for name in _SLOW if (found := find_spec(name)) and found.origin]
    missing = [file for file in sources if not Path(cache_from_source(str(file))).is_file()]
    kept = all(os.access(file.parent, os.W_OK) for file in missing) and not sys.dont_write_bytecode
    if not missing or kept:
        return Check("bytecode", True, "kept")
    where = missing[0].parent.parent
    return Check(
        "bytecode",
        False,
        f"{', '.join(file.parent.name for file in missing)} would be compiled by every command, "
        f"for seconds",
        f"compile what is installed once: `{sys.executable} -m compileall -q -j 0 {where}`; it "
        f"needs the right to write there",
    )


def _device() -> str:
    from csa.encoders.device import device_name

    try:
        asked = Workspace.find().params().compute.device
    except CSAError:  # said of the workspace
        asked = "auto"
    return f"compute.device: {asked}; networks run on {device_name(asked)}"


def _encoders() -> str:
    from csa.encoders.registry import BUILTIN, load_encoder
    from csa.params.schema import Params
    from csa.params.views import ViewParams

    for view in Params().views.values():
        load_encoder(view)
    usable, missing = [], []
    for name, known in sorted(BUILTIN.items()):
        try:
            load_encoder(ViewParams(modality=known.modality, encoder=name))
            usable.append(name)
        except CSAError as error:
            missing.append(" ".join(str(error).split()))
    return "; ".join([f"built in: {', '.join(usable)}", *missing])
