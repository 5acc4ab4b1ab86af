"""Protocol `paper`: which measures of a signal are taken, with which settings.

Signals are never averaged before measuring; the caller averages the measures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attention_wavelets.config.schema import PaperProtocol
from attention_wavelets.measures.arrays import FloatArray, normalise, signal_array
from attention_wavelets.measures.correlation import (
    MIN_HEADS,
    paired_heads,
    position_spectrum_correlation,
)
from attention_wavelets.measures.dilation import Lags
from attention_wavelets.measures.entropy import positional_entropy, window_entropy
from attention_wavelets.measures.locality import covers, local_global_ratio
from attention_wavelets.measures.measured import Draft, Measured, in_chunks, reshaped
from attention_wavelets.measures.scaling import alignment, scale_sensitivity
from attention_wavelets.measures.spectrum import (
    band_shares,
    conjugate_entropy,
    fft_length,
    power_spectrum,
    selectivity,
    spectral_entropy,
)
from attention_wavelets.measures.wavelet import (
    decompose,
    depth,
    reconstruction_error,
    wavelet_entropies,
)

__all__ = ["compare_signals", "measure_layers", "measure_locality", "measure_signals"]

BANDS = ("band_low", "band_mid", "band_high")


def measure_signals(signals: ArrayLike, protocol: PaperProtocol) -> Measured:
    """All measures of single signals: entropies, spectrum, bands, wavelet scales.

    Parameters
    ----------
    signals
        (..., N), non-negative; each is divided by its sum in float64 first.
    protocol
        Settings.

    Returns
    -------
    Measured
        Arrays (...). A row with NaN, a negative entry or no mass is NaN throughout.

    Raises
    ------
    PipelineError
        If the array is not one of real numbers with a position axis.
    """
    return in_chunks(partial(_signals, protocol=protocol), signal_array(signals))


def _signals(rows: NDArray[np.generic], protocol: PaperProtocol) -> Measured:
    a, bad = normalise(rows)
    draft = Draft(len(a), bad)
    draft.put("positional_entropy", positional_entropy(a))
    draft.put("first_share", a[:, 0])
    _put_spectrum(draft, a, protocol)
    for width in protocol.window_entropy:
        inside = window_entropy(a, width) if a.shape[-1] >= width else None
        # Short blocks are a matter of length; blocks without mass are one of mass.
        reason = "length" if inside is None else "mass"
        share = None if inside is None else inside / math.log(width)
        draft.put_known(f"window_entropy_{width}", share, reason)
        draft.put_known(f"window_entropy_{width}_nats", inside, reason)
    _put_wavelet(draft, a, protocol)
    return draft.measured()


def _put_spectrum(draft: Draft, a: FloatArray, protocol: PaperProtocol) -> None:
    spectrum = protocol.spectrum
    nfft = fft_length(spectrum.nfft, a.shape[-1])
    power = power_spectrum(a, spectrum.window, nfft, spectrum.dc)
    draft.put_known("spectral_entropy", spectral_entropy(power), "power")
    draft.put("spectral_entropy_sqrt", conjugate_entropy(a))
    draft.put_known("selectivity", selectivity(power), "power")
    shares = band_shares(power, spectrum.band_edges, nfft)
    for number, name in enumerate(BANDS):
        draft.put_known(name, shares[..., number], "power")


def _put_wavelet(draft: Draft, a: FloatArray, protocol: PaperProtocol) -> None:
    wavelet = protocol.wavelet
    levels = depth(a.shape[-1], wavelet.name)
    entropies: dict[str, FloatArray | None] = {"": None, "raw_": None}
    if levels:
        normalised, raw = wavelet_entropies(decompose(a, wavelet.name, wavelet.mode))
        entropies = {"": normalised, "raw_": raw}
    for kind, values in entropies.items():
        for scale in range(wavelet.scales):
            name = f"wavelet_entropy_{kind}{scale}"
            # A transform of `levels` levels has levels + 1 scales, the approximation being 0.
            if values is None or scale > levels:
                draft.put(name, None, reason="length")
            else:
                draft.put_known(name, values[..., scale], "power")
    error = reconstruction_error(a, wavelet.name, wavelet.mode) if levels else None
    draft.put_known("reconstruction_error", error, "length")


def compare_signals(
    reference: ArrayLike, scaled: ArrayLike, protocol: PaperProtocol, lags: Lags = None
) -> Measured:
    """Measures of two conditions: `scale_sensitivity` and `scale_correlation`.

    Parameters
    ----------
    reference, scaled
        (..., N0) and (..., N1) with the same leading axes, in the same order; N1 may equal N0.
    protocol
        Settings.
    lags
        Lags of the columns of both, for signals by lag.

    Returns
    -------
    Measured
        Arrays (...); NaN where either signal is no signal or too short for the transform.
    """
    first, second = signal_array(reference, "reference"), signal_array(scaled, "scaled")
    if first.shape[:-1] != second.shape[:-1]:
        raise ValueError(
            f"`reference` {first.shape} and `scaled` {second.shape} must agree but for the last "
            "axis"
        )
    return in_chunks(partial(_pairs, protocol=protocol, lags=lags), first, second)


def _pairs(
    reference: NDArray[np.generic],
    scaled: NDArray[np.generic],
    protocol: PaperProtocol,
    lags: Lags,
) -> Measured:
    a, bad = normalise(reference)
    b, bad_too = normalise(scaled)
    draft = Draft(len(a), bad, bad_too)
    found = _sensitivity(a, b, protocol, protocol.wavelet.name, protocol.scale.alignment, lags)
    reason = "length" if found is None else "power"
    draft.put_known("scale_sensitivity", found, reason)
    draft.put_known("scale_correlation", None if found is None else 1.0 - found, reason)
    for family in protocol.scale.families:
        # At one length the coefficients of every wavelet stand for the same tokens.
        found = _sensitivity(a, b, protocol, family, "resampled", lags)
        reason = "length" if found is None else "power"
        draft.put_known(f"scale_aligned_{family}", found, reason)
    return draft.measured()


def _sensitivity(
    a: FloatArray, b: FloatArray, protocol: PaperProtocol, wavelet: str, rule: str, lags: Lags
) -> FloatArray | None:
    """Scale sensitivity with one wavelet; None where a signal is too short for the transform."""
    levels = min(depth(rows.shape[-1], wavelet) for rows in (a, b))
    if levels < alignment(rule).min_levels:
        return None
    return scale_sensitivity(a, b, rule, wavelet, protocol.wavelet.mode, lags)


def measure_locality(
    lag_signal: ArrayLike, mass: ArrayLike, lags: ArrayLike, protocol: PaperProtocol
) -> Measured:
    """`local_global_ratio` at the headline distance and at every distance of the protocol.

    Parameters
    ----------
    lag_signal
        (..., M), the probe `lag`.
    mass
        (...), the probe's sum before normalisation.
    lags
        (M,), the integer lag of each column.

    Returns
    -------
    Measured
        Arrays (...).
    """
    signal = signal_array(lag_signal, "lag_signal")
    whole = signal_array(np.asarray(mass)[..., None], "mass")
    column = np.asarray(lags)
    if whole.shape[:-1] != signal.shape[:-1] or column.shape != signal.shape[-1:]:
        raise ValueError(
            f"`lag_signal` {signal.shape} needs `mass` {signal.shape[:-1]} and `lags` "
            f"{signal.shape[-1:]}, got {whole.shape[:-1]} and {column.shape}"
        )
    return in_chunks(partial(_locality, lags=column, protocol=protocol), signal, whole)


def _locality(
    rows: NDArray[np.generic],
    mass: NDArray[np.generic],
    lags: NDArray[np.generic],
    protocol: PaperProtocol,
) -> Measured:
    a, bad = normalise(rows)
    whole = np.asarray(mass[..., 0], dtype=np.float64)
    lacking = {"not_finite": ~np.isfinite(whole), "negative": whole < 0, "mass": whole == 0}
    draft = Draft(len(a), bad, lacking)
    whole = np.where(np.isfinite(whole), whole, 0.0)
    local = protocol.local_global
    names = {f"local_global_ratio_{distance}": distance for distance in local.distances}
    for name, distance in {"local_global_ratio": local.headline, **names}.items():
        reached = covers(lags, distance)
        values = local_global_ratio(a, whole, lags, distance) if reached else None
        draft.put_known(name, values, "rest" if reached else "length")
    return draft.measured()


def measure_layers(heads: Mapping[str, ArrayLike], protocol: PaperProtocol) -> Measured:
    """Measures over the heads of a layer: `position_spectrum_correlation`.

    Parameters
    ----------
    heads
        "positional_entropy" and "spectral_entropy", each (..., heads), from `measure_signals`.
    protocol
        Settings; this protocol has none for layers.

    Returns
    -------
    Measured
        Arrays (...), the shape without the heads.
    """
    del protocol
    x = np.asarray(heads["positional_entropy"], dtype=np.float64)
    y = np.asarray(heads["spectral_entropy"], dtype=np.float64)
    values = np.asarray(position_spectrum_correlation(x, y))
    few = {"heads": (paired_heads(x, y) < MIN_HEADS).ravel()}
    draft = Draft(values.size, few)
    flat = values.ravel()
    draft.put("position_spectrum_correlation", flat, np.isnan(flat), "variance")
    return reshaped(draft.measured(), values.shape)
