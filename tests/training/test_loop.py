"""The training loop: it learns, goes on where it was stopped, and says when it diverges."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from attention_wavelets.config.schema import Optimiser
from attention_wavelets.errors import PipelineError
from attention_wavelets.store.training import read_state
from attention_wavelets.training.architectures import build
from attention_wavelets.training.batches import Rows
from attention_wavelets.training.loop import Task, rate_at, train
from helpers.recipes import source
from helpers.training_task import CONTEXT, STEPS, VOCABULARY, task


def run(state, *, made=None, stop: int | None = None, the_task: Task | None = None):
    """Train and return weights, log and kept steps; with `stop`, as if killed at that kept step."""
    made = made or source()
    model = build(made, 0, VOCABULARY, CONTEXT)
    kept: list[int] = []

    def keep(step: int, _model: Any) -> None:
        if step == stop:
            raise KeyboardInterrupt
        kept.append(step)

    log = train(model, the_task or task(), state, keep, where="tiny")
    return model.state_dict(), log, kept


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("made", "masked"),
    [
        (source(), None),
        (source("bloom", "alibi", inner=64), None),
        (source("modernbert", "rope", "masked"), 0.15),
        (source("t5", "relative_bias", "masked"), 0.15),
    ],
)
def test_a_text_with_a_rule_is_learned(tmp_path, made, masked):
    _, log, kept = run(tmp_path / "state.safetensors", made=made, the_task=task(masked))
    assert kept == [0, 1, 10, STEPS] == [row["step"] for row in log]
    assert log[0]["held_out_loss"] == pytest.approx(math.log(VOCABULARY), rel=0.25)
    # How often a token comes alone would leave ln 5.
    assert log[-1]["held_out_loss"] < (2 if masked else 0.9 * math.log(5))
    assert log[-1]["tokens"] == STEPS * 4 * CONTEXT
    # A byte a token here: bits are nats over ln 2.
    bits = None if masked else pytest.approx(log[-1]["held_out_loss"] / math.log(2))
    assert log[-1]["bits_per_byte"] == bits


@pytest.mark.parametrize("stop", [1, 10, STEPS])
def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path, stop):
    whole, log, _ = run(tmp_path / "whole.safetensors")
    state = tmp_path / "state.safetensors"
    with pytest.raises(KeyboardInterrupt):
        run(state, stop=stop)
    parts, again, kept = run(state)
    assert kept == [step for step in (0, 1, 10, STEPS) if step >= stop]
    assert again == log
    for key, value in whole.items():
        assert torch.equal(value, parts[key]), key


def test_a_damaged_state_begins_anew(tmp_path):
    state = tmp_path / "state.safetensors"
    with pytest.raises(KeyboardInterrupt):
        run(state, stop=10)
    state.write_bytes(state.read_bytes()[:100])
    assert read_state(state) is None
    assert run(state)[2] == [0, 1, 10, STEPS]


def test_a_loss_above_the_first_is_said_with_what_is_kept(tmp_path):
    with pytest.raises(PipelineError) as raised:
        run(tmp_path / "s", the_task=task(learning_rate=1.0, clip=1000.0))
    assert str(raised.value).startswith("tiny: the loss around step ")
    assert "is above that of fresh weights, 3." in str(raised.value)
    assert "the weights of step " in str(raised.value)


def test_a_loss_that_is_no_number_names_the_last_one_that_was(tmp_path):
    model = build(source(), 0, VOCABULARY, CONTEXT)

    def damage(step: int, trained: Any) -> None:
        if step == 10:
            with torch.no_grad():
                next(trained.parameters())[:] = torch.nan

    with pytest.raises(PipelineError) as raised:
        train(model, task(), tmp_path / "s", damage, where="tiny")
    assert "the loss of step 10 is not finite, the last held-out loss was" in str(raised.value)


def test_the_rate_rises_and_falls_as_set():
    settings = Optimiser(learning_rate=0.1, warmup=4, final=0.1)
    rates = [rate_at(step, 44, settings) for step in range(45)]
    assert rates[:4] == pytest.approx([0.025, 0.05, 0.075, 0.1])
    assert rates[4] == pytest.approx(0.1)
    assert rates[24] == pytest.approx(0.055)
    assert rates[44] == pytest.approx(0.01)
    assert np.argmax(rates) in (3, 4)


def test_seeds_see_other_data_in_another_order(tmp_path):
    """Two runs that differ in nothing but the order of data end at other weights."""
    one = run(tmp_path / "one")[0]
    other = task()
    object.__setattr__(other, "rows", Rows(other.rows.stream, CONTEXT, seed=2))
    two = run(tmp_path / "two", the_task=other)[0]
    assert any(not torch.equal(one[key], two[key]) for key in one)
