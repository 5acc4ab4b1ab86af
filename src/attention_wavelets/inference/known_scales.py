"""How signals answer to scales of the data that are known: periods, and exponents of noise."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from attention_wavelets.inference.multiple import benjamini_hochberg

__all__ = ["apart", "found_share", "power_shares", "share_at", "slope", "two_samples"]

Array = NDArray[np.float64]


def power_shares(signals: NDArray[np.floating[Any]]) -> Array:
    """Share of each frequency in the power of a signal, its mean level left out.

    Parameters
    ----------
    signals
        (..., n), n at least 8.

    Returns
    -------
    numpy.ndarray
        (..., n // 2), bins 1 ... n // 2 of a periodic Hann window, in cycles per signal; they sum
        to 1. NaN where a signal is NaN or does not vary.
    """
    x = np.asarray(signals, dtype=np.float64)
    count = x.shape[-1]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(count) / count)
    centred = x - (x * window).sum(-1, keepdims=True) / window.sum()
    power = np.abs(np.fft.rfft(centred * window)[..., 1:]) ** 2
    total = power.sum(-1, keepdims=True)
    # What rounding leaves of a constant is no variation.
    varies = total > 1e-20 * (x**2).sum(-1, keepdims=True)
    return np.where(varies, power / np.where(varies, total, 1.0), np.nan)


def share_at(shares: Array, period: float, count: int) -> Array:
    """Share of the power within one bin of a period, (...), in dB (10 log10).

    Parameters
    ----------
    shares
        (..., n // 2), as `power_shares` gives.
    period
        In samples, at least 2 and at most half the signal.
    count
        n.

    Raises
    ------
    ValueError
        The signal holds fewer than two periods, or two samples are more than one.
    """
    place = count / period
    if not 2 <= place <= count / 2:
        raise ValueError(f"period {period} in a signal of {count} samples")
    near = np.abs(np.arange(1, shares.shape[-1] + 1) - place) <= 1
    with np.errstate(divide="ignore"):
        found = 10 * np.log10(shares[..., near].sum(-1))
    return np.where(np.isfinite(found), found, np.nan)


def apart(period: float, others: list[float], count: int) -> bool:
    """Whether a signal of `count` samples tells a period from each of the others by two bins."""
    return all(abs(count / period - count / other) > 2 for other in others)


def slope(shares: Array) -> Array:
    """Slope of log power over log frequency, (...): -1 halves the power with every octave up.

    Least squares over octaves from bin 2 on, each with its mean power; of fractional noise it is
    near 1 - 2 H.
    """
    edges = 2 ** np.arange(1, int(np.log2(shares.shape[-1])) + 1)
    if len(edges) < 3:
        raise ValueError("fewer than three octaves")
    bounds = [*edges[:-1], shares.shape[-1] + 1]
    levels = [shares[..., low - 1 : high - 1].mean(-1) for low, high in itertools.pairwise(bounds)]
    centres = [np.log2(np.arange(low, high)).mean() for low, high in itertools.pairwise(bounds)]
    with np.errstate(divide="ignore"):
        y = np.log2(np.stack(levels, axis=-1))
    x = np.array(centres) - np.mean(centres)
    found = (y * x).sum(-1) / (x**2).sum()
    return np.where(np.isfinite(found), found, np.nan)


def two_samples(own: Array, others: Array, confidence: float) -> tuple[float, float, float]:
    """Difference of two means with Welch's interval; NaN below two observations each."""
    own, others = own[np.isfinite(own)], others[np.isfinite(others)]
    if min(len(own), len(others)) < 2:
        return (np.nan,) * 3
    low, high = stats.ttest_ind(own, others, equal_var=False).confidence_interval(confidence)
    return float(own.mean() - others.mean()), float(low), float(high)


def found_share(own: Array, others: Array | None, rate: float) -> float:
    """Share of heads that are above the others, or above 0 where there are none.

    Parameters
    ----------
    own
        (document, head).
    others
        (document, head) of other documents.
    rate
        False discoveries that are let through (Benjamini and Hochberg over heads).
    """
    known = np.isfinite(own).sum(0) > 1
    if not known.any():
        return float("nan")
    options = {"alternative": "greater", "nan_policy": "omit"}
    if others is None:
        p = stats.ttest_1samp(own[:, known], 0, **options).pvalue
    else:
        p = stats.ttest_ind(own[:, known], others[:, known], equal_var=False, **options).pvalue
    return float((benjamini_hochberg(np.asarray(p, dtype=np.float64)) < rate).mean())
