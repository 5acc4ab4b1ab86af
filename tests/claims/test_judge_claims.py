"""Stage judge_claims on tables made by hand: which models, which nulls, what the two files say."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from attention_wavelets.config.compose import load_member
from attention_wavelets.errors import PipelineError
from attention_wavelets.inference.exact import spearman
from attention_wavelets.inference.multiple import benjamini_hochberg, holm
from attention_wavelets.stages.claims import judge_claims
from attention_wavelets.store.tables import read_csv
from helpers.claims import claim, noisy
from helpers.tiny_study import ROOT

CONF = ROOT / "conf"
SHAPE = (12, 6, 4)
# Model -> of which it is a twin, its positions, whether causal, its parameters.
MODELS = {
    "rope": ("", "rotary", True, 100),
    "rope-s0": ("rope", "rotary", True, 100),
    "rope-s1": ("rope", "rotary", True, 100),
    "bert": ("", "learned_absolute", False, 200),
}
NULLS = {
    "iid": {"kind": "iid", "says": "iid", "seed": 0},
    "permuted": {"kind": "permuted", "says": "permuted", "sink": "free", "seed": 0},
    "untrained": {"kind": "untrained", "says": "twins"},
    "shuffled": {"kind": "condition", "says": "shuffled", "condition": "shuffled"},
    "random-tokens": {"kind": "condition", "says": "random", "condition": "random_tokens"},
}


class World:
    """Tables of measures and of nulls that a test fills, and the slice that goes with them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models = copy.deepcopy(MODELS)
        self.claims: dict[str, dict[str, Any]] = {}
        self.evidence: dict[str, dict[str, Any]] = {}
        self.tables: dict[tuple[str, str, str], list[pd.DataFrame]] = {}
        self.step: dict[str, int] = {}
        self.statistics = {
            "confidence": 0.95,
            "min_documents": 10,
            "resamples": 200,
            "seed": 0,
        }

    def claim(self, name: str, *arguments: Any, lacking: str = "", **settings: Any) -> None:
        models = settings.pop("models", {})
        made = claim(*arguments, **settings).model_dump(mode="json")
        made["models"] = {**made["models"], **models}
        self.claims[name] = made
        self.evidence[name] = {
            "corpus": "" if lacking else "text",
            "lacking": lacking,
            "conditions": ["full", "half", "shuffled"],
        }

    def put(
        self,
        model: str,
        columns: dict[str, np.ndarray],
        condition: str = "full",
        null: str = "",
        draw: int = 0,
        unmatched: float = 0.0,
        table: str = "heads",
        probe: str = "received",
    ) -> None:
        first = next(iter(columns.values()))
        count, layers, heads = first.shape[:3]
        index = np.indices((count, layers, heads)).reshape(3, -1)
        frame = pd.DataFrame(
            {
                "condition": condition,
                "probe": probe,
                "sequence": index[0],
                "document": index[0],
                "layer": index[1],
                "head": index[2],
                **{name: values.reshape(-1) for name, values in columns.items()},
            }
        )
        if null:
            lost = index[2] < unmatched * heads
            frame = frame.assign(null=null, draw=draw, unmatched=lost.astype(np.float32))
            frame.loc[lost, list(columns)] = np.nan
        if table != "heads":
            frame = frame[frame["head"] == 0].drop(columns="head")
        if table == "model":
            frame = frame[frame["layer"] == 0].drop(columns="layer")
        # Stages write layer by layer; sorting is the reader's business.
        frame = frame.sort_values("layer", kind="stable") if "layer" in frame else frame
        self.tables.setdefault(("null" if null else "measure", model, table), []).append(frame)

    def judge(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        folders: dict[str, list[Path]] = {"measure": [], "null": []}
        cells: dict[str, list[dict[str, str]]] = {"measure": [], "null": []}
        for kind in folders:
            for model in self.models:
                own = {t: f for (k, m, t), f in self.tables.items() if (k, m) == (kind, model)}
                if not own:
                    continue
                folder = self.folder / kind / model
                folder.mkdir(parents=True, exist_ok=True)
                for table, frames in own.items():
                    pd.concat(frames).to_parquet(folder / f"{table}.parquet", index=False)
                folders[kind].append(folder)
                cells[kind].append({"model": model, "corpus": "text", "protocol": "paper"})
        config = {
            "claims": self.claims,
            "evidence": self.evidence,
            "nulls": NULLS,
            "cells": cells["measure"],
            "null_cells": cells["null"],
            "protocols": {"paper": load_member("protocol", "paper", CONF, {}).model_dump()},
            "models": {
                name: {"of": facts[0], "repository": "a/b", "step": self.step.get(name)}
                for name, facts in self.models.items()
            },
            "statistics": self.statistics,
        }
        manifests = {
            name: {
                "facts": {
                    "position_encoding": encoding,
                    "causal": causal,
                    "non_embedding_parameters": parameters,
                },
            }
            for name, (_, encoding, causal, parameters) in self.models.items()
        }
        out = self.folder / "claims.csv", self.folder / "claims_by_model.csv"
        judge_claims(config, manifests, folders["measure"], folders["null"], *out)
        return read_csv(out[0]).set_index("claim"), read_csv(out[1])


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def level(value: float, seed: int = 0, **more: Any) -> np.ndarray:
    return noisy(value, seed, **more)[..., 0]


def filled(world: World, values: dict[str, float], measure: str = "selectivity") -> None:
    for seed, (model, value) in enumerate(values.items()):
        world.put(model, {measure: level(value, seed)})


ALL = {"rope": 0.6, "rope-s0": 0.2, "rope-s1": 0.25, "bert": 0.7}
SELECTIVE: dict[str, Any] = {"of": ["selectivity"], "bound": 0.3, "smallest_effect": 0.1}


def test_a_claim_is_judged_for_each_trained_model_and_holds_if_it_holds_for_all(world: World):
    filled(world, ALL)
    world.claim("C1", **SELECTIVE)
    claims, details = world.judge()
    assert list(details["model"]) == ["rope", "bert"]
    row = claims.loc["C1"]
    assert (row["verdict_literal"], row["models"]) == ("pass", 2)
    # The weaker of both is shown.
    assert row["model"] == "rope"
    assert row["estimate"] == pytest.approx(0.6, abs=0.01)
    assert row["reason"].startswith("rope: ")
    assert row["reason"].endswith("Also: bert pass, unclear (claims_by_model.csv).")


def test_one_model_that_fails_fails_the_claim(world: World):
    filled(world, ALL | {"bert": 0.1})
    world.claim("C1", **SELECTIVE)
    claims, details = world.judge()
    assert claims.loc["C1", ["model", "verdict_literal"]].tolist() == ["bert", "fail"]
    assert list(details["verdict_literal"]) == ["pass", "fail"]


def test_without_a_literal_pass_of_all_the_model_that_is_open_is_shown(world: World):
    """One passes and a null stops it, the other is unclear: so is the claim, in both columns."""
    filled(world, ALL | {"bert": 0.4})
    world.put("rope", {"selectivity": level(0.58, 5)}, null="iid")
    world.claim("C1", **SELECTIVE, controls=["iid"])
    claims, details = world.judge()
    assert list(details["verdict_literal"]) == ["pass", "unclear"]
    assert list(details["verdict_controlled"]) == ["fail", "unclear"]
    row = claims.loc["C1"]
    assert row["model"] == "bert"
    assert row["estimate"] == pytest.approx(0.4, abs=0.01)
    assert (row["verdict_literal"], row["verdict_controlled"]) == ("unclear", "unclear")
    assert row["would_change"].startswith("bert: wholly above 0.4 it would pass, ")
    assert "rope" not in row["would_change"]


def test_all_models_that_stand_in_the_way_would_have_to_change(world: World):
    filled(world, ALL | {"bert": 0.1, "rope": 0.2})
    world.claim("C1", **SELECTIVE)
    row = world.judge()[0].loc["C1"]
    assert "rope: wholly above 0.4 it would pass; " in row["would_change"]
    assert ". And bert: wholly above 0.4 it would pass; " in row["would_change"]
    more = {f"m{i}": ("", "rotary", True, 10) for i in range(3)}
    world.models |= more
    for model in more:
        world.put(model, {"selectivity": level(0.1)})
    row = world.judge()[0].loc["C1"]
    assert row["would_change"].endswith(". And 2 more models (claims_by_model.csv).")


def test_the_p_of_a_trend_is_at_least_that_of_chance(world: World):
    growing(world, lambda i: [0.1, 0.3, 0.2, 0.5, 0.4, 0.6][i])
    over: dict[str, Any] = {"over": "parameters", "needs": list(world.models)}
    world.claim("C1", "rank_trend", ["selectivity"], **over, smallest_effect=0.3)
    row = world.judge()[0].loc["C1"]
    assert row["p"] == pytest.approx(spearman(np.arange(6), [1, 3, 2, 5, 4, 6], "greater").p)


def test_p_values_of_models_are_adjusted_as_one_family(world: World):
    filled(world, ALL | {"bert": 0.41})
    for draw in range(2):
        world.put("rope", {"selectivity": level(0.1, draw)}, null="iid", draw=draw)
    world.put("rope", {"selectivity": level(0.1)}, null="permuted")
    world.claim("C1", **SELECTIVE, controls=["iid", "permuted"])
    world.claim("C2", **{**SELECTIVE, "bound": 0.31})
    _, details = world.judge()
    # A row per null: each number counts once all the same.
    once = details.drop_duplicates(["claim", "model"])
    assert len(once) == 4 < len(details)
    expected = benjamini_hochberg(once["p"].to_numpy())
    np.testing.assert_allclose(once["q"], expected)
    assert details.groupby(["claim", "model"])["q"].nunique().eq(1).all()


def test_the_p_that_is_corrected_is_the_largest_of_number_and_differences(world: World):
    """The number is far from its line, but hardly beyond a null: nothing else counts."""
    filled(world, ALL)
    near = level(0.6) - 0.1 - np.random.default_rng(3).normal(0.012, 0.01, (12, 1, 1))
    world.put("rope", {"selectivity": near}, null="iid")
    world.claim("C1", **SELECTIVE, controls=["iid"], models={"needs": ["rope"]})
    row = world.judge()[0].loc["C1"]
    assert row["p"] < 1e-9
    assert 1e-4 < row["p_controlled"] == row["p_holm"] < 0.2
    world.claim("C2", **SELECTIVE, controls=["permuted"], models={"needs": ["rope"]})
    assert world.judge()[0].loc["C2", "p_controlled"] == 1.0


def test_nulls_that_keep_the_same_are_one_family(world: World):
    filled(world, ALL)
    for name in ("iid", "permuted"):
        world.put("rope", {"selectivity": level(0.59, 5)}, null=name)
    world.claim("C1", **SELECTIVE, controls=["iid", "permuted"], models={"needs": ["rope"]})
    _, details = world.judge()
    assert details["null_family"].tolist() == ["order", "order"]
    assert details["verdict_controlled"].tolist() == ["fail", "fail"]


def test_models_are_a_sample_of_two_by_the_signs_of_their_distances(world: World):
    filled(world, ALL)
    world.claim("C1", **SELECTIVE)
    world.claim("C2", **SELECTIVE, models={"needs": ["bert"]})
    filled_range = {"claimed": "within", "range": [0.0, 1.0]}
    world.claim("C3", "equivalence", ["selectivity"], **filled_range)
    claims = world.judge()[0]
    # Both lie beyond the line; of the four ways to give them signs one is as far.
    assert claims.loc["C1", "p_models"] == pytest.approx(1 / 4)
    assert claims.loc[["C2", "C3"], "p_models"].isna().all()


def test_the_p_of_a_claim_is_that_of_its_weakest_model(world: World):
    filled(world, ALL)
    world.put("x", {"selectivity": level(0.6)})
    world.claim("C1", **SELECTIVE)
    world.claim("C2", **SELECTIVE, models={"needs": ["bert"]})
    world.claim("C3", **SELECTIVE, models={"needs": ["rope"]})
    claims, _ = world.judge()
    assert claims.loc["C2", "p"] < claims.loc["C3", "p"]
    assert claims.loc["C1", "p"] == claims.loc["C3", "p"]


@pytest.mark.parametrize(
    ("asked", "models"),
    [
        ({"position_encoding": ["rotary"]}, ["rope"]),
        ({"causal": False}, ["bert"]),
        ({"needs": ["bert"]}, ["bert"]),
        ({"needs": ["rope", "bert"], "at_least": 2}, ["rope", "bert"]),
    ],
)
def test_a_claim_speaks_of_the_models_it_names(world: World, asked: dict[str, Any], models):
    filled(world, ALL)
    world.claim("C1", **SELECTIVE, models=asked)
    _, details = world.judge()
    assert list(details["model"]) == models


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"needs": ["gpt2", "rope", "t5"]}, "Models missing: gpt2, t5."),
        (
            {"position_encoding": ["alibi", "none"]},
            "Needs 1 trained models with alibi or none positions, the study has 0.",
        ),
        ({"at_least": 3}, "Needs 3 trained models, the study has 2."),
    ],
)
def test_a_claim_without_its_models_is_not_testable_here(world: World, asked, reason: str):
    filled(world, ALL)
    world.claim("C1", **SELECTIVE, models=asked)
    world.claim("C2", **SELECTIVE)
    claims, details = world.judge()
    row = claims.loc["C1"]
    assert row["verdict_literal"] == row["verdict_controlled"] == "not testable here"
    assert row["reason"] == reason
    assert row["would_change"] == ""
    assert row[["estimate", "low", "high", "p", "p_holm", "null_value"]].isna().all()
    assert set(details["claim"]) == {"C2"}


