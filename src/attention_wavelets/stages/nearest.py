"""Stage compare_tables: the published tables beside ours, and which cell comes nearest to each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from attention_wavelets.reference.distance import (
    READINGS,
    Number,
    condition_of,
    methods_of,
    table_distance,
)
from attention_wavelets.reference.reproduction import Origin, reproduce
from attention_wavelets.store.tables import read_table, write_csv

__all__ = ["compare_tables"]

KEYS = ["corpus", "condition", "subsampling", "probe", "protocol", "reading"]
CELLS = ["model", "table", *KEYS, "distance", "row"]
NEAREST = [*CELLS, "cells_tried", "overall_cell", "overall_distance"]


def compare_tables(
    config: Mapping[str, Any], summary: Path, cells: Path, nearest: Path, reproduction: Path
) -> None:
    """Write how far each cell is from each table, the nearest cells, and numbers side by side.

    A cell is one corpus, condition, probe and protocol; where a table has scale sensitivities also
    a way of subsampling, where its formula can be read in two ways also a reading. Cells that lack
    one of a table's numbers are not compared with it.

    Parameters
    ----------
    config
        The slice: models with their repositories and revisions, headline, subsampled conditions,
        protocols of kind paper.
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
    rows = [row for model in config["models"] for row in _cells(config, table, model)]
    found = pd.DataFrame(rows, columns=CELLS)
    write_csv(cells, found)
    write_csv(nearest, _nearest(found))


def _cells(config: Mapping[str, Any], table: pd.DataFrame, model: str) -> Iterator[tuple[Any, ...]]:
    mine = table[table["model"] == model]
    values = {
        (r.corpus, r.condition, r.probe, r.protocol, r.statistic): float(r.mean)
        for r in mine.itertuples()
    }
    places = dict.fromkeys(key[:4] for key in values if key[1] not in config["scales"])
    for number, readings in READINGS.items():
        for place in places:
            for reading, columns in readings.items():
                for method in _methods(config, columns, place):
                    ours = {
                        column: _value(config, values, place, method, wanted)
                        for column, wanted in columns.items()
                    }
                    distance, row = table_distance(ours, number, config["models"][model])
                    if np.isfinite(distance):
                        corpus, condition, probe, protocol = place
                        yield (
                            *(model, number, corpus, condition, method, probe, protocol),
                            *(reading if len(readings) > 1 else "", distance, row),
                        )


def _methods(
    config: Mapping[str, Any], columns: Mapping[str, Number], place: tuple[str, ...]
) -> list[str]:
    """Ways of subsampling to read a table with: none where it has no scale sensitivity."""
    if all(number.fraction is None for number in columns.values()):
        return [""]
    reference = config["protocols"][place[3]]
    if place[1] != reference:
        return []
    return methods_of(config["scales"])


def _value(
    config: Mapping[str, Any],
    values: Mapping[tuple[str, ...], float],
    place: tuple[str, ...],
    method: str,
    number: Number,
) -> float:
    corpus, condition, probe, protocol = place
    name = condition_of(number, condition, method, config["scales"]) or ""
    return number.factor * values.get((corpus, name, probe, protocol, number.statistic), np.nan)


def _nearest(cells: pd.DataFrame) -> pd.DataFrame:
    """Per model and table the nearest cell, and how far from it the best cell of all tables is."""
    parts = [cells.reindex(columns=NEAREST).iloc[:0]]
    for _, mine in cells.groupby("model", sort=False):
        overall = _overall(mine)
        for _, of_table in mine.groupby("table", sort=False):
            best = of_table.loc[[of_table["distance"].idxmin()]]
            same = of_table[_settings(of_table) == overall]
            parts.append(
                best.assign(
                    cells_tried=len(of_table),
                    overall_cell=overall,
                    overall_distance=same["distance"].min() if len(same) else np.nan,
                )
            )
    return pd.concat(parts[1:] or parts, ignore_index=True)


def _settings(cells: pd.DataFrame) -> pd.Series:
    return cells[["corpus", "condition", "probe", "protocol"]].agg(" / ".join, axis=1)


def _overall(cells: pd.DataFrame) -> str:
    """The corpus, condition, probe and protocol nearest to all the tables at once.

    Mean over the tables of the distance, each at the best subsampling and reading; only of those
    that can be compared with as many tables as any.
    """
    table = cells.assign(settings=_settings(cells)).pivot_table(
        index="settings", columns="table", values="distance", aggfunc="min", sort=False
    )
    reached = table.notna().sum(axis=1)
    return str(table[reached == reached.max()].mean(axis=1).idxmin())
