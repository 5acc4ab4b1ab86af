"""How values spread: more so from group to group, or along one common direction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from attention_wavelets.inference.intervals import FloatArray
from attention_wavelets.inference.regression import regress

__all__ = ["LeveneTrend", "PrincipalShare", "levene_trend", "principal_share"]


@dataclass(frozen=True)
class LeveneTrend:
    """Whether spread grows with the order of groups.

    Attributes
    ----------
    slope, low, high
        Change of the mean distance to the group's median per unit of the group's number, with its
        t-interval, in units of the values.
    p
        Two-sided, of no trend.
    levene_p
        Of equal spread in all groups, whatever their order (Brown and Forsythe 1974).
    n, groups
        Values and groups that entered.
    reason
        "" where defined, else a key of `REASONS`; then all numbers are NaN.
    """

    slope: float
    low: float
    high: float
    p: float
    levene_p: float
    n: int
    groups: int
    reason: str


def levene_trend(values: ArrayLike, groups: ArrayLike, *, confidence: float = 0.95) -> LeveneTrend:
    """Regression of |value - median of its group| on the group's number.

    Gastwirth, Gel and Miao 2009, Statistical Science 24. Distances to a median are a little short
    in small groups, so those of a group of n are divided by sqrt(1 - 1 / n).

    Parameters
    ----------
    values
        (n,), numbers or NaN, which is left out.
    groups
        (n,), numbers whose order and distance count, such as layers.
    confidence
        Of the interval.

    Returns
    -------
    LeveneTrend
        Reasons: "undefined" (no value), "groups" (fewer than 3 groups, or one with fewer than 3
        values), "constant" (every value is its group's median).
    """
    x, order = np.asarray(values, np.float64), np.asarray(groups, np.float64)
    if x.ndim != 1 or order.shape != x.shape:
        raise ValueError(f"need a group for each value, got {x.shape} and {order.shape}")
    keep = ~np.isnan(x)
    x, order = x[keep], order[keep]
    numbers, index, sizes = np.unique(order, return_inverse=True, return_counts=True)
    parts = [x[index == group] for group in range(len(numbers))]
    reason = "" if len(numbers) >= 3 and sizes.min() >= 3 else "groups"
    if not len(x):
        reason = "undefined"
    elif not reason and all(np.ptp(part) == 0 for part in parts):
        reason = "constant"
    if reason:
        none = float("nan")
        return LeveneTrend(none, none, none, none, none, len(x), len(numbers), reason)
    medians = np.array([np.median(part) for part in parts])
    distance = np.abs(x - medians[index]) / np.sqrt(1 - 1 / sizes[index])
    fit = regress(distance, order, confidence=confidence)
    return LeveneTrend(
        slope=float(fit.coefficients[0]),
        low=float(fit.low[0]),
        high=float(fit.high[0]),
        p=float(fit.p[0]),
        levene_p=float(stats.levene(*parts, center="median").pvalue),
        n=len(x),
        groups=len(numbers),
        reason="",
    )


@dataclass(frozen=True)
class PrincipalShare:
    """How much of what columns say is one number.

    Attributes
    ----------
    share
        Variance along the first principal component over all variance, in [1 / columns, 1].
    loadings
        (column,) of the first component, of length 1 and with a sum that is not negative; NaN for
        columns that were left out.
    used
        (column,), which columns vary.
    n
        Rows without NaN.
    reason
        "" where defined, else a key of `REASONS`.
    """

    share: float
    loadings: FloatArray
    used: NDArray[np.bool_]
    n: int
    reason: str


def principal_share(table: ArrayLike) -> PrincipalShare:
    """Variance share of the first principal component of standardised columns.

    The largest eigenvalue of the matrix of correlations over the number of columns. Columns without
    any relation give more than 1 / columns from few rows: compare with permuted columns.

    Parameters
    ----------
    table
        (row, column), numbers or NaN; rows with NaN are left out.

    Returns
    -------
    PrincipalShare
        Reasons: "few" (fewer than 3 rows), "constant" (fewer than 2 columns vary).
    """
    x = np.asarray(table, dtype=np.float64)
    if x.ndim != 2:
        raise ValueError(f"need (row, column), got {x.shape}")
    x = x[~np.isnan(x).any(axis=1)]
    used = np.ptp(x, axis=0) > 0 if len(x) else np.zeros(x.shape[1], dtype=bool)
    loadings = np.full(x.shape[1], np.nan)
    if len(x) < 3 or used.sum() < 2:
        reason = "few" if len(x) < 3 else "constant"
        return PrincipalShare(float("nan"), loadings, used, len(x), reason)
    standard = (x[:, used] - x[:, used].mean(axis=0)) / x[:, used].std(axis=0)
    _, singular, right = np.linalg.svd(standard, full_matrices=False)
    loadings[used] = right[0] * (1.0 if right[0].sum() >= 0 else -1.0)
    share = float(singular[0] ** 2 / np.square(singular).sum())
    return PrincipalShare(share, loadings, used, len(x), "")
