"""Whether a head's attention varies at the rotary frequencies it uses."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from attention_wavelets.measures.arrays import FloatArray

__all__ = ["RotaryExcess", "rotary_excess"]


class RotaryExcess(NamedTuple):
    """Power at used frequencies against permuted ones; see `rotary_excess`."""

    excess: FloatArray
    p: FloatArray


def rotary_excess(
    power: ArrayLike,
    resolution: float,
    frequency: ArrayLike,
    usage: ArrayLike,
    count: int,
    seed: int,
) -> RotaryExcess:
    """Mean log-power at a head's rotary frequencies, weighted by usage, against permuted usage.

    The log-power at the rotary frequencies, less its linear trend over log-frequency, is averaged
    with the usage as weight; then the weights are permuted among the frequencies. What remains is
    whether the pairs a head USES lie where its spectrum stands above its own trend. Pairs that turn
    less than once over the signal, or that lie beyond Nyquist, are left out.

    Parameters
    ----------
    power
        (..., K), the power at k * resolution cycles per token.
    resolution
        Cycles per token from bin to bin.
    frequency
        (pair,), cycles per token; NaN where a pair does not turn.
    usage
        (..., pair), such as the product of the norms of q and k.
    count, seed
        Permutations, the same for all signals.

    Returns
    -------
    RotaryExcess
        excess, in nats of log-power: 0 expected without a relation; p in (0, 1], the share of
        permutations at least as high. NaN with fewer than four frequencies.
    """
    values = np.asarray(power, dtype=np.float64)
    at = np.asarray(frequency, dtype=np.float64)
    place = at / resolution
    with np.errstate(invalid="ignore"):
        inside = np.flatnonzero((place >= 1) & (place <= values.shape[-1] - 1))
    if inside.size < 4:
        nothing = np.full(values.shape[:-1], np.nan)
        return RotaryExcess(nothing, nothing.copy())
    smallest = np.finfo(np.float64).eps ** 2 * values.max(axis=-1, keepdims=True)
    logs = np.log(np.maximum(values, np.maximum(smallest, np.finfo(np.float64).tiny)))
    low = np.minimum(place[inside].astype(np.intp), values.shape[-1] - 2)
    part = place[inside] - low
    there = logs[..., low] * (1 - part) + logs[..., low + 1] * part
    # Spectra fall with frequency and slow pairs are often strong; that alone is no relation.
    octave = np.log(at[inside]) - np.log(at[inside]).mean()
    slope = (there * octave).sum(axis=-1, keepdims=True) / np.square(octave).sum()
    there = there - there.mean(axis=-1, keepdims=True) - slope * octave
    weights = np.asarray(usage, dtype=np.float64)[..., inside]
    weights = weights / weights.sum(axis=-1, keepdims=True)
    here = (weights * there).sum(axis=-1)
    generator = np.random.default_rng(np.random.SeedSequence([seed, inside.size]))
    order = generator.permuted(np.tile(np.arange(inside.size), (count, 1)), axis=-1)
    others = np.einsum("...pf,...f->...p", weights[..., order], there)
    near = (others >= here[..., None] - 1e-12).sum(axis=-1)
    p = np.where(np.isfinite(here), (1.0 + near) / (1.0 + count), np.nan)
    return RotaryExcess(np.asarray(here - others.mean(axis=-1)), np.asarray(p))
