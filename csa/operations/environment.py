"""The environment that Prefect, DVC and MLflow need here: quiet, offline, and with their state in
the workspace's state folder.

What the user has set stays as it is.
"""

import os
import sys
from pathlib import Path

from csa.operations import scheduler
from csa.pipeline.workspace import Workspace

_VERBOSE = "CSA_VERBOSE"


def prepare_environment(ws: Workspace, verbose: bool = False) -> None:
    """Set the variables that this process and its children need; call it before prefect or mlflow
    is imported.

    Args:
        ws: whose state folder holds the local databases.
        verbose: let DVC and Prefect talk.
    """
    variables = {
        "DO_NOT_TRACK": "1",
        "DVC_NO_ANALYTICS": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # a quarter of a minute; the default of 7 is more than four
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # where --json prints
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # The default of 20 s is too short for a first start on two cores.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        # A failed run ends in one line of ours; at ERROR Prefect would print its traceback before
        # it.
        "PREFECT_LOGGING_LEVEL": "INFO" if verbose else "CRITICAL",
    }
    if "PREFECT_API_URL" not in os.environ:
        variables["PREFECT_HOME"] = str(ws.prefect_home)
        address = scheduler.running(ws)
        if address is not None:
            variables["PREFECT_API_URL"] = address
    if verbose:
        variables[_VERBOSE] = "1"
    for name, value in variables.items():
        os.environ.setdefault(name, value)
    os.environ["PATH"] = path_of_this_python()


def is_verbose() -> bool:
    """Whether the user asked to see what DVC says."""
    return _VERBOSE in os.environ


def path_of_this_python() -> str:
    """PATH, on which `python` in dvc.yaml is the Python that runs now."""
    folder = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(path if path[0] == folder else [folder, *path])
