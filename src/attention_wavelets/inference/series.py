"""How signals answer to scales of the data that are known: periods, and exponents of noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from attention_wavelets.inference.multiple import benjamini_hochberg
from attention_wavelets.measures.spectrum import power_spectrum, window_values

__all__ = [
    "apart",
    "by_document",
    "found_share",
    "mean_known",
    "power_shares",
    "share_at",
    "slope",
    "slope_interval",
    "two_samples",
]

Array = NDArray[np.float64]

_WINDOW = "hann_periodic"


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
    window = window_values(_WINDOW, count)
    # The mean under the window: taken off, nothing of it leaks into the lowest frequency.
    centred = x - (x * window).sum(-1, keepdims=True) / window.sum()
    power = power_spectrum(centred, _WINDOW, count)[..., 1:]
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


def apart(period: float, others: Sequence[float], count: int) -> bool:
    """Whether a signal of `count` samples tells a period from each of the others.

    By three bins: one to each side of the period is counted, and the window spreads a sinusoid over
    two. False without others.
    """
    return bool(others) and all(abs(count / period - count / other) >= 3 for other in others)


def slope(shares: Array) -> Array:
    """Slope of log power over log frequency, (...): -1 halves the power with every octave up.

    Least squares over whole octaves from bin 2 on, each with its mean power. Take it of the mean of
    many spectra: of a single one the logarithm of few bins is too low. NaN below three octaves.

    Parameters
    ----------
    shares
        (..., n // 2), bins from 1 on.
    """
    last = shares.shape[-1]
    octaves = [(2**k, 2 ** (k + 1)) for k in range(1, 64) if 2 ** (k + 1) <= last + 1]
    if len(octaves) < 3:
        return np.full(shares.shape[:-1], np.nan)
    levels = [shares[..., low - 1 : high - 1].mean(-1) for low, high in octaves]
    centres = np.array([np.log2(np.arange(low, high)).mean() for low, high in octaves])
    with np.errstate(divide="ignore"):
        y = np.log2(np.stack(levels, axis=-1))
    x = centres - centres.mean()
    found = (y * x).sum(-1) / (x**2).sum()
    return np.where(np.isfinite(found), found, np.nan)


def slope_interval(
    spectra: Array, confidence: float, min_documents: int
) -> tuple[float, float, float]:
    """Slope of a mean spectrum with a jackknife interval over documents.

    Parameters
    ----------
    spectra
        (document, bin).
    confidence, min_documents
        As for intervals of means; below so many documents the limits are NaN.
    """
    known = spectra[np.isfinite(spectra).all(-1)]
    count = len(known)
    if not count:
        return (np.nan,) * 3
    whole = float(slope(known.mean(0)))
    if count < min_documents:
        return whole, np.nan, np.nan
    left_out = slope((known.sum(0) - known) / (count - 1))
    error = np.sqrt((count - 1) / count * ((left_out - left_out.mean()) ** 2).sum())
    reach = float(stats.t.ppf((1 + confidence) / 2, count - 1) * error)
    return whole, whole - reach, whole + reach


def by_document(values: NDArray[np.floating[Any]], documents: NDArray[Any]) -> Array:
    """Mean over the rows of each document, what is not known left out: (document, ...)."""
    found = [mean_known(values[documents == one]) for one in np.unique(documents)]
    return np.array(found, dtype=np.float64).reshape(len(found), *values.shape[1:])


def mean_known(values: NDArray[np.floating[Any]], axis: int = 0) -> Array:
    """Mean along an axis of what is known; NaN of nothing."""
    known = np.isfinite(values)
    count = known.sum(axis)
    total = np.where(known, values, 0.0).sum(axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def two_samples(
    own: Array, others: Array, confidence: float, min_documents: int
) -> tuple[float, float, float]:
    """Difference of the means of two sets of documents, (n,) and (m,), with Welch's interval.

    NaN of nothing; no limits where either has fewer documents than `min_documents`.
    """
    own, others = own[np.isfinite(own)], others[np.isfinite(others)]
    if not len(own) or not len(others):
        return (np.nan,) * 3
    difference = float(own.mean() - others.mean())
    if min(len(own), len(others)) < max(min_documents, 2):
        return difference, np.nan, np.nan
    low, high = stats.ttest_ind(own, others, equal_var=False).confidence_interval(confidence)
    return difference, float(low), float(high)


def found_share(own: Array, others: Array, rate: float, min_documents: int) -> float:
    """Share of heads that are above the others (Welch, one-sided); NaN where none can be tested.

    Parameters
    ----------
    own, others
        (document, head), a document once.
    rate
        False discoveries that are let through (Benjamini and Hochberg over heads).
    min_documents
        A head with fewer on either side is not tested, and not counted.
    """
    enough = np.minimum(np.isfinite(own).sum(0), np.isfinite(others).sum(0))
    tested = enough >= max(min_documents, 2)
    if not tested.any():
        return float("nan")
    own, others = own[:, tested], others[:, tested]
    # A head that never varies has no p-value.
    varies = [np.fmin.reduce(side) < np.fmax.reduce(side) for side in (own, others)]
    p = stats.ttest_ind(
        own[:, np.any(varies, axis=0)],
        others[:, np.any(varies, axis=0)],
        equal_var=False,
        alternative="greater",
        nan_policy="omit",
    ).pvalue
    known = np.asarray(p, dtype=np.float64)
    known = known[np.isfinite(known)]
    return float((benjamini_hochberg(known) < rate).mean()) if len(known) else float("nan")
