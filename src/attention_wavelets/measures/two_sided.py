"""The two-sided power spectrum of a whole signal: no window, no padding, DC as its own number.

A row of attention is a complete signal of finite support, not a stretch of a longer record, so
there is no leakage for a window to suppress. Frequencies k = 0 ... N - 1 lie at k / N cycles per
token; the spectrum of a real signal is symmetric, and only k <= N / 2 is kept, with how many bins
each stands for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from attention_wavelets.measures.arrays import FloatArray
from attention_wavelets.measures.entropy import xlogx

__all__ = [
    "dc_share",
    "half_power_width",
    "mirrored",
    "octave_shares",
    "participation_ratio",
    "power_entropy",
    "spectral_flatness",
    "two_sided_power",
    "varies",
]

# Signals were accumulated and stored in float32, whose rounding leaves powers of a constant signal
# beside DC: below this share of all power nothing is read as structure.
SMALLEST_SHARE = (4 * float(np.finfo(np.float32).eps)) ** 2


def two_sided_power(a: ArrayLike) -> FloatArray:
    """|DFT_N(a)|^2 at k = 0 ... N / 2 of signals (..., N): (..., N // 2 + 1)."""
    transformed = np.fft.rfft(np.asarray(a, dtype=np.float64))
    return np.asarray(transformed.real**2 + transformed.imag**2)


def mirrored(length: int) -> FloatArray:
    """How many bins of the two-sided spectrum each kept bin stands for, (N // 2 + 1,): 1 or 2."""
    copies = np.full(length // 2 + 1, 2.0)
    copies[0] = 1.0
    if length % 2 == 0:
        copies[-1] = 1.0
    return copies


def power_entropy(power: FloatArray, length: int) -> FloatArray:
    """Entropy of the two-sided power, DC included, in [0, ln N] nats; NaN without power.

    Parameters
    ----------
    power
        (..., N // 2 + 1), from `two_sided_power`.
    length
        N.
    """
    copies = mirrored(length)
    total = (power * copies).sum(axis=-1, keepdims=True)
    shares = power / np.where(total > 0, total, np.nan)
    # Summed row by row: a product of matrices rounds a row by how many stand beside it.
    return np.asarray(0.0 - (xlogx(shares) * copies).sum(axis=-1))


def participation_ratio(a: ArrayLike) -> FloatArray:
    """1 / sum a^2 of signals (..., N) that sum to 1: effective number of positions, in [1, N]."""
    return np.asarray(1.0 / np.square(np.asarray(a, dtype=np.float64)).sum(axis=-1))


def dc_share(power: FloatArray, length: int) -> FloatArray:
    """Share of the two-sided power at frequency 0, in [1 / N, 1].

    It is the participation ratio divided by N (Parseval), so it says how concentrated a signal is
    and nothing of how it varies. The paper's selectivity under these conventions is
    PR / (N - PR).
    """
    return np.asarray(power[..., 0] / (power * mirrored(length)).sum(axis=-1))


def varies(power: FloatArray, length: int) -> np.ndarray:
    """Where there is power beside DC, boolean (...): a uniform signal has none.

    None but the rounding of float32, that is: four units of it, 2.3e-13 of all power.
    """
    copies = mirrored(length)
    weighted = power * copies
    rest = weighted[..., 1:].sum(axis=-1)
    return np.asarray(rest > SMALLEST_SHARE * weighted.sum(axis=-1))


def octave_shares(power: FloatArray, length: int, count: int) -> FloatArray:
    """Shares of the power beside DC by octave, finest first.

    Octave j holds (2^-j, 2^-(j-1)] of the Nyquist frequency, which is the band of detail level j
    of a dyadic transform; white noise has a share near 2^-j. The last entry is all that is slower
    than octave `count`.

    Returns
    -------
    FloatArray
        (..., count + 1), in [0, 1], summing to 1; NaN where nothing varies.
    """
    k = range(1, power.shape[-1])
    # Integers, so that a frequency on an edge falls where it belongs: 2 k 2^j > N.
    edges = range(1, count + 1)
    octave = np.array([next((j for j in edges if bin_ << (j + 1) > length), 0) for bin_ in k])
    weighted = power[..., 1:] * mirrored(length)[1:]
    parts = [weighted[..., octave == j].sum(axis=-1) for j in (*range(1, count + 1), 0)]
    sums = np.stack(parts, axis=-1)
    total = np.where(varies(power, length), sums.sum(axis=-1), np.nan)
    return np.asarray(sums / total[..., None])


def spectral_flatness(power: FloatArray, length: int) -> FloatArray:
    """Geometric over arithmetic mean of the two-sided power beside DC, in [0, 1].

    1 where all frequencies have the same power (a point), near 0 for a pure tone, and
    exp(-0.577) = 0.56 on average for independent random numbers, whose powers scatter. Powers
    below the rounding of float32, shared by all frequencies, count as that. NaN where nothing
    varies.
    """
    copies = mirrored(length)[1:]
    number = max(copies.sum(), 1.0)
    beside = (power[..., 1:] * copies).sum(axis=-1)
    usable = varies(power, length)
    rounding = SMALLEST_SHARE * (power[..., 0] + beside) / number
    mean = np.where(usable, beside / number, 1.0)
    floored = np.maximum(power[..., 1:], np.where(usable, rounding, 1.0)[..., None])
    logs = (np.log(floored / mean[..., None]) * copies).sum(axis=-1) / number
    return np.asarray(np.where(usable, np.exp(np.minimum(logs, 0.0)), np.nan))


def half_power_width(power: FloatArray, length: int) -> FloatArray:
    """The lowest frequency, in cycles per token, at which the power is half that at 0.

    Interpolated linearly between bins. An exponential kernel of decay tau tokens has about
    1 / (2 pi tau). A head whose power never falls that low, such as one that looks at one token,
    lets every frequency of a sequence through: its band ends at 1/2, the Nyquist frequency, as the
    sequence's does. NaN would leave the widest heads out of every mean, which would then say that
    heads are narrower than they are. NaN where frequency 0 is the only one (one position).
    """
    if power.shape[-1] < 2:
        return np.full(power.shape[:-1], np.nan)
    half = power[..., :1] / 2
    below = power <= half
    found = below.any(axis=-1)
    first = np.maximum(below.argmax(axis=-1), 1)[..., None]
    high = np.take_along_axis(power, first - 1, axis=-1)
    low = np.take_along_axis(power, first, axis=-1)
    part = (high - half) / np.where(high > low, high - low, 1.0)
    return np.asarray(np.where(found, (first - 1 + part)[..., 0] / length, 0.5))
