"""`csa serve` answers texts at 90 % of the bare encoder's rate with 32 clients; p50 and p99 at 1, 8
and 32, beside a loop over `csa search`.
"""

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import record
from csa.pipeline.workspace import Workspace
from csa.questions.opened import Fitted
from csa.questions.search import Searcher

CLIENTS = (1, 8, 32)
_WORDS = ("red", "small", "happy", "face", "hand", "tree", "car", "flag", "house", "cat", "of", "a")


def main() -> None:
    """Measure a project that was run; the server starts anew and nothing else should run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path, help="a folder that `csa run` has run in")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each number of clients")
    given = parser.parse_args()
    root = given.project.resolve()
    ws = Workspace(root, root / ".csa")
    rates = {"bare_encoder": bare_rate(ws), "csa_search": search_rate(ws)}
    levels = {}
    with subprocess.Popen(
        [sys.executable, "-m", "csa.cli", "serve", "--port", "0"],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as server:
        try:
            assert server.stdout is not None
            found = re.search(r"http://([\d.]+):(\d+)", server.stdout.readline())
            if found is None:
                raise SystemExit("the server did not start")
            address = found[1], int(found[2])
            asked(address, 4, 3.0)  # shapes of passes are tried in the first seconds
            for clients in CLIENTS:
                levels[str(clients)] = asked(address, clients, given.seconds)
        finally:
            server.terminate()
    share = levels["32"]["per_second"] / rates["bare_encoder"]
    record("serve", {"rates": rates, "clients": levels, "share_of_bare_at_32": round(share, 3)})


def texts(count: int, seed: int) -> list[str]:
    """Queries of 2 to 5 words."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(_WORDS, rng.integers(2, 6))) for _ in range(count)]


def bare_rate(ws: Workspace) -> float:
    """Texts a second through the encoder alone: full batches, one thread for each core."""
    fitted = Fitted.open(ws)
    encoder = fitted.scorer.view("text").encoder
    encoder.encode(texts(64, 0))
    cores, each = os.cpu_count() or 1, 1024
    threads = [
        threading.Thread(target=encoder.encode, args=(texts(each, seed),)) for seed in range(cores)
    ]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return round(cores * each / (time.perf_counter() - start), 1)


def search_rate(ws: Workspace) -> float:
    """Queries a second of `csa search < queries`, after its start."""
    searcher, queries = Searcher(ws), texts(101, 1)
    searcher.find(queries[0], 12)
    start = time.perf_counter()
    for query in queries[1:]:
        searcher.find(query, 12)
    return round(100 / (time.perf_counter() - start), 1)


def asked(address: tuple[str, int], clients: int, seconds: float) -> dict[str, Any]:
    """Queries a second and latencies of so many clients, each of which asks as soon as it was
    answered.
    """
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    def work(seed: int) -> None:
        connection = http.client.HTTPConnection(*address)
        for query in texts(100_000 // clients, 100 + seed):
            start = time.perf_counter()
            if start > end:
                break
            body = json.dumps({"query": {"text": [query]}, "top": 12})
            connection.request("POST", "/v1/search", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != http.client.OK:
                raise SystemExit(f"status {answer.status}")
            latencies.append(time.perf_counter() - start)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    p50, p99 = np.percentile(latencies, [50, 99]) * 1000
    return {
        "per_second": round(len(latencies) / seconds, 1),
        "p50_ms": round(float(p50), 1),
        "p99_ms": round(float(p99), 1),
    }


if __name__ == "__main__":
    main()
