"""Tests by enumeration: signs of a mean, labels of two samples, ranks of two variables.

All p-values are valid at any size: the observed arrangement counts as one of those that could have
been. One-sided and two-sided as in SciPy: "greater", "less", "two-sided".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import permutations
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from attention_wavelets.inference.intervals import FloatArray
from attention_wavelets.inference.resample import Seed, seed_blocks

__all__ = ["Alternative", "Tested", "kendall", "orders", "sign_flip", "spearman", "two_sample"]

Alternative = Literal["two-sided", "greater", "less"]

# Signs of this many values (2^20) and orders of this many (8! = 40,320) are enumerated.
MAX_SIGNS = 20
MAX_ORDERS = 8
MAX_LABELLINGS = 2**17


@dataclass(frozen=True)
class Tested:
    """A statistic and its p-value.

    Attributes
    ----------
    statistic
        In the test's unit; NaN where undefined.
    p
        In (0, 1]; NaN where undefined.
    n
        Values that entered: pairs for correlations, both samples together for two of them.
    exact
        Whether every arrangement was counted.
    reason
        "" where p is defined, else a key of `REASONS`.
    """

    statistic: float
    p: float
    n: int
    exact: bool
    reason: str


def sign_flip(
    values: ArrayLike, alternative: Alternative = "two-sided", *, draws: int = 9999, seed: Seed = 0
) -> Tested:
    """Test of mean 0 for values that are symmetric about it: all 2^M signs (Fisher 1935).

    Beyond M = 20 values `draws` random signs, and p = (1 + as extreme) / (1 + draws).

    Parameters
    ----------
    values
        (M,), such as one difference per model. NaN is left out.
    alternative
        What the mean is when it is not 0.
    draws, seed
        For the random signs.

    Returns
    -------
    Tested
        The statistic is the mean.
    """
    x = _numbers(values)
    x = x[~np.isnan(x)]
    if not len(x):
        return Tested(math.nan, math.nan, 0, False, "undefined")
    exact = len(x) <= MAX_SIGNS
    if exact:
        sums = np.zeros(1)
        for value in x:
            sums = np.concatenate([sums + value, sums - value])
    else:
        parts = [x.sum(keepdims=True)]
        for start, stop, child in seed_blocks(draws, seed):
            signs = np.random.default_rng(child).integers(2, size=(stop - start, len(x)))
            parts.append((2.0 * signs - 1) @ x)
        sums = np.concatenate(parts)
    p = _tail(sums, float(x.sum()), float(np.abs(x).sum()), alternative)
    return Tested(float(x.mean()), p, len(x), exact, "")


def two_sample(
    first: ArrayLike,
    second: ArrayLike,
    alternative: Alternative = "two-sided",
    *,
    draws: int = 9999,
    seed: Seed = 0,
) -> Tested:
    """Test that two samples come from one distribution, by the difference of their means.

    All ways to label the values if there are at most 131,072, else random ones
    (`scipy.stats.permutation_test`; its two-sided p is twice the smaller tail).

    Parameters
    ----------
    first, second
        Values; NaN is left out.
    alternative
        What the first mean is, compared with the second.
    draws, seed
        For the random labels.

    Returns
    -------
    Tested
        The statistic is mean(first) - mean(second).
    """
    samples = [x[~np.isnan(x)] for x in (_numbers(first), _numbers(second))]
    sizes = [len(x) for x in samples]
    if min(sizes) < 1 or sum(sizes) < 3:
        reason = "few" if min(sizes) else "undefined"
        return Tested(math.nan, math.nan, sum(sizes), False, reason)
    exact = math.comb(sum(sizes), sizes[0]) <= MAX_LABELLINGS
    result = stats.permutation_test(
        samples,
        _difference,
        vectorized=True,
        n_resamples=np.inf if exact else draws,
        batch=2**10,
        alternative=alternative,
        rng=np.random.default_rng(np.random.SeedSequence(seed)),
    )
    return Tested(float(result.statistic), float(result.pvalue), sum(sizes), exact, "")


def spearman(x: ArrayLike, y: ArrayLike, alternative: Alternative = "two-sided") -> Tested:
    """Spearman's rho with the p of all orders up to 8 pairs, of `scipy.stats.spearmanr` beyond.

    Ties take mean ranks, and enumeration stays exact with them. Pairs with NaN are left out.
    """
    first, second, undefined = _pairs(x, y)
    if undefined is not None:
        return undefined
    result = stats.spearmanr(first, second, alternative=alternative)
    rho, n = float(result.statistic), len(first)
    if n > MAX_ORDERS:
        return Tested(rho, float(result.pvalue), n, False, "")
    ranks = [stats.rankdata(part) - (n + 1) / 2 for part in (first, second)]
    products = ranks[1][orders(n)] @ ranks[0]
    scale = float(np.abs(ranks[0]) @ np.sort(np.abs(ranks[1])))
    return Tested(rho, _tail(products, float(ranks[0] @ ranks[1]), scale, alternative), n, True, "")


def kendall(x: ArrayLike, y: ArrayLike, alternative: Alternative = "two-sided") -> Tested:
    """Kendall's tau-b with the p of all orders up to 8 pairs, of `scipy.stats.kendalltau` beyond.

    Enumeration stays exact with ties. Pairs with NaN are left out.
    """
    first, second, undefined = _pairs(x, y)
    if undefined is not None:
        return undefined
    result = stats.kendalltau(first, second, alternative=alternative)
    tau, n = float(result.statistic), len(first)
    if n > MAX_ORDERS:
        return Tested(tau, float(result.pvalue), n, False, "")
    i, j = np.triu_indices(n, 1)
    signs = np.sign(first[i] - first[j])
    shuffled = second[orders(n)]
    sums = np.sign(shuffled[:, i] - shuffled[:, j]) @ signs
    observed = float(np.sign(second[i] - second[j]) @ signs)
    return Tested(tau, _tail(sums, observed, float(len(i)), alternative), n, True, "")


def _difference(first: FloatArray, second: FloatArray, axis: int) -> FloatArray:
    return np.asarray(first.mean(axis=axis) - second.mean(axis=axis))


@cache
def orders(n: int) -> NDArray[np.int8]:
    """(n!, n) every order of n things, first the one they have."""
    return np.array(list(permutations(range(n))), dtype=np.int8)


def _numbers(values: ArrayLike) -> FloatArray:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or np.isinf(x).any():
        raise ValueError(f"need one dimension of finite numbers or NaN, got shape {x.shape}")
    return x


def _pairs(x: ArrayLike, y: ArrayLike) -> tuple[FloatArray, FloatArray, Tested | None]:
    first, second = _numbers(x), _numbers(y)
    if first.shape != second.shape:
        raise ValueError(f"need pairs, got {len(first)} and {len(second)} values")
    both = ~np.isnan(first) & ~np.isnan(second)
    first, second = first[both], second[both]
    reason = ""
    if not len(first):
        reason = "undefined"
    elif len(first) < 2:
        reason = "few"
    elif np.ptp(first) == 0 or np.ptp(second) == 0:
        reason = "constant"
    undefined = Tested(math.nan, math.nan, len(first), False, reason) if reason else None
    return first, second, undefined


def _tail(sums: FloatArray, observed: float, scale: float, alternative: Alternative) -> float:
    """Share of sums as extreme as the observed one, equal up to rounding included."""
    slack = 1e-12 * scale
    if alternative == "greater":
        extreme = sums >= observed - slack
    elif alternative == "less":
        extreme = sums <= observed + slack
    elif alternative == "two-sided":
        extreme = np.abs(sums) >= abs(observed) - slack
    else:
        raise ValueError(f"unknown alternative {alternative!r}")
    return float(extreme.mean())
