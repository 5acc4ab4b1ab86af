"""What is changed of a model, and what is written of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from attention_wavelets.causal.losses import rotary_tables, sequence_losses
from attention_wavelets.config.slices import canonical
from attention_wavelets.stages import causal as stage
from attention_wavelets.store.tables import table_writer
from helpers.families import VOCABULARY, build, longrope

IDS = np.random.default_rng(0).integers(8, VOCABULARY, (6, 24))
DOCUMENTS = np.array([f"d{n}" for n in range(6)])
CONFIG = {
    "condition": "full",
    "shares": [0.1],
    "replacements": ["mean"],
    "draws": 3,
    "band_edges": [0.1, 0.75],
    "seed": 0,
}
STATISTICS = {"models": ["tiny"], "statistics": {"confidence": 0.95, "min_documents": 3}}


def changes(model, encoding: str = "rotary", known: int = 0, **more) -> list[stage._Change]:
    """Everything that is done to one text of a tiny model, of which some heads do what is known."""
    text = stage._Text("full", IDS[1::2], DOCUMENTS[1::2], IDS[::2], 0)
    shape = (model.config.num_hidden_layers, model.config.num_attention_heads)
    random = np.random.default_rng(1)
    scores = {band: random.random(shape) for band in stage.BANDS}
    scores["functional"] = np.arange(np.prod(shape)).reshape(shape) < known
    manifest = {"facts": {"position_encoding": encoding}}
    return list(stage._changes({**CONFIG, **more}, manifest, model, text, scores))


@pytest.fixture
def summary(tmp_path: Path) -> Callable[[list[stage._Change]], pd.DataFrame]:
    """The rows of causal.csv that some changes give."""

    def made(asked: list[stage._Change]) -> pd.DataFrame:
        with table_writer(tmp_path / "changes.parquet") as writer:
            for change in asked:
                documents = DOCUMENTS[1::2]
                found = stage._ran(change, len(documents))
                writer.append(stage._told(change, documents, found))
        stage.summarise_changes(STATISTICS, [tmp_path / "changes.parquet"], tmp_path / "out.csv")
        return pd.read_csv(tmp_path / "out.csv", keep_default_na=False, na_values=[""])

    return made


def test_a_band_without_rotary_pairs_is_undefined_and_is_not_run(summary):
    model = build("llama")
    asked = [c for c in changes(model) if c.keys["kind"] in ("plain", "rotary")]
    empty = [c for c in asked if c.keys["band"] == "high"]
    assert [c.losses for c in empty] == [None], "no pass, and no control"
    found = summary(asked)
    rotary = found[found["kind"] == "rotary"]
    row = rotary[rotary["band"] == "high"]
    assert row["count"].tolist() == [0]
    assert row[["change", "change_low", "change_high", "beyond"]].isna().all(axis=None)
    assert row["reason"].tolist() == ["pairs"]
    table = 2 * next(iter(rotary_tables(model).values())).numpy()
    counts = {"low": (table < 0.1).sum(), "mid": ((table >= 0.1) & (table < 0.75)).sum()}
    for band, count in (counts | {"all": len(table)}).items():
        part = rotary[rotary["band"] == band]
        assert set(part["count"]) == {count}
        assert part["change"].notna().all()


def test_pairs_of_a_band_stand_beside_as_many_others_where_there_are_as_many(summary):
    model = build("llama")
    asked = [c for c in changes(model) if c.keys["kind"] in ("plain", "rotary")]
    found = summary(asked)
    found = found[found["kind"] == "rotary"].fillna({"control": ""})
    few, many = (found[found["band"] == band].set_index("control") for band in ("mid", "low"))
    assert set(few.index) == {"", "random_pairs"}
    expected = few.loc["", "change"] - few.loc["random_pairs", "change"]
    assert few.loc["", "beyond"] == pytest.approx(expected)
    # The low band has more than half of the pairs.
    assert list(many.index) == [""]
    assert np.isnan(many.loc["", "beyond"])
    assert many.loc["", "reason"] == "others"
    every = found[found["band"] == "all"]
    assert every["reason"].isna().all(), "all pairs have no others by their nature"
    # A draw of one other pair, by hand.
    chosen = stage._as_many_others(np.array([True, False, False]), np.random.default_rng(0))
    assert chosen.sum() == 1
    assert not chosen[0]


def test_frequencies_that_passes_write_anew_are_undefined_with_a_reason(summary):
    asked = [c for c in changes(longrope()) if c.keys["kind"] in ("plain", "rotary")]
    found = summary(asked)
    rotary = found[found["kind"] == "rotary"]
    assert rotary["change"].isna().all()
    assert dict(zip(rotary["band"], rotary["reason"], strict=True)) == {
        "low": "rewritten",
        "mid": "rewritten",
        "high": "pairs",
        "all": "rewritten",
    }
    np.testing.assert_allclose(
        found.loc[found["kind"] == "plain", "loss"], sequence_losses(longrope(), IDS[1::2]).mean()
    )


def test_rows_are_compared_where_as_much_energy_is_changed(summary):
    """Of the low band, which holds more energy than all others together in many rows."""
    asked = [c for c in changes(build("llama")) if c.keys["kind"] in ("plain", "rows")]
    told = summary(asked)
    rows = told[(told["kind"] == "rows") & (told["band"] == "mid")].fillna({"control": ""})
    rows = rows.set_index("control")
    assert set(rows.index) == {"", "band_part", "random_band", "random_phase"}
    energy = rows["energy"]
    assert energy[""] == 1
    assert energy["band_part"] < 0.99, "other frequencies do not hold as much in every row"
    # Of all layers: what a layer sees depends on what was changed before it.
    assert energy["random_band"] == pytest.approx(energy["band_part"], rel=0.05)
    assert energy["random_phase"] == pytest.approx(2, abs=0.2)
    change = rows["change"]
    beyond = rows["beyond"].dropna()
    assert list(beyond.index) == ["band_part"]
    expected = change["band_part"] - change["random_band"]
    assert beyond["band_part"] == pytest.approx(expected)
    assert told.loc[told["kind"] == "plain", "energy"].isna().all()


def test_heads_say_how_alike_their_controls_are_and_where_they_stand_among_them(summary):
    asked = [c for c in changes(build("llama")) if c.keys["kind"] in ("plain", "heads")]
    told = summary(asked)
    heads = told[(told["kind"] == "heads") & ~told["excluded"]].fillna({"control": ""})
    for band, part in heads.groupby("band"):
        drawn = [c for c in asked if c.keys["band"] == band and c.keys["control"]]
        drawn = [c for c in drawn if not c.keys["excluded"]]
        assert len(drawn) == CONFIG["draws"]
        chosen = part[part["control"] == ""].iloc[0]
        plain = asked[0].losses().mean()
        others = [c.losses().mean() - plain for c in drawn]
        assert chosen["matched"] == pytest.approx(np.mean([c.matched for c in drawn]))
        assert chosen["rank"] == np.mean([other >= chosen["change"] for other in others])
        control = part[part["control"] == "matched"].iloc[0]
        assert np.isnan([control["matched"], control["rank"], control["beyond"]]).all()
    assert heads["matched"].dropna().between(0, 1).all()


def test_a_dose_that_leaves_too_few_heads_is_undefined_and_is_not_run(summary):
    """Of 16 heads 2 and 8 and not 10; of the 4 that do nothing known only 2."""
    model = build("llama")
    shape = (model.config.num_hidden_layers, model.config.num_attention_heads)
    assert np.prod(shape) == 16
    asked = changes(model, "none", known=12, shares=[0.1, 0.5, 0.6])
    asked = [c for c in asked if c.keys["kind"] in ("plain", "heads")]
    none = [c for c in asked if c.losses is None]
    assert {c.keys["control"] for c in none} == {""}, "no pass, and no control"
    told = summary(asked)
    told = told[told["kind"] == "heads"].fillna({"control": ""})
    for excluded, fits in ((False, {2, 8}), (True, {2})):
        rows = told[(told["excluded"] == excluded) & (told["control"] == "")]
        assert len(rows) == 3 * len(stage.BANDS), "a row for every dose and band"
        numbers = rows["count"].isin(fits)
        assert (rows["change"].notna() == numbers).all()
        assert (rows["beyond"].notna() == numbers).all()
        assert ((rows["reason"] == "heads") == ~numbers).all()
    assert told.loc[told["control"] == "matched", "change"].notna().all()


def test_what_another_device_or_text_has_given_is_not_taken_over():
    manifest = {"files": [], "untrained": 0, "dtype": "float32"}
    texts = [stage._Text("full", ids, DOCUMENTS[:3], IDS[::2], 0) for ids in (IDS[1::2], IDS[::2])]
    found = [stage._decided(manifest, t, device) for t in texts for device in ("cpu", "cuda")]
    assert len({canonical(each) for each in found}) == 4


def test_a_rank_is_the_share_of_draws_that_cost_at_least_as_much(summary):
    keys = {"kind": "heads", "band": "low", "count": 1, "share": 0.1, "replacement": "mean"}
    keys = {"text": "full", **keys, "excluded": False, "control": ""}
    nothing = {**keys, "kind": "plain", "band": "", "count": 0, "share": np.nan, "replacement": ""}
    base = np.array([3.0, 4.0, 5.0])
    asked = [stage._Change(nothing, 0, lambda: base, {})]
    asked.append(stage._Change(keys, 0, lambda: base + 0.5, {}))
    for draw, (cost, matched) in enumerate(((0.25, 1.0), (0.5, 0.5), (0.75, 0.0), (0.125, 0.0))):
        beside = {**keys, "control": "matched"}
        asked.append(stage._Change(beside, draw, partial(np.add, base, cost), {}, matched=matched))
    chosen = summary(asked).iloc[1]
    assert chosen["rank"] == 0.5
    assert chosen["matched"] == 0.375
    assert chosen["beyond"] == pytest.approx(0.5 - 1.625 / 4)
