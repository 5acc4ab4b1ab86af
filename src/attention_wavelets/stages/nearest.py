"""Stage compare_tables: the published tables beside ours, and which cell comes nearest to each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from attention_wavelets.reference.distance import (
    READINGS,
    Number,
    parts_of,
    published_rows,
    row_label,
    table_distances,
)
from attention_wavelets.reference.reproduction import Origin, reproduce
from attention_wavelets.store.tables import read_table, write_csv

__all__ = ["compare_tables"]

KEYS = ["corpus", "condition", "subsampling", "probe", "protocol", "reading"]
CELLS = ["model", "table", *KEYS, "distance", "row"]
NEAREST = [*CELLS, "cells_tried", "rows_tried", "overall_cell", "overall_distance"]
# Settings that decide some numbers only: protocols that differ in these alone can be joined.
PARTS = ("spectrum", "wavelet", "scale")
# Numbers that agree to so many significant digits are one number.
DIGITS = 9


def compare_tables(
    config: Mapping[str, Any], summary: Path, cells: Path, nearest: Path, reproduction: Path
) -> None:
    """Write how far each cell is from each table, the nearest cells, and numbers side by side.

    A cell is one corpus, condition and probe under one choice of settings; where a table has scale
    sensitivities also a way of subsampling, where its formula can be read in two ways also a
    reading. No number depends both on settings of the spectrum and on those of wavelets and scale,
    so the two kinds are read from two protocols wherever these agree in all other settings. Cells
    that lack one of a table's numbers are not compared with it.

    Parameters
    ----------
    config
        The slice: models with their repositories and revisions, headline, subsampled conditions,
        protocols of kind paper with their reference, and their settings.
    summary
        The study's table of all statistics.
    cells, nearest, reproduction
        CSV files to write.
    """
    table = read_table(summary)
    table = table[table["protocol"].isin(config["protocols"])]
    origins = {
        name: Origin(repository, config["revisions"][name])
        for name, repository in config["models"].items()
    }
    write_csv(reproduction, reproduce(table, origins, config["headline"], config["scales"]))
    rows: list[tuple[Any, ...]] = []
    best: list[tuple[Any, ...]] = []
    for model, repository in config["models"].items():
        numbers = _Numbers(config, table[table["model"] == model])
        found = {place: numbers.found(place, repository) for place in numbers.places}
        mine = [cell for of in found.values() for f in of for cell in _cells(f, repository)]
        rows += [(model, *cell) for cell in mine]
        one = _one_cell(numbers, found)
        for number in dict.fromkeys(cell[0] for cell in mine):
            tried = [f.numbers for of in found.values() for f in of if f.table == number]
            best.append(
                (
                    model,
                    *min((c for c in mine if c[0] == number), key=lambda c: float(c[-2])),
                    _distinct(tried),
                    len(published_rows(number, repository)),
                    one.name,
                    one.distances.get(number, np.nan),
                )
            )
    write_csv(cells, pd.DataFrame(rows, columns=CELLS))
    write_csv(nearest, pd.DataFrame(best, columns=NEAREST))


class Place(NamedTuple):
    """Where numbers come from, but for the settings in PARTS; `rest` are all other settings."""

    corpus: str
    condition: str
    probe: str
    rest: str


@dataclass(frozen=True)
class Found:
    """The cells of one place, compared with one table in one reading.

    Attributes
    ----------
    place, table, reading
        Where; number; name of the reading, empty where there is one only.
    protocols
        (spectra, wavelets) name of the protocol or protocols.
    methods
        Ways of subsampling; an empty one where the table has no scale sensitivity.
    numbers
        (spectra, wavelets, methods, columns). An axis on which no number depends has length 1.
    distance, row
        (spectra, wavelets, methods) distance, place of the nearest published row.
    wavelet_of
        For each choice of wavelets and scale at the place, where it stands on the second axis.
    """

    place: Place
    table: int
    reading: str
    protocols: list[list[str]]
    methods: list[str]
    numbers: np.ndarray
    distance: np.ndarray
    row: np.ndarray
    wavelet_of: list[int]

    def whole(self, shape: tuple[int, int, int]) -> np.ndarray:
        """Distances on the axes of a place, (spectra, all wavelets and scales, methods)."""
        return np.broadcast_to(self.distance[:, self.wavelet_of], shape)


class _Numbers:
    """The numbers of one model by what they depend on."""

    def __init__(self, config: Mapping[str, Any], table: pd.DataFrame) -> None:
        self.scales: Mapping[str, Mapping[str, Any]] = config["scales"]
        self.references: Mapping[str, str] = config["protocols"]
        self.settings: Mapping[str, Mapping[str, Any]] = config["settings"]
        methods = dict.fromkeys(str(scale["method"]) for scale in self.scales.values())
        self.methods = list(methods) or [""]
        self.values: dict[tuple[Place, str, str], float] = {}
        self.keys: dict[tuple[str, tuple[str, ...] | None], str] = {}
        self.both: dict[Place, dict[tuple[str, str], str]] = {}
        self.protocols: dict[Place, dict[str, None]] = {}
        for row in table.itertuples():
            place = Place(row.corpus, row.condition, row.probe, self.key(row.protocol, None))
            self.protocols.setdefault(place, {})[row.protocol] = None
            key = self.key(row.protocol, parts_of(row.statistic))
            # Protocols that differ in other parts have measured the same number again.
            self.values.setdefault((place, key, row.statistic), float(row.mean))
        self.places = [place for place in self.protocols if place.condition not in self.scales]

    def key(self, protocol: str, parts: tuple[str, ...] | None) -> str:
        """Some settings of a protocol as one string; of None, all that are not in PARTS."""
        known = self.keys.get((protocol, parts))
        if known is None:
            settings = self.settings[protocol]
            # Which columns there are changes none of them.
            rest = [name for name in settings if name not in (*PARTS, "measures")]
            wanted = [settings[part] for part in (rest if parts is None else parts)]
            known = self.keys[protocol, parts] = json.dumps(wanted, sort_keys=True)
        return known

    def options(self, place: Place, *parts: str) -> list[str]:
        """A protocol, that of the shortest name, for each choice of some settings at a place."""
        chosen: dict[str, str] = {}
        for protocol in self.protocols[place]:
            key = self.key(protocol, parts)
            chosen[key] = min(chosen.get(key, protocol), protocol, key=len)
        return list(chosen.values())

    def name(self, place: Place, spectral: str, wavelet: str) -> str:
        """What a cell's two protocols are called together: one name where one has both settings."""
        if not spectral or not wavelet:
            return spectral or wavelet or self.options(place)[0]
        both = self.both.get(place)
        if both is None:
            both = {self._both(p, p): p for p in self.options(place, *PARTS)}
            self.both[place] = both
        return both.get(self._both(spectral, wavelet), f"{spectral} + {wavelet}")

    def _both(self, spectral: str, wavelet: str) -> tuple[str, str]:
        return self.key(spectral, PARTS[:1]), self.key(wavelet, PARTS[1:])

    def value(self, place: Place, number: Number, protocol: str, method: str) -> float:
        """One number in the unit of the table; NaN where it was not measured."""
        at = place
        if number.fraction is not None:
            wanted = {"fraction": number.fraction, "method": method}
            # Of conditions that differ in their seed alone, the first.
            named = [name for name, scale in self.scales.items() if scale == wanted]
            if not named or place.condition != self.references[protocol]:
                return float("nan")
            at = place._replace(condition=named[0])
        key = (at, self.key(protocol, number.parts), number.statistic)
        return number.factor * self.values.get(key, np.nan)

    def found(self, place: Place, repository: str | None) -> list[Found]:
        """The cells of a place against every table in every reading."""
        return [
            self._found(place, table, reading if len(readings) > 1 else "", columns, repository)
            for table, readings in READINGS.items()
            for reading, columns in readings.items()
        ]

    def _found(
        self,
        place: Place,
        table: int,
        reading: str,
        columns: Mapping[str, Number],
        repository: str | None,
    ) -> Found:
        used = [p for p in PARTS if any(p in number.parts for number in columns.values())]
        any_protocol = self.options(place)[0]
        spectra = self.options(place, "spectrum") if "spectrum" in used else [""]
        parts = tuple(part for part in PARTS[1:] if part in used)
        wavelets = self.options(place, *parts) if parts else [""]
        scaled = any(number.fraction is not None for number in columns.values())
        methods = self.methods if scaled else [""]
        grids = [
            np.array([self.value(place, number, s, "") for s in spectra])[:, None, None]
            if "spectrum" in number.parts
            else np.array(
                [
                    [self.value(place, number, w or any_protocol, m) for m in methods]
                    for w in wavelets
                ]
            )[None]
            for number in columns.values()
        ]
        numbers = np.stack(np.broadcast_arrays(*grids), axis=-1)
        shape = (len(spectra), len(wavelets), len(methods))
        numbers = np.broadcast_to(numbers, (*shape, len(columns)))
        flat = numbers.reshape(-1, len(columns))
        distance, row = table_distances(flat, tuple(columns), table, repository)
        protocols = [[self.name(place, s, w) for w in wavelets] for s in spectra]
        known = [self.key(protocol or any_protocol, parts) for protocol in wavelets]
        wanted = [self.key(p, parts) for p in self.options(place, *PARTS[1:])]
        return Found(
            *(place, table, reading, protocols, methods, numbers),
            *(distance.reshape(shape), row.reshape(shape)),
            [known.index(key) for key in wanted],
        )


