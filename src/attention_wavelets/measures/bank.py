"""The heads of a layer or model as a bank of filters: kernels by lag, taken together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from attention_wavelets.measures.arrays import FloatArray
from attention_wavelets.measures.entropy import entropy
from attention_wavelets.measures.kernel import kernel_width
from attention_wavelets.measures.two_sided import octave_shares, two_sided_power

__all__ = [
    "FrameBounds",
    "band_complementarity",
    "cross_correlation",
    "effective_rank",
    "frame_bounds",
    "octave_coverage",
    "overlap",
    "scale_quantiles",
    "self_similar_collapse",
]

# Points of a transform per lag: between them the response of M lags cannot move much.
_FINER = 8
# Points of relative lag at which rescaled kernels are compared, and how far, in widths.
_POINTS, _REACH = 64, 4.0


class FrameBounds(NamedTuple):
    """Smallest and largest power of a bank over frequency, and how far apart they are."""

    lower: FloatArray
    upper: FloatArray
    octaves: FloatArray


def frame_bounds(kernels: ArrayLike, *, unit: bool = False) -> FrameBounds:
    """A = min, B = max over frequency of sum_h |K_h|^2, and log2(B / A).

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
        Each (...); `octaves` is NaN where A is 0.
    """
    values = np.asarray(kernels, dtype=np.float64)
    if unit:
        values = _unit(values)
    transformed = np.fft.rfft(values, n=_FINER * values.shape[-1])
    response = (transformed.real**2 + transformed.imag**2).sum(axis=-2)
    lower, upper = response.min(axis=-1), response.max(axis=-1)
    usable = lower > np.finfo(np.float64).eps ** 2 * upper
    ratio = np.divide(upper, lower, out=np.full(upper.shape, np.nan), where=usable)
    return FrameBounds(np.asarray(lower), np.asarray(upper), np.asarray(np.log2(ratio)))


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


def self_similar_collapse(kernels: ArrayLike, distances: ArrayLike) -> FloatArray:
    """Mean over pairs of heads of the Kolmogorov-Smirnov distance of rescaled kernels, in [0, 1].

    Each kernel's cumulative sum is read at multiples of its own width: 0 where all heads are one
    shape at different scales, as the atoms of a wavelet are. Read it only beside the diversity of
    widths, since copies of one head collapse too.

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
    distance = np.asarray(distances)
    # Mass by distance, so that kernels with lags on both sides have one profile.
    belongs = (distance[:, None] == np.arange(distance.max() + 1)).astype(np.float64)
    folded = values @ belongs
    reached = folded.cumsum(axis=-1)
    heads = values.shape[-2]
    flat = reached.reshape(-1, reached.shape[-1])
    width = kernel_width(folded).reshape(-1)
    relative = np.linspace(0, _REACH, _POINTS)
    border = np.arange(flat.shape[-1] + 1)
    within = np.pad(flat, [(0, 0), (1, 0)])
    curves = np.stack(
        [np.interp(relative * s, border, row) for s, row in zip(width, within, strict=True)]
    ).reshape(*reached.shape[:-1], _POINTS)
    if heads < 2:
        return np.full(values.shape[:-2], np.nan)
    total = np.zeros(values.shape[:-2])
    for head in range(heads - 1):
        apart = np.abs(curves[..., head : head + 1, :] - curves[..., head + 1 :, :]).max(axis=-1)
        total += apart.sum(axis=-1)
    return np.asarray(total / (heads * (heads - 1) / 2))


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
