"""Nulls of one parameter: kernels that fall with distance, each as wide as its observed row."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from attention_wavelets.errors import unknown_name
from attention_wavelets.measures.arrays import FloatArray
from attention_wavelets.measures.kernel import LAWS
from attention_wavelets.measures.two_sided import participation_ratio
from attention_wavelets.nulls.seeds import Streams
from attention_wavelets.nulls.surrogates import Axis, Surrogates, finished, prepared

__all__ = ["MATCHES", "RATES", "exponential", "power_law"]

MATCHES = ("mean_lag", "participation_ratio")
"""Quantities that a kernel can be matched in."""

RATES = ("decay", "any")
"""Whether a kernel must fall with distance, or may grow."""

# exp(-700) is the last step before 0: such a kernel is a point.
_STEEPEST = 700.0
_FLATTEST = 1e-8
_GRID = 4096
# Mean distances, in tokens, are compared no finer than this.
_FINEST = 1e-9


def exponential(
    rows: ArrayLike,
    _streams: Streams,
    axis: Axis,
    /,
    *,
    match: str = "mean_lag",
    rate: str = "decay",
) -> Surrogates:
    """exp(-r d), d the distance of a column (`Axis.distance`), with one rate r per row.

    "mean_lag" is sum a d, in tokens: from the least distance (r -> infinity) to that of the uniform
    signal (r = 0). A row beyond that is farther away than the uniform one, no decay matches it, and
    it is unmatched; with `rate` "any" such rows get a kernel that grows with distance (r < 0).
    "participation_ratio" is 1 / sum a^2, from 1 to N; the kernel always decays.

    Parameters
    ----------
    rows
        (..., N).
    _streams
        Not used: nothing is drawn.
    axis
        What the columns are.
    match
        One of `MATCHES`.
    rate
        One of `RATES`.
    """
    return _kernels("exponential", rows, axis, match, rate)


def power_law(
    rows: ArrayLike,
    _streams: Streams,
    axis: Axis,
    /,
    *,
    match: str = "mean_lag",
    rate: str = "decay",
) -> Surrogates:
    """(1 + d)^-r, otherwise as `exponential`; with `rate` "any" (1 + d)^r beyond the uniform."""
    return _kernels("power", rows, axis, match, rate)


def _kernels(law: str, rows: ArrayLike, axis: Axis, match: str, rate: str) -> Surrogates:
    for name, value, allowed in (("match", match, MATCHES), ("rate", rate, RATES)):
        if value not in allowed:
            raise unknown_name(name, value, allowed, f"null {law}")
    observed = prepared(rows)
    weights = observed.weights
    distance = axis.distance(weights.shape[-1])
    grows = np.zeros(len(weights), dtype=bool)
    if match == "mean_lag" and rate == "any":
        grows = _mean(weights, distance) > distance.mean()
    signals = np.empty_like(weights)
    for sign in np.unique(grows):
        chosen = grows == sign
        signals[chosen] = _matched(law, weights[chosen], distance, match, bool(sign))
    if match == "mean_lag":
        wanted, given = _mean(weights, distance), _mean(signals, distance)
    else:
        wanted, given = participation_ratio(weights), participation_ratio(signals)
    error = np.abs(given - wanted) / np.maximum(wanted, _FINEST)
    return finished(signals, error, observed)


def _matched(
    law: str, weights: FloatArray, distance: FloatArray, match: str, grows: bool
) -> FloatArray:
    """The kernels of one sign whose quantity is nearest to that of weights (n, N)."""
    coordinates, rates = _table(law, tuple(distance.tolist()), match, grows)
    rate = np.interp(_coordinate(weights, distance, match, grows), coordinates, rates)
    kernels = np.exp(-rate[:, None] * _statistic(law, distance, grows))
    kernels /= kernels.sum(axis=-1, keepdims=True)
    return np.asarray(kernels)


@lru_cache(maxsize=32)
def _table(
    law: str, distance: tuple[float, ...], match: str, grows: bool
) -> tuple[FloatArray, FloatArray]:
    """Rates against the coordinate of their kernels, which rises as the rate falls.

    A geometric grid of 0.6 % steps: linear interpolation misses the quantity by about 1e-5.
    """
    places = np.array(distance)
    statistic = _statistic(law, places, grows)
    if statistic.max() == 0:
        return np.zeros(1), np.zeros(1)
    nearest = statistic[statistic > 0].min()
    fastest, slowest = _STEEPEST / nearest, _FLATTEST / statistic.max()
    rates = np.concatenate([np.geomspace(fastest, slowest, _GRID), [0.0]])
    kernels = np.exp(-rates[:, None] * statistic)
    kernels /= kernels.sum(axis=-1, keepdims=True)
    return _coordinate(kernels, places, match, grows), rates


def _statistic(law: str, distance: FloatArray, grows: bool) -> FloatArray:
    """What the rate multiplies, counted from where the kernel is largest: at least 0."""
    statistic = LAWS[law](distance)
    return np.asarray(statistic.max() - statistic if grows else statistic - statistic.min())


def _coordinate(weights: FloatArray, distance: FloatArray, match: str, grows: bool) -> FloatArray:
    """Logarithm of the matched quantity, of a mean as far as it is from the kernel's peak."""
    if match == "participation_ratio":
        return np.log(participation_ratio(weights))
    away = distance.max() - distance if grows else distance - distance.min()
    with np.errstate(divide="ignore"):
        return np.log(_mean(weights, away))


def _mean(weights: FloatArray, distance: FloatArray) -> FloatArray:
    # Not a product of matrices, which rounds a row by how many stand beside it.
    return np.asarray((weights * distance).sum(axis=-1))
