"""In which basis a signal is short: the entropy of its coefficients' energies.

The mean is taken away first, as every basis but the first holds it in one coefficient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pywt
from numpy.typing import ArrayLike
from scipy.fft import dct

from attention_wavelets.measures.arrays import FloatArray
from attention_wavelets.measures.entropy import xlogx
from attention_wavelets.measures.names import WAVELETS
from attention_wavelets.measures.two_sided import SMALLEST_SHARE
from attention_wavelets.measures.wavelet import depth

__all__ = ["BASES", "Centred", "best_packet_entropy", "centred", "coefficient_entropy"]


def _fourier(x: FloatArray) -> FloatArray:
    """Coefficients of the orthonormal real Fourier basis, cosines and sines apart."""
    length = x.shape[-1]
    transformed = np.fft.rfft(x, norm="ortho")
    twice = np.full(transformed.shape[-1], np.sqrt(2.0))
    twice[0] = 1.0
    if length % 2 == 0:
        twice[-1] = 1.0
    sines = transformed.imag[..., 1 : (length + 1) // 2] * np.sqrt(2.0)
    return np.concatenate([transformed.real * twice, sines], axis=-1)


def levels(length: int, wavelet: str) -> int:
    """Levels of the periodic transform that halve without a rest, at most `pywt.dwt_max_level`."""
    even = (length & -length).bit_length() - 1
    return min(depth(length, wavelet), even)


def _wavelet(name: str) -> Callable[[FloatArray], FloatArray]:
    def transform(x: FloatArray) -> FloatArray:
        count = levels(x.shape[-1], name)
        if count == 0:
            raise ValueError(f"{x.shape[-1]} positions give no periodic level of {name}")
        parts = pywt.wavedec(x, name, mode="periodization", level=count, axis=-1)
        return np.concatenate(parts, axis=-1)

    return transform


BASES: dict[str, Callable[[FloatArray], FloatArray]] = {
    "identity": lambda x: x,
    "fourier": _fourier,
    "dct": lambda x: np.asarray(dct(x, norm="ortho", axis=-1)),
    **{name: _wavelet(name) for name in WAVELETS},
}
"""Name of an orthonormal basis -> coefficients (..., N) of signals (..., N)."""


class Centred(NamedTuple):
    """Deviations of signals from their mean (..., N), and the energy of these (...).

    The energy is NaN where it is rounding.
    """

    deviations: FloatArray
    energy: FloatArray


def centred(a: ArrayLike) -> Centred:
    """Signals (..., N) less their mean, for several bases in a row."""
    values = np.asarray(a, dtype=np.float64)
    x = values - values.mean(axis=-1, keepdims=True)
    energy = np.square(x).sum(axis=-1)
    whole = np.square(values).sum(axis=-1)
    return Centred(x, np.where(energy > SMALLEST_SHARE * whole, energy, np.nan))


def coefficient_entropy(a: ArrayLike | Centred, basis: str) -> FloatArray:
    """-sum p ln p, p = c^2 / sum c^2, c the coefficients of a less its mean; nats, in [0, ln N].

    0 where one coefficient holds everything. NaN for a constant signal. Wavelets are periodic,
    and as deep as the length halves without a rest.

    Parameters
    ----------
    a
        (..., N), each summing to 1; or what `centred` makes of them.
    basis
        A key of `BASES`.
    """
    x, energy = a if isinstance(a, Centred) else centred(a)
    shares = np.square(BASES[basis](x)) / energy[..., None]
    # Shares sum to 1 up to rounding, which must not make an entropy negative.
    return np.asarray(np.maximum(0.0 - xlogx(shares).sum(axis=-1), 0.0))


def best_packet_entropy(a: ArrayLike | Centred, wavelet: str) -> FloatArray:
    """The smallest such entropy over all bases of the wavelet packet tree (Coifman and
    Wickerhauser 1992), in nats. The basis is chosen for each signal, so it is a lower bound that a
    fixed basis cannot be held to. NaN for a constant signal.

    Parameters
    ----------
    a
        (..., N), each summing to 1; or what `centred` makes of them.
    wavelet
        Name as PyWavelets knows it.
    """
    x, energy = a if isinstance(a, Centred) else centred(a)
    count = levels(x.shape[-1], wavelet)
    if count == 0:
        raise ValueError(f"{x.shape[-1]} positions give no periodic level of {wavelet}")
    nodes = x[..., None, :]
    costs = [_costs(nodes, energy)]
    for _ in range(count):
        halves = pywt.dwt(nodes, wavelet, mode="periodization", axis=-1)
        # Children of a node stand side by side.
        nodes = np.stack(halves, axis=-2).reshape(*nodes.shape[:-2], -1, nodes.shape[-1] // 2)
        costs.append(_costs(nodes, energy))
    best = costs.pop()
    while costs:
        children = best.reshape(*best.shape[:-1], -1, 2).sum(axis=-1)
        best = np.minimum(costs.pop(), children)
    return np.asarray(np.maximum(best[..., 0], 0.0))


def _costs(nodes: FloatArray, energy: FloatArray) -> FloatArray:
    return np.asarray(0.0 - xlogx(np.square(nodes) / energy[..., None, None]).sum(axis=-1))
