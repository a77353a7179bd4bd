"""Cross-fitting 5 folds x 8 x 8 shrinkages, moments and the exact measurement of the best
included, costs 4 fits.
"""

import argparse

import numpy as np

import csa
from benchmarks.measure import SEED, cpu_seconds, features, interleaved, record
from csa.core.crossfit import CrossFit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=35_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    X, Y = features(options.pairs, 1536, 768)
    fold = np.random.default_rng(SEED).permutation(options.pairs) % 5
    grid = [float(1 / (1 + np.exp(-value))) for value in np.linspace(-4, 3, 8)]
    agreement = []

    def whole_grid() -> None:
        crossfit = CrossFit(csa.Moments.of_folds(X, Y, fold))
        worth = {
            (gx, gy): crossfit.preview((gx, gy)).mutual_information for gx in grid for gy in grid
        }
        best = max(worth, key=lambda shrinkage: worth[shrinkage])
        exact, preview = crossfit.measure(best).weights, crossfit.preview(best).weights
        agreement.append(float(np.abs(exact[:64] - preview[:64]).max()))

    def search() -> None:
        crossfit = CrossFit(csa.Moments.of_folds(X, Y, fold))
        crossfit.measure(crossfit.best_shrinkage())

    seconds = interleaved(
        {
            "one fit": lambda: cpu_seconds(
                lambda: csa.CSA(score="canonical", shrinkage=0.0, n_components=250).fit(X, Y)
            ),
            "one fit in float64": lambda: cpu_seconds(
                lambda: csa.CSA(score="canonical", shrinkage=0.0, n_components=250).fit_moments(
                    csa.Moments.from_arrays(X, Y, precision="float64")
                )
            ),
            "whole grid": lambda: cpu_seconds(whole_grid),
            "search": lambda: cpu_seconds(search),
        },
        options.rounds,
    )
    one = seconds["one fit"]["median"]
    fits = {name: seconds[name]["median"] / one for name in ("whole grid", "search")}
    record(
        "crossfit_cost",
        {
            "cpu_seconds": seconds,
            "fits": fits,
            "largest_error_of_previewed_leading_weights": max(agreement),
        },
    )


if __name__ == "__main__":
    main()
