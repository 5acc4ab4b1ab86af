"""The signed kernels of a layer: what its heads do together to a direction of the residual stream.

A row of softmax is an average, so a head's kernel is low-pass and never a wavelet. Weighted by what
the heads write, kernels can cancel: only there can a layer be band-pass.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from attention_wavelets.measures.arrays import FloatArray, signal_array
from attention_wavelets.measures.measured import CHUNK, Draft, Measured

__all__ = ["Signed", "measure_signed", "signed_kernels", "signed_parts"]

# Points of a transform per lag, as for the bounds of a bank.
_FINER = 8
# Share of the heads' parts below which what they leave over is rounding of float32 inputs.
_ROUNDING = 1e-6
_NAMES = (
    "signed_mean_share",
    "signed_cancellation",
    "signed_own_share",
    "signed_band_pass_share",
    "signed_peak_frequency",
)


class Signed(NamedTuple):
    """What is read off the signed kernels of each direction, each (..., direction).

    parts
        sum_h |c_h| sum_tau k_h(tau): the heads' parts before any cancels another.
    own
        Of `parts`, what the direction's own head gives.
    size
        sum_tau |kappa(tau)|.
    total
        sum_tau kappa(tau).
    band_pass
        Whether the power at frequency 0 is below half of the largest.
    peak
        Frequency of the largest power, the lowest of equal ones, in cycles per token.
    """

    parts: FloatArray
    own: FloatArray
    size: FloatArray
    total: FloatArray
    band_pass: FloatArray
    peak: FloatArray


def signed_kernels(kernels: ArrayLike, coupling: ArrayLike) -> FloatArray:
    """kappa_r(tau) = sum_h c_hr k_h(tau), c_hr = u_r' W_O^h W_V^h v_r.

    The response at lag tau, along u_r, of a layer whose input lies along v_r: the heads' attention
    taken as kernels of the lag, as their mean over queries.

    Parameters
    ----------
    kernels
        (..., head, lag), attention at each lag; not divided by its sum, since a head that attends
        elsewhere adds less.
    coupling
        (..., head, direction).

    Returns
    -------
    FloatArray
        (..., direction, lag), of either sign.
    """
    weights = np.swapaxes(np.asarray(coupling, dtype=np.float64), -1, -2)
    return np.asarray(weights @ np.asarray(kernels, dtype=np.float64))


def signed_parts(kernels: ArrayLike, coupling: ArrayLike) -> Signed:
    """Sums and spectra of the signed kernels; arguments as for `signed_kernels`.

    Of D directions and H heads, direction r belongs to head r // (D / H).
    """
    k, c = np.asarray(kernels, dtype=np.float64), np.asarray(coupling, dtype=np.float64)
    heads, directions = c.shape[-2:]
    if k.shape[-2] != heads or directions % heads:
        raise ValueError(f"couplings {c.shape} do not fit kernels {k.shape}")
    kappa = signed_kernels(k, c)
    parts = np.abs(c) * k.sum(axis=-1)[..., None]
    every = np.arange(directions)
    points = _FINER * k.shape[-1]
    waves = np.fft.rfft(kappa, n=points)
    power = waves.real**2 + waves.imag**2
    most = power.max(axis=-1, keepdims=True)
    return Signed(
        parts.sum(axis=-2),
        parts[..., every // (directions // heads), every],
        np.abs(kappa).sum(axis=-1),
        kappa.sum(axis=-1),
        np.asarray(power[..., 0] < most[..., 0] / 2, dtype=np.float64),
        # Equal powers differ by rounding.
        (power >= most * (1 - 1e-9)).argmax(axis=-1) / points,
    )


def measure_signed(
    signals: ArrayLike, mass: ArrayLike | None, coupling: ArrayLike | None, by_lag: bool
) -> Measured:
    """Whether the signed kernels of a layer are low-pass or band-pass.

    All are means over directions, weighted by their size: sum |kappa|, or before cancellation.

    Parameters
    ----------
    signals
        (sequence, head, lag), non-negative, each summing to 1 or, for a head without mass, 0.
    mass
        (sequence, head), what each was divided by; None if not known.
    coupling
        (sequence, head, direction); None if not extracted.
    by_lag
        Whether signals are by lag; others are no kernels.

    Returns
    -------
    Measured
        Arrays (sequence,).
    """
    rows = signal_array(signals)
    if not by_lag or mass is None or coupling is None:
        draft = Draft(len(rows))
        for name in _NAMES:
            draft.put(name, None, reason="weights" if by_lag else "axis")
        return draft.measured()
    c = np.asarray(coupling, dtype=np.float64)
    kernels = np.asarray(rows, dtype=np.float64) * np.asarray(mass, dtype=np.float64)[..., None]
    finite = np.asarray(np.isfinite(kernels).all(axis=(-2, -1)))
    known = np.asarray(np.isfinite(c).all(axis=(-2, -1)))
    usable = (finite & known)[:, None, None]
    kernels, c = np.where(usable, kernels, 0.0), np.where(usable, c, 0.0)
    step = max(1, CHUNK // (c.shape[-1] * _FINER * rows.shape[-1]))
    pieces = [slice(i, i + step) for i in range(0, max(len(rows), 1), step)]
    found = [signed_parts(kernels[piece], c[piece]) for piece in pieces]
    together = Signed(*(np.concatenate(values) for values in zip(*found, strict=True)))
    parts, own, size = (x.sum(axis=-1) for x in (together.parts, together.own, together.size))
    draft = Draft(len(rows), {"not_finite": ~finite, "weights": ~known})
    nothing, cancelled = parts <= 0, size <= _ROUNDING * parts
    with np.errstate(invalid="ignore", divide="ignore"):
        draft.put(_NAMES[0], np.abs(together.total).sum(axis=-1) / size, cancelled)
        draft.put(_NAMES[1], np.maximum(1.0 - size / parts, 0.0), nothing)
        draft.put(_NAMES[2], own / parts, nothing)
        weights = together.size / size[:, None]
        draft.put(_NAMES[3], (weights * together.band_pass).sum(axis=-1), cancelled)
        draft.put(_NAMES[4], (weights * together.peak).sum(axis=-1), cancelled)
    return draft.measured()
