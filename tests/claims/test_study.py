"""Nulls and verdicts of a study that ran for real."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from attention_wavelets.config.compose import compose
from attention_wavelets.config.slices import slices
from attention_wavelets.stages.claims import judge_claims
from attention_wavelets.stages.measure import measure_heads
from attention_wavelets.stages.nulls import measure_nulls
from attention_wavelets.store.atomic import read_json
from attention_wavelets.store.tables import read_csv
from helpers.tiny_study import CLAIMS, COUNT, MODELS, ROOT, Project

KEYS = ["null", "draw", "condition", "probe", "sequence", "layer"]


@pytest.fixture(scope="module")
def claims(finished: Project) -> pd.DataFrame:
    return read_csv(finished.study / "claims.csv").set_index("claim")


@pytest.fixture(scope="module")
def by_model(finished: Project) -> pd.DataFrame:
    return read_csv(finished.study / "claims_by_model.csv")


def nulls(finished: Project, model: str, table: str) -> pd.DataFrame:
    return pd.read_parquet(finished.results / f"nulls/{model}/tiny/paper/{table}.parquet")


def test_every_claim_has_a_row_in_the_order_of_names(claims: pd.DataFrame):
    assert list(claims.index) == sorted(CLAIMS)
    for name, row in claims.iterrows():
        plain = yaml.safe_load((ROOT / f"conf/claim/{name}.yaml").read_text())
        assert row["statement"] == plain["statement"].strip()
        assert row["source"] == plain["source"]


def test_what_the_study_cannot_decide_is_said_with_its_reason(claims: pd.DataFrame):
    open_ones = claims[claims["verdict_literal"] == "not testable here"]
    assert list(open_ones.index) == ["H07", "R13"]
    assert claims.loc["R13", "reason"] == (
        "The study does not measure excess_sqrt with protocol rigorous, probe lag, conditions full."
    )
    assert claims.loc["H07", "reason"].startswith("Models missing: pythia-14m, pythia-70m, ")


def test_the_reconstruction_error_is_vacuous_for_attention_too(claims, by_model):
    """Any signal is rebuilt by the inverse transform: every null passes on every draw."""
    row = claims.loc["H09"]
    assert (row["verdict_literal"], row["verdict_controlled"]) == ("pass", "vacuous")
    assert "iid on 5 of 5 draws, permuted on 5 of 5 draws, sink-random on 5" in row["reason"]
    mine = by_model[(by_model["claim"] == "H09") & by_model["null"].isin(["iid", "permuted"])]
    assert (mine["null_passes"] == 1).all()


def test_a_model_without_twins_lacks_the_untrained_null(by_model: pd.DataFrame):
    mine = by_model[by_model["null"] == "untrained"]
    assert set(mine["claim"]) == {"H01", "H03", "H09", "H11", "H22"}
    assert set(mine["lacking"]) == {"the study has no untrained twin"}


def test_claims_about_rotary_models_are_judged_for_those(by_model: pd.DataFrame):
    models = by_model.groupby("claim")["model"].unique()
    assert list(models["H03"]) == ["tiny-llama"]
    assert list(models["H01"]) == sorted(MODELS)


@pytest.mark.parametrize("model", MODELS)
def test_numbers_are_those_of_the_measures(finished: Project, by_model, model: str):
    layers = pd.read_parquet(finished.results / f"measures/{model}/tiny/paper/layers.parquet")
    mine = layers[(layers["condition"] == "full") & (layers["probe"] == "received")]
    expected = mine.groupby("sequence")["position_spectrum_correlation"].mean().mean()
    row = by_model[(by_model["claim"] == "H01") & (by_model["model"] == model)].iloc[0]
    assert row["estimate"] == pytest.approx(expected)
    assert row["low"] < row["estimate"] < row["high"]
    assert (row["n"], row["documents"]) == (COUNT, COUNT)
    shuffled = layers[(layers["condition"] == "shuffled") & (layers["probe"] == "received")]
    row = by_model[
        (by_model["claim"] == "H01")
        & (by_model["model"] == model)
        & (by_model["null"] == "shuffled")
    ].iloc[0]
    assert row["null_value"] == pytest.approx(shuffled["position_spectrum_correlation"].mean())


@pytest.mark.parametrize("model", MODELS)
def test_null_tables_have_a_row_per_null_draw_and_signal(finished: Project, model: str):
    heads, layers = (nulls(finished, model, table) for table in ("heads", "layers"))
    assert not heads.duplicated([*KEYS, "head"]).any()
    assert not layers.duplicated(KEYS).any()
    # Random nulls are drawn five times, kernels are what they are.
    draws = heads.groupby("null")["draw"].nunique().to_dict()
    assert draws == {
        "iid": 5,
        "permuted": 5,
        "permuted-sink-fixed": 5,
        "sink-random": 5,
        "uniform-causal": 1,
    }
    per_draw = heads.groupby(["null", "draw", "condition"]).size()
    assert (per_draw == COUNT * 2 * 4).all()
    assert set(heads["condition"]) == {"full", "half"}
    assert set(heads["probe"]) == {"received"}
    assert (heads.loc[heads["condition"] == "half", "reference"] == "full").all()
    assert (heads.loc[heads["condition"] == "full", "reference"] == "").all()
    measured = set(heads.columns) - {*KEYS, "head", "reference", "document", "unmatched"}
    assert {"scale_sensitivity", "reconstruction_error", "band_low", "selectivity"} <= measured
    assert heads.loc[heads["condition"] == "full", "scale_sensitivity"].isna().all()
    assert heads.loc[heads["unmatched"] == 0, "band_low"].notna().all()
    assert set(layers.columns) - {*KEYS, "reference", "document", "unmatched"} == {
        "position_spectrum_correlation"
    }


def test_a_null_keeps_what_it_says(finished: Project):
    """Permuted values have the entropy of the signal's own; those with its CV^2 are near."""
    model = "tiny-llama"
    measures = pd.read_parquet(finished.results / f"measures/{model}/tiny/paper/heads.parquet")
    measures = measures[(measures["condition"] == "full") & (measures["probe"] == "received")]
    keys = ["sequence", "layer", "head"]
    made = nulls(finished, model, "heads")
    made = made[(made["null"] == "permuted") & (made["condition"] == "full")]
    both = made.merge(measures, on=keys, suffixes=("_null", ""))
    assert len(both) == 5 * COUNT * 2 * 4
    np.testing.assert_allclose(
        both["positional_entropy_null"], both["positional_entropy"], rtol=1e-5
    )
    assert not np.allclose(both["band_low_null"], both["band_low"], rtol=1e-2)


