"""How large a difference is: in its own unit, in spreads of the null, as a chance to be larger."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from attention_wavelets.inference.intervals import FloatArray

__all__ = ["Effect", "effect", "paired_effect", "paired_superiority", "superiority"]


@dataclass(frozen=True)
class Effect:
    """A difference to a null.

    Attributes
    ----------
    difference
        Mean minus mean of the null, in the unit of the values.
    null_sd
        The same over the standard deviation of the null values (Glass 1976); NaN if they do not
        vary.
    superiority
        Chance that a value is above a null value, ties half; in [0, 1].
    n, null_n
        Values that entered; of pairs both are the number of pairs.
    reason
        "" where the difference is defined, else a key of `REASONS`.
    """

    difference: float
    null_sd: float
    superiority: float
    n: int
    null_n: int
    reason: str


def effect(values: ArrayLike, null: ArrayLike) -> Effect:
    """Difference of two unpaired samples; NaN is left out."""
    x, y = _present(values), _present(null)
    return _effect(x, y, superiority(x, y))


def paired_effect(values: ArrayLike, null: ArrayLike) -> Effect:
    """Difference of pairs, such as a head and the same head of the null; NaN leaves its pair out.

    The unit of `null_sd` stays the spread of the null values, not of the differences, so that it
    can be compared with the unpaired one.
    """
    x, y = _pairs(values, null)
    return _effect(x, y, paired_superiority(x, y))


def superiority(values: ArrayLike, null: ArrayLike) -> float:
    """P(X > Y) + P(X = Y) / 2 over all pairs of a value and a null value, in [0, 1].

    The statistic of Mann and Whitney over n m (Vargha and Delaney 2000). NaN is left out, and the
    result is NaN where a sample is empty.
    """
    x, y = _present(values), _present(null)
    if not len(x) or not len(y):
        return float("nan")
    ranks = stats.rankdata(np.concatenate([x, y]))[: len(x)].sum()
    return float((ranks - len(x) * (len(x) + 1) / 2) / (len(x) * len(y)))


def paired_superiority(values: ArrayLike, null: ArrayLike) -> float:
    """Share of pairs with the value above its null, ties half; NaN where there is no pair."""
    x, y = _pairs(values, null)
    return float(((x > y) + 0.5 * (x == y)).mean()) if len(x) else float("nan")


def _effect(x: FloatArray, y: FloatArray, chance: float) -> Effect:
    if not len(x) or not len(y):
        return Effect(np.nan, np.nan, chance, len(x), len(y), "undefined")
    difference = float(x.mean() - y.mean())
    spread = float(y.std(ddof=1)) if len(y) > 1 and np.ptp(y) > 0 else float("nan")
    return Effect(difference, difference / spread, chance, len(x), len(y), "")


def _present(values: ArrayLike) -> FloatArray:
    x = np.asarray(values, dtype=np.float64).ravel()
    return x[~np.isnan(x)]


def _pairs(values: ArrayLike, null: ArrayLike) -> tuple[FloatArray, FloatArray]:
    x, y = np.asarray(values, dtype=np.float64), np.asarray(null, dtype=np.float64)
    if x.shape != y.shape:
        raise ValueError(f"need pairs, got shapes {x.shape} and {y.shape}")
    both = ~np.isnan(x) & ~np.isnan(y)
    return x[both], y[both]
