"""Shannon entropies in nats, with 0 log 0 = 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from attention_wavelets.measures.arrays import FloatArray

__all__ = [
    "entropy",
    "positional_entropy",
    "weighted_window_entropy",
    "window_entropy",
    "xlogx",
]

_SMALLEST = np.finfo(np.float64).tiny


def xlogx(x: FloatArray) -> FloatArray:
    """x ln x with 0 ln 0 = 0 for x >= 0 of any shape; NaN stays NaN.

    The logarithm of numpy is vectorised, that of `scipy.special.xlogy` is not. Below the smallest
    normal number (2e-308) the logarithm of that number stands for that of x.
    """
    logarithm = np.maximum(x, _SMALLEST)
    np.log(logarithm, out=logarithm)
    logarithm *= x
    return logarithm


def entropy(weights: ArrayLike) -> FloatArray:
    """H = -sum p ln p with p = weights / sum of weights, over the last axis, in nats.

    Parameters
    ----------
    weights
        (..., K), non-negative; they need not sum to 1.

    Returns
    -------
    FloatArray
        (...), in [0, ln K]; NaN where the weights sum to zero.
    """
    values = np.asarray(weights, dtype=np.float64)
    total = values.sum(axis=-1, keepdims=True)
    shares = values / np.where(total > 0, total, np.nan)
    # 0 - x instead of -x: a point mass has entropy 0, not -0.
    return np.asarray(0.0 - xlogx(shares).sum(axis=-1))


def positional_entropy(a: ArrayLike) -> FloatArray:
    """Entropy over positions, H(a), of signals (..., N), in [0, ln N] nats.

    The measure keeps no order: permuting the positions changes nothing.
    """
    return entropy(a)


def window_entropy(a: ArrayLike, width: int) -> FloatArray:
    """Mean entropy within consecutive blocks of `width` positions, in nats.

    Each block is renormalised to sum 1; blocks without mass and a last partial block are left
    out; the blocks that remain count alike, whatever their mass.

    Parameters
    ----------
    a
        (..., N), non-negative.
    width
        W, at least 1.

    Returns
    -------
    FloatArray
        (...), in [0, ln W]; NaN where N < W or no whole block has mass.
    """
    if width < 1:
        raise ValueError(f"`width` must be at least 1, got {width}")
    values = np.asarray(a, dtype=np.float64)
    count = values.shape[-1] // width
    blocks = values[..., : count * width].reshape(*values.shape[:-1], count, width)
    inside = entropy(blocks)
    used = ~np.isnan(inside)
    number = used.sum(axis=-1)
    summed = np.where(used, inside, 0.0).sum(axis=-1)
    out = np.full(number.shape, np.nan)
    return np.asarray(np.divide(summed, number, out=out, where=number > 0))


def weighted_window_entropy(
    a: ArrayLike, width: int, terms: FloatArray | None = None
) -> FloatArray:
    """Mean entropy within consecutive blocks of `width` positions, weighted by their mass, in nats.

    sum_b m_b H(block b) / sum_b m_b = H(a) - H(m), the chain rule of entropy, with a and the masses
    m of blocks divided by their sum: what is left of H(a) once the block is known. A last partial
    block is left out; a block without mass has no weight.

    Parameters
    ----------
    a
        (..., N), non-negative.
    width
        W, at least 1.
    terms
        `xlogx(a)` if it is known.

    Returns
    -------
    FloatArray
        (...), in [0, ln W]; NaN where N < W or no whole block has mass.
    """
    if width < 1:
        raise ValueError(f"`width` must be at least 1, got {width}")
    values = np.asarray(a, dtype=np.float64)
    whole = values.shape[-1] // width * width
    if whole == 0:
        return np.full(values.shape[:-1], np.nan)
    mass = values[..., :whole].reshape(*values.shape[:-1], -1, width).sum(axis=-1)
    each = xlogx(values[..., :whole]) if terms is None else terms[..., :whole]
    inside = xlogx(mass).sum(axis=-1) - each.sum(axis=-1)
    total = mass.sum(axis=-1)
    out = np.full(total.shape, np.nan)
    return np.asarray(np.divide(np.maximum(inside, 0.0), total, out=out, where=total > 0))
