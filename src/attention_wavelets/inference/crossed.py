"""What intervals over new sequences, layers and heads share: the design, its mean, its result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from attention_wavelets.inference.intervals import FloatArray, Interval
from attention_wavelets.inference.resample import MIN_DOCUMENTS, numbered

__all__ = ["MIN_LAYERS", "Crossed", "CrossedInterval", "crossed", "finished", "t_interval"]

# Fewer layers than this say too little about how layers differ.
MIN_LAYERS = 6


@dataclass(frozen=True)
class CrossedInterval(Interval):
    """Means over sequences, layers and heads with intervals; every attribute has one shape.

    As `Interval`, where `clusters` counts documents.

    Attributes
    ----------
    layers
        Layers that entered.
    degrees
        Degrees of freedom of t, NaN where there is no interval or it is not of t.
    """

    layers: NDArray[np.int64]
    degrees: FloatArray


@dataclass(frozen=True)
class Crossed:
    """A design (sequence, layer, head, measure) and what its cells add up to.

    Attributes
    ----------
    values
        (sequence, layer, head, measure), numbers or NaN.
    shape
        The shape that results take; `measure` is its number of entries.
    index, groups
        Number of each sequence's document, and how many documents there are.
    sums, counts
        (document, layer, measure): sum and number of the cells that are present.
    """

    values: FloatArray
    shape: tuple[int, ...]
    index: NDArray[np.intp]
    groups: int
    sums: FloatArray
    counts: FloatArray

    @property
    def n(self) -> FloatArray:
        """(measure,) cells that are present."""
        return np.asarray(self.counts.sum(axis=(0, 1)))

    @property
    def mean(self) -> FloatArray:
        """(measure,) mean of the cells that are present, NaN where there is none."""
        total = self.sums.sum(axis=(0, 1))
        none = np.full(total.shape, np.nan)
        return np.asarray(np.divide(total, self.n, out=none, where=self.n > 0))

    @property
    def documents(self) -> NDArray[np.int64]:
        """(measure,) documents with a value."""
        return np.asarray((self.counts.sum(axis=1) > 0).sum(axis=0))

    @property
    def layers(self) -> NDArray[np.int64]:
        """(measure,) layers with a value."""
        return np.asarray((self.counts.sum(axis=0) > 0).sum(axis=0))

    @property
    def reason(self) -> NDArray[np.str_]:
        """(measure,) "undefined", "documents", "layers", or "" where an interval can be had."""
        few = np.where(self.layers < MIN_LAYERS, "layers", "")
        few = np.where(self.documents < MIN_DOCUMENTS, "documents", few)
        return np.where(self.n == 0, "undefined", few)


def crossed(values: ArrayLike, documents: ArrayLike) -> Crossed:
    """The design of (sequence, layer, head, ...) values whose sequences come from documents.

    Raises
    ------
    ValueError
        If there are fewer than three dimensions, the documents do not name the sequences, or a
        value is infinite.
    """
    x = np.asarray(values, dtype=np.float64)
    index, groups = numbered(documents)
    if x.ndim < 3 or x.shape[0] != len(index):
        raise ValueError(
            f"`values` must be (sequence, layer, head, ...) with {len(index)} sequences, "
            f"got {x.shape}"
        )
    if np.isinf(x).any():
        raise ValueError("`values` holds infinity; an undefined value must be NaN")
    table = x.reshape(*x.shape[:3], int(np.prod(x.shape[3:])))
    order = np.argsort(index, kind="stable")
    starts = np.flatnonzero(np.diff(index[order], prepend=-1))
    sums = np.add.reduceat(np.nansum(table, axis=2)[order], starts, axis=0)
    present = (~np.isnan(table)).sum(axis=2, dtype=np.float64)
    counts = np.add.reduceat(present[order], starts, axis=0)
    return Crossed(table, x.shape[3:], index, groups, sums, counts)


def t_interval(
    design: Crossed,
    error: FloatArray,
    degrees: FloatArray,
    reason: NDArray[np.str_],
    confidence: float,
) -> CrossedInterval:
    """mean +/- t * error where there is no reason against it; arguments are (measure,)."""
    if not 0 < confidence < 1:
        raise ValueError(f"need 0 < confidence < 1, got {confidence}")
    good = reason == ""
    kept, df = np.where(good, error, np.nan), np.where(good, degrees, np.nan)
    half = np.where(good, stats.t.ppf(0.5 + confidence / 2, df), np.nan) * kept
    return finished(design, kept, df, design.mean - half, design.mean + half, reason)


def finished(
    design: Crossed,
    error: FloatArray,
    degrees: FloatArray,
    low: FloatArray,
    high: FloatArray,
    reason: NDArray[np.str_],
) -> CrossedInterval:
    """The result in the shape of the design's measures; arguments are (measure,)."""
    shape = design.shape
    return CrossedInterval(
        mean=design.mean.reshape(shape),
        standard_error=error.reshape(shape),
        low=low.reshape(shape),
        high=high.reshape(shape),
        n=design.n.astype(np.int64).reshape(shape),
        clusters=design.documents.reshape(shape),
        reason=reason.reshape(shape),
        layers=design.layers.reshape(shape),
        degrees=degrees.reshape(shape),
    )
