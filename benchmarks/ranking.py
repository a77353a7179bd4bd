"""Ranks of 50,000 queries in 50,000 items cost 1.1 times, their exact top 10 costs 1.3 times the
bare products.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import SEED, Peer, cpu_seconds, interleaved, record
from csa.core.index import recall_at_k
from csa.core.search import best_ranks, top_k

_BARE_ROWS = 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--faiss",
        help="Python of an environment with faiss-cpu; its flat and HNSW indexes are measured too",
    )
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    n, s = options.items, 250
    rng = np.random.default_rng(SEED)
    weights = np.geomspace(1, 0.1, s, dtype=np.float32)
    left = rng.standard_normal((n, s), dtype=np.float32) * weights
    right = left + 0.5 * rng.standard_normal((n, s), dtype=np.float32) * weights
    pairs = (np.arange(n), np.arange(n))

    def bare() -> None:
        scores = np.empty((_BARE_ROWS, n), np.float32)
        for i in range(0, n, _BARE_ROWS):
            np.matmul(
                left[i : i + _BARE_ROWS], right.T, out=scores[: len(left[i : i + _BARE_ROWS])]
            )

    works: dict[str, Any] = {
        "bare products": lambda: cpu_seconds(bare),
        "ranks": lambda: cpu_seconds(lambda: best_ranks(left, right, pairs)),
        "top 10": lambda: cpu_seconds(lambda: top_k(left, right, 10)),
    }
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        if options.faiss:
            files = [str(Path(folder) / name) for name in ("left.npy", "right.npy")]
            np.save(files[0], left)
            np.save(files[1], right)
            found = {kind: str(Path(folder) / f"{kind}.npy") for kind in ("flat", "hnsw")}
            peers = {
                f"faiss {kind}": Peer(
                    options.faiss, "faiss_search.py", kind, *files, "10", found[kind]
                )
                for kind in found
            }
            works |= peers
        seconds = interleaved(works, options.rounds)
        if options.faiss:
            exact = top_k(left, right, 10)[0]
            result["recall_at_10"] = {
                f"faiss {kind}": recall_at_k(np.load(file), exact) for kind, file in found.items()
            }
            result["peers"] = {name: peer.versions for name, peer in peers.items()}
    times = {
        name: value["median"] / seconds["bare products"]["median"]
        for name, value in seconds.items()
    }
    record("ranking", {"cpu_seconds": seconds, "times_the_bare_products": times, **result})


if __name__ == "__main__":
    main()