def rigorous(finished: Project, folder: Path, claims: list[str]) -> tuple[dict[str, Any], Project]:
    """Slices of the tiny study with its signals by lag measured rigorously, two twins of it."""
    project = finished.copy(folder / "project")
    study = yaml.safe_load(project.yaml("study/tiny").read_text())
    cell = {"corpus": "tiny", "conditions": ["full", "shuffled"], "protocol": "rigorous"}
    study["measurements"].append(cell | {"probes": ["lag", "last_query"]})
    study["claims"] = claims
    project.yaml("study/tiny").write_text(yaml.safe_dump(study))
    # Fewer draws, and none of the rearrangements that no claim reads.
    chosen = "bank_collapse,bank_scale_octaves,bank_complementarity,excess_sqrt,kernel_kl_power"
    overrides = ["statistics.null_draws=2"]
    overrides += [f"protocol.rigorous.measures=[{chosen},kernel_kl_exponential,kernel_width]"]
    return slices(compose(["study=tiny", *overrides], project.folder / "conf")), project


def judge(
    made: dict[str, Any], project: Project, out: Path
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Path]]:
    """Measure signals and nulls under protocol rigorous, and judge, all in this process."""
    config = made["studies/tiny/claims"]
    results, folders = project.results, {}
    for kind in ("measures", "nulls"):
        cells = config["cells" if kind == "measures" else "null_cells"]
        for cell in cells:
            name = f"{kind}/{cell['model']}/tiny/{cell['protocol']}"
            folder = results / name
            folders[name] = folder
            if cell["protocol"] != "rigorous":
                continue
            folder.mkdir(parents=True, exist_ok=True)
            signals = results / f"signals/{cell['model']}/tiny.zarr.zip"
            tables = [folder / f"{t}.parquet" for t in ("heads", "layers", "model", "pairs")]
            if kind == "measures":
                measure_heads(made[name], signals, *tables)
            else:
                measure_nulls(made[name], signals, *tables[:2])
    manifests = {m: read_json(results / f"models/{m}/manifest.json") for m in MODELS}
    ours = [path for name, path in folders.items() if name.startswith("measures")]
    theirs = [path for name, path in folders.items() if name.startswith("nulls")]
    judge_claims(config, manifests, ours, theirs, out / "claims.csv", out / "by_model.csv")
    frames = (read_csv(out / "claims.csv").set_index("claim"), read_csv(out / "by_model.csv"))
    return *frames, folders


