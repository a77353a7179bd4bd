"""Pairs of feature matrices with a known answer."""

import numpy as np

from csa.encoders.base import Encoder


def with_correlations(n, p, q, correlations, rng, condition=1.0, offset=0.0):
    """Features whose *sample* canonical correlations are exactly `correlations`; views mixed to
    a condition number.
    """
    k = len(correlations)
    basis = np.linalg.qr(np.column_stack([np.ones(n), rng.normal(size=(n, p + q))]))[0][:, 1:]
    Zx, rest = basis[:, :p], basis[:, p:]
    rho = np.asarray(correlations)
    Zy = rest[:, :q].copy()
    Zy[:, :k] = Zx[:, :k] * rho + rest[:, :k] * np.sqrt(1 - rho**2)
    return (Z @ mixing(Z.shape[1], condition, rng) + offset for Z in (Zx, Zy))


def mixing(d, condition, rng):
    """A random invertible matrix with the given condition number."""
    U, V = (np.linalg.qr(rng.normal(size=(d, d)))[0] for _ in range(2))
    return U * np.geomspace(1, 1 / condition, d) @ V


def shared_signal(n, p, q, k, noise, rng):
    """Features that share k latent factors, seen through noise; what an encoder pair looks like."""
    Z = rng.normal(size=(n, k))
    X = Z @ rng.normal(size=(k, p)) + noise * rng.normal(size=(n, p))
    Y = Z @ rng.normal(size=(k, q)) + noise * rng.normal(size=(n, q))
    return X, Y


STRUCTURES = (
    "signal first",
    "signal last",
    "signal everywhere",
    "scaled columns",
    "twin columns",
    "one factor",
    "offset",
    "clipped",
)


def adversarial(structure, n, p, q, condition, rng, dtype=np.float64):
    """Pairs with 8 canonical correlations, mixed so that each view has about the given condition
    number, the hard way.

    Where the signal sits in each view's spectrum, and how columns depend on each other, is what
    `structure` says.
    """
    k = min(8, p, q)
    rho = np.linspace(0.95, 0.1, k)
    Z = rng.normal(size=(n, k))
    places = {
        "signal last": lambda d: np.arange(d - k, d),
        "signal everywhere": lambda d: np.linspace(0, d - 1, k).astype(int),
    }
    views = []
    for d, signal in ((p, Z), (q, Z * rho + np.sqrt(1 - rho**2) * rng.normal(size=(n, k)))):
        white = rng.normal(size=(n, d))
        white[:, places.get(structure, lambda d: np.arange(k))(d)] = signal
        views.append(_mixed(structure, white, condition, rng).astype(dtype))
    return views


def _mixed(structure, white, condition, rng):
    n, d = white.shape
    fading = np.geomspace(1, 1 / condition, d)
    rotated = white @ (fading[:, None] * np.linalg.qr(rng.normal(size=(d, d)))[0])
    if structure == "scaled columns":
        return white * fading
    if structure == "twin columns":
        twins = white.copy()
        twins[:, 1::2] = twins[:, 0 : d // 2 * 2 : 2] + 2 * twins[:, 1::2] / condition
        return twins
    if structure == "one factor":
        return white * np.sqrt(d) / condition + rng.normal(size=(n, 1))
    if structure == "offset":
        return rotated + 100
    if structure == "clipped":
        return np.maximum(rotated * np.sqrt(d), 0)
    return rotated


def correlations_by_qr(X, Y):
    """Canonical correlations of full-rank features in float64, without any product of features
    (Björck & Golub 1973).
    """
    bases = [
        np.linalg.qr(Z - Z.mean(axis=0))[0]
        for Z in (np.asarray(X, np.float64), np.asarray(Y, np.float64))
    ]
    return np.clip(np.linalg.svd(bases[0].T @ bases[1], compute_uv=False), 0, 1)


class Arrays(Encoder):
    """Stands for whatever made the features that a workspace already has."""

    def prepare(self, item):
        raise NotImplementedError

    forward = prepare
