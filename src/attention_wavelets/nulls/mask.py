"""What the mask alone gives: each query attends alike to all keys it may see."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from attention_wavelets.errors import unknown_name
from attention_wavelets.measures.arrays import FloatArray
from attention_wavelets.nulls.seeds import Streams
from attention_wavelets.nulls.surrogates import Axis, Surrogates, finished, prepared

__all__ = ["MASK_SIGNALS", "mask_signal", "uniform_causal"]


def _flat(length: int) -> FloatArray:
    return np.full(length, 1.0 / length)


def _received(length: int) -> FloatArray:
    """r[k] = (1 / N) sum over q >= k of 1 / (q + 1)."""
    share = 1.0 / np.arange(1.0, length + 1)
    received = np.cumsum(share[::-1])[::-1]
    return np.asarray(received / received.sum())


MASK_SIGNALS: dict[str, Callable[[int], FloatArray]] = {
    "received": _received,
    "last_query": _flat,
    # Every lag is seen by the same queries, each with 1 / (q + 1) at all its lags.
    "lag": _flat,
}
"""Kind of a probe -> its signal of N columns under causal, otherwise uniform attention."""


def mask_signal(length: int, axis: Axis) -> FloatArray:
    """(N,) the probe's signal of uniform attention; flat where nothing is masked, and by lag.

    Whole rows of single queries have a mask each: cut them to lags first.

    Raises PipelineError for a probe by position whose signal is not known, and by character: there
    it depends on the text.
    """
    if axis.probe == "character_lag":
        raise unknown_name("probe", axis.probe, MASK_SIGNALS, "null uniform_causal")
    if axis.lags is not None or not axis.causal:
        return _flat(length)
    if axis.probe not in MASK_SIGNALS:
        raise unknown_name("probe", axis.probe, MASK_SIGNALS, "null uniform_causal")
    return MASK_SIGNALS[axis.probe](length)


def uniform_causal(rows: ArrayLike, _streams: Streams, axis: Axis, /) -> Surrogates:
    """`mask_signal` for each row: decided by length, probe and mask, not by the row's values.

    Parameters
    ----------
    rows
        (..., N).
    _streams
        Not used: nothing is drawn.
    axis
        What the columns are.
    """
    observed = prepared(rows)
    signal = mask_signal(observed.shape[-1], axis)
    signals = np.broadcast_to(signal, observed.weights.shape)
    return finished(signals, np.zeros(len(signals)), observed)
