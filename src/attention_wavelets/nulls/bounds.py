"""What the entropic uncertainty theorem allows: lower and upper bounds, in nats."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from attention_wavelets.measures.arrays import FloatArray

__all__ = ["LOCAL_KERNEL_EXCESS", "excess_upper_bound", "uncertainty_line"]

LOCAL_KERNEL_EXCESS = 1 - math.log(2)
"""Excess over the bound of a Gaussian kernel that is wide on the grid and narrow in the row: no
smooth local kernel comes nearer; only a point, a comb and the uniform signal reach 0."""


def uncertainty_line(positional_entropy: ArrayLike, length: int) -> FloatArray:
    """The least `spectral_entropy_sqrt` a signal of that positional entropy can have.

    H(|F sqrt a|^2) >= ln N - H(a) (Maassen and Uffink 1988; Dembo, Cover and Thomas 1991).
    It holds for the two-sided, unwindowed, unpadded transform of sqrt a only, not for
    `spectral_entropy` of protocol `paper`.

    Parameters
    ----------
    positional_entropy
        (...), in [0, ln N].
    length
        N.

    Returns
    -------
    FloatArray
        (...), in [0, ln N].
    """
    values = np.asarray(positional_entropy, dtype=np.float64)
    return np.maximum(math.log(length) - values, 0.0)


def excess_upper_bound(length: int) -> float:
    """U(N), the most H(a) + H(|F sqrt a|^2) - ln N can be: 0 <= excess <= U(N).

    U(N) = max over q in (0, 1] of ln q + h(q) + (1 - q) ln(N - 1), h the binary entropy: the
    Renyi entropy of order 1/2 bounds H(a), and the share q of DC bounds the spectral entropy.
    The function is concave, so the root of its derivative is the maximum.
    """
    if length < 1:
        raise ValueError(f"`length` must be at least 1, got {length}")
    if length == 1:
        return 0.0
    log_rest = math.log(length - 1)

    def slope(q: float) -> float:
        return 1 / q + math.log((1 - q) / q) - log_rest

    q = float(brentq(slope, 1e-9, 1 - 1e-15, xtol=1e-15))
    h = -q * math.log(q) - (1 - q) * math.log1p(-q)
    return math.log(q) + h + (1 - q) * log_rest
