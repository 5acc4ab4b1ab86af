"""Which measured cell comes nearest to a published table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from attention_wavelets.reference import TABLES, paper_table
from attention_wavelets.reference.distance import READINGS, published_models, table_distance
from attention_wavelets.stages.nearest import compare_tables
from attention_wavelets.store.tables import read_csv, table_writer

CONFIG: dict[str, Any] = {
    "models": {"mine": None},
    "revisions": {"mine": None},
    "headline": {"corpus": "text", "condition": "full", "probe": "received", "protocol": "paper"},
    "protocols": {"paper": "full", "paper.dc-drop_bin": "full"},
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


def rows_of(number: int, row: pd.Series, protocol: str, suffix: str = "") -> list[dict[str, Any]]:
    """A summary that holds one published row of a table, read in the first way."""
    made = []
    for column, wanted in next(iter(READINGS[number].values())).items():
        condition = {None: "full", 0.5: f"half{suffix}", 0.25: f"quarter{suffix}"}[wanted.fraction]
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


def test_the_cell_that_holds_a_table_is_found(tmp_path: Path):
    first, last = paper_table(6).iloc[0], paper_table(6).iloc[-1]
    far = last.copy()
    far[list(READINGS[6]["as stated"])] = 50.0
    table = pd.DataFrame(
        rows_of(6, far, "paper")
        + rows_of(6, first, "paper.dc-drop_bin", "-prefix")
        + rows_of(6, first, "rigorous")
    )
    with table_writer(tmp_path / "summary.parquet") as writer:
        writer.append(table)
    files = [tmp_path / name for name in FILES]
    compare_tables(CONFIG, *files)
    cells, nearest = read_csv(files[1]), read_csv(files[2])
    best = nearest[nearest["table"] == 6].iloc[0]
    assert (best["protocol"], best["subsampling"]) == ("paper.dc-drop_bin", "prefix")
    assert best["distance"] == pytest.approx(0, abs=1e-12)
    assert best["row"] == first["model"]
    # Cells of other kinds of protocol are no cells of the paper's tables.
    assert set(cells["protocol"]) == {"paper", "paper.dc-drop_bin"}
    assert best["cells_tried"] == len(cells[cells["table"] == 6]) == 2
    assert best["overall_cell"] == "text / full / received / paper.dc-drop_bin"
    # Table 3 has columns that nobody measured here, so no cell is compared with it.
    assert 3 not in set(nearest["table"])


def test_a_study_without_the_numbers_of_any_table_has_no_nearest_cell(tmp_path: Path):
    table = pd.DataFrame(rows_of(6, paper_table(6).iloc[0], "rigorous"))
    with table_writer(tmp_path / "summary.parquet") as writer:
        writer.append(table)
    files = [tmp_path / name for name in FILES]
    compare_tables(CONFIG, *files)
    assert read_csv(files[1]).empty
    assert read_csv(files[2]).empty
    assert "cells_tried" in read_csv(files[2])
