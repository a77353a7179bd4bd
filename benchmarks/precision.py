"""Canonical correlations hold to 1e-5 of a float64 QR up to feature condition 1e6, whatever
precision and route were chosen.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

import csa
from benchmarks.measure import SEED, record
from csa.core import accumulate
from csa.core.routes import decompose
from csa.core.solve import solve

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from factory import STRUCTURES, adversarial, correlations_by_qr


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--shape", type=int, nargs=3, default=[9000, 200, 120], metavar=("N", "P", "Q")
    )
    options = parser.parse_args()
    accumulate._WORTH_FLOAT32 = 0
    rows = [
        _errors(structure, float(condition), *options.shape)
        for structure in STRUCTURES
        for condition in (1, 10, 100, 1e3, 1e4, 1e5, 1e6)
    ]
    within = [row for row in rows if row["measured_condition"] <= 1.2e6]
    worst = {
        key: max(row[key] for row in within if row[key] is not None)
        for key in (
            "float32_features_auto",
            "float32_features_decompose",
            "float64_features_moments",
            "float64_features_decompose",
        )
    }
    record(
        "precision",
        {
            "rounding_of_float32_products": _rounding(),
            "worst_error_to_condition_1e6": worst,
            "errors": rows,
        },
    )


def _errors(structure: str, condition: float, n: int, p: int, q: int) -> dict[str, Any]:
    """Largest errors of correlations; nothing where directions were cut as singular."""
    row: dict[str, Any] = {"structure": structure, "condition": condition}
    for dtype in (np.float32, np.float64):
        X, Y = adversarial(structure, n, p, q, condition, np.random.default_rng(SEED), dtype)
        expected = correlations_by_qr(X, Y)
        name = np.dtype(dtype).name

        def error(rho: Any, expected: Any = expected) -> float | None:
            return float(np.abs(rho - expected).max()) if len(rho) == len(expected) else None

        if dtype == np.float32:
            row["measured_condition"] = float(
                max(np.linalg.cond(Z - Z.mean(axis=0)) for Z in (X.astype(float), Y.astype(float)))
            )
            row["float32_features_auto"] = error(solve(csa.Moments.from_arrays(X, Y)).rho)
            kept, accumulate._TOLERANCE = accumulate._TOLERANCE, np.inf
            row["float32_products_forced"] = error(solve(csa.Moments.from_arrays(X, Y)).rho)
            accumulate._TOLERANCE = kept
        else:
            row[f"{name}_features_moments"] = error(solve(csa.Moments.from_arrays(X, Y)).rho)
        row[f"{name}_features_decompose"] = error(decompose(X, Y)[1].rho)
    return row


def _rounding() -> dict[str, dict[str, float]]:
    """Rounding of entries of float32 products of 8,192 rows, relative to the norms of their
    columns.
    """
    rng = np.random.default_rng(SEED)
    n, d = 8192, 512
    kinds = {
        "gaussian": rng.standard_normal((n, d)),
        "one factor": 0.1 * rng.standard_normal((n, d)) + rng.standard_normal((n, 1)),
        "after ReLU": np.maximum(rng.standard_normal((n, d)), 0),
        "heavy tails": rng.standard_t(3, (n, d)),
        "rarely one": (rng.random((n, d)) < 0.02) * 1.0,
    }
    result = {}
    for name, X in kinds.items():
        Z = (X - X[:2048].mean(axis=0)).astype(np.float32)
        exact = Z.T.astype(np.float64) @ Z.astype(np.float64)
        scale = np.sqrt(np.diag(exact))
        E = ((Z.T @ Z) - exact) / scale / scale[:, None]
        off = E[~np.eye(d, dtype=bool)]
        result[name] = {
            "diagonal_rms": float(np.sqrt((np.diag(E) ** 2).mean())),
            "diagonal_mean": float(np.diag(E).mean()),
            "off_diagonal_rms": float(np.sqrt((off**2).mean())),
        }
    return result


if __name__ == "__main__":
    main()
