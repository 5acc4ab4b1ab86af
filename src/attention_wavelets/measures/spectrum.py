"""The one-sided power spectrum of a signal and what is read off it.

Frequencies are in units of the Nyquist frequency: bin k of an nfft-point transform lies at
nu = k / (nfft / 2), that is nu / 2 cycles per token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attention_wavelets.errors import unknown_name
from attention_wavelets.measures.arrays import FloatArray
from attention_wavelets.measures.entropy import entropy
from attention_wavelets.measures.two_sided import power_entropy, two_sided_power

__all__ = [
    "DC",
    "NFFT",
    "WINDOWS",
    "band_shares",
    "conjugate_entropy",
    "fft_length",
    "has_power",
    "power_spectrum",
    "selectivity",
    "spectral_entropy",
    "window_values",
]

# Amplitudes below about 1e-140 have squares near the smallest normal number, where digits are lost.
SMALLEST_POWER = 1e-280


def _hann_periodic(length: int) -> FloatArray:
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length))


WINDOWS: dict[str, Callable[[int], FloatArray]] = {
    "hann_periodic": _hann_periodic,
    "none": np.ones,
}
"""Name of a window -> its N values."""

NFFT: dict[str, Callable[[int], int]] = {
    "next_power_of_two": lambda length: 1 << (length - 1).bit_length(),
    "length": lambda length: length,
    "twice_length": lambda length: 2 * length,
    "four_times_length": lambda length: 4 * length,
}
"""Name of a padding rule -> number of points of the transform of an N-point signal."""

DC = ("keep", "drop_bin", "subtract_mean")
"""What is done with the mean: nothing, bin 0 set to zero, or taken off before the window."""

# Without its mean a uniform signal leaves rounding only, of this share of its power or less.
ROUNDING_POWER = 1e-24


def window_values(name: str, length: int) -> FloatArray:
    """The window (N,). The periodic Hann window is w[n] = (1 - cos(2 pi n / N)) / 2, so w[0] = 0.

    Raises PipelineError for an unknown name.
    """
    if name not in WINDOWS:
        raise unknown_name("window", name, WINDOWS)
    return WINDOWS[name](length)


def fft_length(rule: str, length: int) -> int:
    """nfft for an N-point signal. Raises PipelineError for an unknown rule."""
    if rule not in NFFT:
        raise unknown_name("nfft rule", rule, NFFT)
    return NFFT[rule](length)


def power_spectrum(a: ArrayLike, window: str, nfft: int, dc: str = "keep") -> FloatArray:
    """P = |rfft(w a, nfft)|^2: windowed first, then padded with zeros at the end.

    Bins are not doubled. With `dc="keep"` the same as `scipy.signal.periodogram(...,
    detrend=False)` but for the scale and the doubling, and with "subtract_mean" the same as its
    `detrend="constant"`.

    Parameters
    ----------
    a
        (..., N).
    window
        Name of a window.
    nfft
        Number of points of the transform, at least N.
    dc
        One of `DC`.

    Returns
    -------
    FloatArray
        (..., nfft // 2 + 1); without the mean, all zero where only rounding is left.
    """
    if dc not in DC:
        raise unknown_name("dc rule", dc, DC)
    values = np.asarray(a, dtype=np.float64)
    length = values.shape[-1]
    if nfft < length:
        raise ValueError(f"`nfft` must be at least the signal's length {length}, got {nfft}")
    windowed = window_values(window, length)
    centred = values - values.mean(axis=-1, keepdims=True) if dc == "subtract_mean" else values
    transformed = np.fft.rfft(centred * windowed, n=nfft)
    power = np.asarray(transformed.real**2 + transformed.imag**2)
    if dc == "keep":
        return power
    if dc == "drop_bin":
        power[..., 0] = 0.0
    # DC of a signal without negative entries is its largest power.
    most = np.square((values * windowed).sum(axis=-1, keepdims=True))
    return np.where(power.sum(axis=-1, keepdims=True) > ROUNDING_POWER * most, power, 0.0)


def has_power(power: FloatArray) -> NDArray[np.bool_]:
    """Where a spectrum (..., K) can be divided by its sum.

    A pure sink at position 0 has none under a Hann window, which is zero there.
    """
    return np.asarray(power.sum(axis=-1) > SMALLEST_POWER)


def band_shares(power: FloatArray, edges: Sequence[float], nfft: int | None = None) -> FloatArray:
    """Shares of the power in the bands cut at `edges`; each band contains its lower edge.

    Parameters
    ----------
    power
        (..., K), the bins k = 0 ... K - 1.
    edges
        B - 1 increasing edges in units of the Nyquist frequency.
    nfft
        Points of the transform; by default 2 (K - 1), right for an even number.

    Returns
    -------
    FloatArray
        (..., B), in [0, 1], summing to 1; NaN where there is no power.
    """
    bins = power.shape[-1]
    points = 2 * (bins - 1) if nfft is None else nfft
    nu = np.arange(bins) / (points / 2) if points else np.zeros(bins)
    band = np.searchsorted(np.asarray(edges, dtype=np.float64), nu, side="right")
    sums = np.stack(
        [power[..., band == number].sum(axis=-1) for number in range(len(edges) + 1)], axis=-1
    )
    total = sums.sum(axis=-1, keepdims=True)
    out = np.full(sums.shape, np.nan)
    return np.asarray(np.divide(sums, total, out=out, where=has_power(power)[..., None]))


def selectivity(power: FloatArray) -> FloatArray:
    """max P / (sum P - max P) over the bins (..., K); a ratio, at least 1 / (K - 1).

    NaN where there is no power, or none beside the largest bin. For non-negative signals the
    largest bin is always DC.
    """
    total = power.sum(axis=-1)
    peak = power.max(axis=-1)
    rest = total - peak
    rounding = 4 * power.shape[-1] * np.finfo(np.float64).eps * total
    out = np.full(total.shape, np.nan)
    return np.asarray(np.divide(peak, rest, out=out, where=has_power(power) & (rest > rounding)))


def spectral_entropy(power: FloatArray) -> FloatArray:
    """Entropy of P / sum P over the bins (..., K), in [0, ln K] nats; NaN without power."""
    return np.where(has_power(power), entropy(power), np.nan)


def conjugate_entropy(a: ArrayLike) -> FloatArray:
    """H(|F sqrt a|^2) with F the unitary N-point transform: two-sided, no window, no padding.

    For signals a that sum to 1, H(a) + H(|F sqrt a|^2) >= ln N (Maassen and Uffink 1988; Dembo,
    Cover and Thomas 1991, theorem 23), with equality for a point, a comb and the uniform signal.

    Parameters
    ----------
    a
        (..., N), non-negative.

    Returns
    -------
    FloatArray
        (...), in [0, ln N] nats; NaN where a sums to zero.
    """
    root = np.sqrt(np.asarray(a, dtype=np.float64))
    return power_entropy(two_sided_power(root), root.shape[-1])
