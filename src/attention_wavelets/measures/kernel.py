"""Attention by lag as a kernel: how wide it is, and which law it follows."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import CubicHermiteSpline

from attention_wavelets.measures.arrays import FloatArray
from attention_wavelets.measures.entropy import entropy

__all__ = ["LAWS", "fold", "kernel_divergence", "kernel_width", "octave_slope"]

# Largest decay rate that is tabulated: a kernel steeper than e^-60 per unit is a point.
_STEEPEST = 60.0
_GRID = 4096


def fold(a: ArrayLike, lags: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Kernels by distance |lag|, both sides added: (..., D), and the distances (D,), increasing.

    Attention to both sides of a token reaches as far as attention to one; by signed lag it would
    count twice as far, and halves of the kernel would be past and future, not near and far.

    Parameters
    ----------
    a
        (..., M).
    lags
        (M,).
    """
    values, distance = np.asarray(a, dtype=np.float64), np.abs(np.asarray(lags, dtype=np.float64))
    if (np.diff(distance) > 0).all():
        return values, distance
    order = np.argsort(distance, kind="stable")
    distances, first = np.unique(distance[order], return_index=True)
    return np.add.reduceat(values[..., order], first, axis=-1), distances


def kernel_width(a: ArrayLike) -> FloatArray:
    """s = exp(H(a)) / e tokens of kernels by distance (..., D), such as `fold` makes.

    The decay time of an exponential kernel with this entropy.
    """
    return np.asarray(np.exp(entropy(a) - 1.0))


LAWS: dict[str, Callable[[FloatArray], FloatArray]] = {
    # Statistic of a lag whose mean decides the best member of the family.
    "exponential": lambda distance: distance,
    "power": lambda distance: np.log1p(distance),
}
"""Family of kernels exp(-rate * statistic(|lag|)) -> its statistic."""


def kernel_divergence(a: ArrayLike, lags: ArrayLike, law: str) -> FloatArray:
    """KL divergence, in nats, of kernels by distance from the best member of a family that decays.

    The best member has the kernel's own mean of the statistic, so the divergence is the entropy
    of that member less that of the kernel (an exponential family; Csiszar 1975). "exponential" is
    exp(-rate |lag|), "power" (1 + |lag|)^-rate, "uniform" has no rate. A kernel whose mean lies
    beyond that of the uniform one is nearest to the uniform one. Laws know distances alone: lags of
    one distance are taken together, so how a kernel divides between past and future is no
    divergence.

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
    values, distance = fold(a, lags)
    every = np.abs(np.asarray(lags, dtype=np.float64))
    # Entropy of the kernel whose lags of one distance share what both have.
    several = np.log((every == distance[:, None]).sum(axis=-1))
    here = entropy(values) + values @ several
    if law == "uniform" or len(distance) == 1:
        # All members of a family over one distance are the uniform one.
        return np.asarray(np.maximum(np.log(len(every)) - here, 0.0))
    best = _entropy_of_mean(law, tuple(every.tolist()))
    mean = np.clip(values @ LAWS[law](distance), best.x[0], best.x[-1])
    return np.asarray(np.maximum(best(mean) - here, 0.0))


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


def octave_slope(a: ArrayLike, lags: ArrayLike) -> FloatArray:
    """Slope of log2 of the mass per octave of lags over the number of the octave, (...).

    Octaves are [1, 2), [2, 4), ... as far as they are whole; lag 0 is left out. 0 where every
    octave gets the same, as with the density 1 / lag; 1 where every lag gets the same (after the
    conditions of Anson et al. 2025). NaN with fewer than three octaves, or one without mass.

    Parameters
    ----------
    a
        (..., M), each summing to 1.
    lags
        (M,) lags of the columns; negative ones count by their distance.
    """
    values, distance = fold(a, lags)
    count = int(np.log2(distance.max() + 1)) if distance.size else 0
    if count < 3:
        return np.full(values.shape[:-1], np.nan)
    inside = (distance >= 1) & (distance < 2**count)
    octave = np.log2(distance[inside]).astype(np.intp)
    belongs = (octave[:, None] == np.arange(count)).astype(np.float64)
    mass = values[..., inside] @ belongs
    logs = np.log2(mass, out=np.full(mass.shape, np.nan), where=mass > 0)
    place = np.arange(count) - (count - 1) / 2
    return np.asarray((logs * place).sum(axis=-1) / np.square(place).sum())
