"""Which positions or lags of a row are measured: without the sink, and those that halve."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attention_wavelets.measures.arrays import FloatArray, normalise
from attention_wavelets.measures.kernel import fold
from attention_wavelets.measures.locality import SMALLEST_REST

__all__ = ["Part", "Usable", "drops_sink", "dyadic_part", "lost_mass", "nearest_half", "usable"]


def drops_sink(sink: str, by_lag: bool) -> bool:
    """Whether the first position is left out; signals by lag never hold the first token."""
    return sink == "drop" and not by_lag


class Usable(NamedTuple):
    """Rows as they are measured; see `usable`."""

    rows: FloatArray
    bad: dict[str, NDArray[np.bool_]]
    sink: FloatArray


def usable(rows: ArrayLike, drop_sink: bool) -> Usable:
    """Rows divided by their sums in float64, without the first position if wanted.

    The first position is cut off, not emptied: a hole would be read as structure.

    Parameters
    ----------
    rows
        (n, N) real numbers.
    drop_sink
        Whether the first position is left out.

    Returns
    -------
    Usable
        rows: (n, N), or (n, N - 1) without the first; each sums to 1. bad: for each reason the
        rows (n,) that are no signals, as in `arrays.normalise`; a row that has nothing beside its
        first position has "mass". Such rows are uniform. sink: (n,), the share left out.
    """
    whole, bad = normalise(rows)
    if not drop_sink:
        return Usable(whole, bad, np.zeros(len(whole)))
    # Of a single position nothing is left: one empty position stands for it.
    rest = whole[:, 1:].copy() if whole.shape[-1] > 1 else np.zeros_like(whole)
    left = rest.sum(axis=-1)
    empty = left <= 0
    rest[empty] = 1.0
    left[empty] = rest.shape[-1]
    unusable = np.logical_or.reduce(list(bad.values()))
    only_sink = {"mass": bad["mass"] | (empty & ~unusable)}
    return Usable(rest / left[:, None], {**bad, **only_sink}, whole[:, 0])


def lost_mass(held: FloatArray, sink: FloatArray) -> FloatArray:
    """Attention that no other number of a signal sees: 1 - held (1 - sink), in [0, 1].

    Parameters
    ----------
    held
        (n,), the signal's sum before it was divided by it: rows of attention sum to 1, so a signal
        over half of the lags holds less. NaN where unknown.
    sink
        (n,), the share of the signal that was cut off, from `usable`.

    Returns
    -------
    FloatArray
        (n,); 0 where less than the rounding of float32 is lost.
    """
    lost = np.clip(1.0 - held * (1.0 - sink), 0.0, 1.0)
    return np.where(lost <= SMALLEST_REST, 0.0, lost)


class Part(NamedTuple):
    """Some positions of rows, divided by their sum; see `nearest_half`."""

    rows: FloatArray
    empty: NDArray[np.bool_]
    cut: FloatArray


def _part(rows: FloatArray) -> Part:
    held = rows.sum(axis=-1)
    empty = held <= 0
    shares = np.where(empty[:, None], 1.0, rows)
    total = np.where(empty, float(rows.shape[-1]), held)
    return Part(shares / total[:, None], empty, np.clip(1.0 - held, 0.0, 1.0))


def _whole(a: FloatArray) -> Part:
    return Part(a, np.zeros(len(a), dtype=bool), np.zeros(len(a)))


def nearest_half(a: FloatArray, columns: int) -> Part:
    """Rows for transforms that halve again and again: all of them, or half where the sink is gone.

    Without its first position a row of N = 2^J positions has no length that halves, and a
    transform would have to make positions up. The last N / 2, the nearest to the queries of a
    causal model, are exact.

    Parameters
    ----------
    a
        (n, N) or (n, N - 1), from `usable`.
    columns
        N, the number of positions before the sink was dropped.

    Returns
    -------
    Part
        rows: (n, N) or (n, N // 2), each summing to 1; uniform where empty. empty: rows (n,)
        without mass there. cut: (n,), the mass that lies elsewhere.
    """
    if a.shape[-1] == columns and columns > 1:
        return _whole(a)
    return _part(a[:, a.shape[-1] - max(columns // 2, 1) :])


def dyadic_part(a: FloatArray, columns: int, lags: ArrayLike | None = None) -> Part | None:
    """The part of rows that Haar and dyadic measures read; None where N is no power of two.

    As `nearest_half`; signals by signed lag come by distance, 0 to N / 2 - 1, since blocks are to
    be near or far, not past or future.

    Parameters
    ----------
    a, columns
        As in `nearest_half`.
    lags
        (N,) of signals by lag.
    """
    if columns < 2 or columns & (columns - 1):
        return None
    if lags is not None and np.asarray(lags).min() < 0:
        return _part(fold(a, lags)[0][:, : columns // 2])
    return nearest_half(a, columns)