def test_a_study_that_can_judge_nothing_has_a_table_without_rows(world: World):
    filled(world, ALL)
    world.claim("C1", **SELECTIVE, models={"needs": ["gpt2"]})
    claims, details = world.judge()
    assert claims.loc["C1", "verdict_controlled"] == "not testable here"
    assert details.empty


def test_a_claim_without_its_measurement_is_not_testable_here(world: World):
    filled(world, ALL)
    world.claim("C1", **SELECTIVE, lacking="the study does not measure it")
    claims, _ = world.judge()
    assert claims.loc["C1", "reason"] == "The study does not measure it."


def test_a_probe_of_causal_models_leaves_the_others_out(world: World):
    """The row of last_query exists for causal models alone."""
    filled(world, {"bert": 0.7})
    world.put("rope", {"selectivity": level(0.6)})
    world.put("rope", {"selectivity": level(0.5)}, probe="last_query")
    for name in ("C1", "C2"):
        world.claim(name, **SELECTIVE, models={"needs": ["bert"]} if name == "C2" else {})
        world.claims[name]["probe"] = "last_query"
    claims, details = world.judge()
    assert list(details["model"]) == ["rope"]
    assert claims.loc["C1", "estimate"] == pytest.approx(0.5, abs=0.01)
    assert claims.loc["C2", "reason"] == "Probe last_query has no signals in bert."