@pytest.fixture(scope="module")
def strict(finished: Project, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("rigorous")
    made, project = rigorous(finished, folder, ["H14", "R06", "R13", "R14"])
    return *judge(made, project, folder), made, project


def test_kernels_by_lag_are_judged_against_nulls_of_their_own(strict):
    claims, by_model, *_ = strict
    assert list(claims.index) == ["H14", "R06", "R13", "R14"]
    assert (claims["models"] == 2).all()
    assert (
        np.isfinite(claims.loc[["H14", "R06", "R13"], ["estimate", "low", "high"]]).to_numpy().all()
    )
    found = by_model.set_index(["claim", "model", "null"])
    # The number of a distance is itself the difference to its null.
    for name, null in (("H14", "head-sets"), ("R13", "permuted")):
        row = found.loc[(name, "tiny-llama", null)]
        assert row["difference"] == pytest.approx(row["estimate"])
        assert np.isnan(row["null_passes"])
    # Attention by lag has no first position to keep, and both twins are missing.
    assert found.loc[("R13", "tiny-bert", "exponential"), "draws"] == 1
    assert found.loc[("R13", "tiny-bert", "iid"), "draws"] == 2
    assert set(by_model.loc[by_model["null"] == "untrained", "lacking"]) == {
        "the study has no untrained twin"
    }


def test_sets_of_heads_are_the_model_s_own_heads_dealt_out(strict):
    folders = strict[2]
    made = pd.read_parquet(folders["nulls/tiny-llama/tiny/rigorous"] / "heads.parquet")
    own = pd.read_parquet(folders["measures/tiny-llama/tiny/rigorous"] / "heads.parquet")
    own = own[(own["condition"] == "full") & (own["probe"] == "lag")]
    for draw in range(2):
        dealt = made[(made["null"] == "head-sets") & (made["draw"] == draw)]
        where = ["sequence", "layer", "head"]
        both = [
            frame.sort_values(where)["excess_sqrt"].to_numpy().reshape(COUNT, 8)
            for frame in (dealt, own)
        ]
        np.testing.assert_allclose(np.sort(both[0]), np.sort(both[1]), rtol=1e-6)
        # The same place holds the same head in every sequence.
        order = [np.argsort(np.argsort(part, axis=1), axis=1) for part in both]
        assert not np.array_equal(*order)
        place = np.array(
            [np.abs(both[1] - column[:, None]).sum(axis=0).argmin() for column in both[0].T]
        )
        assert sorted(place) == list(range(8))
        np.testing.assert_allclose(both[0], both[1][:, place], rtol=1e-6)


def test_a_draw_depends_on_its_name_alone(strict, tmp_path: Path):
    """With fewer nulls, probes and draws, those that are left are what they were."""
    *_, folders, made, project = strict
    name = "nulls/tiny-llama/tiny/rigorous"
    before = pd.read_parquet(folders[name] / "heads.parquet")
    config = json.loads(json.dumps(made[name]))
    config["nulls"] = {"iid": config["nulls"]["iid"]}
    config["draws"] = 1
    signals = project.results / "signals/tiny-llama/tiny.zarr.zip"
    measure_nulls(config, signals, tmp_path / "heads.parquet", tmp_path / "layers.parquet")
    after = pd.read_parquet(tmp_path / "heads.parquet")
    kept = before[(before["null"] == "iid") & (before["draw"] == 0)]
    pd.testing.assert_frame_equal(after, kept.reset_index(drop=True))
    config["nulls"]["iid"]["seed"] = 1
    measure_nulls(config, signals, tmp_path / "heads.parquet", tmp_path / "layers.parquet")
    assert not pd.read_parquet(tmp_path / "heads.parquet").equals(after)


def test_iaaft_reports_what_it_could_not_match(strict, tmp_path: Path):
    *_, made, project = strict
    config = json.loads(json.dumps(made["nulls/tiny-llama/tiny/rigorous"]))
    plain = {"kind": "iaaft", "says": "x", "iterations": 50, "seed": 0}
    config["nulls"] = {"loose": plain | {"cutoff": 0.9}, "close": plain | {"cutoff": 0.01}}
    config["draws"] = 1
    signals = project.results / "signals/tiny-llama/tiny.zarr.zip"
    measure_nulls(config, signals, tmp_path / "heads.parquet", tmp_path / "layers.parquet")
    heads = pd.read_parquet(tmp_path / "heads.parquet").set_index("null")
    layers = pd.read_parquet(tmp_path / "layers.parquet").set_index("null")
    assert heads.loc["loose", "unmatched"].mean() < heads.loc["close", "unmatched"].mean()
    lost = heads["unmatched"] == 1
    assert lost.any()
    assert heads.loc[lost, "excess_sqrt"].isna().all()
    assert heads.loc[~lost, "excess_sqrt"].notna().all()
    assert layers.loc["close", "unmatched"].mean() == pytest.approx(
        heads.loc["close", "unmatched"].mean(), abs=1e-6
    )


def test_nulls_without_meaning_leave_a_table_without_rows(strict, tmp_path: Path):
    """Signals by lag hold no first position; the claim then says that the null is lacking."""
    *_, made, project = strict
    config = json.loads(json.dumps(made["nulls/tiny-llama/tiny/rigorous"]))
    config["nulls"] = {"sink-random": {"kind": "sink_random", "says": "x", "seed": 0}}
    signals = project.results / "signals/tiny-llama/tiny.zarr.zip"
    paths = tmp_path / "heads.parquet", tmp_path / "layers.parquet"
    measure_nulls(config, signals, *paths)
    for path, wanted in zip(paths, ("excess_sqrt", "bank_collapse"), strict=True):
        table = pd.read_parquet(path)
        assert table.empty
        assert {*KEYS, "reference", "document", "unmatched", wanted} <= set(table.columns)


def test_a_mean_signal_stands_in_the_row_of_its_first_sequence(finished: Project, tmp_path: Path):
    made = slices(
        compose(
            ["study=tiny", "protocol.paper.average_sequences=3", "statistics.null_draws=1"],
            finished.folder / "conf",
        )
    )
    signals = finished.results / "signals/tiny-llama/tiny.zarr.zip"
    paths = tmp_path / "heads.parquet", tmp_path / "layers.parquet"
    measure_nulls(made["nulls/tiny-llama/tiny/paper"], signals, *paths)
    whole = nulls(finished, "tiny-llama", "layers")
    whole = whole.drop_duplicates("sequence").set_index("sequence")["document"]
    layers = pd.read_parquet(paths[1])
    found = layers.drop_duplicates("sequence").set_index("sequence")["document"]
    assert list(found.index) == [0, 1, 2, 3]
    assert list(found) == [whole[3 * place] for place in found.index]


def test_a_probe_without_signals_leaves_a_bidirectional_model_out(
    finished: Project, tmp_path: Path
):
    made, project = rigorous(finished, tmp_path, ["R13"])
    config = made["studies/tiny/claims"]
    config["claims"]["R13"]["probe"] = "last_query"
    for cell in config["null_cells"]:
        name = f"nulls/{cell['model']}/tiny/rigorous"
        made[name]["probes"] = {"last_query": {"kind": "last_query"}}
    claims, by_model, _ = judge(made, project, tmp_path)
    assert claims.loc["R13", "models"] == 1
    assert set(by_model["model"]) == {"tiny-llama"}
