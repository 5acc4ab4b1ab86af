"""Rows of attention made of chance: no model, no text."""

from __future__ import annotations

import numpy as np

from attention_wavelets.measures.arrays import FloatArray

__all__ = ["causal_attention", "recency_rows", "sink_pairs", "softmax", "softmax_rows"]

# Rest beside a sink: parameters of a Dirichlet law, from a few spikes to nearly even.
RESTS = {"sparse": 0.05, "medium": 0.3, "dense": 3.0}


def softmax(logits: FloatArray) -> FloatArray:
    """Softmax over the last axis."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def softmax_rows(random: np.random.Generator, count: int, length: int) -> FloatArray:
    """(count, length) softmax of T times Gaussian numbers, T log-uniform in [0.1, 6]."""
    temperature = np.exp(random.uniform(np.log(0.1), np.log(6), (count, 1)))
    return softmax(temperature * random.standard_normal((count, length)))


def recency_rows(random: np.random.Generator, count: int, length: int) -> FloatArray:
    """(count, length) rows exp(-lag / w), w log-uniform in [0.3, length]."""
    width = np.exp(random.uniform(np.log(0.3), np.log(length), (count, 1)))
    return softmax(-np.arange(length) / width)


def sink_pairs(
    random: np.random.Generator,
    count: int,
    length: int,
    sink: float,
    rest: float,
    *,
    at_end: bool = False,
) -> tuple[FloatArray, FloatArray]:
    """Two sets of rows (count, length) that share a sink and are else independent.

    Parameters
    ----------
    sink
        Mass of the sink.
    rest
        Parameter of the Dirichlet law of the rest.
    at_end
        Whether the sink is the last position and the second row has half the positions, followed
        by zeros; else the sink is the first position of both.
    """
    made = []
    for used in (length, length // 2 if at_end else length):
        row = np.zeros((count, length))
        row[:, :used] = (1 - sink) * random.dirichlet(np.full(used, rest), count)
        row[:, used - 1 if at_end else 0] += sink
        made.append(row)
    return made[0], made[1]


def causal_attention(logits: FloatArray) -> FloatArray:
    """Softmax (..., N, N) in which a query sees itself and earlier keys."""
    seen = np.tril(np.ones(logits.shape[-2:], dtype=bool))
    return softmax(np.where(seen, logits, -np.inf))
