"""What a fit chose, as parameters: with them written out, the next fit searches for nothing."""

from typing import Any

import yaml

from csa.core.alignment import load
from csa.errors import InputError
from csa.operations.environment import prepare_environment
from csa.operations.inspection import compare
from csa.operations.opened import Project
from csa.operations.registry import downloads


def choices_of(project: Project, version: str | None) -> dict[str, Any]:
    """The section `fit` under which a fit chooses as a version's did, or as the workspace's last
    one.

    Args:
        project: whose model.
        version: a number, or the alias champion or challenger; None for what the workspace holds.

    Returns:
        Keys of the parameters' section `fit`, each with the value that was chosen.

    Raises:
        InputError: no such version, or nothing was fitted yet.
        ArtifactError: a damaged alignment.
    """
    if version is not None:
        prepare_environment(project.ws)
        found = compare.find(project.registry, version)
        return load(downloads.alignment_file(project.registry, found)).choices()
    ws = project.ws
    if not ws.alignment.is_file():
        raise InputError(
            f"{ws.alignment}: nothing was fitted here yet; `csa run` does that, or name a "
            f"registered version"
        )
    return load(ws.alignment).choices()


def choices_text(choices: dict[str, Any]) -> str:
    """The section as it stands in a params file."""
    return yaml.safe_dump({"fit": choices}, sort_keys=False, default_flow_style=None).rstrip()
