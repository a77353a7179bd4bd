"""What every speed benchmark shares: one thread, CPU seconds, peers in their own Python, a JSON
record.
"""

import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

SEED = 0
RESULTS = Path(__file__).parent / "results"


def cpu_seconds(work: Callable[[], Any]) -> float:
    """CPU seconds of one call, of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def interleaved(works: dict[str, Callable[[], float]], rounds: int) -> dict[str, Any]:
    """Let works that return their CPU seconds take turns; per work the median and all rounds,
    the first round not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for i in range(rounds + 1):
        for name, work in works.items():
            taken = work()
            if i:
                seconds[name].append(round(taken, 4))
    return {
        name: {"median": float(np.median(values)), "rounds": values}
        for name, values in seconds.items()
    }


class Peer:
    """A script of benchmarks/peers run by another Python: it prepares, then does its work once
    for every line it reads.
    """

    def __init__(self, python: str, script: str, *arguments: str):
        path = Path(__file__).parent / "peers" / script
        self._process = subprocess.Popen(
            [python, "-W", "ignore", str(path), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.versions = json.loads(self._read())

    def __call__(self) -> float:
        """Run the work once; its CPU seconds."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return float(self._read())

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(
                "the peer stopped; see its message above, and benchmarks/README.md on how to "
                "install it"
            )
        return line


def features(n: int, p: int, q: int, shared: int = 64) -> tuple[Any, Any]:
    """float32 features of two views that share latent factors."""
    rng = np.random.default_rng(SEED)
    Z = rng.standard_normal((n, shared), dtype=np.float32)
    return tuple(
        rng.standard_normal((n, d), dtype=np.float32)
        + 0.2 * (Z @ rng.standard_normal((shared, d), dtype=np.float32))
        for d in (p, q)
    )


def record(name: str, result: dict[str, Any]) -> None:
    """Write benchmarks/results/<name>.json and print the result."""
    RESULTS.mkdir(exist_ok=True)
    command = shlex.join(["python", "-m", f"benchmarks.{name}", *sys.argv[1:]])
    said = {**about(command), **result}
    (RESULTS / f"{name}.json").write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


def about(command: str) -> dict[str, Any]:
    """What CLAIMS.md says of a result: what was measured by which command and commit, and where.

    A commit with `+` had changes that were not committed.
    """
    words = sys.modules["__main__"].__doc__
    described = ["git", "-C", str(RESULTS), "describe", "--always", "--exclude=*", "--dirty=+"]
    commit = subprocess.run(described, capture_output=True, text=True, check=True).stdout.strip()
    return {
        "claim": words.splitlines()[0] if words else command,
        "command": command,
        "commit": commit,
        "seed": SEED,
        "threads": 1,
        "machine": machine(),
        "versions": {package: metadata.version(package) for package in ("numpy", "scipy")}
        | {"python": platform.python_version()},
    }


def machine() -> dict[str, Any]:
    """The processor, how many cores it has, and the library that multiplies."""
    cpuinfo = Path("/proc/cpuinfo")
    models = [
        line.split(":")[1].strip()
        for line in cpuinfo.read_text().splitlines()
        if line.startswith("model name")
    ]
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[index, call-overload]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cpus": os.cpu_count(),
        "blas": f"{blas['name']} {blas['version']}",
    }