def test_nulls_are_twins_conditions_and_signals(world: World):
    filled(world, ALL)
    world.put("rope", {"selectivity": level(0.22, 9)}, condition="shuffled")
    for draw, value in enumerate((0.1, 0.2, 0.3)):
        world.put("rope", {"selectivity": level(value, draw)}, null="iid", draw=draw)
    # Other rows of the same tables belong to other nulls, probes and conditions.
    world.put("rope", {"selectivity": level(9.0)}, null="other")
    world.put("rope", {"selectivity": level(9.0)}, null="iid", probe="lag")
    world.put("rope", {"selectivity": level(9.0)}, null="iid", condition="half")
    controls = ["iid", "permuted", "untrained", "shuffled", "random-tokens"]
    world.claim("C1", **SELECTIVE, controls=controls, models={"needs": ["rope"]})
    claims, details = world.judge()
    found = details.set_index("null")
    assert list(found.index) == controls
    assert list(found["null_kind"]) == ["iid", "permuted", "untrained", "condition", "condition"]
    assert list(found["draws"]) == [3, 0, 2, 1, 0]
    expected = [0.2, np.nan, 0.225, 0.22, np.nan]
    np.testing.assert_allclose(found["null_value"], expected, rtol=0, atol=0.01)
    np.testing.assert_allclose(found["difference"], 0.6 - np.array(expected), rtol=0, atol=0.02)
    assert found.loc["permuted", "lacking"] == "it has no meaning for these signals"
    assert found.loc["random-tokens", "lacking"] == "condition random_tokens is not measured"
    row = claims.loc["C1"]
    assert (row["verdict_literal"], row["verdict_controlled"]) == ("pass", "unclear")
    assert "Null permuted: it has no meaning for these signals." in row["reason"]
    # Shown is the nearest of the nulls that did not stop it: those that did have no number.
    assert row["null"] in ("untrained", "shuffled")


