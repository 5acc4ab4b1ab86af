"""Attention mass near the query against the rest."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from attention_wavelets.measures.arrays import FloatArray

__all__ = ["covers", "local_global_ratio"]

# `mass` and the lag signal were accumulated from float32 attention: a remainder this small is its
# rounding, and a ratio of 1e7 would be noise.
SMALLEST_REST = 4 * float(np.finfo(np.float32).eps)


def covers(lags: ArrayLike, distance: int) -> bool:
    """Whether the lags reach the distance: on both sides if some of them are negative."""
    column = np.asarray(lags)
    if column.size == 0 or column.max() < distance:
        return False
    return bool(column.min() >= 0 or column.min() <= -distance)


def local_global_ratio(
    lag_signal: ArrayLike, mass: ArrayLike, lags: ArrayLike, distance: int
) -> FloatArray:
    """near / (1 - near), near = mass times the sum of the signal over |lag| <= distance.

    Rows of attention sum to 1, so `mass`, the sum of the lag histogram before it was divided by
    it, is the attention the histogram covers, and 1 - near is everything farther away, lags
    beyond the histogram included.

    Parameters
    ----------
    lag_signal
        (..., M), each row summing to 1.
    mass
        (...), in [0, 1].
    lags
        (M,) integers: the lag, query minus key in tokens, of each column.
    distance
        In tokens, at least 0.

    Returns
    -------
    FloatArray
        (...), a ratio >= 0; NaN where nothing is left beyond the distance, and everywhere if the
        lags do not reach the distance.
    """
    signal = np.asarray(lag_signal, dtype=np.float64)
    column = np.asarray(lags)
    if column.shape != signal.shape[-1:]:
        raise ValueError(
            f"`lags` must name the {signal.shape[-1]} columns, got shape {column.shape}"
        )
    whole = np.asarray(mass, dtype=np.float64)
    if not covers(column, distance):
        return np.full(np.broadcast_shapes(whole.shape, signal.shape[:-1]), np.nan)
    near = whole * signal[..., np.abs(column) <= distance].sum(axis=-1)
    rest = 1.0 - near
    out = np.full(near.shape, np.nan)
    return np.asarray(np.divide(near, rest, out=out, where=rest > SMALLEST_REST))
