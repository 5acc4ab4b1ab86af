"""The table of `attention-wavelets estimate`."""

from __future__ import annotations

import json

import numpy as np
import pytest

from attention_wavelets.cli import main
from attention_wavelets.config.compose import compose
from attention_wavelets.errors import PipelineError
from attention_wavelets.resources.estimate import cards, estimate, estimate_text, measured_rate
from attention_wavelets.resources.jobs import Needs
from helpers.tiny_study import ROOT

RATE = 1e11


def table(*overrides: str, card: str = "t4"):
    return estimate(Needs(compose(overrides, ROOT / "conf"), lambda _: None), card, RATE)


def test_a_row_per_model_and_nothing_to_fetch_for_a_twin():
    rows = table().set_index("model")
    assert list(rows.index) == compose([], ROOT / "conf").study.models
    assert rows.loc["smollm2-135m", "download_gib"] > 0.05
    assert rows.loc["smollm2-135m-untrained-s0", "download_gib"] == 0
    assert set(rows["fits"]) == {"yes"}
    assert (rows["minutes_here"] > rows["minutes_gpu"]).all()


def test_a_model_without_sizes_is_unknown_with_the_reason():
    rows = table("model.minilm-l6.architecture=null").set_index("model")
    lost = rows.loc["minilm-l6"]
    assert np.isnan(lost["memory_gib"])
    assert "no `architecture`" in lost["reason"]
    text = estimate_text(rows.reset_index(), "t4", RATE)
    assert "unknown" in text
    assert "minilm-l6: unknown, no `architecture`" in text


def test_memory_of_a_training_run_is_that_of_its_training():
    overrides = ["study=ladder_gpu"]
    needs = Needs(compose(overrides, ROOT / "conf"), lambda _: None)
    rows = table(*overrides).set_index("model")
    small, large = (rows.loc[f"ladder-gpu-rope-{n}-s0 (17 checkpoints)"] for n in (256, 768))
    model = "ladder-gpu-rope-768-s0-step30517"
    assert large["memory_gib"] == pytest.approx(needs.training(model).mem_mb / 1024)
    # States of 64 x 512 tokens, however few those of a pass that is measured are.
    assert large["gpu_gib"] > 20
    assert (small["fits"], large["fits"]) == ("yes", "no")


def test_the_text_says_that_downloads_are_those_of_weights():
    text = estimate_text(table("study=ladder_gpu"), "t4", RATE)
    assert "all together: 0.0 GiB of weights to fetch" in text
    assert "texts that are fetched come on top" in text


def test_a_slower_machine_takes_longer():
    needs = Needs(compose([], ROOT / "conf"), lambda _: None)
    slow, fast = (estimate(needs, "t4", rate)["minutes_here"] for rate in (RATE, 10 * RATE))
    assert (slow > fast).all()


def test_an_unknown_card_is_refused_with_the_known_ones():
    with pytest.raises(PipelineError, match=r"unknown GPU 'x'.*a100-80, h100"):
        table(card="x")


def test_cards_have_memory_and_more_half_than_full_precision():
    for card in cards().values():
        assert 8 <= card.memory <= 200
        assert card.half > card.float32 > 1e12


def test_the_rate_of_this_machine_is_one_a_processor_can_have():
    assert 1e8 < measured_rate(0.05) < 1e15


def test_the_command_prints_totals_and_where_the_rate_comes_from(capsys):
    assert main(["estimate", "--gpu", "t4", "--conf", str(ROOT / "conf")]) == 0
    printed = capsys.readouterr().out
    assert "hours on one T4" in printed
    assert "measured just now" in printed


def test_the_sizes_of_a_fetched_model_are_read_from_its_manifest(tmp_path, monkeypatch, capsys):
    facts = {
        "parameters": 22_000_000,
        "non_embedding_parameters": 10_000_000,
        "layers": 6,
        "heads": 12,
        "head_size": 32,
        "hidden_size": 384,
        "model_type": "bert",
    }
    manifest = tmp_path / "results" / "mine" / "models" / "minilm-l6" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"facts": facts}), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    asked = ["estimate", "--conf", str(ROOT / "conf"), "model.minilm-l6.architecture=null"]
    assert main(asked) == 0
    assert "minilm-l6: unknown" in capsys.readouterr().out
    assert main([*asked, "run.name=mine"]) == 0
    assert "minilm-l6: unknown" not in capsys.readouterr().out
