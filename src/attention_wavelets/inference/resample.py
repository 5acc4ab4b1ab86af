"""Cluster bootstrap over documents, for any statistic of tables averaged over sequences.

Draw weights on sequences, average every table with the same weights, compute the statistic from the
averages. A difference to a null is a statistic of both tables, so its null is recomputed within.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from attention_wavelets.inference.intervals import FloatArray, Interval

__all__ = [
    "BIAS_MARGIN",
    "BLOCK",
    "MIN_DOCUMENTS",
    "Seed",
    "bootstrap_interval",
    "document_weights",
    "numbered",
    "resampled_heads",
    "seed_blocks",
    "weighted_means",
]

Seed = int | Sequence[int]

# Resamples with one random stream. Part of what a seed means: another size gives other draws.
BLOCK = 256
# Fewer documents than this give no interval, and fewer defined resamples than this share.
MIN_DOCUMENTS = 10
MIN_DEFINED = 0.95
# The first helping of noise moves a number more than the second, which resampling adds. A share of
# variance between heads, 1 / (1 + v), moves 1 + 2 v times as much; a product of two, R2, is within
# twice while v, the variance of noise in the averages over that between heads, is below 0.29.
BIAS_MARGIN = 2.0


def seed_blocks(resamples: int, seed: Seed) -> Iterator[tuple[int, int, np.random.SeedSequence]]:
    """First and last plus one of each block of resamples, with the block's own child of the seed.

    A resample's draws depend on its number only: not on how many are drawn, nor on chunks.
    """
    if resamples < 1:
        raise ValueError(f"need at least one resample, got {resamples}")
    children = np.random.SeedSequence(seed).spawn(-(-resamples // BLOCK))
    for number, child in enumerate(children):
        yield number * BLOCK, min(resamples, (number + 1) * BLOCK), child


def numbered(documents: ArrayLike) -> tuple[NDArray[np.intp], int]:
    """Number of each row's document in sorted order, and how many documents there are.

    Raises ValueError if there is no row, or `documents` is not one-dimensional.
    """
    labels = np.asarray(documents)
    if labels.ndim != 1 or not len(labels):
        raise ValueError(f"`documents` must name the document of each row, got {labels.shape}")
    names, index = np.unique(labels, return_inverse=True)
    return index, len(names)


def document_weights(documents: ArrayLike, resamples: int, seed: Seed) -> FloatArray:
    """Weights on sequences when documents are drawn with replacement.

    A document drawn c times brings each of its sequences c times (Field and Welsh 2007, the cluster
    bootstrap). The draws belong to the sorted names of the documents, so the order of rows does not
    matter.

    Parameters
    ----------
    documents
        (sequence,), the document of each sequence: numbers or strings.
    resamples
        B.
    seed
        Root of the random streams.

    Returns
    -------
    numpy.ndarray
        (B, sequence); each row sums to 1.
    """
    index, groups = numbered(documents)
    even = np.full(groups, 1 / groups)
    counts = np.concatenate(
        [
            np.random.default_rng(child).multinomial(groups, even, size=stop - start)
            for start, stop, child in seed_blocks(resamples, seed)
        ]
    )
    weights = counts[:, index].astype(np.float64)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def weighted_means(weights: ArrayLike, values: ArrayLike) -> FloatArray:
    """Averages over sequences, one per row of weights; NaN is left out and the rest weighs more.

    Parameters
    ----------
    weights
        (B, sequence), not negative.
    values
        (sequence, ...), numbers or NaN.

    Returns
    -------
    numpy.ndarray
        (B, ...), NaN where no sequence with weight has a value.
    """
    w, x = np.asarray(weights, dtype=np.float64), np.asarray(values, dtype=np.float64)
    table = x.reshape(len(x), -1)
    present = ~np.isnan(table)
    total = w @ np.where(present, table, 0.0)
    whole = w @ present.astype(np.float64)
    means = np.divide(total, whole, out=np.full(total.shape, np.nan), where=whole > 0)
    return np.asarray(means.reshape(len(w), *x.shape[1:]))


def bootstrap_interval(
    estimate: ArrayLike, draws: ArrayLike, documents: ArrayLike, confidence: float
) -> Interval:
    """From the estimate, and from it less twice its bias, to t_{G-1} sd(draws) sqrt(G / (G - 1)).

    The spread of the draws with the small-sample factor of a bootstrap variance and the quantile of
    t: percentiles of few documents are too narrow (Hesterberg 2015). Noise of the averages moves
    numbers that are not linear in them, and a resample has that noise twice: mean(draws) - estimate
    times G / (G - 1) tells how far (Efron and Tibshirani 1993, chapter 10). To subtract it would
    be wrong for ranks and counts, which jump. So the interval spans the number as it is and the
    number less `BIAS_MARGIN` times the bias, and never becomes narrower.

    Parameters
    ----------
    estimate
        (...), the statistic of the table with equal weights, or NaN.
    draws
        (B, ...), the statistic of each resample; NaN is left out.
    documents
        (sequence,), as given to `document_weights`.
    confidence
        In (0, 1).

    Returns
    -------
    Interval
        Arrays (...). Reason "undefined" where the estimate is NaN, "documents" below
        `MIN_DOCUMENTS` documents, "draws" where under 95 % of the draws are defined.
    """
    centre, sample = np.asarray(estimate, np.float64), np.asarray(draws, np.float64)
    if sample.ndim == 0 or sample.shape[1:] != centre.shape or len(sample) < 2:
        raise ValueError(f"`draws` must be (B >= 2, {centre.shape}), got {sample.shape}")
    if not 0 < confidence < 1:
        raise ValueError(f"need 0 < confidence < 1, got {confidence}")
    index, groups = numbered(documents)
    defined = np.isfinite(sample)
    usable = defined.mean(axis=0) >= MIN_DEFINED
    reason = np.where(usable, "", "draws")
    if groups < MIN_DOCUMENTS:
        reason = np.full(centre.shape, "documents")
    reason = np.where(np.isnan(centre), "undefined", reason)
    good = reason == ""
    # Zeros where there is no interval: numpy warns of a column without numbers.
    kept = np.where(defined, sample, np.nan)
    spread = np.nanstd(np.where(good, kept, 0.0), axis=0, ddof=1)
    error = np.where(good, spread * np.sqrt(groups / max(groups - 1, 1)), np.nan)
    half = float(stats.t.ppf(0.5 + confidence / 2, max(groups - 1, 1))) * error
    bias = np.nanmean(np.where(good, kept - centre, 0.0), axis=0) * groups / max(groups - 1, 1)
    shift = BIAS_MARGIN * bias
    return Interval(
        mean=centre,
        standard_error=error,
        low=centre - np.maximum(shift, 0.0) - half,
        high=centre - np.minimum(shift, 0.0) + half,
        n=np.full(centre.shape, len(index)),
        clusters=np.full(centre.shape, groups),
        reason=reason,
    )


def resampled_heads(
    layers: int, heads: int, resamples: int, seed: Seed
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Layers drawn with replacement, and for each drawn layer its heads drawn anew.

    `table[layer[b][:, None], head[b]]` is the b-th resample of a table (layer, head).

    Returns
    -------
    tuple
        `layer` (B, layer) and `head` (B, layer, head).
    """
    drawn, within = [], []
    for start, stop, child in seed_blocks(resamples, seed):
        # A stream for each, so that a shorter last block is the start of a longer one.
        of_layers, of_heads = (np.random.default_rng(part) for part in child.spawn(2))
        drawn.append(of_layers.integers(layers, size=(stop - start, layers)))
        within.append(of_heads.integers(heads, size=(stop - start, layers, heads)))
    return np.concatenate(drawn), np.concatenate(within)
