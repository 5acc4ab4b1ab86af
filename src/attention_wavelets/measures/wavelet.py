"""The discrete wavelet transform of a signal; PyWavelets does all the filtering."""

from __future__ import annotations

import numpy as np
import pywt
from numpy.typing import ArrayLike

from attention_wavelets.measures.arrays import FloatArray
from attention_wavelets.measures.entropy import entropy, xlogx

__all__ = [
    "decompose",
    "depth",
    "dyadic_entropies",
    "haar",
    "level_energies",
    "reconstruction_error",
    "wavelet_entropies",
    "zero_edges",
]

# The published taps of sym4 sum to 1e-12 instead of 0, so a constant signal leaves coefficients
# of that relative size; anything below is rounding, and its entropy would be the entropy of noise.
RESOLUTION = 1e-11


def depth(length: int, wavelet: str) -> int:
    """Number of levels of a full transform, `pywt.dwt_max_level`; 0 if the signal is too short."""
    return int(pywt.dwt_max_level(length, pywt.Wavelet(wavelet).dec_len))


def decompose(a: ArrayLike, wavelet: str, mode: str) -> list[FloatArray]:
    """Coefficients, coarse to fine: approximation, coarsest details, ..., finest details.

    `pywt.wavedec` at the level `depth` gives. Modes other than `zero` and `periodization` do not
    keep the energy: `symmetric` counts the edges twice.

    Parameters
    ----------
    a
        (..., N) with N long enough for one level.
    wavelet, mode
        Names as PyWavelets knows them.

    Returns
    -------
    list of FloatArray
        depth + 1 arrays (..., n_j).
    """
    # PyWavelets refuses read-only buffers although it does not write; only those are copied.
    values = np.require(np.asarray(a, dtype=np.float64), requirements="W")
    level = depth(values.shape[-1], wavelet)
    if level == 0:
        raise ValueError(
            f"a signal of {values.shape[-1]} positions is too short for one level of {wavelet}"
        )
    return [
        np.asarray(coefficients)
        for coefficients in pywt.wavedec(values, wavelet, mode=mode, level=level, axis=-1)
    ]


def level_energies(coefficients: list[FloatArray]) -> FloatArray:
    """Sum of squares of each level: (..., levels), in the order of `coefficients`."""
    return np.stack([np.square(level).sum(axis=-1) for level in coefficients], axis=-1)


def haar(a: ArrayLike) -> list[FloatArray]:
    """Haar coefficients at full depth, coarse to fine, of signals (..., 2^J): J + 1 arrays.

    No coefficient reaches over an edge, so nothing depends on a boundary rule, energy is kept, and
    a signal twice as wide has the same coefficients one level coarser.
    """
    values = np.require(np.asarray(a, dtype=np.float64), requirements="W")
    level = _power_of_two(values.shape[-1])
    return [
        np.asarray(part)
        for part in pywt.wavedec(values, "haar", mode="periodization", level=level, axis=-1)
    ]


def _power_of_two(length: int) -> int:
    level = length.bit_length() - 1
    if length != 1 << level:
        raise ValueError(f"{length} positions are no power of two")
    return level


def zero_edges(a: ArrayLike, wavelet: str = "db2") -> list[FloatArray]:
    """Coefficients of the signal continued by zeros, coarse to fine: energy is kept exactly."""
    return decompose(a, wavelet, "zero")


def dyadic_entropies(a: ArrayLike) -> FloatArray:
    """What each halving adds to H(a), finest first, in nats: (..., J) for signals (..., 2^J).

    By the chain rule H(a) is the sum over the nodes of the dyadic tree of m h(left / m), m the
    node's mass and h the binary entropy: an entropy by scale that needs no wavelet and no choice.
    Divided by ln 2 each is in [0, 1], and 1 throughout for the uniform signal.

    Parameters
    ----------
    a
        (..., 2^J), each summing to 1.
    """
    mass = np.asarray(a, dtype=np.float64)
    added = []
    for _ in range(_power_of_two(mass.shape[-1])):
        halves = mass.reshape(*mass.shape[:-1], -1, 2)
        mass = halves.sum(axis=-1)
        added.append((xlogx(mass) - xlogx(halves).sum(axis=-1)).sum(axis=-1))
    return np.stack(added, axis=-1) if added else np.empty((*mass.shape[:-1], 0))


def wavelet_entropies(coefficients: list[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Entropies of the squared coefficients of each level, divided by their sum and raw, in nats.

    The raw sum is what the paper prints. It is no entropy: W^2 is not divided by its sum E, so the
    value depends on the energy and can be negative; with H the entropy it is E (H - ln E).

    Returns
    -------
    normalised
        -sum p ln p with p = W^2 / sum of W^2: (..., levels), in [0, ln n_j]; NaN where a level's
        energy is zero up to rounding.
    raw
        -sum W^2 ln W^2: (..., levels).
    """
    squares = [np.square(level) for level in coefficients]
    energies = np.stack([level.sum(axis=-1) for level in squares], axis=-1)
    entropies = np.stack([entropy(level) for level in squares], axis=-1)
    raw = np.where(energies > 0, energies * entropies - xlogx(energies), 0.0)
    floor = RESOLUTION**2 * energies.sum(axis=-1, keepdims=True)
    return np.where(energies > floor, entropies, np.nan), raw


def reconstruction_error(a: ArrayLike, wavelet: str, mode: str) -> FloatArray:
    """Relative L2 error of `waverec(wavedec(a))` in float32, (...): numerical precision.

    About 1e-7 for any signal, white noise included; it says nothing of the signal. NaN where the
    signal is zero.
    """
    exact = np.asarray(a, dtype=np.float64)
    level = depth(exact.shape[-1], wavelet)
    if level == 0:
        raise ValueError(
            f"a signal of {exact.shape[-1]} positions is too short for one level of {wavelet}"
        )
    single = exact.astype(np.float32)
    coefficients = pywt.wavedec(single, wavelet, mode=mode, level=level, axis=-1)
    # An odd length comes back with one sample too many.
    rebuilt = pywt.waverec(coefficients, wavelet, mode=mode, axis=-1)[..., : exact.shape[-1]]
    # Against the float32 input: rounding the input is not an error of the transform.
    reference = single.astype(np.float64)
    error = np.sqrt(np.square(rebuilt.astype(np.float64) - reference).sum(axis=-1))
    norm = np.sqrt(np.square(reference).sum(axis=-1))
    out = np.full(norm.shape, np.nan)
    return np.asarray(np.divide(error, norm, out=out, where=norm > 0))
