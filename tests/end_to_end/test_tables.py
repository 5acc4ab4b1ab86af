"""What a finished run leaves: every file that results/README.md names, and sound tables."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

from attention_wavelets.store.arrays import open_group
from helpers.tiny_study import CONDITIONS, COUNT, MODELS, ROOT, TOKENS, Project

MEASURES = "measures/{model}/tiny/paper"
KEYS = {
    f"{MEASURES}/heads.parquet": ["condition", "probe", "sequence", "layer", "head"],
    f"{MEASURES}/layers.parquet": ["condition", "probe", "sequence", "layer"],
    f"{MEASURES}/model.parquet": ["condition", "probe", "sequence"],
    f"{MEASURES}/pairs.parquet": ["condition", "probe", "layer", "head", "other"],
    "studies/tiny/heads.parquet": [
        *("model", "corpus", "condition", "probe", "protocol", "layer", "head")
    ],
    "studies/tiny/summary.parquet": [
        *("model", "corpus", "condition", "reference", "probe", "protocol", "statistic")
    ],
    "studies/tiny/pairs.parquet": [
        *("model", "corpus", "condition", "probe", "protocol", "layer", "head", "other")
    ],
}


def measured(project: Project, model: str, table: str = "heads") -> pd.DataFrame:
    folder = project.results / MEASURES.format(model=model)
    return pd.read_parquet(folder / f"{table}.parquet")


def models(project: Project) -> pd.DataFrame:
    return pd.read_csv(project.study / "models.csv").set_index("model")


def _promised() -> list[str]:
    """Paths of results/README.md, without the runs with a name."""
    rows = re.findall(r"^\| ([^|]+) \|", (ROOT / "results/README.md").read_text(), re.MULTILINE)
    cells = [cell for cell in rows if "/" in cell and not cell.startswith("{name}")]
    paths = []
    for cell in cells:
        first, *others = cell.split(", ")
        paths += [first, *(f"{first.rsplit('/', 1)[0]}/{other}" for other in others)]
    return paths


def test_every_promised_file_is_there(finished: Project):
    promised = _promised()
    assert len(promised) >= 10
    values = {"corpus": "tiny", "protocol": "paper", "study": "tiny", "rule": "extract_signals"}
    for model in MODELS:
        for path in promised:
            found = finished.results / path.format(model=model, **values)
            assert found.exists(), path
            assert found.is_file() or any(found.iterdir()), path


def test_a_slice_lies_beside_each_result(finished: Project):
    results = finished.results
    for model in MODELS:
        for path in ("models/{}/fetch", "signals/{}/tiny", "measures/{}/tiny/paper"):
            assert json.loads((results / f"{path.format(model)}.json").read_text())


def test_no_half_written_file_is_left(finished: Project):
    assert not [path for path in finished.results.rglob("*") if ".part" in path.name]


@pytest.mark.parametrize("table", KEYS)
def test_the_keys_of_a_table_are_unique(finished: Project, table: str):
    for model in MODELS:
        frame = pd.read_parquet(finished.results / table.format(model=model))
        assert len(frame)
        assert not frame.duplicated(KEYS[table]).any()
        assert frame[KEYS[table]].notna().all().all()


def test_heads_has_a_row_per_signal(finished: Project):
    for model, probes in (("tiny-llama", 3), ("tiny-bert", 2)):
        frame = measured(finished, model)
        # 2 layers of 4 heads; `last_query` is for causal models.
        assert len(frame) == len(CONDITIONS) * probes * COUNT * 2 * 4
        assert frame["document"].nunique() == COUNT


def _explained(reason: str) -> set[str]:
    """Names in `length: a b; power: c`."""
    parts = [part.split(": ", 1)[1] for part in reason.split("; ") if part]
    return {name for part in parts for name in part.split()}


@pytest.mark.parametrize("table", ["heads", "layers"])
@pytest.mark.parametrize("model", MODELS)
def test_a_value_is_undefined_exactly_where_a_reason_names_it(
    finished: Project, model: str, table: str
):
    frame = measured(finished, model, table)
    values = frame.select_dtypes("float64")
    names = values.columns.to_numpy()
    assert len(names)
    for undefined, reason in zip(values.isna().to_numpy(), frame["reason"], strict=True):
        assert set(names[undefined]) == _explained(reason)


def test_an_undefined_value_is_never_zero(finished: Project):
    """A quarter of 64 tokens is too short for blocks of 32."""
    frame = measured(finished, "tiny-llama")
    short = frame[(frame["condition"] == "quarter") & (frame["probe"] == "received")]
    assert short["window_entropy_32"].isna().all()
    assert (short["window_entropy_16"] > 0).all()


def test_models_has_a_row_per_model_with_intervals(finished: Project):
    table = models(finished)
    assert list(table.index) == list(MODELS)
    assert (table["n_sequences"] == COUNT).all()
    assert (table["n_documents"] == COUNT).all()
    bounded = [name for name in table.columns if f"{name}_low" in table.columns]
    assert len(bounded) > 20
    for name in bounded:
        low, mean, high = (table[f"{name}{end}"] for end in ("_low", "", "_high"))
        defined = mean.notna()
        assert low[defined].le(mean[defined] + 1e-12).all(), name
        assert high[defined].ge(mean[defined] - 1e-12).all(), name
        assert low[~defined].isna().all()
        assert high[~defined].isna().all()


def test_the_number_of_a_model_is_the_mean_over_its_sequences(finished: Project):
    table = models(finished)
    for model in MODELS:
        frame = measured(finished, model)
        rows = frame[(frame["condition"] == "full") & (frame["probe"] == "received")]
        expected = rows.groupby("sequence")["spectral_entropy"].mean().mean()
        np.testing.assert_allclose(
            table.loc[model, "spectral_entropy_mean"], expected, rtol=1e-12, atol=0
        )


@pytest.mark.parametrize(
    ("number", "column"),
    [
        (3, "frequency_selectivity_std"),
        (1, "scale_sensitivity_0_5"),
        (1, "scale_sensitivity_0_25"),
        (1, "reconstruction_error_mean"),
        (2, "window_entropy_16_tokens"),
        (7, "wavelet_entropy_scale_0"),
    ],
)
def test_numbers_beside_the_published_ones_are_those_of_models(
    finished: Project, number: int, column: str
):
    lines = pd.read_csv(finished.study / "reproduction.csv", keep_default_na=False, na_values=[""])
    wanted = (lines["table"] == number) & (lines["column"] == column) & lines["model"].notna()
    # The first way of shortening and of reading is that of models.csv.
    first = lines[wanted & (lines["subsampling"] != "prefix")].drop_duplicates("model")
    first = first.set_index("model")
    table = models(finished)
    assert set(first.index) == set(MODELS)
    assert set(first["reason"].dropna()) == {"other_model"}
    for end, ours in (("", "ours"), ("_low", "low"), ("_high", "high")):
        expected = table.loc[first.index, column + end]
        np.testing.assert_allclose(first[ours], expected, rtol=1e-9, atol=0)


def test_bands_share_the_power_of_every_signal(finished: Project):
    for model in MODELS:
        bands = measured(finished, model)[["band_low", "band_mid", "band_high"]]
        np.testing.assert_allclose(bands.sum(axis=1), 1, rtol=1e-9, atol=0)


def signals(path: Path, condition: str, name: str) -> np.ndarray:
    with zarr.storage.ZipStore(path, mode="r") as store:
        return xr.open_zarr(store, group=condition, consolidated=False, chunks=None)[name].values


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_signal_is_a_distribution(finished: Project, model: str, condition: str):
    path = finished.results / f"signals/{model}/tiny.zarr.zip"
    tokens = {"half": 2, "half-prefix": 2, "quarter": 4}.get(condition, 1)
    for probe in ("received", "lag"):
        values = signals(path, condition, probe)
        assert values.dtype == np.float32
        assert values.shape[:3] == (COUNT, 2, 4)
        # [CLS] and [SEP] stay and do not count when a sequence is thinned.
        specials = 2 if model == "tiny-bert" else 0
        length = (TOKENS - specials) // tokens + specials
        assert values.shape[3] == (length if probe == "received" else length // 2)
        assert (values >= 0).all()
        np.testing.assert_allclose(values.sum(axis=-1), 1, rtol=1e-5, atol=0)


def test_the_report_opens_offline_and_names_what_ran(finished: Project):
    page = (finished.study / "report.html").read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href)="https?://[^"]+\.(?:js|css|png|svg|woff2?)"', page)
    for label in ("Llama", "BERT", "Letters", "CC0-1.0", "MIT"):
        assert label in page
    assert page.count("<svg") >= 8


def test_the_summary_prints_the_table_and_the_place_of_the_report(finished: Project):
    done = finished.cli("summary", "results/studies/tiny")
    assert done.returncode == 0, done.stderr
    assert "results/studies/tiny/report.html" in done.stdout
    number = models(finished).loc["tiny-llama", "spectral_entropy_mean"]
    assert f"{number:.2f}" in done.stdout


def test_facts_are_means_over_sequences_of_what_the_store_holds(finished: Project):
    facts = pd.read_parquet(finished.study / "facts.parquet")
    keys = ["model", "corpus", "condition", "number", "coordinate", "layer", "head"]
    assert not facts.duplicated(keys).any()
    assert set(facts["model"]) == set(models(finished).index)
    with open_group(finished.results / "signals/tiny-llama/tiny.zarr.zip", "full") as group:
        assert set(facts["number"]) == {
            str(name) for name in group.data_vars if "fact" in group[name].attrs
        }
        mine = facts[(facts["model"] == "tiny-llama") & (facts["number"] == "local_mass")]
        expected = group["local_mass"].values.astype(np.float64).mean(axis=0)
    found = mine.sort_values(["layer", "head", "coordinate"])["mean"].to_numpy()
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-12)
    shares = facts[facts["number"] == "rotary_share"].groupby(["model", "layer", "head"])["mean"]
    np.testing.assert_allclose(shares.sum(), 1, atol=1e-4)
