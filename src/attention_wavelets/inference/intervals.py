"""t-intervals of means whose observations come in clusters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

__all__ = ["Interval", "clustered_t"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """Means with intervals; every attribute is an array of one shape.

    Attributes
    ----------
    mean
        NaN where there is no observation (reason "undefined").
    standard_error, low, high
        NaN where there are too few clusters (reason "documents").
    n, clusters
        Observations and clusters that entered.
    reason
        "" where the interval is defined.
    """

    mean: FloatArray
    standard_error: FloatArray
    low: FloatArray
    high: FloatArray
    n: NDArray[np.int64]
    clusters: NDArray[np.int64]
    reason: NDArray[np.str_]


def clustered_t(
    values: ArrayLike, clusters: ArrayLike, confidence: float, min_clusters: int
) -> Interval:
    """Mean over the first axis with a t-interval that treats clusters as the independent units.

    With residuals e_i = x_i - mean and G clusters, the variance of the mean is
    G / (G - 1) * sum_g (sum_{i in g} e_i)^2 / n^2, and t has G - 1 degrees of freedom (the
    cluster-robust variance of a mean: Liang and Zeger 1986, with the usual small-sample factor).
    If every cluster has one observation, it is the ordinary t-interval.

    Parameters
    ----------
    values
        (n, ...), numbers or NaN. A column's NaN rows are left out of that column.
    clusters
        (n,), the cluster of each row: numbers or strings, such as document ids.
    confidence
        In (0, 1).
    min_clusters
        Fewer clusters than this give no interval; at least 2.

    Returns
    -------
    Interval
        Arrays (...).

    Raises
    ------
    ValueError
        If shapes do not agree, a value is infinite, or a setting is out of range.
    """
    x = np.asarray(values, dtype=np.float64)
    label = np.asarray(clusters)
    if x.ndim == 0 or label.shape != x.shape[:1]:
        raise ValueError(f"`clusters` must name the rows of `values` {x.shape}, got {label.shape}")
    if not 0 < confidence < 1 or min_clusters < 2:
        raise ValueError(
            f"need 0 < confidence < 1 and min_clusters >= 2, got {confidence} and {min_clusters}"
        )
    if np.isinf(x).any():
        raise ValueError("`values` holds infinity; an undefined value must be NaN")
    columns = x.reshape(len(x), -1) if x.size else np.empty((len(x), _columns(x.shape)))
    n, groups, mean, variance = _moments(columns, np.unique(label, return_inverse=True)[1])
    enough = groups >= min_clusters
    error = np.where(enough, np.sqrt(variance), np.nan)
    t = np.full(groups.shape, np.nan)
    t[enough] = stats.t.ppf(0.5 + confidence / 2, groups[enough] - 1)
    reason = np.where(n == 0, "undefined", np.where(enough, "", "documents"))
    shape = x.shape[1:]
    return Interval(
        mean=mean.reshape(shape),
        standard_error=error.reshape(shape),
        low=(mean - t * error).reshape(shape),
        high=(mean + t * error).reshape(shape),
        n=n.reshape(shape),
        clusters=groups.reshape(shape),
        reason=reason.reshape(shape),
    )


def _columns(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape[1:]))


def _moments(
    x: FloatArray, index: NDArray[np.intp]
) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray, FloatArray]:
    """Per column of (n, columns): observations, clusters, mean, variance of the mean."""
    present = ~np.isnan(x)
    # Rows sorted by cluster, so that one pass of `reduceat` sums each cluster.
    order = np.argsort(index, kind="stable")
    starts = np.flatnonzero(np.diff(index[order], prepend=-1))
    n = present.sum(axis=0)
    filled = np.where(present, x, 0.0)
    none = np.full(n.shape, np.nan)
    mean = np.divide(filled.sum(axis=0), n, out=none.copy(), where=n > 0)
    if not len(starts):
        return n, np.zeros_like(n), mean, none
    residual = np.where(present, x - mean, 0.0)[order]
    per_cluster = np.add.reduceat(residual, starts, axis=0)
    groups = np.add.reduceat(present[order].astype(np.int64), starts, axis=0).astype(bool).sum(0)
    squared = np.square(per_cluster).sum(axis=0)
    factor = np.divide(groups, groups - 1, out=none.copy(), where=groups > 1)
    return n, groups, mean, factor * np.divide(squared, n**2, out=none.copy(), where=n > 0)