def test_a_condition_null_of_subsampled_sequences_is_lacking(world: World):
    world.put("rope", {"scale_sensitivity": level(0.6)}, condition="half")
    world.put("rope", {"scale_sensitivity": level(0.6)}, condition="shuffled")
    settings = SELECTIVE | {"of": ["scale_sensitivity@half"]}
    world.claim("C1", **settings, controls=["shuffled"], models={"needs": ["rope"]})
    _, details = world.judge()
    assert details["lacking"].tolist() == ["it has no subsampled sequences"]


def test_a_study_without_twins_lacks_that_null(world: World):
    filled(world, {"rope": 0.6, "bert": 0.7})
    world.claim("C1", **SELECTIVE, controls=["untrained"], models={"needs": ["bert"]})
    _, details = world.judge()
    assert details["lacking"].tolist() == ["the study has no untrained twin"]


def test_the_null_that_stopped_a_claim_is_shown(world: World):
    filled(world, ALL)
    for name, value in (("iid", 0.58), ("permuted", 0.1)):
        world.put("rope", {"selectivity": level(value, 5)}, null=name)
    world.claim("C1", **SELECTIVE, controls=["permuted", "iid"], models={"needs": ["rope"]})
    claims, details = world.judge()
    row = claims.loc["C1"]
    assert (row["verdict_literal"], row["verdict_controlled"]) == ("pass", "fail")
    assert row["null"] == "iid"
    assert row["null_value"] == pytest.approx(0.58, abs=0.01)
    assert "Null iid has 0.578: the difference 0.0201 [" in row["reason"]
    assert list(details["null_verdict"]) == ["pass", "fail"]
    assert list(details["null_passes"]) == [0.0, 1.0]


