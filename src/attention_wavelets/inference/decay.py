"""A law for how signals change as a smaller share of a sequence is kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["FEWEST", "ScalingLaw", "halvings", "scaling_law"]

FloatArray = NDArray[np.float64]

# Two points lie on every law of two parameters.
FEWEST = 3


@dataclass(frozen=True)
class ScalingLaw:
    """S = at_half * h^exponent, where h = -log2(share kept) counts halvings.

    Attributes
    ----------
    at_half
        S where half the tokens are kept (h = 1); unit of S.
    exponent
        1: each halving adds as much, so S doubles from a half to a quarter; in general that ratio
        is 2^exponent. 0: S does not depend on how much is left.
    misfit
        Root mean square of ln S - ln law, at least 0: 0.1 is 10 %.
    n
        Shares that entered.
    """

    at_half: float
    exponent: float
    misfit: float
    n: int

    def at(self, kept: ArrayLike) -> FloatArray:
        """S at shares kept (...), each in (0, 1)."""
        return np.asarray(self.at_half * halvings(kept) ** self.exponent)


def halvings(kept: ArrayLike) -> FloatArray:
    """-log2 of shares kept (...), each in (0, 1): how often a sequence was halved, above 0."""
    share = np.asarray(kept, dtype=np.float64)
    if not ((share > 0) & (share < 1)).all():
        raise ValueError(f"shares kept must lie between 0 and 1, got {share}")
    return np.asarray(-np.log2(share))


def scaling_law(kept: ArrayLike, sensitivity: ArrayLike) -> ScalingLaw:
    """Least squares of ln S on ln h, h = -log2(share kept).

    S vanishes where everything is kept, so it cannot be a power of the share itself; it is one of
    the number of halvings, which vanishes there too and makes "S roughly doubles from a half to a
    quarter" the exponent 1. Our choice. There is no interval: S at several shares comes from the
    same sequences, so residuals say how well the law fits and not how uncertain it is.

    Parameters
    ----------
    kept
        (n,) shares of the tokens kept, each in (0, 1).
    sensitivity
        (n,) S at each, NaN where unknown. Values that are not positive have no logarithm and are
        left out, as NaN is.

    Returns
    -------
    ScalingLaw
        NaN throughout where fewer than three different shares are left.

    Raises
    ------
    ValueError
        If shapes do not agree or a share is out of range.
    """
    h, values = halvings(kept), np.asarray(sensitivity, dtype=np.float64)
    if h.ndim != 1 or h.shape != values.shape:
        raise ValueError(f"need two rows of one length, got {h.shape} and {values.shape}")
    usable = np.isfinite(values) & (values > 0)
    x, y = np.log(h[usable]), np.log(values[usable])
    if len(np.unique(x)) < FEWEST:
        return ScalingLaw(np.nan, np.nan, np.nan, len(x))
    away = x - x.mean()
    exponent = float((away * y).sum() / np.square(away).sum())
    height = float(y.mean() - exponent * x.mean())
    misfit = float(np.sqrt(np.square(y - height - exponent * x).mean()))
    return ScalingLaw(float(np.exp(height)), exponent, misfit, len(x))
