"""Time series of known scale as documents: a character a sample, its level after quantisation."""

from __future__ import annotations

import csv
import math
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attention_wavelets.config.schema import (
    FractionalNoise,
    Sinusoids,
    SyntheticSource,
    Text,
)
from attention_wavelets.errors import PipelineError

__all__ = ["draw_series", "levels_of", "quantised", "read_csv"]

# Levels are printable ASCII from here on, so that a byte-level tokenizer gives a token a sample.
_FIRST = ord("!")
# Of a standardised series, what lies beyond is put into the outermost levels.
_LIMIT = 3.0


def quantised(values: NDArray[np.float64], levels: int) -> str:
    """A series as a text: standardised, cut off at three standard deviations, in equal steps.

    Parameters
    ----------
    values
        (n,), finite.
    levels
        Number of steps, 2 to 94.

    Returns
    -------
    str
        n characters, in the order of the levels; a series without variation is one level.
    """
    spread = float(values.std())
    standard = (values - values.mean()) / (spread if spread > 0 else 1.0)
    places = np.floor((standard.clip(-_LIMIT, _LIMIT) + _LIMIT) / (2 * _LIMIT) * levels)
    codes = _FIRST + places.clip(0, levels - 1).astype(np.uint8)
    return codes.astype(np.uint8).tobytes().decode("ascii")


def levels_of(text: str) -> NDArray[np.float64]:
    """The way back: the level of every character, from 0."""
    return np.frombuffer(text.encode("ascii"), dtype=np.uint8).astype(np.float64) - _FIRST


def draw_series(source: SyntheticSource, levels: int) -> Iterator[tuple[str, str, str]]:
    """Yield (title, text, group) of every series; each depends on the seed and its own number."""
    for name, group in source.groups.items():
        for number in range(source.count):
            key = [source.seed, zlib.crc32(name.encode()), number]
            random = np.random.default_rng(np.random.SeedSequence(key))
            values = _MAKERS[group.kind](group, source.length, random)
            yield f"{name} {number}", quantised(values, levels), name


def _sinusoids(group: Sinusoids, count: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Sinusoids of unit variance at drawn phases, and white noise."""
    time = np.arange(count)
    phases = random.uniform(0, 2 * math.pi, len(group.periods))
    waves = [
        math.sqrt(2) * np.sin(2 * math.pi * time / period + phase)
        for period, phase in zip(group.periods, phases, strict=True)
    ]
    total = np.sum(waves, axis=0) / math.sqrt(len(waves))
    return np.asarray(total + group.noise * random.standard_normal(count))


def _fractional_noise(
    group: FractionalNoise, count: int, random: np.random.Generator
) -> NDArray[np.float64]:
    """Fractional Gaussian noise by circulant embedding, exact (Davies and Harte 1987)."""
    lag = np.arange(count + 1, dtype=np.float64)
    power = 2 * group.hurst
    cov = 0.5 * (np.abs(lag - 1) ** power - 2 * lag**power + (lag + 1) ** power)
    circle = np.concatenate([cov, cov[-2:0:-1]])
    # Of this process no eigenvalue is negative; rounding may put one just below 0.
    eigenvalues = np.fft.fft(circle).real.clip(min=0)
    size = len(circle)
    noise = random.standard_normal(size) + 1j * random.standard_normal(size)
    return np.asarray(np.fft.fft(np.sqrt(eigenvalues / size) * noise).real[:count])


_MAKERS = {"sinusoids": _sinusoids, "fractional_noise": _fractional_noise}


def read_csv(path: Path, text: Text) -> Iterator[tuple[str, str]]:
    """Yield the one (file name without suffix, text) of a column of a CSV file.

    All of a file is one document: its parts are no independent observations. A missing column, and
    a cell that is no finite number, are `PipelineError`s that name the place.
    """
    assert text.samples is not None, "checked by the schema"
    values = np.array(list(_column(path, text.field)))
    if len(values):
        yield path.stem, quantised(values, text.samples.levels)


def _column(path: Path, field: str) -> Iterator[float]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            rows = csv.DictReader(handle)
            if field not in (rows.fieldnames or ()):
                names = ", ".join(rows.fieldnames or ()) or "(none)"
                raise PipelineError(
                    f"column '{field}' is missing", str(path), f"set `field` to one of: {names}"
                )
            for row in rows:
                yield _number(row[field], f"{path}, line {rows.line_num}")
    except FileNotFoundError:
        raise PipelineError("file is missing", str(path), "check `source` of the corpus") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PipelineError(
            f"not readable as CSV in UTF-8 ({error})", str(path), "correct `format` in the corpus"
        ) from None


def _number(cell: str | None, where: str) -> float:
    try:
        value = float(cell or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise PipelineError(
            f"'{cell or ''}' is no finite number", where, "fill or cut the gap beforehand"
        )
    return value