def test_unmatched_signals_are_reported(world: World):
    filled(world, ALL)
    world.put("rope", {"selectivity": level(0.1)}, null="iid", unmatched=0.25)
    world.put("rope", {"selectivity": level(0.1)}, null="permuted", unmatched=0.75)
    world.claim("C1", **SELECTIVE, controls=["iid", "permuted"], models={"needs": ["rope"]})
    claims, details = world.judge()
    np.testing.assert_allclose(details["unmatched"], [0.25, 0.75], rtol=0, atol=0.01)
    assert list(details["null_verdict"]) == ["pass", "unclear"]
    assert details["lacking"].tolist() == ["", "75% of the signals not matched"]
    assert claims.loc["C1", "verdict_controlled"] == "unclear"


@pytest.mark.parametrize(
    ("table", "measure"), [("layers", "position_spectrum_correlation"), ("heads", "selectivity")]
)
def test_a_measure_is_read_from_the_table_of_its_level(world: World, table: str, measure: str):
    world.put("rope", {measure: level(-0.6)}, table=table)
    world.put("rope", {measure: level(-0.1)}, table=table, null="iid")
    settings = {"of": [measure], "claimed": "below", "controls": ["iid"]}
    world.claim("C1", **settings, models={"needs": ["rope"]})
    claims, details = world.judge()
    assert claims.loc["C1", "estimate"] == pytest.approx(-0.6, abs=0.01)
    assert claims.loc["C1", "verdict_controlled"] == "pass"
    assert details["null_value"].tolist() == pytest.approx([-0.1], abs=0.01)