def _cells(found: Found, repository: str | None) -> Iterator[tuple[Any, ...]]:
    """Rows of cells.csv without the model."""
    published = published_rows(found.table, repository)
    names = [row_label(row) for _, row in published.iterrows()]
    corpus, condition, probe, _ = found.place
    for s, w, m in zip(*np.nonzero(np.isfinite(found.distance)), strict=True):
        at = (corpus, condition, found.methods[m], probe, found.protocols[s][w], found.reading)
        yield found.table, *at, float(found.distance[s, w, m]), names[found.row[s, w, m]]


def _distinct(tried: Sequence[np.ndarray]) -> int:
    """How many different sets of numbers a table was compared with."""
    flat = np.concatenate([numbers.reshape(-1, numbers.shape[-1]) for numbers in tried])
    flat = flat[np.isfinite(flat).all(axis=-1)]
    size = np.floor(np.log10(np.abs(flat), out=np.zeros(flat.shape), where=flat != 0))
    unit = 10.0 ** (size - DIGITS + 1)
    return len(np.unique(np.round(flat / unit) * unit, axis=0))


class OneCell(NamedTuple):
    """The cell nearest to all tables together: its settings in words, table -> distance."""

    name: str
    distances: Mapping[int, float]


def _one_cell(numbers: _Numbers, found: Mapping[Place, Sequence[Found]]) -> OneCell:
    """The smallest mean distance over tables, of the cells compared with as many as any.

    Every setting is chosen once for all tables: also the way of subsampling, and the reading of
    each formula that has two. No two tables share such a formula, so the nearer reading is taken.
    """
    best, least = OneCell("", {}), (0, np.inf)
    for place, of in found.items():
        spectra = numbers.options(place, "spectrum")
        wavelets = numbers.options(place, *PARTS[1:])
        shape = (len(spectra), len(wavelets), len(numbers.methods))
        every = [(f, f.whole(shape)) for f in of]
        nearest = {
            table: np.fmin.reduce([distance for f, distance in every if f.table == table])
            for table in dict.fromkeys(f.table for f in of)
        }
        together = np.stack(list(nearest.values()))
        reached = np.isfinite(together).sum(axis=0)
        most = int(reached.max())
        mean = np.where(reached == most, np.nansum(together, axis=0) / max(most, 1), np.inf)
        at = np.unravel_index(mean.argmin(), shape)
        if most == 0 or (-most, mean[at]) >= least:
            continue
        least = (-most, float(mean[at]))
        used = [f for f, distance in every if distance[at] == nearest[f.table][at]]
        words = (
            *(place.corpus, place.condition, place.probe),
            numbers.name(place, spectra[at[0]], wavelets[at[1]]),
            *{numbers.methods[at[2]] for f in used if f.methods != [""]},
            *dict.fromkeys(f.reading for f in used),
        )
        distances = {t: float(d[at]) for t, d in nearest.items() if np.isfinite(d[at])}
        best = OneCell(" / ".join(filter(None, words)), distances)
    return best
