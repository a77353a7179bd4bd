"""Scoring 1,000 by 1,000 items with ASIF and 35,000 anchors takes half of the dense reference's
time.
"""

import argparse

import numpy as np

from benchmarks.measure import cpu_seconds, features, interleaved, record
from csa.baselines import ASIF
from csa.core.preparation import unit
from csa.core.threads import one_thread_a_product

_KEPT, _POWER = 800, 8.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--anchors", type=int, default=35_000)
    parser.add_argument("--items", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    X, Y = features(options.anchors + options.items, 1536, 768)
    n = options.anchors
    model = ASIF(kept=_KEPT, power=_POWER).fit(X[:n], Y[:n])
    anchors = unit(X[:n]), unit(Y[:n])
    scores = {}

    def ours() -> None:
        scores["ours"] = model.similarity(X[n:], Y[n:])

    def dense() -> None:
        left, right = (
            _dense(unit(items), view) for items, view in zip((X[n:], Y[n:]), anchors, strict=True)
        )
        scores["dense"] = left @ right.T

    with one_thread_a_product():
        seconds = interleaved(
            {"csa": lambda: cpu_seconds(ours), "dense": lambda: cpu_seconds(dense)}, options.rounds
        )
    times = seconds["dense"]["median"] / seconds["csa"]["median"]
    difference = float(np.abs(scores["ours"] - scores["dense"]).max())
    record(
        "asif", {"cpu_seconds": seconds, "times_faster": times, "largest_difference": difference}
    )


def _dense(items: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """The plain way: every similarity kept in a dense matrix, shape (items, anchors)."""
    cosines = items @ anchors.T
    least = np.partition(cosines, -_KEPT, axis=1)[:, -_KEPT][:, None]
    return unit(np.where(cosines >= least, np.maximum(cosines, 0), 0) ** _POWER)


if __name__ == "__main__":
    main()