def test_columns_of_several_conditions_belong_to_the_same_heads(world: World):
    half = level(0.3)
    world.put("rope", {"scale_sensitivity": half}, condition="half")
    order = half + 0.2
    world.put("rope", {"scale_sensitivity": order}, condition="quarter")
    columns = ["scale_sensitivity@half", "scale_sensitivity@quarter"]
    world.claim("C1", "difference", columns, models={"needs": ["rope"]})
    row = world.judge()[0].loc["C1"]
    assert row["estimate"] == pytest.approx(0.2, abs=1e-9)
    assert row["high"] - row["low"] < 1e-9


def test_a_controlled_pass_must_survive_the_number_of_claims(world: World):
    """Alone it passes; among many claims its p of about 0.01 does not."""
    values = level(0.42, noise=0.08, layers=6, heads=4)
    values += np.random.default_rng(1).normal(0, 0.028, (12, 1, 1))
    world.put("rope", {"selectivity": values})
    world.put("rope", {"selectivity": values - 0.5}, null="iid")
    settings = SELECTIVE | {"controls": ["iid"], "models": {"needs": ["rope"]}}
    world.claim("C0", **settings)
    alone = world.judge()[0].loc["C0"]
    assert 0.002 < alone["p"] == alone["p_holm"] < 0.025
    assert (alone["verdict_literal"], alone["verdict_controlled"]) == ("pass", "pass")
    for number in range(1, 30):
        world.claim(f"C{number}", **{**settings, "bound": 2.0})
    claims, _ = world.judge()
    np.testing.assert_allclose(claims["p_holm"], holm(claims["p_controlled"].to_numpy()))
    row = claims.loc["C0"]
    assert row["p"] == alone["p"]
    assert row["p_holm"] > 0.05
    assert (row["verdict_literal"], row["verdict_controlled"]) == ("pass", "unclear")
    assert row["reason"].endswith("It does not survive the correction for the number of claims.")
    # Claims that cannot be judged are no members of the family.
    world.claim("C99", **SELECTIVE, lacking="it is not there")
    again, _ = world.judge()
    np.testing.assert_array_equal(again["p_holm"].iloc[:30], claims["p_holm"])


def growing(world: World, row: Callable[[int], float], null: float = 0.4) -> None:
    world.models = {f"m{i}": ("", "rotary", True, 10**i) for i in range(6)}
    for i, model in enumerate(world.models):
        world.put(model, {"selectivity": level(row(i), i)})
        for draw in range(2):
            world.put(model, {"selectivity": level(null, i + 7)}, null="iid", draw=draw)


def test_models_in_a_row_are_placed_by_the_logarithm_of_their_parameters(world: World):
    growing(world, lambda i: 0.1 * i)
    needs = list(world.models)
    world.claim(
        "C1",
        "slope",
        ["selectivity"],
        over="parameters",
        needs=needs,
        controls=["iid"],
        smallest_effect=0.01,
    )
    claims, details = world.judge()
    row = claims.loc["C1"]
    assert row["estimate"] == pytest.approx(0.1 / np.log(10), abs=0.002)
    assert row["model"] == ", ".join(needs)
    assert (row["verdict_literal"], row["verdict_controlled"]) == ("pass", "pass")
    assert details["draws"].tolist() == [2]
    assert details["null_value"].tolist() == pytest.approx([0.0], abs=0.002)


CHECKPOINTS: dict[str, Any] = {
    "kind": "change_point",
    "of": ["selectivity"],
    "over": "step",
    "smallest_effect": 2.0,
}


