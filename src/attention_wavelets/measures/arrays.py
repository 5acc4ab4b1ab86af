"""What every measure agrees on about arrays: the type, the check at the door, the normalisation."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attention_wavelets.errors import PipelineError

__all__ = ["CodeArray", "FloatArray", "normalise", "signal_array"]

FloatArray = NDArray[np.float64]
CodeArray = NDArray[np.uint8]


def signal_array(signals: ArrayLike, where: str = "signals") -> NDArray[np.generic]:
    """The input as an array of real numbers with at least one position; nothing is copied.

    Parameters
    ----------
    signals
        (..., N): the last axis is position. Any integer or floating type.
    where
        The name an error message gives the array.

    Raises
    ------
    PipelineError
        If the array has no axis, no position, or holds something else than real numbers.
    """
    array = np.asarray(signals)
    if array.dtype.kind not in "biuf":
        raise PipelineError(
            f"values of type {array.dtype} are not real numbers",
            where,
            "give an array of integers or floats, the last axis being position",
        )
    if array.ndim == 0 or array.shape[-1] == 0:
        raise PipelineError(
            f"shape {array.shape} has no position", where, "give an array of shape (..., N), N >= 1"
        )
    return array


def normalise(rows: ArrayLike) -> tuple[FloatArray, dict[str, NDArray[np.bool_]]]:
    """Rows divided by their sums in float64, and which rows cannot be.

    Parameters
    ----------
    rows
        (n, N) real numbers.

    Returns
    -------
    weights
        (n, N) float64, each row summing to 1. A row that is no signal is replaced by a uniform
        one, so that the arithmetic after it meets no division by zero; the caller leaves it out.
    bad
        For each reason ("not_finite", "negative", "mass") the rows (n,) it applies to; at most
        one reason applies to a row.
    """
    values = np.array(rows, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        total = values.sum(axis=-1)
    # A sum of finite numbers can overflow, and a sum of +inf and -inf is NaN: both are caught here.
    not_finite = ~np.isfinite(total)
    negative = ~not_finite & (values < 0).any(axis=-1)
    mass = ~not_finite & ~negative & (total == 0)
    unusable = not_finite | negative | mass
    values[unusable] = 1.0
    total[unusable] = values.shape[-1]
    return values / total[:, None], {"not_finite": not_finite, "negative": negative, "mass": mass}
