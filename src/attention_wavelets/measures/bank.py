"""The heads of a layer or model as a bank of filters: kernels by lag, taken together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from attention_wavelets.measures.arrays import FloatArray
from attention_wavelets.measures.entropy import entropy
from attention_wavelets.measures.kernel import fold, kernel_width
from attention_wavelets.measures.two_sided import octave_shares, two_sided_power

__all__ = [
    "FrameBounds",
    "band_complementarity",
    "cross_correlation",
    "effective_rank",
    "frame_bounds",
    "octave_coverage",
    "overlap",
    "scale_difference",
    "scale_quantiles",
    "self_similar_collapse",
]

# Points of a transform per lag: between them the response of M lags cannot move much.
_FINER = 8


class FrameBounds(NamedTuple):
    """Smallest and largest power of a bank over frequency, and how far apart they are."""

    lower: FloatArray
    upper: FloatArray
    ratio: FloatArray
    octaves: FloatArray


def frame_bounds(kernels: ArrayLike, *, unit: bool = False) -> FrameBounds:
    """A = min, B = max over frequency of sum_h |K_h|^2, B / A, and log2(B / A).

    A bank of undecimated filters is a frame with these bounds (Mallat 2009, theorem 5.11): from
    its outputs every input can be rebuilt if A > 0, evenly well where B / A is near 1. A single
    head that copies has B / A = 1, so this measures coverage of frequencies, not wavelets.

    Parameters
    ----------
    kernels
        (..., head, lag), each summing to 1.
    unit
        Whether each kernel is first divided by its L2 norm, so that narrow ones do not outweigh
        wide ones.

    Returns
    -------
    FrameBounds
        Each (...); `ratio` and `octaves` are NaN where A is 0 up to rounding.
    """
    values = np.asarray(kernels, dtype=np.float64)
    if unit:
        values = _unit(values)
    transformed = np.fft.rfft(values, n=_FINER * values.shape[-1])
    response = (transformed.real**2 + transformed.imag**2).sum(axis=-2)
    lower, upper = response.min(axis=-1), response.max(axis=-1)
    usable = lower > np.finfo(np.float64).eps ** 2 * upper
    ratio = np.divide(upper, lower, out=np.full(upper.shape, np.nan), where=usable)
    octaves = np.asarray(np.log2(ratio))
    return FrameBounds(np.asarray(lower), np.asarray(upper), np.asarray(ratio), octaves)


def _unit(values: FloatArray) -> FloatArray:
    return np.asarray(values / np.sqrt(np.square(values).sum(axis=-1, keepdims=True)))


def octave_coverage(kernels: ArrayLike, count: int) -> FloatArray:
    """How evenly the bank's power beside DC fills the octaves, in [1 / (count + 1), 1].

    exp of the entropy of the mean of the heads' octave shares over their number; heads that do
    not vary are left out. 1 where every octave holds the same.

    Parameters
    ----------
    kernels
        (..., head, lag), each summing to 1.
    count
        Octaves, besides the one that holds all that is slower.
    """
    shares = _octaves(kernels, count)
    seen = np.isfinite(shares).all(axis=-1, keepdims=True)
    mean = np.where(seen, shares, 0.0).sum(axis=-2)
    return np.asarray(np.exp(entropy(mean)) / (count + 1))


def _octaves(kernels: ArrayLike, count: int) -> FloatArray:
    values = np.asarray(kernels, dtype=np.float64)
    return octave_shares(two_sided_power(values), values.shape[-1], count)


def scale_quantiles(kernels: ArrayLike, quantiles: tuple[float, ...]) -> FloatArray:
    """Quantiles over heads of log2 of the kernel's width in tokens: (quantile, ...), octaves.

    Parameters
    ----------
    kernels
        (..., head, distance), each summing to 1.
    """
    return np.asarray(np.quantile(np.log2(kernel_width(kernels)), quantiles, axis=-1))


def scale_difference(kernels: ArrayLike) -> FloatArray:
    """Mean over pairs of heads of |log2 w - log2 v| of their widths in tokens: (...), octaves.

    Gini's mean difference: its expectation for heads drawn alike does not depend on how many there
    are, while the distance of two outer quantiles grows with their number.

    Parameters
    ----------
    kernels
        (..., head, distance), each summing to 1.

    Returns
    -------
    FloatArray
        NaN with fewer than two heads, or where a head has no width.
    """
    octaves = np.sort(np.log2(kernel_width(kernels)), axis=-1)
    heads = octaves.shape[-1]
    if heads < 2:
        return np.full(octaves.shape[:-1], np.nan)
    # In sorted order the k-th value is the larger one of k pairs, the smaller one of the others.
    times = 2 * np.arange(heads) - (heads - 1)
    return np.asarray((octaves * times).sum(axis=-1) / (heads * (heads - 1) / 2))


def self_similar_collapse(kernels: ArrayLike, distances: ArrayLike) -> FloatArray:
    """Mean over pairs of heads of the Kolmogorov-Smirnov distance of rescaled kernels, in [0, 1].

    Each kernel's cumulative sum, linear within a token, is read at multiples of its own width: 0
    where all heads are one shape at different scales, as the atoms of a wavelet are. Read it only
    beside the diversity of widths, since copies of one head collapse too. The largest difference
    of two such curves lies at a border of a token of one of them, so it is exact.

    Parameters
    ----------
    kernels
        (..., head, lag), each summing to 1.
    distances
        (lag,), |lag| of each column.

    Returns
    -------
    FloatArray
        (...); NaN with fewer than two heads.
    """
    values = np.asarray(kernels, dtype=np.float64)
    heads, batch = values.shape[-2], values.shape[:-2]
    if heads < 2:
        return np.full(batch, np.nan)
    # Mass by distance, so that kernels with lags on both sides have one profile.
    mass, _ = fold(values.reshape(-1, heads, values.shape[-1]), distances)
    width = kernel_width(mass)
    curves = np.pad(mass.cumsum(axis=-1), [(0, 0), (0, 0), (1, 0)])
    slopes = np.pad(mass, [(0, 0), (0, 0), (0, 1)])
    total = np.zeros(len(mass))
    for one in range(heads - 1):
        rest = slice(one + 1, None)
        ratio = width[:, rest] / width[:, [one]]
        first = _apart(curves[:, [one]], curves[:, rest], slopes[:, rest], ratio)
        second = _apart(curves[:, rest], curves[:, [one]], slopes[:, [one]], 1 / ratio)
        total += np.maximum(first, second).sum(axis=-1)
    return np.asarray(total / (heads * (heads - 1) / 2)).reshape(batch)


def _apart(
    curve: FloatArray, others: FloatArray, slopes: FloatArray, ratio: FloatArray
) -> FloatArray:
    """Largest difference of curves from others at the curves' own borders, (n, head).

    Parameters
    ----------
    curve, others, slopes
        (n, head or 1, border): values at the borders of tokens, and by how much the others rise in
        the token that follows.
    ratio
        (n, head), the others' width over the curve's.
    """
    border = np.arange(curve.shape[-1])
    place = np.minimum(ratio[..., None] * border, border[-1])
    whole = place.astype(np.intp)
    place -= whole
    row = np.arange(others.shape[0] * others.shape[1]).reshape(*others.shape[:2], 1)
    whole += row * len(border)
    place *= slopes.ravel().take(whole)
    place += others.ravel().take(whole)
    place -= curve
    return np.asarray(np.abs(place, out=place).max(axis=-1))


def effective_rank(kernels: ArrayLike) -> FloatArray:
    """exp of the entropy of the eigenvalues of the heads' Gram matrix (Roy and Vetterli 2007).

    Of kernels at unit L2 norm; in [1, heads]: 1 where all heads are one kernel, the number of
    heads where no two share a lag.

    Parameters
    ----------
    kernels
        (..., head, lag), each summing to 1.
    """
    unit = _unit(np.asarray(kernels, dtype=np.float64))
    values = np.linalg.eigvalsh(unit @ np.swapaxes(unit, -1, -2))
    return np.asarray(np.exp(entropy(np.maximum(values, 0.0))))


def overlap(kernels: ArrayLike) -> FloatArray:
    """Mean over pairs of heads of the cosine of their kernels, in [0, 1]; NaN with one head.

    Parameters
    ----------
    kernels
        (..., head, lag), each summing to 1.
    """
    unit = _unit(np.asarray(kernels, dtype=np.float64))
    return _mean_of_pairs(unit @ np.swapaxes(unit, -1, -2))


def _mean_of_pairs(matrix: FloatArray) -> FloatArray:
    heads = matrix.shape[-1]
    if heads < 2:
        return np.full(matrix.shape[:-2], np.nan)
    first, second = np.triu_indices(heads, k=1)
    return np.asarray(matrix[..., first, second].mean(axis=-1))


def cross_correlation(kernels: ArrayLike) -> FloatArray:
    """Mean over pairs of heads of the largest cosine over shifts of one kernel, in [0, 1].

    Above `overlap` where heads have the same shape at other lags. NaN with one head.

    Parameters
    ----------
    kernels
        (..., head, lag), each summing to 1.
    """
    unit = _unit(np.asarray(kernels, dtype=np.float64))
    heads, length = unit.shape[-2:]
    if heads < 2:
        return np.full(unit.shape[:-2], np.nan)
    transformed = np.fft.rfft(unit, n=2 * length)
    total = np.zeros(unit.shape[:-2])
    for head in range(heads - 1):
        products = transformed[..., head : head + 1, :] * transformed[..., head + 1 :, :].conj()
        total += np.fft.irfft(products, n=2 * length).max(axis=-1).sum(axis=-1)
    return np.asarray(np.minimum(total / (heads * (heads - 1) / 2), 1.0))


def band_complementarity(kernels: ArrayLike, count: int) -> FloatArray:
    """1 - mean over pairs of heads of sum_j min(p_j, q_j), p and q their octave shares; in [0, 1].

    1 where no two heads share an octave: a division of labour by frequency. NaN where fewer than
    two heads vary.

    Parameters
    ----------
    kernels
        (..., head, lag), each summing to 1.
    count
        Octaves, besides the one that holds all that is slower.
    """
    shares = _octaves(kernels, count)
    heads = shares.shape[-2]
    total, number = np.zeros(shares.shape[:-2]), np.zeros(shares.shape[:-2])
    for head in range(heads - 1):
        others = shares[..., head + 1 :, :]
        common = np.minimum(shares[..., head : head + 1, :], others).sum(axis=-1)
        total += np.nansum(common, axis=-1)
        number += np.isfinite(common).sum(axis=-1)
    out = np.full(number.shape, np.nan)
    return np.asarray(1.0 - np.divide(total, number, out=out, where=number > 0))
