"""The moment pass runs at 85 % of the rate of the bare float32 products of the same moments."""

import argparse

import csa
from benchmarks.measure import cpu_seconds, features, interleaved, record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=35_000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    X, Y = features(options.pairs, 1536, 768)
    seconds = interleaved(
        {
            "three bare products": lambda: cpu_seconds(lambda: (X.T @ X, Y.T @ Y, X.T @ Y)),
            "moments": lambda: cpu_seconds(lambda: csa.Moments.from_arrays(X, Y)),
            "moments in float64": lambda: cpu_seconds(
                lambda: csa.Moments.from_arrays(X, Y, precision="float64")
            ),
            "bare X'Y": lambda: cpu_seconds(lambda: X.T @ Y),
        },
        options.rounds,
    )
    # X'X and Y'Y are symmetric, so the moments are (p + q)^2 multiplications a pair and X'Y is 2 p
    # q.
    gflops = {
        "moments": len(X) * (1536 + 768) ** 2 / seconds["moments"]["median"] / 1e9,
        "bare X'Y": len(X) * 2 * 1536 * 768 / seconds["bare X'Y"]["median"] / 1e9,
    }
    shares = {
        "of the three products' time": seconds["three bare products"]["median"]
        / seconds["moments"]["median"],
        "of the rate of X'Y": gflops["moments"] / gflops["bare X'Y"],
    }
    record(
        "moment_rate", {"cpu_seconds": seconds, "gflops": gflops, "moments_rate_as_share": shares}
    )


if __name__ == "__main__":
    main()
