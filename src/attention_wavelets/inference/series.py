"""How signals answer to scales of the data that are known: periods, and exponents of noise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from attention_wavelets.inference.multiple import benjamini_hochberg
from attention_wavelets.measures.spectrum import power_spectrum, window_values

__all__ = [
    "MIN_OCTAVES",
    "apart",
    "by_document",
    "found_share",
    "free_bins",
    "mean_known",
    "octaves",
    "power_shares",
    "share_at",
    "slope",
    "slope_interval",
    "two_samples",
]

Array = NDArray[np.float64]

_WINDOW = "hann_periodic"
# Fewer say nothing of a slope.
MIN_OCTAVES = 3


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


def free_bins(periods: Iterable[float], count: int) -> NDArray[np.bool_]:
    """Bins that hold none of the periods and no second harmonic of one: (n // 2,), from bin 1 on.

    A sinusoid fills the bins less than two from its frequency (main lobe of the Hann window; less
    than 0.1 % of its power lies beyond). Attention is no linear function of the samples and adds
    harmonics, of which the second is the strongest; above half a cycle a sample it comes back
    folded. Higher ones are not left out: with all of them few bins would remain.

    Parameters
    ----------
    periods
        In samples, at least 2.
    count
        n, length of the signal.
    """
    bins = np.arange(1, count // 2 + 1)
    free = np.ones(len(bins), dtype=np.bool_)
    for period in periods:
        place = count / period
        for line in (place, min(2 * place, count - 2 * place)):
            free &= np.abs(bins - line) >= 2
    return free


def share_at(shares: Array, period: float, count: int, free: NDArray[np.bool_]) -> Array:
    """Power within one bin of a period, over that and the power of free bins: (...), in dB.

    10 log10(P / (P + R)), P the power of bins within one of n / period, R that of the other free
    bins; at most 0. If R held the lines of other periods, a signal that follows one of them
    would have a lower share here, though it does the same at this period.

    Parameters
    ----------
    shares
        (..., n // 2), as `power_shares` gives.
    period
        In samples, at least 2 and at most half the signal.
    count
        n.
    free
        (n // 2,), as `free_bins` gives for all periods that any of the compared signals may follow.
        The same for all signals that are compared.

    Returns
    -------
    numpy.ndarray
        (...), NaN where shares are NaN or all power is elsewhere, and where no free bin is left.

    Raises
    ------
    ValueError
        The signal holds fewer than two periods, or two samples are more than one.
    """
    place = count / period
    if not 2 <= place <= count / 2:
        raise ValueError(f"period {period} in a signal of {count} samples")
    near = np.abs(np.arange(1, shares.shape[-1] + 1) - place) <= 1
    rest = free & ~near
    if not rest.any():
        return np.full(shares.shape[:-1], np.nan)
    power = shares[..., near].sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = 10 * np.log10(power / (power + shares[..., rest].sum(-1)))
    return np.where(np.isfinite(found), found, np.nan)


def apart(period: float, others: Sequence[float], count: int) -> bool:
    """Whether a signal of `count` samples tells a period from each of the others.

    By three bins: one to each side of the period is counted, and the window spreads a sinusoid over
    two. False without others.
    """
    return bool(others) and all(abs(count / period - count / other) >= 3 for other in others)


def octaves(bins: int) -> list[tuple[int, int]]:
    """Whole octaves of bins 2 ... `bins`: (first, one beyond the last) of each."""
    return [(2**k, 2 ** (k + 1)) for k in range(1, 64) if 2 ** (k + 1) <= bins + 1]


def slope(shares: Array) -> Array:
    """Slope of log power over log frequency, (...): -1 halves the power with every octave up.

    Least squares over whole octaves from bin 2 on, each with its mean power. Take it of the mean of
    many spectra: of a single one the logarithm of few bins is too low. NaN below `MIN_OCTAVES`.

    Parameters
    ----------
    shares
        (..., n // 2), bins from 1 on.
    """
    whole = octaves(shares.shape[-1])
    if len(whole) < MIN_OCTAVES:
        return np.full(shares.shape[:-1], np.nan)
    levels = [shares[..., low - 1 : high - 1].mean(-1) for low, high in whole]
    centres = np.array([np.log2(np.arange(low, high)).mean() for low, high in whole])
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


def found_share(
    own: Array, others: Array, response: Array, rate: float, min_documents: int
) -> float:
    """Share of heads above the others and above the same series shuffled; NaN if none is tested.

    Two one-sided tests per head: Welch's of `own` against `others`, and a t-test of `response`
    against 0, which is paired since series and shuffled series are the same documents. The larger
    p-value tests that both hold (intersection-union: Berger 1982, Technometrics 24:295).

    Parameters
    ----------
    own, others
        (document, head), a document once; dB.
    response
        (document, head), what `own` has above the same documents shuffled; dB.
    rate
        False discoveries that are let through (Benjamini and Hochberg over heads).
    min_documents
        A head with fewer in any of the three is not tested, and not counted.

    Returns
    -------
    float
        In [0, 1], or NaN. A head for which either test has no p-value, as its numbers do not vary,
        is not counted.
    """
    sides = (own, others, response)
    enough = np.min([np.isfinite(side).sum(0) for side in sides], axis=0)
    tested = enough >= max(min_documents, 2)
    if not tested.any():
        return float("nan")
    varies = [np.fmin.reduce(side) < np.fmax.reduce(side) for side in sides]
    tested &= (varies[0] | varies[1]) & varies[2]
    if not tested.any():
        return float("nan")
    own, others, response = (side[:, tested] for side in sides)
    beside = stats.ttest_ind(
        own, others, equal_var=False, alternative="greater", nan_policy="omit"
    ).pvalue
    above = stats.ttest_1samp(response, 0.0, alternative="greater", nan_policy="omit").pvalue
    p = np.maximum(np.asarray(beside, dtype=np.float64), np.asarray(above, dtype=np.float64))
    known = p[np.isfinite(p)]
    return float((benjamini_hochberg(known) < rate).mean()) if len(known) else float("nan")
