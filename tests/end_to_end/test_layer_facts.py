"""Facts of queries and keys reach the tables of protocol `rigorous` through a real store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from attention_wavelets.config.compose import load_member
from attention_wavelets.measures.rotary_band import predicted_band
from attention_wavelets.stages.measure import measure_heads
from attention_wavelets.store.arrays import open_group, read_attributes
from helpers.tiny_study import COUNT, ROOT, Project

TABLES = ("heads", "layers", "model", "pairs")


def store(project: Project, model: str) -> Path:
    return project.results / f"signals/{model}/tiny.zarr.zip"


def tables(project: Project, model: str, folder: Path) -> dict[str, pd.DataFrame]:
    """The tables of the full sequences under protocol `rigorous`."""
    protocol = load_member("protocol", "rigorous", ROOT / "conf", {})
    config = {
        "conditions": ["full"],
        "scaled": [],
        "probes": ["received", "lag"],
        "protocol": protocol.model_dump(mode="json"),
    }
    paths = [folder / f"{name}.parquet" for name in TABLES]
    measure_heads(config, store(project, model), *paths)
    return {name: pd.read_parquet(path) for name, path in zip(TABLES, paths, strict=True)}


@pytest.fixture(scope="module")
def llama(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    return tables(finished, "tiny-llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def bert(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    return tables(finished, "tiny-bert", tmp_path_factory.mktemp("bert"))


def by_lag(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["probe"] == "lag"]


def test_the_rotary_band_is_that_of_the_stored_norms(finished: Project, llama):
    attributes = read_attributes(store(finished, "tiny-llama"))
    assert (attributes["rotary_base"], attributes["max_positions"]) == (10000.0, 128)
    with open_group(store(finished, "tiny-llama"), "full") as group:
        norms = [group[name].values[..., :4] for name in ("query_norm", "key_norm")]
    usage = norms[0] * norms[1]
    mean = (usage / usage.sum(axis=-1, keepdims=True)).mean(axis=2)
    layers = by_lag(llama["layers"]).set_index(["sequence", "layer"]).sort_index()
    assert len(layers) == 2 * COUNT
    found = layers["rotary_band_index"].to_numpy().reshape(COUNT, 2)
    np.testing.assert_array_equal(found, mean.argmax(axis=-1))
    ratio = layers["rotary_band_ratio"].to_numpy().reshape(COUNT, 2)
    np.testing.assert_allclose(ratio, found / predicted_band(4, 10000.0, 128))
    model = by_lag(llama["model"]).sort_values("sequence")
    np.testing.assert_allclose(model["rotary_band_index"], found.mean(axis=1))


def test_a_model_without_rotary_positions_says_so(finished: Project, bert):
    assert read_attributes(store(finished, "tiny-bert"))["rotary_base"] is None
    layers = by_lag(bert["layers"])
    assert layers["rotary_band_index"].isna().all()
    assert layers["reason"].str.contains("rotary: rotary_band_index rotary_band_ratio").all()
