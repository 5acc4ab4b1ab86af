"""Training against the bare passes of the same model, as ratios within one run: `make bench`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from attention_wavelets.config.compose import compose
from attention_wavelets.training.architectures import build, token_table
from attention_wavelets.training.batches import Rows, held_out_rows
from attention_wavelets.training.loop import HeldOut, Task, train

# Models of the ladder, and steps of a measurement.
MODELS = ("ladder-rope-32", "ladder-rope-64", "ladder-rope-128", "ladder-alibi-64")
STEPS, ROUNDS = 20, 5


def main() -> None:
    torch.set_num_threads(1)
    experiment = compose(["study=ladder"])
    recipe = experiment.recipe["ladder"]
    vocabulary = recipe.tokenizer.size
    stream = np.random.default_rng(0).integers(3, vocabulary, 500_000).astype(np.int32)
    rows = Rows(stream, recipe.context, 0)
    few = HeldOut(*held_out_rows(stream, np.ones_like(stream), recipe.context, 1))
    print("model, seconds of training / of bare forward and backward passes, tokens a second")
    for name in MODELS:
        source = next(m.source for n, m in experiment.model.items() if n.startswith(f"{name}-s0-"))
        task = Task(
            rows=rows,
            held_out=few,
            batch=recipe.batch,
            last_step=STEPS,
            masked=None,
            optimiser=recipe.optimiser,
            keep=[],
        )

        def training(source: object = source, task: Task = task) -> None:
            with tempfile.TemporaryDirectory() as folder:
                model = build(source, 0, vocabulary, recipe.context)
                train(model, task, Path(folder) / "state", _forget)

        model = build(source, 0, vocabulary, recipe.context)

        def bare(model: torch.nn.Module = model) -> None:
            for step in range(STEPS):
                ids = torch.from_numpy(rows.at(step, recipe.batch))
                logits = model(input_ids=ids).last_hidden_state @ token_table(model).T
                flat = logits[:, :-1].flatten(0, 1)
                torch.nn.functional.cross_entropy(flat, ids[:, 1:].flatten()).backward()
                model.zero_grad(set_to_none=True)

        ours, theirs = best(training, bare)
        rate = STEPS * recipe.batch * recipe.context / ours
        print(f"{name}, {ours / theirs:.2f}, {rate:,.0f}", flush=True)


def _forget(_step: int, _model: object) -> None:
    """Weights are not kept here."""


def best(*arms: Callable[[], None]) -> list[float]:
    """Least seconds of each arm, after one round that warms up; arms take turns."""
    seconds: list[list[float]] = [[] for _ in arms]
    for turn in range(ROUNDS + 1):
        for arm, found in zip(arms, seconds, strict=True):
            start = time.perf_counter()
            arm()
            if turn:
                found.append(time.perf_counter() - start)
    return [min(found) for found in seconds]


if __name__ == "__main__":
    main()
