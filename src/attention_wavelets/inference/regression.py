"""Ordinary least squares: what columns explain once covariates are in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from attention_wavelets.inference.intervals import FloatArray

__all__ = ["Regression", "regress"]


@dataclass(frozen=True)
class Regression:
    """A fit y = intercept + x b + covariates c.

    Attributes
    ----------
    coefficients, low, high, p
        (column,) of `x`: estimates, t-intervals and two-sided p-values of 0.
    r2
        Share of the variance of y that everything explains, in [0, 1].
    partial_r2
        Share of what the covariates leave that the columns of `x` together explain, in [0, 1].
    n, degrees
        Rows without NaN, and degrees of freedom of the residuals.
    reason
        "" where the fit is defined, else a key of `REASONS`; then all numbers are NaN.
    """

    coefficients: FloatArray
    low: FloatArray
    high: FloatArray
    p: FloatArray
    r2: float
    partial_r2: float
    n: int
    degrees: int
    reason: str


def regress(
    y: ArrayLike, x: ArrayLike, covariates: ArrayLike | None = None, *, confidence: float = 0.95
) -> Regression:
    """Least squares with an intercept, for independent errors of one variance.

    Rows that share a layer or a text are not independent: then read the coefficients and shares,
    and take intervals from a resampling of what is.

    Parameters
    ----------
    y
        (n,).
    x
        (n,) or (n, column), the columns that are asked about.
    covariates
        (n,) or (n, column), or nothing.
    confidence
        Of the intervals, in (0, 1).

    Returns
    -------
    Regression
        Rows with NaN are left out. Reasons: "few" (no degree of freedom is left), "constant" (y
        does not vary), "collinear" (a column follows from the others or does not vary).
    """
    target, asked = np.asarray(y, dtype=np.float64), _columns(x)
    others = _columns(covariates) if covariates is not None else np.empty((len(asked), 0))
    if target.ndim != 1 or {len(asked), len(others)} != {len(target)} or not 0 < confidence < 1:
        raise ValueError(
            f"need as many rows of y, x and covariates and 0 < confidence < 1, got "
            f"{target.shape}, {asked.shape}, {others.shape}, {confidence}"
        )
    keep = ~np.isnan(np.column_stack([target, asked, others])).any(axis=1)
    target, asked, others = target[keep], asked[keep], others[keep]
    n, count = asked.shape
    degrees = n - 1 - count - others.shape[1]
    centred = target - target.mean() if n else target
    columns = np.column_stack([asked, others])
    varying = np.ptp(columns, axis=0) > 0 if n else np.zeros(columns.shape[1], dtype=bool)
    # Centred columns of one length: an intercept without a column, and a rank without units.
    columns = columns - columns.mean(axis=0) if n else columns
    length = np.sqrt(np.square(columns).sum(axis=0))
    reason = ""
    if degrees < 1:
        reason = "few"
    elif np.ptp(target) == 0:
        reason = "constant"
    elif not varying.all() or np.linalg.matrix_rank(columns / length, 1e-10) < len(length):
        reason = "collinear"
    if reason:
        none = np.full(count, np.nan)
        return Regression(none, none, none, none, np.nan, np.nan, n, max(degrees, 0), reason)
    unit = columns / length
    solution, residual = _fit(unit, centred)
    left = _fit(unit[:, count:], centred)[1]
    inverse = np.linalg.pinv(unit)
    scale = np.sqrt(residual / degrees * np.square(inverse).sum(axis=1))[:count] / length[:count]
    coefficients = solution[:count] / length[:count]
    half = float(stats.t.ppf(0.5 + confidence / 2, degrees)) * scale
    t = np.divide(np.abs(coefficients), scale, out=np.full(count, np.inf), where=scale > 0)
    return Regression(
        coefficients=coefficients,
        low=coefficients - half,
        high=coefficients + half,
        p=np.asarray(2 * stats.t.sf(t, degrees)),
        r2=1 - residual / float(centred @ centred),
        # Covariates that explain everything leave nothing to share.
        partial_r2=1 - residual / left if left > 0 else float("nan"),
        n=n,
        degrees=degrees,
        reason="",
    )


def _columns(x: ArrayLike) -> FloatArray:
    table = np.asarray(x, dtype=np.float64)
    return table[:, None] if table.ndim == 1 else table


def _fit(x: FloatArray, y: FloatArray) -> tuple[FloatArray, float]:
    """Coefficients and the sum of squared residuals."""
    if not x.shape[1]:
        return np.empty(0), float(y @ y)
    solution = np.linalg.lstsq(x, y, rcond=None)[0]
    return np.asarray(solution), float(np.square(y - x @ solution).sum())
