"""Whether a head's attention varies at the rotary frequencies it uses."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from attention_wavelets.measures.arrays import FloatArray

__all__ = ["RotaryExcess", "rotary_excess"]


# Fewer frequencies have no trend to stand above.
MIN_FREQUENCIES = 4


class RotaryExcess(NamedTuple):
    """Power at a head's own frequencies against those of other heads; see `rotary_excess`."""

    excess: FloatArray
    p: FloatArray
    layer_p: FloatArray


def rotary_excess(
    power: ArrayLike,
    resolution: float,
    frequency: ArrayLike,
    usage: ArrayLike,
    count: int,
    seed: int,
) -> RotaryExcess:
    """Mean log-power at a head's rotary frequencies, weighted by its own usage, against others'.

    The log-power at the rotary frequencies, less its linear trend over log-frequency, is averaged
    with the usage as weight. What remains has no mean and no trend, so neither has its product with
    the usage: strong slow pairs and spectra that fall are no relation. Then the usage of every
    other head of the layer is put in place of the head's own. Both are smooth over frequency, and
    stay so: permuting pairs instead would make chance too narrow, and up to a quarter of unrelated
    heads significant. Pairs that turn less than once over the signal, or that lie beyond Nyquist,
    are left out.

    Parameters
    ----------
    power
        (..., head, K), the power at k * resolution cycles per token.
    resolution
        Cycles per token from bin to bin.
    frequency
        (pair,), cycles per token; NaN where a pair does not turn.
    usage
        (..., head, pair), such as the product of the norms of q and k.
    count, seed
        Permutations of the heads behind `layer_p`, the same for all layers.

    Returns
    -------
    RotaryExcess
        excess: (..., head), nats of log-power above the mean of the other heads' usage; 0 expected
        without a relation. p: (..., head), the rank of the own usage among all heads', in
        [1 / heads, 1]: with few heads it cannot be small. layer_p: (...), the share of ways to give
        the heads each other's usage under which their mean is at least as high, in
        [1 / (count + 1), 1]. NaN with fewer than four frequencies, fewer than two heads, or for a
        head without usage or spectrum.
    """
    values = np.asarray(power, dtype=np.float64)
    place = np.asarray(frequency, dtype=np.float64) / resolution
    heads = values.shape[-2]
    with np.errstate(invalid="ignore"):
        inside = np.flatnonzero((place >= 1) & (place <= values.shape[-1] - 1))
    if inside.size < MIN_FREQUENCIES or heads < 2:
        nothing = np.full(values.shape[:-1], np.nan)
        return RotaryExcess(nothing, nothing.copy(), nothing[..., 0].copy())
    there = _above_trend(values, place[inside])
    weights = np.asarray(usage, dtype=np.float64)[..., inside]
    total = weights.sum(axis=-1, keepdims=True)
    weights = weights / np.where(total > 0, total, np.nan)
    # scores[h, g]: power of head h at the frequencies that head g uses.
    scores = there @ np.swapaxes(weights, -1, -2)
    own = np.diagonal(scores, axis1=-2, axis2=-1)
    known = np.isfinite(scores)
    others = known.sum(axis=-1) - np.isfinite(own)
    rest = np.where(known, scores, 0.0).sum(axis=-1) - np.nan_to_num(own)
    usable = np.isfinite(own) & (others > 0)
    out = np.full(own.shape, np.nan)
    mean = np.divide(rest, others, out=out, where=usable)
    # The head itself is one of those at least as high as it is.
    near = (known & (scores >= own[..., None] - 1e-12)).sum(axis=-1)
    p = np.where(usable, near / (others + 1.0), np.nan)
    return RotaryExcess(np.asarray(own - mean), p, _match(scores, count, seed))


def _above_trend(power: FloatArray, place: FloatArray) -> FloatArray:
    """Log-power at fractional bins, without mean and trend over log-frequency: (..., place)."""
    smallest = np.finfo(np.float64).eps ** 2 * power.max(axis=-1, keepdims=True)
    logs = np.log(np.maximum(power, np.maximum(smallest, np.finfo(np.float64).tiny)))
    low = np.minimum(place.astype(np.intp), power.shape[-1] - 2)
    part = place - low
    there = logs[..., low] * (1 - part) + logs[..., low + 1] * part
    octave = np.log(place) - np.log(place).mean()
    slope = (there * octave).sum(axis=-1, keepdims=True) / np.square(octave).sum()
    return np.asarray(there - there.mean(axis=-1, keepdims=True) - slope * octave)


def _match(scores: FloatArray, count: int, seed: int) -> FloatArray:
    """Permutation test of the mean over heads of scores with their own usage: (...)."""
    heads = scores.shape[-1]
    whole = np.isfinite(scores).all(axis=(-1, -2))
    generator = np.random.default_rng(np.random.SeedSequence([seed, heads]))
    order = generator.permuted(np.tile(np.arange(heads), (count, 1)), axis=-1)
    own = np.trace(scores, axis1=-2, axis2=-1)
    others = scores[..., np.arange(heads), order].sum(axis=-1)
    near = (others >= own[..., None] - 1e-12 * heads).sum(axis=-1)
    return np.where(whole, (1.0 + near) / (1.0 + count), np.nan)
