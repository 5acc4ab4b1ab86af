"""How much a signal changes when its sequence is subsampled: 1 - cosine after an alignment.

The two signals have different lengths, so their coefficients must first be made comparable. The
paper does not say how; each rule is a value in `ALIGNMENTS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attention_wavelets.errors import unknown_name
from attention_wavelets.measures.arrays import FloatArray
from attention_wavelets.measures.dilation import Lags, resample, same_lags
from attention_wavelets.measures.registry import by_name
from attention_wavelets.measures.wavelet import RESOLUTION, decompose, level_energies

__all__ = ["ALIGNMENTS", "Alignment", "alignment", "scale_sensitivity"]

Coefficients = list[FloatArray]
Pair = tuple[FloatArray, FloatArray]


@dataclass(frozen=True)
class Alignment:
    """A rule that makes the coefficients of two lengths into vectors of one length.

    Attributes
    ----------
    name
        As in `ScaleComparison.alignment`.
    summary
        One sentence.
    align
        Takes both lists of coefficients, coarse to fine; returns two arrays (..., m).
    power
        1 if the vectors hold coefficients, 2 if they hold their squares.
    min_levels
        Levels both signals need. One energy alone always has cosine 1 and says nothing.
    prepare
        Takes both signals (..., N0), (..., N1) and the lags of their columns before the transform.
    """

    name: str
    summary: str
    align: Callable[[Coefficients, Coefficients], Pair]
    power: int = 1
    min_levels: int = 1
    prepare: Callable[[FloatArray, FloatArray, Lags], Pair] | None = None


def _concatenated(first: Coefficients, second: Coefficients) -> Pair:
    return np.concatenate(first, axis=-1), np.concatenate(second, axis=-1)


def _padded(vector: FloatArray, length: int) -> FloatArray:
    missing = length - vector.shape[-1]
    return np.pad(vector, [(0, 0)] * (vector.ndim - 1) + [(0, missing)])


def _zero_padded(first: Coefficients, second: Coefficients) -> Pair:
    x, y = _concatenated(first, second)
    longer = max(x.shape[-1], y.shape[-1])
    return _padded(x, longer), _padded(y, longer)


def _truncated(first: Coefficients, second: Coefficients) -> Pair:
    x, y = _concatenated(first, second)
    shorter = min(x.shape[-1], y.shape[-1])
    return x[..., :shorter], y[..., :shorter]


def _energies_coarse(first: Coefficients, second: Coefficients) -> Pair:
    x, y = level_energies(first[1:]), level_energies(second[1:])
    shared = min(x.shape[-1], y.shape[-1])
    return x[..., :shared], y[..., :shared]


def _energies_fine(first: Coefficients, second: Coefficients) -> Pair:
    x, y = level_energies(first[1:]), level_energies(second[1:])
    shared = min(x.shape[-1], y.shape[-1])
    return x[..., -shared:], y[..., -shared:]


def _level_shift(first: Coefficients, second: Coefficients) -> Pair:
    kept = [
        (x[..., : y.shape[-1]], y[..., : x.shape[-1]])
        for x, y in zip(first[1:], second[1:], strict=False)
    ]
    return _concatenated([x for x, _ in kept], [y for _, y in kept])


def _resampled(first: FloatArray, second: FloatArray, _: Lags) -> Pair:
    length = min(first.shape[-1], second.shape[-1])
    return resample(first, length), resample(second, length)


ALIGNMENTS: dict[str, Alignment] = by_name(
    [
        Alignment(
            "zero_padded_concat",
            "all coefficients, coarse to fine; the shorter vector is zero-padded at its end",
            _zero_padded,
        ),
        Alignment(
            "truncated_concat",
            "all coefficients, coarse to fine; the longer vector is cut at its end",
            _truncated,
        ),
        Alignment(
            "energies_coarse",
            "energies of the detail levels both signals have, counted from the coarsest",
            _energies_coarse,
            power=2,
            min_levels=2,
        ),
        Alignment(
            "energies_fine",
            "energies of the detail levels both signals have, counted from the finest",
            _energies_fine,
            power=2,
            min_levels=2,
        ),
        Alignment(
            "level_shift",
            "details coefficient by coefficient, counted from the coarsest level; the finest "
            "levels of the longer signal are dropped",
            _level_shift,
        ),
        Alignment(
            "resampled",
            "the longer signal is first resampled to the length of the shorter, its mass kept",
            _concatenated,
            prepare=_resampled,
        ),
        Alignment(
            "same_lags",
            "the longer signal is first cut to the tokens nearest to the query",
            _concatenated,
            prepare=same_lags,
        ),
    ]
)
"""Name of an alignment rule -> the rule."""


def alignment(name: str) -> Alignment:
    """The rule of that name. Raises PipelineError for an unknown one."""
    if name not in ALIGNMENTS:
        raise unknown_name("alignment", name, ALIGNMENTS)
    return ALIGNMENTS[name]


def scale_sensitivity(
    reference: ArrayLike,
    scaled: ArrayLike,
    rule: str,
    wavelet: str,
    mode: str,
    lags: Lags = None,
) -> FloatArray:
    """1 - cosine of the aligned wavelet coefficients of two signals, in [0, 2].

    Parameters
    ----------
    reference, scaled
        (..., N0) and (..., N1), the same leading axes; each long enough for one level.
    rule
        Name of an alignment rule.
    wavelet, mode
        Names as PyWavelets knows them.
    lags
        Lags of the columns of both, for signals by lag.

    Returns
    -------
    FloatArray
        (...); NaN where one of the aligned vectors is zero up to rounding.
    """
    how = alignment(rule)
    pair = np.asarray(reference, dtype=np.float64), np.asarray(scaled, dtype=np.float64)
    if how.prepare is not None:
        pair = how.prepare(*pair, lags)
    first, second = (decompose(signal, wavelet, mode) for signal in pair)
    fewest = min(len(first), len(second)) - 1
    if fewest < how.min_levels:
        raise ValueError(f"{rule} needs {how.min_levels} levels in both signals, got {fewest}")
    x, y = how.align(first, second)
    unit_x, seen_x = _unit(x, first, how.power)
    unit_y, seen_y = _unit(y, second, how.power)
    cosine = np.clip((unit_x * unit_y).sum(axis=-1), -1.0, 1.0)
    return np.where(seen_x & seen_y, 1.0 - cosine, np.nan)


def _unit(
    vector: FloatArray, coefficients: Coefficients, power: int
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """The vector at unit length, and where it has one: below the floor it is rounding."""
    norm = np.sqrt(np.square(vector).sum(axis=-1))
    size = np.sqrt(level_energies(coefficients).sum(axis=-1))
    seen = np.asarray(norm > (RESOLUTION * size) ** power)
    unit = np.divide(vector, norm[..., None], out=np.zeros(vector.shape), where=seen[..., None])
    return unit, seen
