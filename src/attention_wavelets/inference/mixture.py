"""One normal distribution or two, in one dimension."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from attention_wavelets.inference.intervals import FloatArray

__all__ = ["Mixture", "two_normals"]

# Narrower than this share of the spread of all values, a component is a single value, not a kind.
_NARROWEST = 0.05
_STARTS = (0.25, 0.5, 0.75)
_STEPS, _TOLERANCE = 2000, 1e-9
_MIN = 8


@dataclass(frozen=True)
class Mixture:
    """Fits of one and of two normal distributions.

    Attributes
    ----------
    bic_one, bic_two
        Smaller is better; of 2 and of 5 parameters.
    two
        Whether `bic_two` is smaller.
    weights, means, sds
        (2,) of the two components, the smaller mean first.
    separation
        |difference of means| / sqrt(mean of variances) (Ashman, Bird and Zepf 1994): two peaks
        need about 2.
    n
        Values that entered.
    reason
        "" where defined, else a key of `REASONS`; then all numbers are NaN.
    """

    bic_one: float
    bic_two: float
    two: bool
    weights: FloatArray
    means: FloatArray
    sds: FloatArray
    separation: float
    n: int
    reason: str


def two_normals(values: ArrayLike) -> Mixture:
    """Compare one normal distribution with a mixture of two by BIC = k ln n - 2 ln L.

    Expectation-maximisation from splits at the quartiles, the likeliest end kept; no random start.
    Standard deviations stay above 0.05 of that of all values. Two normals also fit one skewed
    distribution better than one does, so read `two` together with `separation`.

    Parameters
    ----------
    values
        (n,), numbers or NaN, which is left out.

    Returns
    -------
    Mixture
        Reasons: "undefined" (no value), "few" (fewer than 8), "constant".
    """
    x = np.asarray(values, dtype=np.float64).ravel()
    x = np.sort(x[~np.isnan(x)])
    n = len(x)
    reason = "few" if n < _MIN else "constant" if np.ptp(x) == 0 else ""
    if reason:
        none = np.full(2, np.nan)
        why = reason if n else "undefined"
        return Mixture(math.nan, math.nan, False, none, none, none, math.nan, n, why)
    centre, scale = float(x.mean()), float(x.std())
    z = (x - centre) / scale
    fits = [_expect_and_maximise(z, max(2, min(n - 2, round(part * n)))) for part in _STARTS]
    likelihood, weights, means, sds = max(fits, key=lambda fit: fit[0])
    order = np.argsort(means, kind="stable")
    weights, means, sds = weights[order], means[order], sds[order]
    # Both likelihoods are of z; back in the unit of the values both lose n ln(scale).
    shift = n * math.log(scale)
    one = -n / 2 * (math.log(2 * math.pi) + 1)
    bic_one = 2 * math.log(n) - 2 * (one - shift)
    bic_two = 5 * math.log(n) - 2 * (likelihood - shift)
    separation = float(abs(means[1] - means[0]) / np.sqrt(np.square(sds).mean()))
    return Mixture(
        bic_one=bic_one,
        bic_two=bic_two,
        two=bic_two < bic_one,
        weights=weights,
        means=centre + scale * means,
        sds=scale * sds,
        separation=separation,
        n=n,
        reason="",
    )


def _expect_and_maximise(
    z: FloatArray, split: int
) -> tuple[float, FloatArray, FloatArray, FloatArray]:
    """Log-likelihood, weights, means and standard deviations from a start that splits sorted z."""
    belongs = np.zeros((2, len(z)))
    belongs[0, :split] = belongs[1, split:] = 1.0
    before = -math.inf
    for _ in range(_STEPS):
        size = np.maximum(belongs.sum(axis=1), 1e-12)
        weights = size / size.sum()
        means = belongs @ z / size
        variance = (belongs * np.square(z - means[:, None])).sum(axis=1) / size
        sds = np.sqrt(np.maximum(variance, _NARROWEST**2))
        exponent = -0.5 * np.square((z - means[:, None]) / sds[:, None])
        logs = exponent + np.log(weights / (sds * math.sqrt(2 * math.pi)))[:, None]
        each = np.logaddexp(logs[0], logs[1])
        likelihood = float(each.sum())
        if likelihood - before < _TOLERANCE * len(z):
            break
        belongs, before = np.exp(logs - each), likelihood
    return likelihood, weights, means, sds
