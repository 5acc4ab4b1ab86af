"""Designed comparisons of training runs: before and after, along a size, between levels.

Runs of one seed saw their data in the same order, so that a seed is a block; what is said holds for
new seeds, on the same text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from attention_wavelets.inference.intervals import FloatArray, clustered_t
from attention_wavelets.inference.regression import regress

__all__ = ["Contrast", "Factor", "along", "between", "paired", "undefined"]


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
        The difference in standard deviations between blocks of the level (of `between`), of the
        changes of blocks (of `paired`) or of the residuals (of `along`).
    n
        Blocks of `paired`; runs that entered, of `along` and `between`.
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
        Level -> its difference to the level that it is compared with.
    reason
        As above.
    """

    share: float
    p: float
    contrasts: dict[str, Contrast]
    reason: str


def paired(
    before: ArrayLike,
    after: ArrayLike,
    blocks: ArrayLike,
    levels: ArrayLike,
    *,
    confidence: float = 0.95,
) -> Contrast:
    """Change of blocks between two states: mean difference with the interval and p of Student's t.

    Runs of one seed are no independent observations, whatever their size: a block's change is the
    mean over its levels, which are given, and t has as many degrees of freedom as blocks, less one.

    Parameters
    ----------
    before, after
        (n,), one value per run, NaN where there is none.
    blocks, levels
        (n,), such as the seed, and what differs between runs of one seed, such as the size. Only
        levels that every block has enter, so that blocks differ by nothing else; a block without
        any value is left out.
    confidence
        In (0, 1).

    Returns
    -------
    Contrast
        `n` is the number of blocks. Reasons: "duplicates" (two runs of one block and level), "few"
        (less than two blocks), "unbalanced" (no level that every block has), "constant" (the
        changes of all blocks are alike).
    """
    first, last = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    table = _table(last - first, blocks, levels)[0]
    if table is None:
        return undefined(0, "duplicates")
    table = table[~np.isnan(table).all(axis=1)]
    count = len(table)
    if count < 2:
        return undefined(count, "few")
    table = table[:, ~np.isnan(table).any(axis=0)]
    if not table.shape[1]:
        return undefined(count, "unbalanced")
    change = table.mean(axis=1)
    # Differences of numbers of this size are alike up to rounding.
    if np.ptp(change) <= 1e-12 * np.nanmax(np.abs([first, last])):
        return undefined(count, "constant")
    interval = clustered_t(change, np.arange(count), confidence, min_clusters=2)
    return Contrast(
        value=float(interval.mean),
        low=float(interval.low),
        high=float(interval.high),
        p=_t_test(float(interval.mean), float(interval.standard_error), count - 1),
        size=_over(float(change.mean()), float(change.std(ddof=1))),
        n=count,
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
        Its p is that of the slope. Reasons as `regress` has them, where "constant" is also a line
        without any residual, which leaves no error to test against.
    """
    y, x = np.asarray(values, dtype=np.float64), np.asarray(places, dtype=np.float64)
    keep = ~(np.isnan(y) | np.isnan(x))
    y, x = y[keep], x[keep]
    if len(y) < 3:
        return undefined(len(y), "few")
    fit = regress(y, x, confidence=confidence)
    if fit.reason:
        return undefined(fit.n, fit.reason)
    reach = float(np.ptp(x))
    line = y.mean() + fit.coefficients[0] * (x - x.mean())
    within = float(np.square(y - line).sum())
    if within <= _ROUNDING * float(y @ y):
        return undefined(fit.n, "constant")
    deviation = math.sqrt(within / fit.degrees)
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
    references: Mapping[str, str],
    *,
    confidence: float = 0.95,
) -> Factor:
    """Levels of a factor compared with others of them; additive in factor and blocks.

    With L levels and B blocks, each combination once, the residual (their interaction) has
    (L - 1)(B - 1) degrees of freedom, and a difference of two levels the standard error
    sqrt(2 MS / B): the two-way analysis of variance without replication (Fisher 1925).

    Parameters
    ----------
    values, levels, blocks
        (n,), a row per run: the measure, such as the encoding, such as the seed. Blocks that lack a
        level, or have NaN in it, are left out. Only one run may have a level and a block.
    references
        Level -> the level that it is compared with; levels that are no key are compared with none.
    confidence
        In (0, 1).

    Returns
    -------
    Factor
        Reasons: "duplicates" (two runs of one level and block), "few" (less than two whole blocks,
        or a level of `references` without a run), "constant" (nothing varies beside levels and
        blocks, which leaves no error to test against).
    """
    table, names = _table(values, blocks, levels)

    def unknown(n: int, reason: str) -> Factor:
        return Factor(math.nan, math.nan, dict.fromkeys(references, undefined(n, reason)), reason)

    if table is None:
        return unknown(0, "duplicates")
    table = table[~np.isnan(table).any(axis=1)]
    count, width = table.shape
    if count < 2 or not references or not {*references, *references.values()} <= {*names}:
        return unknown(2 * count, "few")
    means = table.mean(axis=0)
    residual = table - means - table.mean(axis=1, keepdims=True) + table.mean()
    degrees = (count - 1) * (width - 1)
    within = float(np.square(residual).sum())
    explained = float(count * np.square(means - table.mean()).sum())
    if within <= _ROUNDING * float(np.square(table).sum()):
        return unknown(2 * count, "constant")
    mean_square = within / degrees
    error = math.sqrt(2 * mean_square / count)
    half = float(stats.t.ppf(0.5 + confidence / 2, degrees)) * error
    spread = math.sqrt(float(table.var(axis=0, ddof=1).mean()))
    contrasts = {}
    for level, reference in references.items():
        value = float(means[names.index(level)] - means[names.index(reference)])
        contrasts[level] = Contrast(
            value=value,
            low=value - half,
            high=value + half,
            p=_t_test(value, error, degrees),
            size=_over(value, spread),
            n=2 * count,
            reason="",
        )
    return Factor(
        share=explained / (explained + within),
        p=float(stats.f.sf(explained / (width - 1) / mean_square, width - 1, degrees)),
        contrasts=contrasts,
        reason="",
    )


# Of a sum of squares, what rounding leaves where the residual would be 0.
_ROUNDING = 1e-24


def _table(
    values: ArrayLike, blocks: ArrayLike, levels: ArrayLike
) -> tuple[FloatArray | None, list[str]]:
    """(block, level) values, NaN where there is none, or None if two runs share a place; levels."""
    names, column = np.unique(np.asarray(levels, dtype=str), return_inverse=True)
    seeds, row = np.unique(np.asarray(blocks), return_inverse=True)
    known = [str(name) for name in names]
    if len(set(zip(row.tolist(), column.tolist(), strict=True))) < len(row):
        return None, known
    table = np.full((len(seeds), len(names)), np.nan)
    table[row, column] = np.asarray(values, dtype=np.float64)
    return table, known


def _t_test(value: float, error: float, degrees: int) -> float:
    return float(2 * stats.t.sf(abs(value) / error, degrees))


def _over(value: float, deviation: float) -> float:
    return value / deviation if deviation > 0 else math.nan


def undefined(n: int, reason: str) -> Contrast:
    """A comparison of `n` blocks or runs that has no number, and why."""
    none = math.nan
    return Contrast(none, none, none, none, none, n, reason)
