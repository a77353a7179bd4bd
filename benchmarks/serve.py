"""How fast `csa serve` answers: queries a second, p50 and p99 at 1, 8 and 32 clients, beside a loop
over `csa search` and beside the encoder alone; of texts, and of pictures.

The goal is 90 % of the encoder's rate at 32 clients. Processor time of a query is what a busy
machine changes little: where nothing else runs and the cores are full, the share of it is the
share of the rate.
"""

import argparse
import base64
import itertools
import json
import os
import re
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.measure import record
from csa.datasets.roots import dataset_root
from csa.pipeline.workspace import Workspace
from csa.questions.opened import Fitted
from csa.questions.search import Searcher

CLIENTS = (1, 8, 32)
_WORDS = ("red", "small", "happy", "face", "hand", "tree", "car", "flag", "house", "cat", "of", "a")
_PICTURES = 64


def main() -> None:
    """Measure a project that was run; the server starts anew and nothing else should run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path, help="a folder that `csa run` has run in")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each number of clients")
    given = parser.parse_args()
    root = given.project.resolve()
    ws = Workspace(root, root / ".csa")
    fitted = Fitted.open(ws)
    pictures = paths_of_pictures(fitted)
    items = {
        "text": texts(512, 1),
        "image": [fitted.read("image", path) for path in pictures],
    }
    sent = {
        "text": texts(20_000, 2),
        "image": [base64.b64encode(Path(path).read_bytes()).decode() for path in pictures],
    }
    asked_offline = {"text": texts(100, 3), "image": pictures[:40]}
    searcher = Searcher(ws)
    found: dict[str, dict[str, Any]] = {}
    for view in ("text", "image"):
        found[view] = {
            "bare_encoder": bare(fitted, view, items[view]),
            "csa_search": loop(searcher, asked_offline[view]),
        }
    with served(root) as (address, process):
        for view, told in found.items():
            work = Clients(address, process, view, sent[view])
            work(4, 5.0)  # sizes of passes are tried in the first seconds
            work(32, 5.0)
            told["clients"] = {str(clients): work(clients, given.seconds) for clients in CLIENTS}
            at_32 = told["clients"]["32"]
            told["share_of_processor_time_at_32"] = round(
                told["bare_encoder"]["cpu_ms"] / at_32["cpu_ms"], 3
            )
            told["share_of_rate_at_32"] = round(
                at_32["per_second"] / told["bare_encoder"]["per_second"], 3
            )
    record("serve", {"load": round(os.getloadavg()[0], 1), "queries": found})


def texts(count: int, seed: int) -> list[str]:
    """Queries of 2 to 5 words."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(_WORDS, rng.integers(2, 6))) for _ in range(count)]


def paths_of_pictures(fitted: Fitted) -> list[str]:
    """Some pictures of the project."""
    root = dataset_root(fitted.params.dataset, fitted.ws.root)
    return [str(root / name) for name in fitted.gallery("image").pairs["image"].head(_PICTURES)]


def bare(fitted: Fitted, view: str, items: list[Any]) -> dict[str, float]:
    """The encoder alone, from decoded items: full batches, one thread for each core."""
    encoder = fitted.scorer.view(view).encoder
    encoder.encode(items[:64])
    cores = os.cpu_count() or 1
    threads = [threading.Thread(target=encoder.encode, args=(items,)) for _ in range(cores)]
    start, used = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _rate(cores * len(items), time.perf_counter() - start, time.process_time() - used)


def loop(searcher: Searcher, queries: list[str]) -> dict[str, float]:
    """Queries of `csa search < queries`, after its start."""
    searcher.find(queries[0], 12)
    start, used = time.perf_counter(), time.process_time()
    for query in queries:
        searcher.find(query, 12)
    return _rate(len(queries), time.perf_counter() - start, time.process_time() - used)


