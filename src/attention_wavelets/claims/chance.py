"""How often a trend as strong comes from points in any order: few models are no sample of text."""

from __future__ import annotations

import math

import numpy as np

from attention_wavelets.claims.statistics import trend
from attention_wavelets.config.claims import ClaimTest
from attention_wavelets.inference import exact
from attention_wavelets.inference.intervals import FloatArray

__all__ = ["MAX_ORDERED", "ORDERS", "order_p"]

# Orders of this many points (7! = 5,040) are enumerated; of more, so many are drawn.
MAX_ORDERED, ORDERS = 7, 1999


def order_p(values: FloatArray, places: FloatArray, test: ClaimTest, seed: int = 0) -> float:
    """p of the trend if the points could stand in any order (Fisher 1935, Pitman 1937).

    An interval over documents says how well each point is known. Whether the points follow their
    places, or only happen to stand so, it does not say.

    Parameters
    ----------
    values, places
        (point,); points with NaN are left out.
    test
        Of a kind that has a trend, claimed above or below.
    seed
        Of the random orders.

    Returns
    -------
    float
        In (0, 1]: share of the orders, the observed one included, whose number lies as far on the
        claimed side; of rank correlations as `inference.exact` has it. NaN where the number is
        undefined.
    """
    known = np.isfinite(values) & np.isfinite(places)
    y, x = values[known], places[known]
    if test.kind == "rank_trend":
        ranks = {"spearman": exact.spearman, "kendall": exact.kendall}[test.method]
        return ranks(x, y, "less" if test.claimed == "below" else "greater").p
    observed = float(trend(y, x, test)) if len(y) else math.nan
    if math.isnan(observed):
        return math.nan
    if len(y) <= MAX_ORDERED:
        arranged = y[exact.orders(len(y))]
    else:
        generator = np.random.default_rng(np.random.SeedSequence(seed))
        drawn = generator.permuted(np.tile(y, (ORDERS, 1)), axis=1)
        arranged = np.vstack([y, drawn])
    numbers = trend(arranged, x, test)
    if test.claimed == "below":
        numbers, observed = -numbers, -observed
    # Equal up to rounding is as far; where an order gives no number, it is not.
    return float(np.mean(numbers >= observed - 1e-12 * (1 + abs(observed))))
