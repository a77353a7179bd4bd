"""Pairs of feature matrices with a known answer."""

import numpy as np


def with_correlations(n, p, q, correlations, rng, condition=1.0, offset=0.0):
    """Features whose *sample* canonical correlations are exactly `correlations`; views mixed to a condition number."""
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
