"""Attention by lag as a kernel: how wide it is, and which law it follows."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import CubicHermiteSpline

from attention_wavelets.measures.arrays import FloatArray
from attention_wavelets.measures.entropy import entropy

__all__ = ["LAWS", "kernel_divergence", "kernel_width"]

# Largest decay rate that is tabulated: a kernel steeper than e^-60 per unit is a point.
_STEEPEST = 60.0
_GRID = 4096


def kernel_width(a: ArrayLike) -> FloatArray:
    """s = exp(H(a)) / e tokens of kernels (..., M): the decay time of an exponential kernel."""
    return np.asarray(np.exp(entropy(a) - 1.0))


LAWS: dict[str, Callable[[FloatArray], FloatArray]] = {
    # Statistic of a lag whose mean decides the best member of the family.
    "exponential": lambda distance: distance,
    "power": lambda distance: np.log1p(distance),
}
"""Family of kernels exp(-rate * statistic(|lag|)) -> its statistic."""


def kernel_divergence(a: ArrayLike, lags: ArrayLike, law: str) -> FloatArray:
    """KL divergence, in nats, of kernels from the best member of a family that decays.

    The best member has the kernel's own mean of the statistic, so the divergence is the entropy
    of that member less that of the kernel (an exponential family; Csiszar 1975). "exponential" is
    exp(-rate |lag|), "power" (1 + |lag|)^-rate, "uniform" has no rate. A kernel whose mean lies
    beyond that of the uniform one is nearest to the uniform one.

    Parameters
    ----------
    a
        (..., M), each summing to 1.
    lags
        (M,) lags of the columns; negative ones count by their distance.
    law
        A key of `LAWS`, or "uniform".

    Returns
    -------
    FloatArray
        (...), at least 0.
    """
    values = np.asarray(a, dtype=np.float64)
    length = values.shape[-1]
    if law == "uniform":
        return np.asarray(np.maximum(np.log(length) - entropy(values), 0.0))
    distance = np.abs(np.asarray(lags, dtype=np.float64))
    if distance.min() == distance.max():
        # All members of a family over one distance are the uniform one.
        return kernel_divergence(values, lags, "uniform")
    statistic = LAWS[law](distance)
    best = _entropy_of_mean(law, tuple(distance.tolist()))
    mean = np.clip(values @ statistic, best.x[0], best.x[-1])
    return np.asarray(np.maximum(best(mean) - entropy(values), 0.0))


@lru_cache(maxsize=32)
def _entropy_of_mean(law: str, distance: tuple[float, ...]) -> CubicHermiteSpline:
    """Entropy of the member of a family against the mean of its statistic.

    Its slope is the rate, so a spline through values and slopes is exact to about 1e-9.
    """
    statistic = LAWS[law](np.array(distance))
    rates = np.concatenate([np.geomspace(_STEEPEST, 1e-6, _GRID), [0.0]])[:, None]
    weights = np.exp(-rates * statistic)
    total = weights.sum(axis=-1)
    mean = weights @ statistic / total
    log_total = np.log(total)
    keep = np.concatenate([[True], np.diff(mean) > 0])
    height = log_total + rates[:, 0] * mean
    return CubicHermiteSpline(mean[keep], height[keep], rates[keep, 0])