def _rate(count: int, seconds: float, used: float) -> dict[str, float]:
    return {"per_second": round(count / seconds, 1), "cpu_ms": round(1000 * used / count, 2)}


@contextmanager
def served(root: Path, *arguments: str) -> Iterator[tuple[tuple[str, int], psutil.Process]]:
    """`csa serve` over a project: its address, and its process."""
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "csa.cli", "serve", "--port", "0", *arguments],
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
            yield (found[1], int(found[2])), psutil.Process(server.pid)
        finally:
            server.terminate()


class Clients:
    """Clients that ask as soon as they were answered: one thread with a socket for each, so that
    they take little of the processors that the server needs.

    Args:
        address: of the server.
        process: of the server.
        view: of the queries.
        queries: are asked in turn, over and over.

    Attributes:
        differ: answers that were not the first of the same version to the same query.
    """

    def __init__(
        self, address: tuple[str, int], process: psutil.Process, view: str, queries: list[str]
    ):
        self._address, self._process = address, process
        self._requests = itertools.cycle([_request(view, query) for query in queries])
        self._first: dict[tuple[bytes, bytes], int] = {}
        self.differ = 0

    def __call__(self, clients: int, seconds: float) -> dict[str, float]:
        """Queries a second, latencies, and the processor time of a query: the server's, and what
        the clients themselves take.
        """
        latencies: list[float] = []
        start, used, own = time.perf_counter(), self._used(), time.process_time()
        with selectors.DefaultSelector() as waiting:
            for _ in range(clients):
                one = _Client(socket.create_connection(self._address))
                one.ask(next(self._requests))
                waiting.register(one.socket, selectors.EVENT_READ, one)
            while waiting.get_map():
                for key, _ in waiting.select():
                    one = key.data
                    if not one.answered():
                        continue
                    latencies.append(time.perf_counter() - one.asked)
                    self._compare(one)
                    if time.perf_counter() - start < seconds:
                        one.ask(next(self._requests))
                    else:
                        waiting.unregister(one.socket)
                        one.socket.close()
        taken = time.perf_counter() - start
        told = _rate(len(latencies), taken, self._used() - used)
        p50, p99 = np.percentile(latencies, [50, 99]) * 1000
        return {
            **told,
            "client_cpu_ms": round(1000 * (time.process_time() - own) / len(latencies), 2),
            "p50_ms": round(float(p50), 1),
            "p99_ms": round(float(p99), 1),
        }

    def _compare(self, one: "_Client") -> None:
        head, _, body = bytes(one.answer).partition(b"\r\n\r\n")
        if b" 200 " not in head[:16]:
            raise SystemExit(f"{head.decode()}\n{body.decode()}")
        version, said = body[:24], hash(body)  # {"version":12,"view":"t
        self.differ += self._first.setdefault((one.request, version), said) != said

    def _used(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)


class _Client:
    """A connection that is kept, with one request at a time."""

    def __init__(self, opened: socket.socket):
        self.socket, self.answer, self.asked, self.request = opened, bytearray(), 0.0, b""

    def ask(self, request: bytes) -> None:
        """Send a request whole."""
        self.answer.clear()
        self.request, self.asked = request, time.perf_counter()
        self.socket.sendall(request)

    def answered(self) -> bool:
        """Read what has come; whether that is the whole answer."""
        came = self.socket.recv(1 << 16)
        if not came:
            raise SystemExit("the server closed a connection")
        self.answer += came
        head = self.answer.find(b"\r\n\r\n")
        if head < 0:
            return False
        found = re.search(rb"content-length: (\d+)", self.answer[:head], re.IGNORECASE)
        assert found is not None
        return len(self.answer) >= head + 4 + int(found[1])


def _request(view: str, query: str) -> bytes:
    body = json.dumps({"query": {view: [query]}, "top": 12}).encode()
    head = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"POST /v1/search HTTP/1.1\r\n{head}\r\n\r\n".encode() + body


if __name__ == "__main__":
    main()
