"""Nulls of independent weights, each with exactly the unevenness (CV^2) of its observed row."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from attention_wavelets.measures.arrays import FloatArray
from attention_wavelets.nulls.seeds import Streams, each_sequence
from attention_wavelets.nulls.surrogates import (
    Axis,
    Surrogates,
    finished,
    no_sink,
    prepared,
    squared_cv,
)

__all__ = ["draw_gamma", "iid", "sink_random"]

# A CV^2 below this is the rounding of a uniform row.
_FLAT = 1e-22
# Relative error at which the search for the power stops, and its largest number of steps.
_CLOSE = 1e-4
_STEPS = 60
# Largest step in the logarithm of the power.
_STRIDE = 2.0
# Smallest shape that is drawn: its weights are one point already.
_POINT = 1e-12
# Least cube root of a weight over its mean; the cubed normal has no negative ones.
_LOWEST = 1e-3
# Numbers worked on at once, so that they stay in the processor's cache.
_CHUNK = 2**15


def iid(rows: ArrayLike, streams: Streams, _axis: Axis, /) -> Surrogates:
    """Independent gamma weights, raised to the power that gives each row's own CV^2.

    Weights w are drawn with the shape k at which E sum w^2 is the row's sum of squares: of
    Dirichlet weights CV^2 is (N - 1) / (N k + 1). The CV^2 of a draw scatters around that, so w
    becomes w^g, with g solved for each draw. CV^2 rises with g from 0 to N - 1, so every row can be
    matched; a uniform row gives a uniform one, a row of one key one key at random.

    The power keeps positions exchangeable and weights positive, and stretches the law's logarithm
    by a g that is near 1 for typical draws. Up to a CV^2 of about 3 (N = 96) the weights' law stays
    gamma within a Kolmogorov distance of 0.02; near N - 1, where a handful of keys hold everything,
    it is that of the power.

    Parameters
    ----------
    rows
        (head, N) with one stream, or (sequence, head, N) with one per sequence.
    streams
        See `seeds.each_sequence`.
    _axis
        Not used: independent weights know no place.
    """
    observed = prepared(rows)
    weights, error = _independent(observed.weights, observed.shape, streams)
    return finished(weights, error, observed)


def sink_random(rows: ArrayLike, streams: Streams, axis: Axis, /) -> Surrogates:
    """Position 0 keeps its mass; what remains is `iid` with the remainder's own CV^2.

    A row with all its mass at position 0 stays as it is. Signals by lag are a PipelineError: their
    first column is no attention sink.

    Parameters
    ----------
    rows, streams, axis
        As for `iid`.
    """
    if axis.lags is not None:
        raise no_sink("sink_random", "choose null iid")
    observed = prepared(rows)
    signals = observed.weights.copy()
    rest = observed.weights[:, 1:]
    mass = rest.sum(axis=-1, keepdims=True)
    error = np.zeros(len(signals))
    if rest.shape[1] > 0:
        # Of a row without remainder a uniform one is drawn, and multiplied by 0.
        shares = np.where(mass > 0, rest, 1.0)
        shares /= shares.sum(axis=-1, keepdims=True)
        drawn, error = _independent(shares, (*observed.shape[:-1], rest.shape[1]), streams)
        signals[:, 1:] = mass * drawn
    return finished(signals, error, observed)


def _independent(
    weights: FloatArray, shape: tuple[int, ...], streams: Streams
) -> tuple[FloatArray, FloatArray]:
    """Independent weights (n, N) with the CV^2 of the given ones, and its relative error (n,)."""
    normal, exponential = np.empty(shape), np.empty(shape)
    for here, generator in each_sequence(shape, streams):
        generator.standard_normal(out=normal[here])
        generator.standard_exponential(out=exponential[here])
    normal, exponential = normal.reshape(weights.shape), exponential.reshape(weights.shape)
    length = weights.shape[-1]
    out, error = np.full(weights.shape, 1.0 / length), np.zeros(len(weights))
    rows = max(1, _CHUNK // length)
    for first in range(0, len(weights), rows):
        chunk = slice(first, first + rows)
        cv2 = squared_cv(weights[chunk])
        uneven = np.flatnonzero(cv2 > _FLAT)
        target = cv2[uneven]
        shapes = np.maximum(((length - 1) / target - 1) / length, _POINT)
        logs = draw_gamma(normal[chunk][uneven], exponential[chunk][uneven], shapes)
        out[first + uneven], error[first + uneven] = _raised(logs, target)
    return out, error


def draw_gamma(normal: FloatArray, exponential: FloatArray, shapes: FloatArray) -> FloatArray:
    """Logarithms (n, N) of gamma weights of shapes k (n,), up to a constant per row.

    A gamma of shape k is one of shape k + 1 times U^(1 / k) (Stuart 1962), and a gamma of shape
    k + 1 >= 1 is close to a cubed normal (Wilson and Hilferty 1931). Samplers of numpy are exact,
    but reject: how many numbers they take would depend on the rows.

    Parameters
    ----------
    normal, exponential
        (n, N) standard draws; -log U is exponential.
    shapes
        (n,), positive.
    """
    k = shapes[:, None]
    ninth = 1 / (9 * (k + 1))
    root = np.maximum(normal * np.sqrt(ninth) - ninth, _LOWEST - 1)
    return np.asarray(3 * np.log1p(root) - exponential / k)


def _raised(logs: FloatArray, target: FloatArray) -> tuple[FloatArray, FloatArray]:
    """exp(g logs), each row divided by its sum, with the g that gives the CV^2 asked for.

    Newton's method in log g for log CV^2, kept between the largest g known to be too small and the
    smallest known to be too large. Rows that are done leave, so each is worked on alone.
    """
    out, error = np.full(logs.shape, np.nan), np.full(len(logs), np.inf)
    logs = logs - logs.max(axis=-1, keepdims=True)
    place = np.arange(len(logs))
    # Logarithm of g, and what it is known to lie between.
    at, low, high = np.zeros(len(logs)), np.full(len(logs), -np.inf), np.full(len(logs), np.inf)
    for _ in range(_STEPS):
        g = np.exp(at)
        weights = np.exp(g[:, None] * logs)
        total = weights.sum(axis=-1)
        cv2 = squared_cv(weights)
        off = np.abs(cv2 - target) / target
        done = off <= _CLOSE
        out[place[done]] = weights[done] / total[done, None]
        error[place[done]] = off[done]
        if done.all():
            break
        # d ln CV^2 / d ln g, from d ln sum w^g / dg = mean of the logarithms under w^g.
        mean = (weights * logs).sum(axis=-1) / total
        squares = np.square(weights)
        steep = (squares * logs).sum(axis=-1) / squares.sum(axis=-1)
        slope = 2 * g * (steep - mean) * (1 + cv2) / cv2
        low, high = np.where(cv2 < target, at, low), np.where(cv2 < target, high, at)
        # A slope of almost nothing gives a step of any size, which is clipped.
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            step = np.clip(np.log(target / cv2) / slope, -_STRIDE, _STRIDE)
        new = at + step
        # Where Newton leaves the interval, or has no slope to go by.
        middle = np.clip((low + high) / 2, at - _STRIDE, at + _STRIDE)
        at = np.where((new > low) & (new < high), new, middle)
        left = ~done
        place, logs, target = place[left], logs[left], target[left]
        at, low, high = at[left], low[left], high[left]
    return out, error
