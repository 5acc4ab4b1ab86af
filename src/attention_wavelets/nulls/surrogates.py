"""What every null signal agrees on: what it is given, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attention_wavelets.errors import PipelineError
from attention_wavelets.measures.arrays import FloatArray, normalise, signal_array

__all__ = [
    "TOLERANCE",
    "Axis",
    "Prepared",
    "Surrogates",
    "finished",
    "no_sink",
    "prepared",
    "squared_cv",
]

TOLERANCE = 0.01
"""Largest relative error at which a quantity counts as matched."""


@dataclass(frozen=True)
class Axis:
    """What the columns of signals are.

    probe
        Kind of the probe: "received", "last_query", "lag", ...
    causal
        Whether a query sees no later key.
    lags
        (N,) lags of the columns, in tokens; None for signals by position.
    """

    probe: str
    causal: bool = True
    lags: NDArray[np.generic] | None = None

    def distance(self, length: int) -> FloatArray:
        """(N,) |lag| of each column; of signals by position, tokens before the last one."""
        if self.lags is None:
            return np.arange(length - 1, -1, -1, dtype=np.float64)
        lags = np.abs(np.asarray(self.lags, dtype=np.float64))
        if lags.shape != (length,):
            raise ValueError(f"`lags` must name the {length} columns, got shape {lags.shape}")
        return lags


@dataclass(frozen=True)
class Surrogates:
    """Null signals, one per observed row.

    signals
        (..., N) float64, non-negative, each summing to 1. NaN where the observed row is no signal
        and where the null is unmatched.
    matched
        (...) relative error of the matched quantity; 0 where it is exact or nothing is matched,
        NaN where the observed row is no signal. Kept for unmatched rows.
    unmatched
        (...) whether the null has no signal like this row: report their share.
    """

    signals: FloatArray
    matched: FloatArray
    unmatched: NDArray[np.bool_]


class Prepared(NamedTuple):
    """Observed rows, flattened: weights (n, N), which are no signals (n,), the shape given."""

    weights: FloatArray
    undefined: NDArray[np.bool_]
    shape: tuple[int, ...]


def prepared(rows: ArrayLike) -> Prepared:
    """Rows (..., N) as float64 that sum to 1; a row that is no signal is uniform meanwhile."""
    values = signal_array(rows, "rows").astype(np.float64, copy=False)
    shape = values.shape
    values = values.reshape(-1, shape[-1])
    weights, bad = normalise(values)
    undefined = np.logical_or.reduce(list(bad.values()))
    # Dividing by a sum that is 1 but for rounding would change values that a null keeps exactly.
    total = np.where(undefined, 0.0, np.where(undefined[:, None], 0.0, values).sum(axis=-1))
    whole = np.abs(total - 1.0) <= shape[-1] * np.finfo(np.float64).eps
    weights[whole] = values[whole]
    return Prepared(weights, undefined, shape)


def finished(
    signals: FloatArray, error: FloatArray, observed: Prepared, limit: float = TOLERANCE
) -> Surrogates:
    """Null signals (n, N) in the shape of the observed rows, NaN where there is none.

    Parameters
    ----------
    error
        (n,), relative.
    limit
        Largest error that is no mismatch.
    """
    unmatched = ~(error <= limit) & ~observed.undefined
    lost = (unmatched | observed.undefined)[:, None]
    shape = observed.shape[:-1]
    return Surrogates(
        np.where(lost, np.nan, signals).reshape(observed.shape),
        np.where(observed.undefined, np.nan, error).reshape(shape),
        unmatched.reshape(shape),
    )


def no_sink(null: str, todo: str) -> PipelineError:
    """The error of a null that keeps position 0, asked for signals by lag."""
    return PipelineError("signals by lag have no sink at position 0", f"null {null}", todo)


def squared_cv(weights: FloatArray) -> FloatArray:
    """CV^2 (...) of weights (..., N): variance over squared mean, N / PR - 1, in [0, N - 1].

    From deviations, as N / PR - 1 loses all digits for nearly uniform weights.
    """
    mean = weights.mean(axis=-1)
    deviation = weights - mean[..., None]
    return np.asarray(np.square(deviation).mean(axis=-1) / np.square(mean))
