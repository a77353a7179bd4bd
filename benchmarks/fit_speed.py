"""A fit of 35,000 x 1536 x 768 float32 features takes a seventh of cca-zoo's time and half of
mvlearn's.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

import csa
from benchmarks.measure import Peer, cpu_seconds, features, interleaved, record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--cca-zoo", required=True, help="Python of an environment with cca-zoo 4.0.1"
    )
    parser.add_argument(
        "--mvlearn",
        required=True,
        help="Python of an environment with mvlearn 0.5 and scikit-learn 1.5",
    )
    parser.add_argument("--pairs", type=int, default=35_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    X, Y = features(options.pairs, 1536, 768)
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / name) for name in ("x.npy", "y.npy")]
        np.save(files[0], X)
        np.save(files[1], Y)
        pythons = {"cca-zoo": options.cca_zoo, "mvlearn": options.mvlearn}
        peers = {
            name: Peer(python, "cca_fit.py", name, *files, "250")
            for name, python in pythons.items()
        }

        def ours() -> float:
            return cpu_seconds(
                lambda: csa.CSA(score="canonical", shrinkage=0.0, n_components=250).fit(X, Y)
            )

        seconds = interleaved({"csa": ours, **peers}, options.rounds)
    ratios = {name: seconds[name]["median"] / seconds["csa"]["median"] for name in peers}
    record(
        "fit_speed",
        {
            "cpu_seconds": seconds,
            "times_faster": ratios,
            "peers": {n: p.versions for n, p in peers.items()},
        },
    )


if __name__ == "__main__":
    main()
