"""The training loop: it learns, goes on where it was stopped, and says when it diverges."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from attention_wavelets.config.schema import Optimiser
from attention_wavelets.errors import PipelineError
from attention_wavelets.store.training import read_state
from attention_wavelets.training import loop
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


def no_states(trained: Any, *, training: bool) -> None:
    """From here on what the model gives is no number, in training or in between."""

    def lost(model: Any, _given: Any, found: Any) -> None:
        if model.training == training:
            found["last_hidden_state"] = found["last_hidden_state"] * torch.nan

    trained.register_forward_hook(lost)


def no_gradient(trained: Any) -> None:
    """From here on losses are finite and gradients are not."""
    next(trained.parameters()).register_hook(partial(torch.mul, other=torch.nan))


def broken_off(state: Path, damage: Callable[[Any], None], at: int | None) -> tuple[Any, str]:
    """Train until a damage done when a step is kept, or before, shows; model and error."""
    model = build(source(), 0, VOCABULARY, CONTEXT)

    def keep(step: int, trained: Any) -> None:
        if step == at:
            damage(trained)

    if at is None:
        damage(model)
    with pytest.raises(PipelineError) as raised:
        train(model, task(), state, keep, where="tiny")
    return model, str(raised.value)


# Damage after step 10 is kept -> what is no number, the step of the last loss, and what is kept.
SAID = (
    (partial(no_states, training=True), "the loss of step 10", 9, 10),
    (partial(no_states, training=False), f"the held-out loss of step {STEPS}", STEPS - 1, 10),
    (no_gradient, "the gradient of step 10", 10, 10),
)


@pytest.mark.parametrize(("damage", "what", "last", "kept"), SAID)
def test_what_is_no_number_is_told_with_the_last_loss(tmp_path, damage, what, last, kept):
    log = run(tmp_path / "whole", the_task=replace(task(), keep=range(STEPS + 1)))[1]
    # The batch before a kept step.
    loss = log[last + 1]["loss"]
    _, said = broken_off(tmp_path / "state", damage, at=10)
    assert said.startswith(
        f"tiny: {what} is not finite; the last loss, of step {last}, was {loss:.3f}"
    )
    assert said.endswith(f"the weights of step {kept} are kept")


def test_a_run_that_goes_on_knows_the_last_loss_of_the_one_before(tmp_path):
    state = tmp_path / "state"
    with pytest.raises(KeyboardInterrupt):
        run(state, stop=10)
    _, said = broken_off(state, partial(no_states, training=True), at=None)
    assert "the loss of step 1 is not finite; the last loss, of step 0, was 3." in said


def test_fresh_weights_without_a_loss_have_none_before(tmp_path):
    _, said = broken_off(tmp_path / "state", partial(no_states, training=True), at=0)
    assert "the loss of step 0 is not finite; no loss before" in said


def test_a_gradient_that_is_no_number_reaches_neither_weights_nor_state(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_STATE_EVERY", 1)
    state = tmp_path / "state"
    model, _ = broken_off(state, no_gradient, at=10)
    tensors, notes = read_state(state)
    assert notes["step"] == 10
    for key, value in model.state_dict().items():
        assert torch.isfinite(value).all(), key
        assert torch.equal(value, tensors[f"model.{key}"]), key


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
