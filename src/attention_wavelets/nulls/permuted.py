"""Nulls that keep a row's values and change their order."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from attention_wavelets.errors import unknown_name
from attention_wavelets.measures.arrays import FloatArray
from attention_wavelets.measures.two_sided import SMALLEST_SHARE, mirrored
from attention_wavelets.nulls.seeds import Streams, each_sequence
from attention_wavelets.nulls.surrogates import Axis, Surrogates, finished, no_sink, prepared

__all__ = ["iaaft", "permuted", "spectrum_error"]

SINKS = ("free", "keep")
"""Whether `permuted` moves position 0 as well."""

# Numbers worked on at once, so that they stay in the processor's cache.
_CHUNK = 2**16


def permuted(rows: ArrayLike, streams: Streams, axis: Axis, /, *, sink: str = "free") -> Surrogates:
    """The row's own values in random order.

    Parameters
    ----------
    rows
        (head, N) with one stream, or (sequence, head, N) with one per sequence.
    streams
        See `seeds.each_sequence`.
    axis
        What the columns are.
    sink
        "free": all positions. "keep": position 0 stays where it is; signals by position only.

    Raises
    ------
    PipelineError
        For another `sink`, and for "keep" with signals by lag, which have no sink to keep.
    """
    if sink not in SINKS:
        raise unknown_name("sink", sink, SINKS, "null permuted")
    if sink == "keep" and axis.lags is not None:
        raise no_sink("permuted", "set `sink: free`")
    first = int(sink == "keep")
    observed = prepared(rows)
    signals = observed.weights.copy()
    moved = signals.reshape(observed.shape)[..., first:]
    for here, generator in each_sequence(observed.shape, streams):
        generator.permuted(moved[here], axis=-1, out=moved[here])
    return finished(signals, np.zeros(len(signals)), observed)


def iaaft(
    rows: ArrayLike,
    streams: Streams,
    _axis: Axis,
    /,
    *,
    iterations: int = 100,
    cutoff: float = 0.05,
) -> Surrogates:
    """The row's own values in an order that has nearly the row's amplitude spectrum.

    Iterative amplitude adjusted Fourier transform (Schreiber and Schmitz 1996): from a random
    order, in turn, give the spectrum the observed amplitudes and the ranks the observed values. It
    ends with the values, so these are exact (and non-negative) and the spectrum is approximate;
    `matched` is `spectrum_error`. Uneven rows have few orders, so many end above a small cut-off.

    Parameters
    ----------
    rows
        (head, N) with one stream, or (sequence, head, N) with one per sequence.
    streams
        See `seeds.each_sequence`.
    _axis
        Not used: the spectrum is that of the columns as they stand.
    iterations
        At most so many turns; a row whose order no longer changes ends earlier.
    cutoff
        Rows with a larger error are unmatched; infinity keeps all.
    """
    if iterations < 1 or not cutoff >= 0:
        raise ValueError(f"need iterations >= 1 and cutoff >= 0, got {iterations} and {cutoff}")
    observed = prepared(rows)
    start = np.tile(np.arange(observed.shape[-1]), (*observed.shape[:-1], 1))
    for here, generator in each_sequence(observed.shape, streams):
        generator.permuted(start[here], axis=-1, out=start[here])
    start = start.reshape(observed.weights.shape)
    signals = np.empty_like(observed.weights)
    step = max(1, _CHUNK // observed.shape[-1])
    for begin in range(0, len(signals), step):
        part = slice(begin, begin + step)
        signals[part] = _adjusted(observed.weights[part], start[part], iterations)
    return finished(signals, spectrum_error(observed.weights, signals), observed, cutoff)


def _adjusted(rows: FloatArray, order: np.ndarray, iterations: int) -> FloatArray:
    """Rows (n, N) whose sorted values start in the given order, after the iteration."""
    length = rows.shape[-1]
    values = np.sort(rows, axis=-1)
    amplitude = np.abs(np.fft.rfft(rows))
    signals = np.empty_like(rows)
    np.put_along_axis(signals, order, values, axis=-1)
    out, place = signals.copy(), np.arange(len(rows))
    for _ in range(iterations):
        transformed = np.fft.rfft(signals)
        size = np.abs(transformed)
        # A frequency without power has no phase; any will do.
        phase = np.where(size > 0, transformed / np.where(size > 0, size, 1.0), 1.0)
        new = np.argsort(np.fft.irfft(amplitude * phase, n=length), axis=-1)
        # A turn depends on the order alone, so an order that comes back stays.
        moving = (new != order).any(axis=-1)
        if not moving.any():
            break
        place, order = place[moving], new[moving]
        values, amplitude = values[moving], amplitude[moving]
        signals = np.empty_like(values)
        np.put_along_axis(signals, order, values, axis=-1)
        out[place] = signals
    return out


def spectrum_error(rows: ArrayLike, signals: ArrayLike) -> FloatArray:
    """Distance of amplitude spectra over the size of the first, beside frequency 0; at least 0.

    sqrt(sum_k (|F signals| - |F rows|)^2 / sum_k |F rows|^2), k = 1 ... N - 1. Frequency 0 is left
    out: all signals agree there, and with it an error would look small. 0 for uniform rows.

    Parameters
    ----------
    rows, signals
        (..., N).
    """
    wanted = np.abs(np.fft.rfft(np.asarray(rows, dtype=np.float64)))
    given = np.abs(np.fft.rfft(np.asarray(signals, dtype=np.float64)))
    copies = mirrored(np.shape(rows)[-1])
    copies[0] = 0.0
    off = (np.square(given - wanted) * copies).sum(axis=-1)
    whole = (np.square(wanted) * copies).sum(axis=-1)
    usable = whole > SMALLEST_SHARE * np.square(wanted[..., 0])
    return np.asarray(np.sqrt(np.divide(off, whole, out=np.zeros_like(off), where=usable)))
