"""Which measured cell comes nearest to a published table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from attention_wavelets.config.compose import default_conf, load_member
from attention_wavelets.config.schema import PaperProtocol
from attention_wavelets.measures.paper import compare_signals, measure_layers, measure_signals
from attention_wavelets.reference import TABLES, paper_table
from attention_wavelets.reference.distance import (
    READINGS,
    parts_of,
    published_models,
    table_distance,
)
from attention_wavelets.stages.nearest import compare_tables
from attention_wavelets.store.tables import read_csv, table_writer

PAPER = load_member("protocol", "paper", default_conf(), {}).model_dump(mode="json")


def varied(**settings: Any) -> dict[str, Any]:
    """Settings of protocol `paper` with some of them changed, as in spectrum={"dc": ...}."""
    return PAPER | {
        name: PAPER[name] | value if isinstance(value, dict) else value
        for name, value in settings.items()
    }


SETTINGS = {
    "paper": PAPER,
    "paper.dc-drop_bin": varied(spectrum={"dc": "drop_bin"}),
    "paper.mode-zero": varied(wavelet={"mode": "zero"}),
    "paper.alignment-resampled": varied(scale={"alignment": "resampled"}),
    "paper.average-4": varied(average_sequences=4),
}
CONFIG: dict[str, Any] = {
    "models": {"mine": None},
    "revisions": {"mine": None},
    "headline": {"corpus": "text", "condition": "full", "probe": "received", "protocol": "paper"},
    "protocols": dict.fromkeys(SETTINGS, "full"),
    "settings": SETTINGS,
    "scales": {
        "half": {"fraction": 0.5, "method": "stride"},
        "quarter": {"fraction": 0.25, "method": "stride"},
        "half-prefix": {"fraction": 0.5, "method": "prefix"},
        "quarter-prefix": {"fraction": 0.25, "method": "prefix"},
    },
}


FILES = ("summary.parquet", "cells.csv", "nearest.csv", "reproduction.csv")


def test_every_table_can_be_read():
    assert set(READINGS) == set(TABLES)
    for number, readings in READINGS.items():
        for columns in readings.values():
            assert set(columns) <= set(paper_table(number).columns)


@pytest.mark.parametrize("number", TABLES)
def test_a_published_row_lies_at_distance_zero_from_itself(number: int):
    table = paper_table(number)
    for columns in READINGS[number].values():
        for _, row in table.iterrows():
            distance, found = table_distance({c: row[c] for c in columns}, number)
            assert distance == pytest.approx(0, abs=1e-12)
            assert found.startswith(row["model"])


def test_distance_is_in_units_of_the_spread_between_published_models():
    table = paper_table(2)
    columns = list(next(iter(READINGS[2].values())))
    spread = table[columns].std(ddof=0)
    highest = table.loc[table[columns[0]].idxmax()]
    far = {c: highest[c] + 10 * spread[c] for c in columns}
    distance, _ = table_distance(far, 2, None)
    own = np.sqrt((((table[columns] - pd.Series(far)) / spread) ** 2).mean(axis=1)).min()
    assert distance == pytest.approx(own)
    assert distance > 5


def test_a_model_of_the_paper_is_compared_with_its_own_row():
    assert published_models(6, "EleutherAI/pythia-14m") == ["Pythia (14M)"]
    assert len(published_models(6, "someone/else")) == len(paper_table(6))
    assert len(published_models(2, "EleutherAI/pythia-14m")) == len(paper_table(2))
    row = paper_table(6).iloc[-1]
    values = {column: row[column] for column in READINGS[6]["as stated"]}
    assert table_distance(values, 6, "EleutherAI/pythia-14m")[1] == "Pythia (14M)"
    assert table_distance(values, 6, "EleutherAI/pythia-14m")[0] > 1


def rows_of(
    number: int,
    row: Mapping[str, Any],
    protocol: str,
    suffix: str = "",
    *,
    reading: int = 0,
    only: tuple[str, ...] = ("",),
) -> list[dict[str, Any]]:
    """A summary that holds one published row of a table, or the columns that start with `only`."""
    made = []
    for column, wanted in list(READINGS[number].values())[reading].items():
        condition = {None: "full", 0.5: f"half{suffix}", 0.25: f"quarter{suffix}"}[wanted.fraction]
        if not column.startswith(only):
            continue
        made.append(
            {
                "model": "mine",
                "corpus": "text",
                "condition": condition,
                "probe": "received",
                "protocol": protocol,
                "statistic": wanted.statistic,
                "mean": row[column] / wanted.factor,
                "low": row[column] / wanted.factor - 0.5,
                "high": row[column] / wanted.factor + 0.5,
                "reason": "",
            }
        )
    return made


def compared(tmp_path: Path, rows: list[dict[str, Any]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """cells.csv and nearest.csv of a summary."""
    with table_writer(tmp_path / "summary.parquet") as writer:
        writer.append(pd.DataFrame(rows))
    files = [tmp_path / name for name in FILES]
    compare_tables(CONFIG, *files)
    cells, nearest = (read_csv(path) for path in files[1:3])
    return cells, nearest.set_index("table")


def test_the_cell_that_holds_a_table_is_found(tmp_path: Path):
    first, last = paper_table(6).iloc[0], paper_table(6).iloc[-1]
    far = last.copy()
    far[list(READINGS[6]["as stated"])] = 50.0
    rows = [
        *rows_of(6, far, "paper"),
        *rows_of(6, first, "paper.dc-drop_bin", "-prefix"),
        *rows_of(6, first, "rigorous"),
    ]
    cells, nearest = compared(tmp_path, rows)
    best = nearest.loc[6]
    assert (best["protocol"], best["subsampling"]) == ("paper.dc-drop_bin", "prefix")
    assert best["distance"] == pytest.approx(0, abs=1e-12)
    assert best["row"] == first["model"]
    # Cells of other kinds of protocol are no cells of the paper's tables.
    assert set(cells["protocol"]) == {"paper", "paper.dc-drop_bin"}
    # Sensitivities do not depend on DC: both protocols have those of both ways of subsampling.
    assert best["cells_tried"] == len(cells[cells["table"] == 6]) == 4
    assert best["rows_tried"] == len(paper_table(6))
    assert best["overall_cell"] == "text / full / received / paper.dc-drop_bin / prefix"
    # Table 3 has columns that nobody measured here, so no cell is compared with it.
    assert 3 not in set(nearest.index)


def test_spectra_and_scale_are_read_from_two_protocols(tmp_path: Path):
    row = paper_table(6).iloc[0]
    spectral = {name: row[name] for name in READINGS[6]["as stated"]}
    far = dict.fromkeys(spectral, 50.0)
    scale = ("scale_",)
    rest = ("spectral", "frequency", "position")
    rows = [
        *rows_of(6, spectral, "paper.dc-drop_bin", only=rest),
        *rows_of(6, far, "paper.dc-drop_bin", only=scale),
        *rows_of(6, far, "paper.alignment-resampled", only=rest),
        *rows_of(6, spectral, "paper.alignment-resampled", only=scale),
    ]
    cells, nearest = compared(tmp_path, rows)
    assert nearest.loc[6, "distance"] == pytest.approx(0, abs=1e-12)
    assert nearest.loc[6, "protocol"] == "paper.dc-drop_bin + paper.alignment-resampled"
    assert nearest.loc[6, "overall_cell"].split(" / ")[3] == nearest.loc[6, "protocol"]
    # Each with its own, and the two joined in both ways.
    assert (cells["table"] == 6).sum() == nearest.loc[6, "cells_tried"] == 4


def test_protocols_that_differ_in_more_are_not_joined(tmp_path: Path):
    row = paper_table(6).iloc[0]
    rows = [
        *rows_of(6, row, "paper.dc-drop_bin", only=("spectral", "frequency", "position")),
        *rows_of(6, row, "paper.average-4", only=("scale_",)),
    ]
    cells, nearest = compared(tmp_path, rows)
    assert cells.empty
    assert nearest.empty


def test_equal_numbers_are_one_cell_tried(tmp_path: Path):
    row = paper_table(7).iloc[0]
    rows = [r for name in ("paper", "paper.dc-drop_bin") for r in rows_of(7, row, name)]
    other = {**row, "wavelet_entropy_scale_0": 1.5}
    rows += rows_of(7, other, "paper.mode-zero")
    # The same numbers again but for rounding, under settings that happen not to matter.
    close = {**row, "wavelet_entropy_scale_0": row["wavelet_entropy_scale_0"] * (1 + 1e-13)}
    rows += rows_of(7, close, "paper.average-4")
    cells, nearest = compared(tmp_path, rows)
    assert nearest.loc[7, "cells_tried"] == 2
    assert nearest.loc[7, "rows_tried"] == len(paper_table(7))
    assert set(cells["protocol"]) == {"paper", "paper.mode-zero", "paper.average-4"}


def test_the_one_cell_has_one_way_of_subsampling_and_one_reading(tmp_path: Path):
    """Stride holds Table 6, prefix Table 1: neither holds both, and the one cell must say so."""
    six, one = paper_table(6).iloc[0], paper_table(1).iloc[0]
    rows = [
        *rows_of(6, six, "paper"),
        *rows_of(1, one, "paper", "-prefix", only=("scale_",)),
        *rows_of(7, paper_table(7).iloc[0], "paper", reading=1),
    ]
    cells, nearest = compared(tmp_path, rows)
    assert nearest.loc[6, "distance"] == pytest.approx(0, abs=1e-12)
    assert nearest.loc[7, "overall_distance"] == pytest.approx(0, abs=1e-12)
    *_, method, reading = nearest.loc[6, "overall_cell"].split(" / ")
    assert reading == list(READINGS[7])[1]
    of_method = cells[cells["subsampling"] == method].set_index("table")["distance"]
    tables = [1, 6]
    ours = nearest.loc[tables, "overall_distance"]
    np.testing.assert_allclose(ours, of_method.loc[tables], rtol=1e-12)
    other = cells[cells["subsampling"].isin({"stride", "prefix"} - {method})]
    assert ours.sum() < other.set_index("table").loc[tables, "distance"].sum()
    # The best of each table by itself is nearer: that is what one choice for all costs.
    assert ours.sum() > nearest.loc[tables, "distance"].sum() + 0.01


def test_no_number_depends_on_settings_it_is_not_joined_by():
    """Numbers of two protocols may stand in one cell only if these settings leave them alone."""
    random = np.random.default_rng(5)
    full, half = random.dirichlet(np.full(96, 0.3), (2, 4)), random.dirichlet(np.ones(48), (2, 4))

    def numbers(settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
        protocol = PaperProtocol.model_validate(settings)
        measured = measure_signals(full, protocol).merge(compare_signals(full, half, protocol))
        return {**measured.values, **measure_layers(measured.values, protocol).values}

    base = numbers(PAPER)
    changed = {
        "spectrum": {"window": "none", "nfft": "length", "dc": "drop_bin"},
        "wavelet": {"mode": "zero"},
        "scale": {"alignment": "resampled"},
    }
    for part, values in changed.items():
        after = numbers(varied(**{part: values}))
        moved = {n for n in base if not np.array_equal(base[n], after[n], equal_nan=True)}
        assert moved
        assert all(part in parts_of(name) for name in moved), (part, moved)


def test_a_study_without_the_numbers_of_any_table_has_no_nearest_cell(tmp_path: Path):
    cells, nearest = compared(tmp_path, rows_of(6, paper_table(6).iloc[0], "rigorous"))
    assert cells.empty
    assert nearest.empty
    assert {"cells_tried", "rows_tried"} <= set(nearest.columns)
