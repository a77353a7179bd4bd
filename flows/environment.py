"""Processes that must not outlive each other: a run and the schedule that started it, a server
and the run it was started for.
"""

import os
import signal
import threading
import time

import psutil

from csa.operations.scheduler import SERVER_MARK
from csa.pipeline.workspace import Workspace

PARENT = "CSA_ENDS_WITH_PROCESS"
"""Set for a child: the process whose end is to be its end."""


def end_with_parent() -> None:
    """Where a scheduled run has started us: end as by Ctrl-C, and tidily, when it is killed; the
    next run would wait for us.

    A thread looks at the parent every second; after half a minute that an orderly end has taken,
    the end is not orderly.
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
    """End Prefect servers that a killed run left behind; they would hold memory and this
    workspace's Prefect database for ever.

    Only servers that were started for a single process, in this state folder, and whose parent is
    gone.
    """
    for process in psutil.process_iter():
        try:
            variables = process.environ()
            started = variables.get("PREFECT__SERVER_EPHEMERAL") == "1" or SERVER_MARK in variables
            ours = started and variables.get("PREFECT_HOME") == str(ws.prefect_home)
            parent = process.parent()
            if ours and (parent is None or parent.pid == 1 or parent.name() == "systemd"):
                process.terminate()
        except psutil.Error:  # another user's, or gone meanwhile
            continue
