"""Stage compare_series on heads whose answer is known: which periods they follow is drawn here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from attention_wavelets.config.schema import Text
from attention_wavelets.corpora.documents import read_documents
from attention_wavelets.corpora.sequences import Sequences
from attention_wavelets.corpora.series import levels_of
from attention_wavelets.stages.series import compare_series
from attention_wavelets.store.arrays import Group, Variable, write_store
from attention_wavelets.store.documents import write_documents
from attention_wavelets.store.sequences import write_sequences

PERIODS = (4, 6, 9, 14, 21)
SERIES, HEADS = 24, 16
GROUPS: dict[str, dict[str, Any]] = {
    **{f"p{p}": {"kind": "sinusoids", "periods": [p], "noise": 0.5} for p in PERIODS},
    "white": {"kind": "fractional_noise", "hurst": 0.5},
}
# Model -> the periods that its heads follow.
FOLLOWED = {"nothing": (), "four": (4,), "others": (4, 6, 14, 21), "nine": (9,), "all": PERIODS}


def _wave(period: int, count: int, random: np.random.Generator) -> np.ndarray:
    phases = random.uniform(0, 2 * np.pi, (HEADS, 1))
    return 2 * np.sin(2 * np.pi * np.arange(count) / period + phases)


def _bent(wave: np.ndarray) -> np.ndarray:
    """What a head makes of a wave that is no linear function of it: harmonics."""
    return wave + wave**2 / 2


def _compared(
    folder: Path, count: int, bend: Callable[[np.ndarray], np.ndarray] = lambda wave: wave
) -> pd.DataFrame:
    """series.csv of heads that are white noise and the wave of a period that they follow."""
    random = np.random.default_rng(11)
    source = {"kind": "synthetic", "groups": GROUPS, "count": SERIES, "length": 256, "seed": 2}
    plain = {"source": source, "format": "series", "samples": {"levels": 16}}
    text = Text.model_validate({**plain, "language": "none", "title": "S", "licence": "CC0-1.0"})
    documents = list(read_documents(text, []))
    write_documents(folder / "documents.parquet", documents, text)
    levels = np.stack([levels_of(document.text) for document in documents]).astype(np.int32)
    rows = np.arange(len(levels), dtype=np.int32)
    places = np.tile(np.arange(256, dtype=np.int32), (len(rows), 1))
    order = {"full": places, "shuffled": random.permuted(places, axis=1)}
    conditions = {
        name: Sequences(
            ids=np.take_along_axis(levels, moved, axis=1),
            special=np.zeros(moved.shape, dtype=np.bool_),
            source_position=moved,
            document=rows,
            start=np.zeros_like(rows),
        )
        for name, moved in order.items()
    }
    write_sequences(folder / "sequences.zarr.zip", conditions, {})
    signals = {}
    for model, followed in FOLLOWED.items():
        heads = random.standard_normal((2, len(rows), HEADS, count))
        for row, document in enumerate(documents):
            for period in GROUPS[document.group].get("periods", []):
                if period in followed:
                    heads[0, row] += bend(_wave(period, count, random))
        signals[model, "series"] = folder / f"{model}.zarr.zip"
        dims = ("sequence", "layer", "head", "position")
        groups = {
            name: Group({"received": Variable.of(part[:, None], dims)}, {})
            for name, part in zip(order, heads, strict=True)
        }
        write_store(signals[model, "series"], groups, {})
    config = {
        "condition": "full",
        "without": "shuffled",
        "probes": ["received"],
        "false_discoveries": 0.05,
        "models": list(FOLLOWED),
        "drawn": list(FOLLOWED),
        "corpora": {"series": GROUPS},
        "statistics": {"confidence": 0.95, "min_documents": 10},
    }
    compare_series(
        config,
        {"series": folder / "documents.parquet"},
        dict.fromkeys(signals, folder / "sequences.zarr.zip"),
        signals,
        folder / "series.csv",
        folder / "spectra.csv",
    )
    read = pd.read_csv(folder / "series.csv", keep_default_na=False, na_values=[""])
    return read.astype({"model": "object", "reason": "object"}).fillna({"model": "", "reason": ""})


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return _compared(tmp_path_factory.mktemp("compared"), 256)


def _at_nine(table: pd.DataFrame, model: str) -> pd.Series:
    return table[(table["model"] == model) & (table["group"] == "p9")].iloc[0]


def _ignores(row: pd.Series) -> None:
    assert abs(row["specific"]) < 0.6
    assert row["specific_low"] < 0.2
    assert row["specific_high"] > -0.2
    assert abs(row["response"]) < 1.2
    assert row["found"] <= 1 / HEADS


@pytest.mark.parametrize("model", ["nothing", "four", "others"])
def test_heads_that_follow_other_periods_have_nothing_at_this_one(
    compared: pd.DataFrame, model: str
):
    _ignores(_at_nine(compared, model))


@pytest.mark.parametrize("model", ["four", "others"])
def test_second_harmonics_of_other_periods_are_nothing_at_this_one(tmp_path: Path, model: str):
    _ignores(_at_nine(_compared(tmp_path, 256, _bent), model))


@pytest.mark.parametrize("model", ["nine", "all"])
def test_heads_that_follow_a_period_are_found(compared: pd.DataFrame, model: str):
    row = _at_nine(compared, model)
    assert row["response"] > 6
    assert row["specific_low"] > 6
    assert row["found"] == 1


def test_what_a_head_follows_does_not_depend_on_what_else_it_follows(compared: pd.DataFrame):
    one, several = (_at_nine(compared, model) for model in ("nine", "all"))
    assert one["specific"] == pytest.approx(several["specific"], abs=0.5)
    assert one["response"] == pytest.approx(several["response"], abs=0.5)


def test_the_series_have_their_own_period_by_as_much_beside_both(compared: pd.DataFrame):
    data = compared[(compared["probe"] == "data") & (compared["kind"] == "sinusoids")]
    # Shuffled series and those of other periods both have the share of noise at the period.
    assert data["specific"].to_numpy() == pytest.approx(data["response"].to_numpy(), abs=1.5)
    assert (data["found"] == 1).all()


def test_what_short_signals_cannot_say_has_a_reason(compared: pd.DataFrame, tmp_path: Path):
    short = _compared(tmp_path, 24)
    heads = short[(short["probe"] == "received") & (short["model"] == "four")]
    reasons = heads.set_index("group")["reason"]
    assert reasons["white"] == "fewer than 3 octaves in 24 positions"
    assert heads.loc[heads["group"] == "white", "slope"].isna().all()
    assert reasons["p14"] == "fewer than two periods in 24 positions"
    noise = compared[compared["group"] == "white"]
    assert noise["slope"].notna().all()
    assert (noise["reason"] == "").all()


def test_a_period_among_too_many_others_has_no_number_but_a_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    crowd = {"kind": "sinusoids", "periods": [2.1, 2.4, 2.8, 3.4, 4, 6, 12, 24], "noise": 0.5}
    monkeypatch.setitem(GROUPS, "crowd", crowd)
    short = _compared(tmp_path, 24)
    rows = short[(short["model"] == "four") & (short["group"] == "crowd")]
    fitting = rows[rows["truth"] <= 12]
    assert (fitting["reason"] == "no frequency of 24 positions is free of known periods").all()
    assert fitting[["response", "specific", "found"]].isna().all(axis=None)
