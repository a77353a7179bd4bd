"""Checks of the installation that a person would otherwise learn of the hard way."""

import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from packaging.requirements import Requirement

from csa.errors import CSAError
from csa.pipeline.workspace import Workspace

# Requirement -> what goes wrong without it. The first two install cleanly above their cap and then
# break without a word.
_REQUIREMENTS = {
    "fastapi>=0.139,<0.148": "from 0.148 Prefect's server refuses its own client (422): `prefect "
    "deploy` and reading runs fail",
    "sqlalchemy>=2.0,<2.1": "from 2.1 Prefect schedules silently never fire, while runs by hand "
    "work",
    "prefect>=3.8,<4": "flows are written for Prefect 3",
    "dvc>=3.67,<4": "stages are driven through DVC 3",
    "mlflow>=3.17,<4": "the registry uses aliases and models from code",
    "duckdb>=2.0,<3": "metrics are read through DuckDB 2",
    "polars>=2.1,<3": "tables are read and written with polars 2",
    "torch>=2.13,<2.14": "features are computed with this torch",
    "transformers>=5.23,<6": "encoders are loaded with transformers 5",
    "numpy>=2.0": "",
    "scipy>=1.13": "",
}


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
    requirements = [check_requirement(text, why) for text, why in _REQUIREMENTS.items()]
    rest = [
        _guarded("workspace", _workspace),
        _guarded("state folder", _state),
        _git(),
        _guarded("encoders", _encoders),
    ]
    return [python, *requirements, *rest]


def check_requirement(text: str, why: str, installed: Callable[[str], str] = version) -> Check:
    """Whether an installed version satisfies a requirement such as `sqlalchemy>=2.0,<2.1`."""
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


def _guarded(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, check())
    except CSAError as error:
        return Check(name, False, "not usable", " ".join(str(error).split()))


def _workspace() -> str:
    ws = Workspace.find()
    ws.params()
    return "params.yaml is valid"


def _state() -> str:
    ws = Workspace.find()
    ws.prepare_state()
    free = shutil.disk_usage(ws.state).free / 2**30
    return f"writable, {free:.0f} GiB free"


def _git() -> Check:
    found = shutil.which("git") is not None
    return Check(
        "git", found, "found" if found else "not found", "install git: DVC and lineage need it"
    )


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
