"""`csa serve` keeps its memory for 10 minutes at saturation, while the champion moves every second.

Every answer is compared with the first that its version gave to the same query. Then 10,000
connections say nothing, as many as the limit of open files allows, and the server goes on
answering.
"""

import argparse
import itertools
import os
import resource
import socket
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import record
from benchmarks.serve import Clients, served, texts
from csa.operations.ledger.moves import promote
from csa.operations.opened import Project
from csa.pipeline.workspace import Workspace

CONNECTIONS = 10_000


def main() -> None:
    """Load a server over a project with two versions or more."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path, help="a folder that `csa run` has run in, twice")
    parser.add_argument("--seconds", type=float, default=600.0)
    given = parser.parse_args()
    root = given.project.resolve()
    project = Project(Workspace(root, root / ".csa"))
    numbers = sorted(version.version for version in project.registry.versions())[-2:]
    with served(root, "--follow", "0.5") as (address, process):
        work = Clients(address, process, "text", texts(64, 1))
        work(32, 10.0)
        ended, moves = threading.Event(), [0]

        def move() -> None:
            for number in itertools.cycle(numbers):
                if ended.wait(1.0):
                    return
                promote(project, number, "to and fro")
                moves[0] += 1

        mover = threading.Thread(target=move)
        mover.start()
        told: list[dict[str, Any]] = []
        for _ in range(10):
            found = work(32, given.seconds / 10)
            memory = process.memory_info().rss >> 20
            told.append({**found, "megabytes": memory, "open_files": process.num_fds()})
        ended.set()
        mover.join()
        result = {"minutes": told, "champion_moved": moves[0], "answers_differ": work.differ}
        record("load", result | {"connections": silent(address, work)})


def silent(address: tuple[str, int], work: Clients) -> dict[str, Any]:
    """Connections that say nothing, and what queries meanwhile take."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    opened: list[socket.socket] = []
    try:
        while len(opened) < min(CONNECTIONS, hard - 256):
            opened.append(socket.create_connection(address, timeout=60))
        return {"open": len(opened), "limit_of_the_server": soft, **work(8, 10.0)}
    except OSError as error:
        return {"open": len(opened), "error": os.strerror(error.errno or 0)}
    finally:
        for one in opened:
            one.close()
        time.sleep(1.0)


if __name__ == "__main__":
    main()
