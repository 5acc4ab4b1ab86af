"""The published tables beside ours: the right row, the right number, or the right reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from markupsafe import escape

from attention_wavelets.config.compose import compose
from attention_wavelets.config.slices import slices
from attention_wavelets.reference import TABLES, paper_table
from attention_wavelets.reference.distance import READINGS, Number
from attention_wavelets.reference.reproduction import COLUMNS, PRECISION, Origin, reproduce
from attention_wavelets.report.reproduction import NOTHING, OTHER, side_by_side
from attention_wavelets.report.tables import Headline, StudyTables
from attention_wavelets.stages.nearest import compare_tables
from attention_wavelets.store.tables import read_csv, table_writer

HEADLINE = {"corpus": "text", "condition": "full", "probe": "received", "protocol": "paper"}
SCALES: dict[str, dict[str, Any]] = {
    "half": {"fraction": 0.5, "method": "stride"},
    "quarter": {"fraction": 0.25, "method": "stride"},
    "half-prefix": {"fraction": 0.5, "method": "prefix"},
}
TWELVE = {"big": Origin("EleutherAI/pythia-12b", "main")}
HALF_WIDTH = 0.01


def measured(model: str, statistic: str, mean: float, condition: str = "full") -> dict[str, Any]:
    return {
        "model": model,
        **HEADLINE,
        "condition": condition,
        "reference": "" if condition == "full" else "full",
        "statistic": statistic,
        "mean": mean,
        "low": mean - HALF_WIDTH,
        "high": mean + HALF_WIDTH,
        "reason": "",
    }


def holding(number: int, row: pd.Series, model: str, shift: float = 0.0) -> list[dict[str, Any]]:
    """A summary that holds a published row, each number off by `shift` half widths."""
    made = []
    columns = {**next(iter(READINGS[number].values())), **PRECISION.get(number, {})}
    for column, wanted in columns.items():
        condition = {None: "full", 0.5: "half", 0.25: "quarter"}[wanted.fraction]
        mean = row[column] / wanted.factor + shift * HALF_WIDTH
        made.append(measured(model, wanted.statistic, mean, condition))
    return made


def lines_of(
    rows: list[dict[str, Any]], models: dict[str, Origin], headline: dict[str, str] = HEADLINE
) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(measured("", "", 0.0)))
    return reproduce(frame, models, headline, SCALES)


def numbers_of_tables() -> set[tuple[int, str, str]]:
    found = set()
    for number in TABLES:
        columns = {**next(iter(READINGS[number].values())), **PRECISION.get(number, {})}
        for _, row in paper_table(number).iterrows():
            step = f", step {row['training_step']}" if number == 5 else ""
            found |= {(number, f"{row['model']}{step}", column) for column in columns}
    return found


def test_every_number_of_the_tables_is_there():
    lines = lines_of([], TWELVE)
    assert list(lines.columns) == COLUMNS
    assert set(zip(lines["table"], lines["row"], lines["column"], strict=True)) == (
        numbers_of_tables()
    )
    for number in TABLES:
        numeric = set(paper_table(number).select_dtypes("number").columns)
        left_out = {"training_step", "heads_per_layer"}
        assert set(lines.loc[lines["table"] == number, "column"]) == numeric - left_out


def test_a_row_of_ones_own_weights_is_measured_in_half_widths():
    row = paper_table(6).set_index("model", drop=False).loc["Pythia (12B)"]
    lines = lines_of(holding(6, row, "big", shift=3), TWELVE)
    own = lines[(lines["table"] == 6) & (lines["model"] == "big")]
    assert set(own["row"]) == {"Pythia (12B)"}
    assert own["same_model"].all()
    here = own[own["subsampling"] != "prefix"]
    assert set(here["column"]) == {*READINGS[6]["as stated"], *PRECISION[6]}
    assert (here["reason"] == "").all()
    np.testing.assert_allclose(here["distance_in_intervals"], 3, rtol=1e-6, atol=0)
    np.testing.assert_allclose(here["ours"], here["printed"] + 0.03, rtol=1e-9, atol=0)
    np.testing.assert_allclose(here["high"] - here["low"], 0.02, rtol=1e-9, atol=0)
    others = lines[(lines["table"] == 6) & (lines["model"] == "")]
    assert len(others) == 7 * len(here)
    assert (others["reason"] == "no_model").all()
    assert others["ours"].isna().all()


def test_each_way_of_shortening_is_a_line_of_scale_sensitivity_alone():
    rows = [measured("big", "scale_sensitivity_mean", 0.3, "half-prefix")]
    lines = lines_of(rows, TWELVE)
    own = lines[(lines["table"] == 1) & (lines["model"] == "big")].set_index(
        ["column", "subsampling"]
    )
    assert own.loc[("scale_sensitivity_0_5", "prefix"), "ours"] == 0.3
    assert own.loc[("scale_sensitivity_0_5", "stride"), "reason"] == "not_measured"
    assert set(own.loc["scale_sensitivity_0_25"].index) == {"stride", "prefix"}
    assert list(own.loc["position_spectrum_correlation"].index) == [""]


def test_per_cent_are_compared_with_per_cent():
    rows = [measured("late", "band_low_mean", 0.55)]
    lines = lines_of(rows, {"late": Origin("EleutherAI/pythia-6.9b", "step512")})
    own = lines[(lines["model"] == "late") & (lines["column"] == "low_frequency_power_percent")]
    assert list(own["row"]) == ["Pythia (6.9B), step 512"]
    assert own["ours"].item() == pytest.approx(55)
    assert own["distance_in_intervals"].item() == pytest.approx((55 - 54.4) / 1.0)


@pytest.mark.parametrize(
    ("revision", "step"),
    [("main", 143000), ("step143000", 143000), ("0123abc", 143000), ("step0", 0), (None, 143000)],
)
def test_a_checkpoint_is_the_row_of_its_step(revision: str | None, step: int):
    origin = Origin("EleutherAI/pythia-6.9b", revision)
    rows = {int(r["training_step"]): origin.is_row(r) for _, r in paper_table(5).iterrows()}
    assert [known for known, same in rows.items() if same] == [step]
    finished = paper_table(6).set_index("model", drop=False).loc["Pythia (6.9B)"]
    assert origin.is_row(finished) is (step == 143000)
    assert not replace(origin, repository="someone/else").is_row(finished)
    assert not replace(origin, repository=None).is_row(finished)


def test_a_study_of_other_models_shows_them_beside_the_nearest_row():
    row = paper_table(6).iloc[3]
    lines = lines_of(holding(6, row, "mine", shift=0.5), {"mine": Origin(None)})
    own = lines[(lines["model"] == "mine") & (lines["table"] == 6)]
    assert set(own["row"]) == {row["model"]}
    assert not own["same_model"].any()
    assert own["reason"].str.startswith("other_model").all()
    here = own[own["subsampling"] != "prefix"]
    np.testing.assert_allclose(here["distance_in_intervals"], 0.5, rtol=1e-6, atol=0)
    # Each published number stands there without a model, too.
    without = lines[lines["model"] == ""]
    keys = set(zip(without["table"], without["row"], without["column"], strict=True))
    assert keys == numbers_of_tables()
    # Nobody measured a column of Table 2.
    assert not ((lines["model"] == "mine") & (lines["table"] == 2)).any()


def test_beside_a_model_of_the_paper_no_other_model_is_compared():
    row = paper_table(6).iloc[0]
    models = {**TWELVE, "mine": Origin(None)}
    lines = lines_of(holding(6, row, "mine"), models)
    assert set(lines["model"]) == {"", "big"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mean": np.nan, "low": np.nan, "high": np.nan, "reason": "undefined"}, "undefined"),
        ({"low": np.nan, "high": np.nan, "reason": "documents"}, "documents"),
        ({"low": 0.5, "high": 0.5, "mean": 0.5}, "no_width"),
    ],
)
def test_without_an_interval_there_is_a_reason_and_no_distance(change: dict[str, Any], reason: str):
    rows = [{**measured("big", "position_spectrum_correlation", 0.5), **change}]
    lines = lines_of(rows, TWELVE)
    own = lines[(lines["model"] == "big") & (lines["column"] == "position_spectrum_correlation")]
    assert len(own) == 2
    assert (own["reason"] == reason).all()
    assert own["distance_in_intervals"].isna().all()


def test_numbers_are_those_of_the_headline():
    rows = [measured("big", "position_spectrum_correlation", 0.5)]
    for key, value in (("corpus", "a"), ("condition", "b"), ("probe", "c"), ("protocol", "d")):
        lines = lines_of(rows, TWELVE, {**HEADLINE, key: value})
        assert lines["ours"].isna().all()
    assert lines_of(rows, TWELVE)["ours"].notna().any()


def test_the_row_of_a_condition_that_has_the_number_counts():
    number = measured("big", "scale_sensitivity_mean", 0.2, "half")
    empty = {**number, "mean": np.nan, "low": np.nan, "high": np.nan, "reference": ""}
    for rows in ([number, empty], [empty, number]):
        lines = lines_of(rows, TWELVE)
        assert set(lines["ours"].dropna()) == {0.2}


def test_readings_of_a_formula_are_told_apart():
    rows = [
        measured("big", Number("window_entropy_16_mean").statistic, 0.9),
        measured("big", "window_entropy_16_nats_mean", 2.5),
    ]
    lines = lines_of(rows, TWELVE)
    own = lines[(lines["model"] == "big") & (lines["column"] == "window_entropy_16_tokens")]
    assert dict(zip(own["reading"], own["ours"], strict=True)) == {
        "entropy divided by ln W": 0.9,
        "entropy in nats": 2.5,
    }


def test_the_stage_writes_what_the_slice_says(tmp_path: Path):
    config = slices(compose())["studies/quickstart/nearest"]
    assert set(config["revisions"]) == set(config["models"])
    headline = config["headline"]
    rows = [
        {**row, **{k: headline[k] for k in ("corpus", "probe", "protocol")}}
        for row in holding(6, paper_table(6).iloc[0], "minilm-l6")
    ]
    with table_writer(tmp_path / "summary.parquet") as writer:
        writer.append(pd.DataFrame(rows))
    files = [tmp_path / n for n in ("summary.parquet", "cells.csv", "nearest.csv", "lines.csv")]
    compare_tables(config, *files)
    lines = read_csv(files[3])
    assert list(lines.columns) == COLUMNS
    own = lines[(lines["model"] == "minilm-l6") & (lines["table"] == 6)]
    assert set(own["row"]) == {"Pythia (14M)"}
    assert (lines.loc[lines["model"] == "", "reason"] == "no_model").all()


def page(lines: pd.DataFrame) -> str:
    models = pd.DataFrame([{"model": "big", "label": "Big <1>", "trained": True, "of": ""}])
    keys = ("model", "corpus", "condition", "reference", "probe", "protocol", "layer", "head")
    tables = StudyTables(
        pd.DataFrame(columns=list(keys)),
        models,
        pd.DataFrame(),
        Headline("text", "paper"),
        reproduction=lines,
    )
    return str(side_by_side(tables))


def test_the_report_counts_numbers_inside_the_interval_and_names_the_farthest():
    row = paper_table(6).set_index("model", drop=False).loc["Pythia (12B)"]
    rows = holding(6, row, "big", shift=0.5)
    rows[0] = measured("big", "spectral_entropy_mean", row["spectral_entropy"] + 0.09)
    html = page(lines_of(rows, TWELVE))
    cells = ["<td>same</td>", "<td>6</td>", "<td>Pythia (12B)</td>", "<td>–</td>", "<td>5</td>"]
    start = "".join(cells)
    assert f"{start}<td>4</td><td>0.500</td><td>spectral_entropy</td>" in html
    assert "<td>2.783, 2.873</td><td>9.000</td>" in html
    assert "Big &lt;1&gt;" in html
    # Tables 1 to 3, 6 and 7 have a row of this model.
    assert "Of 47 published rows, 42 are" in html
    assert escape(OTHER) not in html


def test_the_report_says_where_models_are_others_or_nothing_is_there():
    lines = lines_of(holding(6, paper_table(6).iloc[0], "big"), {"big": Origin(None)})
    html = page(lines)
    assert escape(OTHER) in html
    assert "<td>other model</td>" in html
    assert NOTHING in page(lines_of([], {"big": Origin(None)}))
    assert NOTHING in page(pd.DataFrame())
