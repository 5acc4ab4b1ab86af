"""Pigeonhole bootstrap of a mean over sequences x layers x heads in layers.

All factors are resampled at once and independently (Owen 2007, Annals of Applied Statistics 1;
Owen and Eckles 2012, same journal 6): documents, layers, and for each drawn layer its heads anew.
A cell's weight is the product of how often its sequence and its head were drawn. Resampling is a
little conservative for what differs from cell to cell, and too narrow where a factor has few
levels; `benchmarks/calibrate.py` measures both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from attention_wavelets.inference.crossed import (
    Crossed,
    CrossedInterval,
    crossed,
    finished,
    t_interval,
)
from attention_wavelets.inference.intervals import FloatArray
from attention_wavelets.inference.resample import BLOCK, MIN_DEFINED, Seed, seed_blocks

__all__ = ["pigeonhole_interval", "pigeonhole_means", "pigeonhole_weights"]

# Numbers in an array of the working set (256 MiB of float64).
_BUDGET = 2**25


def pigeonhole_weights(
    design: Crossed, resamples: int, seed: Seed
) -> Iterator[tuple[slice, FloatArray, FloatArray]]:
    """For each block of resamples its place, weights on sequences and weights on heads.

    Yields
    ------
    tuple
        slice of resamples; (block, sequence) and (block, layer, head), whole numbers. Layers' heads
        together are drawn as often as there are heads.
    """
    layers, heads = design.values.shape[1:3]
    for start, stop, child in seed_blocks(resamples, seed):
        size = stop - start
        # A stream for each factor, so that a shorter last block is the start of a longer one.
        of_documents, of_layers, of_heads = (np.random.default_rng(part) for part in child.spawn(3))
        even = np.full(design.groups, 1 / design.groups)
        drawn = of_documents.multinomial(design.groups, even, size=size)
        times = of_layers.multinomial(layers, np.full(layers, 1 / layers), size=size)
        inside = of_heads.multinomial(times * heads, np.full(heads, 1 / heads))
        yield slice(start, stop), drawn[:, design.index].astype(float), inside.astype(float)


def pigeonhole_means(
    values: ArrayLike, documents: ArrayLike, resamples: int, seed: Seed
) -> FloatArray:
    """Means of resamples of documents, layers and heads in layers.

    Two products of weights and values for each block of resamples and chunk of measures, so memory
    does not grow with their numbers.

    Parameters
    ----------
    values
        (sequence, layer, head, ...), numbers or NaN. A mean is over the cells present.
    documents
        (sequence,), the document of each sequence.
    resamples
        B.
    seed
        Root of the random streams; a resample's draws depend on it and on the resample's number.

    Returns
    -------
    numpy.ndarray
        (B, ...), NaN where a resample has no cell with a value.
    """
    design = crossed(values, documents)
    sequences, layers, heads, measures = design.values.shape
    means = np.empty((resamples, measures))
    at_once = max(1, _BUDGET // ((sequences + BLOCK) * layers * heads))
    for first in range(0, measures, at_once):
        columns = slice(first, first + at_once)
        part = design.values[..., columns]
        missing = np.isnan(part)
        gaps = bool(missing.any())
        filled = np.where(missing, 0.0, part).reshape(sequences, -1)
        present = (~missing).astype(np.float64).reshape(sequences, -1) if gaps else None
        for rows, of_sequences, of_heads in pigeonhole_weights(design, resamples, seed):
            flat = of_heads.reshape(len(of_heads), -1)
            total = _products(of_sequences, filled, flat)
            if present is None:
                whole = (of_sequences.sum(axis=1) * flat.sum(axis=1))[:, None]
                means[rows, columns] = total / whole
                continue
            whole = _products(of_sequences, present, flat)
            means[rows, columns] = np.divide(
                total, whole, out=np.full(total.shape, np.nan), where=whole > 0
            )
    return means.reshape(resamples, *design.shape)


def _products(of_sequences: FloatArray, table: FloatArray, of_heads: FloatArray) -> FloatArray:
    """(block, measure) sums of weight x value over sequences, layers and heads."""
    by_head = (of_sequences @ table).reshape(*of_heads.shape, -1)
    return np.asarray(np.matmul(of_heads[:, None, :], by_head)[:, 0])


def pigeonhole_interval(
    values: ArrayLike,
    documents: ArrayLike,
    draws: ArrayLike,
    confidence: float,
    kind: Literal["percentile", "t"],
) -> CrossedInterval:
    """Interval of the mean over new sequences, layers and heads, from resampled means.

    "percentile" takes quantiles of the draws. "t" is mean +/- t * sd(draws) * sqrt(k / (k - 1))
    with k - 1 degrees of freedom, k the smaller of the numbers of documents and layers.

    Parameters
    ----------
    values, documents
        As given to `pigeonhole_means`.
    draws
        (B, ...), what it returned.
    confidence
        In (0, 1).
    kind
        "percentile" or "t".

    Returns
    -------
    CrossedInterval
        Arrays (...). No interval with fewer than 10 documents (reason "documents") or 6 layers
        ("layers"), or where under 95 % of the draws are defined ("draws").
    """
    design = crossed(values, documents)
    sample = np.asarray(draws, dtype=np.float64).reshape(len(np.asarray(draws)), -1)
    if sample.shape != (len(sample), len(design.mean)) or len(sample) < 2:
        raise ValueError(f"`draws` must be (B >= 2, {design.shape}), got {np.shape(draws)}")
    if kind not in ("percentile", "t") or not 0 < confidence < 1:
        raise ValueError(f"need a known kind and 0 < confidence < 1, got {kind}, {confidence}")
    defined = ~np.isnan(sample)
    reason = design.reason
    reason = np.where((reason == "") & (defined.mean(axis=0) < MIN_DEFINED), "draws", reason)
    good = reason == ""
    # Zeros where there is no interval: numpy warns of a column without numbers.
    usable = np.where(good, sample, 0.0)
    spread = np.nanstd(usable, axis=0, ddof=1)
    if kind == "t":
        levels = np.maximum(np.minimum(design.documents, design.layers), 2).astype(np.float64)
        error = spread * np.sqrt(levels / (levels - 1))
        return t_interval(design, error, levels - 1, reason, confidence)
    outside = (1 - confidence) / 2
    low, high = np.where(good, np.nanquantile(usable, (outside, 1 - outside), axis=0), np.nan)
    none = np.full(low.shape, np.nan)
    return finished(design, np.where(good, spread, np.nan), none, low, high, reason)
