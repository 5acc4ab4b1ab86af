"""Variance components of sequences crossed with heads in layers, and the interval they give."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from attention_wavelets.inference.crossed import Crossed, CrossedInterval, crossed, t_interval
from attention_wavelets.inference.intervals import FloatArray

__all__ = ["Components", "satterthwaite_interval", "variance_components"]


class Components(NamedTuple):
    """Variances in squared units of the values; unbiased, so a small one can come out negative.

    A value is mean + sequence + layer + head + sequence x layer + rest, and the rest holds what is
    of one sequence and head.
    """

    sequence: FloatArray
    layer: FloatArray
    head: FloatArray
    sequence_layer: FloatArray
    rest: FloatArray


def variance_components(values: ArrayLike) -> Components:
    """Variance components by the method of moments, from differences of pairs of cells.

    Half the mean squared difference of two cells is the sum of the components that they do not
    share (Koch 1967, Technometrics 9). There are five kinds of pairs and five components. Without
    missing values this is the analysis of variance; with them it stays unbiased.

    Parameters
    ----------
    values
        (sequence, layer, head, ...), numbers or NaN.

    Returns
    -------
    Components
        Each (...), NaN where there is no pair to tell a component from.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim < 3 or np.isinf(x).any():
        raise ValueError(f"`values` must be (sequence, layer, head, ...) and finite, got {x.shape}")
    sample = ~np.isnan(x)
    # Differences do not see the mean, and sums of squares lose fewer digits without it.
    count = np.maximum(sample.sum(axis=(0, 1, 2)), 1)
    y = np.where(sample, x - np.where(sample, x, 0.0).sum(axis=(0, 1, 2)) / count, 0.0)
    w = sample.astype(np.float64)

    def pairs(*shared: int) -> tuple[FloatArray, FloatArray]:
        """Number and summed half squared difference of pairs within cells that share axes."""
        axes = tuple(axis for axis in range(3) if axis not in shared)
        n, total, squares = (part.sum(axis=axes) for part in (w, y, y**2))
        rest = tuple(range(len(shared)))
        count = (n * (n - 1) / 2).sum(axis=rest)
        return np.asarray(count), np.asarray(((n * squares - total**2) / 2).sum(axis=rest))

    def half(inner: tuple[int, ...], *excluded: tuple[int, ...]) -> FloatArray:
        """Half mean squared difference of the pairs that share `inner` and nothing more."""
        count, total = pairs(*inner)
        for number, shared in enumerate(excluded):
            # The last of three holds the pairs that the first two both left out.
            sign = 1 if number == 2 else -1
            other = pairs(*shared)
            count, total = count + sign * other[0], total + sign * other[1]
        none = np.full(count.shape, np.nan)
        return np.asarray(np.divide(total, count, out=none, where=count > 0))

    # Axes: 0 sequence, 1 layer, 2 head; a head shares its layer.
    nothing = half((), (0,), (1,), (0, 1))
    same_sequence = half((0,), (0, 1))
    same_layer = half((1,), (0, 1), (1, 2))
    same_sequence_layer = half((0, 1))
    same_head = half((1, 2))
    sequence, layer = nothing - same_sequence, nothing - same_layer
    head = same_layer - same_head
    both = nothing - same_sequence_layer - sequence - layer
    return Components(sequence, layer, head, both, nothing - sequence - layer - head - both)


def satterthwaite_interval(
    values: ArrayLike, documents: ArrayLike, confidence: float
) -> CrossedInterval:
    """t-interval of the mean over new sequences, new layers and new heads.

    Var(mean) = V_document + V_layer - V_both, where V_document and V_layer are the variances of the
    mean that clustering by document and by layer give, and V_both that of their interaction, which
    both contain. In a complete design they are mean squares over the number of cells, and heads
    need no term of their own, since V_layer contains them. A negative difference V - V_both
    counts as 0. Degrees of freedom after Satterthwaite 1946: V^2 / sum of V_i^2 / f_i, at least the
    smallest f_i. Documents may be unequal and cells missing: then the variances are those of
    clustered sums (Cameron, Gelbach and Miller 2011) with the interaction centred both ways.

    Parameters
    ----------
    values
        (sequence, layer, head, ...), numbers or NaN.
    documents
        (sequence,), the document of each sequence.
    confidence
        In (0, 1).

    Returns
    -------
    CrossedInterval
        Arrays (...). No interval with fewer than 10 documents (reason "documents") or 6 layers
        ("layers").
    """
    design = crossed(values, documents)
    variance, degrees = _variance_of_mean(design)
    return t_interval(design, np.sqrt(variance), degrees, design.reason, confidence)


def _variance_of_mean(design: Crossed) -> tuple[FloatArray, FloatArray]:
    """(measure,) variance of the mean and its degrees of freedom."""
    n = np.maximum(design.n, 1)
    mean = np.where(design.n > 0, design.mean, 0.0)
    counts = design.counts
    residual = (design.sums - mean * counts) / n
    of_document, of_layer = residual.sum(axis=1), residual.sum(axis=0)
    per_document = of_document / np.maximum(counts.sum(axis=1), 1)
    per_layer = of_layer / np.maximum(counts.sum(axis=0), 1)
    inner = residual - counts * (per_document[:, None] + per_layer[None])
    f_document = np.maximum(design.documents - 1.0, 1.0)
    f_layer = np.maximum(design.layers - 1.0, 1.0)
    f_both = f_document * f_layer
    document = (f_document + 1) / f_document * np.square(of_document).sum(axis=0)
    layer = (f_layer + 1) / f_layer * np.square(of_layer).sum(axis=0)
    both = (f_document + 1) * (f_layer + 1) / f_both * np.square(inner).sum(axis=(0, 1))
    has_document, has_layer = document > both, layer > both
    # What is left of each term once a difference below 0 counts as 0.
    of_both = 1.0 - has_document - has_layer
    variance = has_document * document + has_layer * layer + of_both * both
    uncertain = (
        has_document * document**2 / f_document
        + has_layer * layer**2 / f_layer
        + np.abs(of_both) * both**2 / f_both
    )
    degrees = np.divide(variance**2, uncertain, out=f_both.copy(), where=uncertain > 0)
    return variance, np.maximum(degrees, np.minimum(f_document, f_layer))
