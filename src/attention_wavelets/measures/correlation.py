"""Correlations over the heads of a layer, and between the signals of its heads."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attention_wavelets.measures.arrays import FloatArray

__all__ = [
    "MIN_HEADS",
    "fisher_z",
    "paired_heads",
    "position_spectrum_correlation",
    "signal_correlation",
]

# Two points always lie on a line.
MIN_HEADS = 3

# A spread this small against the values themselves is rounding.
SMALLEST_SPREAD = 1e-13


# 1 - |r| below this is the rounding of points on a line.
_LINE = 1e-12


def paired_heads(x: ArrayLike, y: ArrayLike, axis: int = -1) -> NDArray[np.int64]:
    """Number of heads with a finite value in both arrays (..., heads, ...), along `axis`."""
    both = np.isfinite(np.asarray(x, dtype=np.float64)) & np.isfinite(
        np.asarray(y, dtype=np.float64)
    )
    return np.asarray(both.sum(axis=axis), dtype=np.int64)


def _centred(values: FloatArray, keep: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    """Deviations from the mean over the last axis (0 where not kept), and their norm.

    The norm is set to 0 where it is rounding, so that a constant row has none.
    """
    number = keep.sum(axis=-1, keepdims=True)
    kept = np.where(keep, values, 0.0)
    mean = np.divide(
        kept.sum(axis=-1, keepdims=True), number, out=np.zeros(number.shape), where=number > 0
    )
    deviation = np.where(keep, values - mean, 0.0)
    norm = np.sqrt(np.square(deviation).sum(axis=-1))
    size = np.sqrt(np.square(kept).sum(axis=-1))
    return deviation, np.where(norm > SMALLEST_SPREAD * size, norm, 0.0)


def position_spectrum_correlation(x: ArrayLike, y: ArrayLike, axis: int = -1) -> FloatArray:
    """Pearson's r over the heads of a layer, in [-1, 1].

    In protocol `paper`, x is the positional and y the spectral entropy of one sequence's heads.
    Population or sample SDs give the same r. Heads without a finite pair are left out.

    Parameters
    ----------
    x, y
        The same shape; `axis` runs over the heads.

    Returns
    -------
    FloatArray
        The shape without `axis`; NaN with fewer than 3 pairs, or where x or y does not vary.
    """
    first = np.moveaxis(np.asarray(x, dtype=np.float64), axis, -1)
    second = np.moveaxis(np.asarray(y, dtype=np.float64), axis, -1)
    if first.shape != second.shape:
        raise ValueError(f"`x` {first.shape} and `y` {second.shape} must have one shape")
    both = np.isfinite(first) & np.isfinite(second)
    dx, norm_x = _centred(np.where(both, first, 0.0), both)
    dy, norm_y = _centred(np.where(both, second, 0.0), both)
    scale = norm_x * norm_y
    usable = (scale > 0) & (both.sum(axis=-1) >= MIN_HEADS)
    r = np.divide((dx * dy).sum(axis=-1), scale, out=np.full(scale.shape, np.nan), where=usable)
    return np.asarray(np.clip(r, -1.0, 1.0))


def fisher_z(r: ArrayLike) -> FloatArray:
    """artanh r of correlations (...), a scale whose equal steps are equally likely (Fisher 1921).

    Near -1 or 1 correlations have no room left, so a difference of 0.01 can be a large one. NaN
    where r is -1 or 1 up to rounding.
    """
    values = np.asarray(r, dtype=np.float64)
    out = np.full(values.shape, np.nan)
    return np.asarray(np.arctanh(values, out=out, where=1.0 - np.abs(values) > _LINE))


def signal_correlation(signals: ArrayLike) -> FloatArray:
    """Pearson's r over positions between the signals of every two heads.

    Parameters
    ----------
    signals
        (..., heads, N).

    Returns
    -------
    FloatArray
        (..., heads, heads), symmetric, in [-1, 1] with diagonal 1; NaN in the rows and columns of
        a head whose signal is constant or not finite.
    """
    values = np.asarray(signals, dtype=np.float64)
    whole = np.isfinite(values).all(axis=-1, keepdims=True) & np.ones(values.shape, dtype=bool)
    deviation, norm = _centred(np.where(whole, values, 0.0), whole)
    unit = np.divide(
        deviation,
        norm[..., None],
        out=np.full(values.shape, np.nan),
        where=norm[..., None] > 0,
    )
    r = np.clip(unit @ np.swapaxes(unit, -1, -2), -1.0, 1.0)
    # A product with itself is 1 up to rounding; adding 0 * r keeps NaN.
    heads = np.arange(values.shape[-2])
    r[..., heads, heads] = 1.0 + 0.0 * r[..., heads, heads]
    return np.asarray(r)
