"""The rotary pair that a layer's queries and keys use most, beside the one that is predicted."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from attention_wavelets.measures.arrays import FloatArray
from attention_wavelets.measures.measured import Draft, Measured

__all__ = [
    "band_index",
    "follows_base",
    "measure_band",
    "peak",
    "predicted_band",
    "slow_share",
]

# Relative difference of a frequency that bfloat16 tables make; scaled ones differ by more.
_NEAR = 0.01


def predicted_band(pairs: int, base: float, length: int) -> float:
    """j* = pairs log_base(length / 3.657210), the pair at which Oka et al. (2026) expect a band.

    It is the pair that turns by 3.657210 radians over `length`, the length the model was trained
    on. Pairs are counted from 0, the fastest. Their trained models have a band of high norm at
    about 1.0 to 1.1 j*.
    """
    if pairs < 1 or base <= 1 or length < 1:
        raise ValueError(f"no band for {pairs} pairs, base {base:g}, length {length}")
    return pairs * math.log(length / 3.657210, base)


def follows_base(frequency: ArrayLike, base: float) -> bool:
    """Whether a layer's frequencies are base^(-c / pairs) radians per token, to 1 %.

    Parameters
    ----------
    frequency
        (pair,), cycles per token, the fastest first.
    """
    turns = 2 * math.pi * np.asarray(frequency, dtype=np.float64)
    if turns.size == 0 or base <= 1:
        return False
    plain = base ** (-np.arange(turns.size) / turns.size)
    return bool((np.abs(turns / plain - 1) < _NEAR).all())


def band_index(usage: ArrayLike) -> FloatArray:
    """The rotary pair at which the heads' mean share of usage is largest.

    Each head's usage is divided by its sum over pairs, so that heads with long queries do not
    outweigh the others; of equal pairs the fastest counts.

    Parameters
    ----------
    usage
        (..., head, pair), the product of the mean norms of q and k in each pair.

    Returns
    -------
    FloatArray
        (...), from 0, the fastest, to pairs - 1; NaN where a head's usage is unknown or 0.
    """
    values = np.asarray(usage, dtype=np.float64)
    total = values.sum(axis=-1, keepdims=True)
    known = np.isfinite(total) & (total > 0)
    share = np.divide(values, total, out=np.full(values.shape, np.nan), where=known)
    mean = share.mean(axis=-2)
    unknown = np.isnan(mean).any(axis=-1)
    return np.where(unknown, np.nan, np.nan_to_num(mean).argmax(axis=-1))


def slow_share(usage: ArrayLike) -> FloatArray:
    """Share of the heads' usage that lies in the slower half of the pairs, (...), in [0, 1].

    Parameters
    ----------
    usage
        (..., head, pair), as in `band_index`; each head counts alike.
    """
    values = np.asarray(usage, dtype=np.float64)
    total = values.sum(axis=-1)
    slow = values[..., values.shape[-1] // 2 :].sum(axis=-1)
    known = np.isfinite(total) & (total > 0)
    share = np.divide(slow, total, out=np.full(total.shape, np.nan), where=known)
    return np.asarray(share.mean(axis=-1))


def peak(values: ArrayLike) -> FloatArray:
    """Largest entry over the mean of all, averaged over heads: (...), at least 1.

    Jin et al. (2025) call an entry massive where it is above 5.

    Parameters
    ----------
    values
        (..., head, entry), not negative.
    """
    x = np.asarray(values, dtype=np.float64)
    mean = x.mean(axis=-1)
    known = np.isfinite(mean) & (mean > 0)
    ratio = np.divide(x.max(axis=-1), mean, out=np.full(mean.shape, np.nan), where=known)
    return np.asarray(ratio.mean(axis=-1))


def measure_band(
    usage: ArrayLike | None,
    frequency: ArrayLike | None,
    base: float | None,
    length: int | None,
    count: int,
    value: ArrayLike | None = None,
) -> Measured:
    """Where the band of a layer is, and how that compares with the prediction.

    Parameters
    ----------
    usage, frequency
        (sequence, head, pair), and (pair,) in cycles per token; None if not extracted or not
        rotary.
    base, length
        Rotary base and length of training that the model states; None if it states none.
    count
        Number of sequences.
    value
        (sequence, head, dimension), root mean square of each dimension of v; None if not extracted.

    Returns
    -------
    Measured
        Arrays (sequence,).
    """
    draft = Draft(count)
    turns = np.empty(0) if frequency is None else np.asarray(frequency, dtype=np.float64)
    rotates = usage is not None and turns.size > 0 and bool(np.isfinite(turns).all())
    index = band_index(usage) if usage is not None and rotates else np.full(count, np.nan)
    unknown = np.isnan(index)
    draft.put("rotary_band_index", index, unknown, "rotary")
    expected = math.nan
    if rotates and base is not None and length is not None and follows_base(turns, base):
        expected = predicted_band(turns.size, base, length)
    if unknown.all() or expected > 0:
        draft.put("rotary_band_ratio", index / expected, unknown, "rotary")
    else:
        # A scaled table has another base, or was trained at another length than the stated one.
        draft.put("rotary_band_ratio", None, reason="band")
    turning = usage if rotates else None
    draft.put_known("rotary_slow_share", None if turning is None else slow_share(turning), "rotary")
    draft.put_known("rotary_peak", None if turning is None else peak(turning), "rotary")
    draft.put_known("value_peak", None if value is None else peak(value), "weights")
    return draft.measured()
