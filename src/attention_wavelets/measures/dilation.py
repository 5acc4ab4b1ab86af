"""Two ways in which attention can follow a shorter sequence: keep its shape, or keep its lags.

A signal that dilates has the same shape in relative position; one of fixed width has the same
shape in tokens. Each is a Hellinger distance after the alignment that would make it 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from attention_wavelets.measures.arrays import FloatArray

__all__ = [
    "Lags",
    "dilation_sensitivity",
    "hellinger",
    "kappa",
    "lag_sensitivity",
    "resample",
    "same_lags",
]

Lags = tuple[ArrayLike, ArrayLike] | None


def hellinger(p: ArrayLike, q: ArrayLike) -> FloatArray:
    """sqrt(sum (sqrt p - sqrt q)^2 / 2) of laws (..., N), in [0, 1].

    0 where they are equal, 1 where they have no position in common. The other form,
    sqrt(1 - sum sqrt(p q)), is 1e-8 off near 0.
    """
    first, second = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)
    apart = np.square(np.sqrt(first) - np.sqrt(second)).sum(axis=-1)
    return np.asarray(np.sqrt(np.minimum(apart / 2, 1.0)))


def resample(a: ArrayLike, length: int) -> FloatArray:
    """A signal (..., N) on another number of positions, its mass kept: (..., length).

    The cumulative sum is interpolated linearly at the new borders and differenced, so a block of
    tokens gets the mass that its share of the row holds. Exact for any ratio.
    """
    values = np.asarray(a, dtype=np.float64)
    old = values.shape[-1]
    reached = np.concatenate([np.zeros((*values.shape[:-1], 1)), values.cumsum(axis=-1)], axis=-1)
    border = np.arange(length + 1) * (old / length)
    whole = np.minimum(border.astype(np.intp), old - 1)
    part = border - whole
    at = reached[..., whole] * (1 - part) + reached[..., whole + 1] * part
    return np.asarray(np.maximum(np.diff(at, axis=-1), 0.0))


def dilation_sensitivity(reference: ArrayLike, scaled: ArrayLike) -> FloatArray:
    """S_dil: Hellinger distance of the shorter signal and the longer one resampled to its length.

    In [0, 1]; 0 where attention keeps its shape in relative position.

    Parameters
    ----------
    reference, scaled
        (..., N0) and (..., N1), each summing to 1.
    """
    first, second = np.asarray(reference, dtype=np.float64), np.asarray(scaled, dtype=np.float64)
    length = min(first.shape[-1], second.shape[-1])
    return hellinger(resample(first, length), resample(second, length))


def same_lags(
    reference: ArrayLike, scaled: ArrayLike, lags: Lags = None
) -> tuple[FloatArray, FloatArray]:
    """Both signals over the tokens nearest to the query that both have: the longer is cut.

    Parameters
    ----------
    reference, scaled
        (..., N0) and (..., N1).
    lags
        Lags of the columns of both, for signals by lag; without them the last positions are taken
        for the nearest, as in a row of a causal model.
    """
    first, second = np.asarray(reference, dtype=np.float64), np.asarray(scaled, dtype=np.float64)
    length = min(first.shape[-1], second.shape[-1])
    if lags is None:
        return first[..., first.shape[-1] - length :], second[..., second.shape[-1] - length :]
    one, other = (np.asarray(column) for column in lags)
    first, second = first[..., np.isin(one, other)], second[..., np.isin(other, one)]
    if min(first.shape[-1], second.shape[-1]) != length:
        raise ValueError("the longer signal does not hold every lag of the shorter one")
    return first, second


def lag_sensitivity(
    reference: ArrayLike, scaled: ArrayLike, lags: Lags = None
) -> tuple[FloatArray, FloatArray]:
    """S_lag: Hellinger distance of both signals over the tokens nearest to the query.

    Parameters
    ----------
    reference, scaled
        (..., N0) and (..., N1), each summing to 1.
    lags
        As in `same_lags`.

    Returns
    -------
    distance
        (...), in [0, 1]; 0 where attention keeps its width in tokens. NaN where the longer signal
        has no mass there.
    lost
        (...), the mass of the longer signal that lies farther away, in [0, 1].
    """
    near, shorter = same_lags(reference, scaled, lags)
    if np.shape(reference)[-1] < np.shape(scaled)[-1]:
        near, shorter = shorter, near
    held = near.sum(axis=-1)
    share = near / np.where(held > 0, held, np.nan)[..., None]
    return hellinger(share, shorter), np.asarray(np.clip(1.0 - held, 0.0, 1.0))


def kappa(dilation: FloatArray, lag: FloatArray, smallest: float) -> FloatArray:
    """(S_lag - S_dil) / (S_lag + S_dil), in [-1, 1]: +1 dilates, -1 keeps its width.

    NaN where both are below `smallest`: a signal without a scale, such as a power law, and then
    the sign means nothing.
    """
    both = dilation + lag
    out = np.full(np.shape(both), np.nan)
    usable = np.maximum(dilation, lag) >= smallest
    return np.asarray(np.divide(lag - dilation, both, out=out, where=usable & (both > 0)))