def test_checkpoints_are_placed_by_their_step(world: World):
    growing(world, lambda i: float(i >= 3))
    # Named in another order than they were trained.
    world.models = dict(reversed(world.models.items()))
    world.models["m9"] = ("", "rotary", True, 10)
    world.put("m9", {"selectivity": level(9.0)})
    world.step = {f"m{i}": 2**i for i in range(6)}
    asked = {"checkpoints_of": ["a/b"], "at_least": 6}
    world.claim("C1", **CHECKPOINTS, models=asked, controls=["iid"])
    row = world.judge()[0].loc["C1"]
    assert (row["verdict_literal"], row["verdict_controlled"]) == ("pass", "pass")
    assert row["model"] == "a/b, 6 checkpoints"


def test_a_training_without_its_checkpoints_is_not_testable_here(world: World):
    growing(world, lambda i: float(i >= 3))
    world.step = {"m0": 0, "m1": 1000}
    asked = {"checkpoints_of": ["a/b", "a/c"], "at_least": 4}
    world.claim("C1", **CHECKPOINTS, models=asked)
    assert world.judge()[0].loc["C1", "reason"] == (
        "Needs 4 checkpoints of a/b, the study has 2; 4 checkpoints of a/c, the study has 0."
    )


def test_a_row_of_models_lacks_a_null_that_one_of_them_lacks(world: World):
    growing(world, lambda i: 0.1 * i)
    del world.tables["null", "m3", "heads"]
    needs = list(world.models)
    world.claim(
        "C1",
        "slope",
        ["selectivity"],
        over="parameters",
        needs=needs,
        controls=["iid"],
        smallest_effect=0.01,
    )
    claims, details = world.judge()
    assert claims.loc["C1", "verdict_controlled"] == "unclear"
    assert details["lacking"].tolist() == ["it has no meaning for these signals"]


def test_too_few_documents_are_unclear_and_say_so(world: World):
    world.put("rope", {"selectivity": level(0.6, sequences=7)})
    world.claim("C1", **SELECTIVE, models={"needs": ["rope"]})
    row = world.judge()[0].loc["C1"]
    assert row["verdict_literal"] == row["verdict_controlled"] == "unclear"
    assert "too few documents: 7, needs 10" in row["reason"]
    assert "too few documents: 7, needs 10" in row["would_change"]
    assert (row["n"], row["documents"]) == (7, 7)
    assert np.isnan(row["p"])


def test_the_order_of_rows_does_not_matter(world: World):
    filled(world, ALL)
    world.put("rope", {"selectivity": level(0.3, 5)}, null="iid")
    world.claim("C1", **SELECTIVE, controls=["iid", "untrained"])
    world.claim("C2", "spread", ["selectivity"], controls=["iid"], models={"needs": ["rope"]})
    before = world.judge()
    for frames in world.tables.values():
        frames[:] = [frame.sample(frac=1, random_state=1) for frame in frames]
    for mine, theirs in zip(before, world.judge(), strict=True):
        pd.testing.assert_frame_equal(mine, theirs)


def test_a_claim_is_judged_alike_whatever_stands_beside_it(world: World):
    filled(world, ALL)
    world.claim("C2", "spread", ["selectivity"], models={"needs": ["rope"]})
    alone = world.judge()[0].loc["C2"].drop("p_holm")
    world.claim("C1", **SELECTIVE)
    pd.testing.assert_series_equal(world.judge()[0].loc["C2"].drop("p_holm"), alone)


def test_as_many_folders_as_cells_are_needed(tmp_path: Path):
    config = {"claims": {}, "cells": [{"model": "a", "corpus": "b", "protocol": "c"}]}
    config |= {"null_cells": [], "evidence": {}, "statistics": {}}
    with pytest.raises(PipelineError, match="0 folders for 1 cells of the study"):
        judge_claims(config, {}, [], [], tmp_path / "a.csv", tmp_path / "b.csv")
