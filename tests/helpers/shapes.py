"""Rows of known shape, by name and number of positions; the newest token is the last."""

from __future__ import annotations

import numpy as np

__all__ = ["row", "unit"]


def unit(weights):
    """Weights divided by their sum."""
    values = np.asarray(weights, dtype=np.float64)
    return values / values.sum()


def _exponential(decay):
    return lambda n, length: np.exp(-(length - 1 - n) / decay(length))


def _gaussian(centre, deviation):
    return lambda n, length: np.exp(-0.5 * ((n - centre(length)) / deviation(length)) ** 2)


_WEIGHTS = {
    "uniform": lambda n, _: n >= 0,
    "delta_first": lambda n, _: n == 0,
    "delta_mid": lambda n, length: n == length // 2,
    "two_point": lambda n, length: (n == length // 4) | (n == 3 * length // 4),
    "two_deltas_adj": lambda n, _: n < 2,
    "comb_step4": lambda n, _: n % 4 == 0,
    "block_half": lambda n, length: n < length // 2,
    "block_quarter": lambda n, length: n < length // 4,
    "triangle": lambda n, _: n + 1,
    "raised_cosine_k8": lambda n, length: 1 + np.cos(16 * np.pi * n / length),
    "powerlaw": lambda n, length: 1 / (length - n),
    "exp_tau4": _exponential(lambda _: 4),
    "exp_tauN/8": _exponential(lambda length: length / 8),
    "gauss_sigma2": _gaussian(lambda length: length / 2, lambda _: 2),
    "gauss_sigmaN/16": _gaussian(lambda length: length / 2, lambda length: length / 16),
    # At 0.7 of the row, a twentieth of it wide, read at the middle of each token.
    "dil_gauss": _gaussian(lambda length: 0.7 * length - 0.5, lambda length: 0.05 * length),
}


def row(name, length):
    """(length,) summing to 1; `sink_half_X` is half at position 0 and half of shape X."""
    if name.startswith("sink_half_"):
        rest = row(name.removeprefix("sink_half_"), length)
        return 0.5 * row("delta_first", length) + 0.5 * rest
    return unit(_WEIGHTS[name](np.arange(length), length))
