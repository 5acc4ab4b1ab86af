"""Designed comparisons of training runs: before and after, along a size, between levels.

The units are runs. Runs of one seed saw their data in the same order, so that a seed is a block;
what is said holds for new seeds, on the same text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from attention_wavelets.inference.intervals import clustered_t
from attention_wavelets.inference.regression import regress

__all__ = ["Contrast", "Factor", "along", "between", "paired"]


@dataclass(frozen=True)
class Contrast:
    """A difference that an experiment made.

    Attributes
    ----------
    value, low, high
        In the unit of the measure, with its interval.
    p
        Of no difference, two-sided.
    size
        The difference in standard deviations between seeds (of `between`), or of the residuals or
        differences; NaN where they do not vary.
    n
        Runs, or pairs of states of a run, that entered.
    reason
        "" where defined, else a key of `REASONS`; then all numbers are NaN.
    """

    value: float
    low: float
    high: float
    p: float
    size: float
    n: int
    reason: str


@dataclass(frozen=True)
class Factor:
    """Levels of a factor, with seeds as blocks.

    Attributes
    ----------
    share
        Partial eta squared: sum of squares between levels over itself and the residual; in [0, 1].
    p
        Of the F test that all levels are alike.
    contrasts
        Level -> its difference to the reference.
    reason
        As above.
    """

    share: float
    p: float
    contrasts: dict[str, Contrast]
    reason: str


def paired(before: ArrayLike, after: ArrayLike, *, confidence: float = 0.95) -> Contrast:
    """Change of runs between two states: mean difference with the interval and p of Student's t.

    Parameters
    ----------
    before, after
        (n,), one value per run. NaN leaves its run out.
    confidence
        In (0, 1).

    Returns
    -------
    Contrast
        Reasons: "few" with fewer than two runs, "constant" where all changes are alike.
    """
    change = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    change = change[~np.isnan(change)]
    if len(change) < 2:
        return _nothing(len(change), "few")
    if np.ptp(change) == 0:
        return _nothing(len(change), "constant")
    interval = clustered_t(change, np.arange(len(change)), confidence, min_clusters=2)
    return Contrast(
        value=float(interval.mean),
        low=float(interval.low),
        high=float(interval.high),
        p=_t_test(float(interval.mean), float(interval.standard_error), len(change) - 1),
        size=_over(float(change.mean()), float(change.std(ddof=1))),
        n=len(change),
        reason="",
    )


def along(values: ArrayLike, places: ArrayLike, *, confidence: float = 0.95) -> Contrast:
    """Change from the lowest to the highest place along the least-squares line.

    Parameters
    ----------
    values, places
        (n,), such as a measure and the logarithm of the parameters, a row per run.
    confidence
        In (0, 1).

    Returns
    -------
    Contrast
        Reasons as `regress` has them; its p is that of the slope.
    """
    y, x = np.asarray(values, dtype=np.float64), np.asarray(places, dtype=np.float64)
    keep = ~(np.isnan(y) | np.isnan(x))
    y, x = y[keep], x[keep]
    if len(y) < 3:
        return _nothing(len(y), "few")
    fit = regress(y, x, confidence=confidence)
    if fit.reason:
        return _nothing(fit.n, fit.reason)
    reach = float(np.ptp(x))
    line = y.mean() + fit.coefficients[0] * (x - x.mean())
    deviation = math.sqrt(float(np.square(y - line).sum()) / fit.degrees)
    return Contrast(
        value=float(fit.coefficients[0]) * reach,
        low=float(fit.low[0]) * reach,
        high=float(fit.high[0]) * reach,
        p=float(fit.p[0]),
        size=_over(float(fit.coefficients[0]) * reach, deviation),
        n=fit.n,
        reason="",
    )


def between(
    values: ArrayLike,
    levels: ArrayLike,
    blocks: ArrayLike,
    reference: str,
    *,
    confidence: float = 0.95,
) -> Factor:
    """Levels of a factor compared with one of them; additive in factor and blocks.

    With L levels and B blocks, each combination once, the residual (their interaction) has
    (L - 1)(B - 1) degrees of freedom, and a difference of two levels the standard error
    sqrt(2 MS / B): the two-way analysis of variance without replication (Fisher 1925).

    Parameters
    ----------
    values, levels, blocks
        (n,), a row per run: the measure, such as the encoding, such as the seed. Blocks that lack a
        level, or have NaN in it, are left out.
    reference
        The level that others are compared with.
    confidence
        In (0, 1).

    Returns
    -------
    Factor
        Reasons: "few" (less than two whole blocks, or no other level), "constant" (nothing varies).
    """
    y = np.asarray(values, dtype=np.float64)
    names, column = np.unique(np.asarray(levels, dtype=str), return_inverse=True)
    seeds, row = np.unique(np.asarray(blocks), return_inverse=True)
    table = np.full((len(seeds), len(names)), np.nan)
    table[row, column] = y
    table = table[~np.isnan(table).any(axis=1)]
    count, width = table.shape
    others = [str(name) for name in names if name != reference]
    if count < 2 or not others or reference not in names:
        return Factor(math.nan, math.nan, dict.fromkeys(others, _nothing(count, "few")), "few")
    if np.ptp(table) == 0:
        reason = "constant"
        return Factor(math.nan, math.nan, dict.fromkeys(others, _nothing(count, reason)), reason)
    means = table.mean(axis=0)
    residual = table - means - table.mean(axis=1, keepdims=True) + table.mean()
    degrees = (count - 1) * (width - 1)
    within = float(np.square(residual).sum())
    explained = float(count * np.square(means - table.mean()).sum())
    mean_square = within / degrees
    # Rounding: what does not vary beside levels and blocks leaves no error to test against.
    exact = within <= 1e-24 * max(explained, float(np.square(table).sum()))
    f = math.inf if exact else explained / (width - 1) / mean_square
    half = float(stats.t.ppf(0.5 + confidence / 2, degrees)) * math.sqrt(2 * mean_square / count)
    spread = math.sqrt(float(table.var(axis=0, ddof=1).mean()))
    at = int(np.flatnonzero(names == reference)[0])
    contrasts = {}
    for place, name in enumerate(names):
        if place == at:
            continue
        value = float(means[place] - means[at])
        t = math.inf if exact else abs(value) / math.sqrt(2 * mean_square / count)
        contrasts[str(name)] = Contrast(
            value=value,
            low=value - half,
            high=value + half,
            p=float(2 * stats.t.sf(t, degrees)),
            size=_over(value, spread),
            n=2 * count,
            reason="",
        )
    return Factor(
        share=explained / (explained + within),
        p=float(stats.f.sf(f, width - 1, degrees)),
        contrasts=contrasts,
        reason="",
    )


def _t_test(value: float, error: float, degrees: int) -> float:
    return float(2 * stats.t.sf(abs(value) / error, degrees))


def _over(value: float, deviation: float) -> float:
    return value / deviation if deviation > 0 else math.nan


def _nothing(n: int, reason: str) -> Contrast:
    none = math.nan
    return Contrast(none, none, none, none, none, n, reason)
