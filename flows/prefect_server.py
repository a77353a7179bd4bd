"""Prefect's server without the command line around it, for one run:
`python -m csa.flows.prefect_server PORT OWNER`.

It ends with the process that it serves, however that ends: a killed run could not end it, and it
would take some of a core for ever.
"""

import os
import signal
import sys
import threading
import time

import uvicorn

APPLICATION = "prefect.server.api.server:create_app"
_LOOK_SECONDS = 1.0


def main(port: int, owner: int) -> None:
    """Serve at a port of this machine until the owner is gone.

    Args:
        port: where it listens.
        owner: the process that has started this one.
    """
    threading.Thread(target=_end_with, args=(owner,), daemon=True).start()
    uvicorn.run(APPLICATION, factory=True, lifespan="on", log_level="error", port=port)


def _end_with(owner: int) -> None:
    while os.getppid() == owner:
        time.sleep(_LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
