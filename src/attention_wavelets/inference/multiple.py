"""Adjusted p-values of a family of tests. The family is the whole array; NaN is no member."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from attention_wavelets.inference.intervals import FloatArray

__all__ = ["benjamini_hochberg", "holm"]


def benjamini_hochberg(p: ArrayLike, method: Literal["bh", "by"] = "bh") -> FloatArray:
    """p-values such that rejecting those below q keeps the false discovery rate below q.

    Benjamini and Hochberg 1995 for independent or positively dependent tests, as heads of a layer
    are; "by" (Benjamini and Yekutieli 2001) for any dependence.

    Parameters
    ----------
    p
        (...), in [0, 1] or NaN.
    method
        "bh" or "by".

    Returns
    -------
    numpy.ndarray
        (...), NaN where `p` is.
    """
    values, known = _family(p)
    adjusted = np.full(values.shape, np.nan)
    if known.any():
        adjusted[known] = stats.false_discovery_control(values[known], method=method)
    return adjusted


def holm(p: ArrayLike) -> FloatArray:
    """p-values such that rejecting those below a keeps the chance of any false one below a.

    Holm 1979: the i-th smallest of m times (m - i + 1), never falling, at most 1. Valid under any
    dependence.

    Parameters
    ----------
    p
        (...), in [0, 1] or NaN.

    Returns
    -------
    numpy.ndarray
        (...), NaN where `p` is.
    """
    values, known = _family(p)
    family = values[known]
    order = np.argsort(family, kind="stable")
    stepped = np.maximum.accumulate(family[order] * np.arange(len(family), 0, -1))
    adjusted = np.empty(len(family))
    adjusted[order] = np.minimum(stepped, 1.0)
    result = np.full(values.shape, np.nan)
    result[known] = adjusted
    return result


def _family(p: ArrayLike) -> tuple[FloatArray, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]:
    values = np.asarray(p, dtype=np.float64)
    known = ~np.isnan(values)
    if ((values[known] < 0) | (values[known] > 1)).any():
        raise ValueError("p-values must be in [0, 1] or NaN")
    return values, known
