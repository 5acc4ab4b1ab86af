"""Facts of queries, keys and weights reach the tables of protocol `rigorous` through a store."""

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
    # With the tests of rotary frequencies before them.
    named = "rotary_band_index rotary_band_ratio rotary_slow_share rotary_peak"
    assert layers["reason"].str.contains(rf"rotary: .*{named}").all()


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_signed_kernels_are_those_of_the_stored_signals_and_couplings(
    finished: Project, name: str, request: pytest.FixtureRequest
):
    """From attention by lag as it was before it was divided by its sum."""
    layers = by_lag(request.getfixturevalue(name)["layers"])
    layers = layers.set_index(["sequence", "layer"]).sort_index()
    with open_group(store(finished, f"tiny-{name}"), "full") as group:
        assert group["coupling"].dims == ("sequence", "layer", "head", "direction")
        assert group["coupling"].shape == (COUNT, 2, 4, 8)
        kernels = group["lag"].values * group["lag_mass"].values[..., None]
        coupling = group["coupling"].values
    kappa = np.einsum("slhr,slht->slrt", coupling, kernels)
    parts = np.einsum("slhr,slht->slr", np.abs(coupling), kernels).sum(axis=-1)
    own = sum(
        np.abs(coupling[:, :, r // 2, r]) * kernels[:, :, r // 2].sum(axis=-1) for r in range(8)
    )
    size = np.abs(kappa).sum(axis=(-1, -2))
    for column, expected in (
        ("mean_share", np.abs(kappa.sum(axis=-1)).sum(axis=-1) / size),
        ("cancellation", 1 - size / parts),
        ("own_share", own / parts),
    ):
        found = layers[f"signed_{column}"].to_numpy().reshape(COUNT, 2)
        np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert (size < 0.99 * parts).all()


def test_couplings_are_summarised_without_an_error_over_sequences(finished: Project):
    table = pd.read_parquet(finished.results / "studies/tiny/facts.parquet")
    mine = table[(table["number"] == "coupling") & (table["model"] == "tiny-llama")]
    assert len(mine) == 2 * 4 * 8
    assert mine["axis"].eq("direction").all()
    # A float32 number averaged with itself in float64.
    assert (mine["se"] <= 1e-12 * mine["mean"].abs()).all()


def test_signals_by_position_have_no_signed_kernels(llama):
    layers = llama["layers"]
    received = layers[layers["probe"] == "received"]
    assert received["signed_mean_share"].isna().all()
    assert received["reason"].str.contains(r"axis: .*signed_mean_share").all()
