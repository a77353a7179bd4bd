"""The environment that Prefect, DVC and MLflow need here: quiet, offline, and with their state in the workspace's state folder.

What the user has set stays as it is.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import psutil

from csa.workspace import Workspace
from flows import server

PARENT = "CSA_ENDS_WITH_PROCESS"
"""Set for a child: the process whose end is to be its end."""

_VERBOSE = "CSA_VERBOSE"


def prepare_environment(ws: Workspace, verbose: bool = False) -> None:
    """Set the variables that this process and its children need; call it before prefect or mlflow is imported.

    Args:
        ws: whose state folder holds the local databases.
        verbose: let DVC and Prefect talk.
    """
    variables = {
        "DO_NOT_TRACK": "1",
        "DVC_NO_ANALYTICS": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # a quarter of a minute; the default of 7 is more than four
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # The default of 20 s is too short for a first start on two cores.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        # A failed run ends in one line of ours; at ERROR Prefect would print its traceback before it.
        "PREFECT_LOGGING_LEVEL": "INFO" if verbose else "CRITICAL",
    }
    if "PREFECT_API_URL" not in os.environ:
        variables["PREFECT_HOME"] = str(ws.prefect_home)
        address = server.running(ws)
        if address is not None:
            variables["PREFECT_API_URL"] = address
    if verbose:
        variables[_VERBOSE] = "1"
    for name, value in variables.items():
        os.environ.setdefault(name, value)
    _put_first_on_path(Path(sys.executable).parent)


def is_verbose() -> bool:
    """Whether the user asked to see what DVC says."""
    return _VERBOSE in os.environ


def end_with_parent() -> None:
    """Where a scheduled run has started us: end as by Ctrl-C, and tidily, when it is killed; the next run would wait for us.

    A thread looks at the parent every second; after half a minute that an orderly end has taken, the end is not orderly.
    """
    if os.environ.pop(PARENT, None) != str(os.getppid()):
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def end_orphaned_servers(ws: Workspace) -> None:
    """End Prefect servers that a killed run left behind; they would hold memory and this workspace's Prefect database for ever.

    Only servers that were started for a single process, in this state folder, and whose parent is gone.
    """
    for process in psutil.process_iter():
        try:
            variables = process.environ()
            started = variables.get("PREFECT__SERVER_EPHEMERAL") == "1" or server.MARK in variables
            ours = started and variables.get("PREFECT_HOME") == str(ws.prefect_home)
            parent = process.parent()
            if ours and (parent is None or parent.pid == 1 or parent.name() == "systemd"):
                process.terminate()
        except psutil.Error:  # another user's, or gone meanwhile
            continue


def _put_first_on_path(folder: Path) -> None:
    """So that `python` in dvc.yaml is the Python that runs now."""
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    if path[0] != str(folder):
        os.environ["PATH"] = os.pathsep.join([str(folder), *path])
