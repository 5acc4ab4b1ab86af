"""The training loop: AdamW, a schedule, a state to go on from, weights kept on the way."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from attention_wavelets.attention.inputs import token_inputs
from attention_wavelets.config.schema import Optimiser
from attention_wavelets.errors import PipelineError
from attention_wavelets.store.training import read_state, write_state
from attention_wavelets.training.architectures import token_table
from attention_wavelets.training.batches import Rows, hide

if TYPE_CHECKING:
    import torch

__all__ = ["HeldOut", "Task", "rate_at", "train"]

# Steps between two states on the disk; a kept step has one of its own.
_STATE_EVERY = 50
# Losses that are averaged, and how far above that of fresh weights they may be: a batch is noise.
_RECENT, _MARGIN = 10, 1.02
# A fixed stream for what is hidden of held-out text: every model is asked the same.
_HELD_OUT = 0


@dataclass(frozen=True)
class HeldOut:
    """Sequences that are not trained on.

    Attributes
    ----------
    ids
        int64 (sequence, context).
    bytes
        int32 (sequence, context - 1), bytes of text behind each token after BOS.
    """

    ids: NDArray[np.int64]
    bytes: NDArray[np.int32]


@dataclass(frozen=True)
class Task:
    """What a model is trained on.

    Attributes
    ----------
    rows, held_out
        Tokens to learn from, and others.
    batch, last_step
        Sequences of a step, and how many steps.
    masked
        Share of tokens that are hidden; None predicts the next token instead.
    optimiser
        Settings.
    keep
        Steps after which the weights are kept; 0 is before the first.
    """

    rows: Rows
    held_out: HeldOut
    batch: int
    last_step: int
    masked: float | None
    optimiser: Optimiser
    keep: Sequence[int]


@dataclass
class _Progress:
    step: int = 0
    # The last few losses, since one batch says little, and the step of the last of them.
    recent: list[float] = field(default_factory=list)
    noted: int = -1
    log: list[dict[str, float | int | None]] = field(default_factory=list)


def train(
    model: Any,
    task: Task,
    state: Path,
    keep: Callable[[int, Any], None],
    *,
    device: str = "cpu",
    where: str = "",
) -> list[dict[str, float | int | None]]:
    """Train a model in place; go on from `state` if it is there.

    On a GPU passes are computed in bfloat16 (autocast), weights and sums stay float32. A run that
    was stopped and goes on gives the same weights as one that was not, on the same device and with
    as many threads.

    Parameters
    ----------
    model
        What `architectures.build` returned.
    task
        Data and settings.
    state
        File of the state, written every few steps.
    keep
        Called with step and model for every kept step, in order.
    device
        `cpu` or `cuda`.
    where
        How an error names the run.

    Returns
    -------
    list
        A row per kept step: `step`, `tokens` seen, `loss` of the batch before it (None at step 0)
        and `held_out_loss`, nats a token, and `bits_per_byte` (of a masked model None).

    Raises
    ------
    PipelineError
        A loss or a gradient that is not finite, or the mean of ten losses after the warm-up above
        that of fresh weights; kept weights stay.
    """
    import torch
    from tqdm import tqdm

    model.to(device)
    optimiser = _optimiser(model, task.optimiser)
    progress = _load(model, optimiser, state)
    bar = tqdm(
        total=task.last_step, initial=progress.step, desc=where, disable=not sys.stderr.isatty()
    )
    loss = math.nan
    with bar:
        for step in range(progress.step, task.last_step + 1):
            if step in task.keep and all(row["step"] != step for row in progress.log):
                row = _row(model, task, step, loss, device)
                held_out = float(row["held_out_loss"] or 0)
                _refuse_no_number(held_out, "held-out loss", step, progress, where)
                keep(step, model)
                progress.log.append(row)
                progress.step = step
                _save(model, optimiser, state, progress)
            elif step % _STATE_EVERY == 0 and step > progress.step:
                progress.step = step
                _save(model, optimiser, state, progress)
            if step == task.last_step:
                break
            ids = task.rows.at(step, task.batch)
            seed = task.rows.seed
            value = _loss(model, task, ids, (seed, step), device)
            loss = float(value.detach())
            _refuse_no_number(loss, "loss", step, progress, where)
            _refuse_diverged(loss, step, progress, task, where)
            value.backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), task.optimiser.clip)
            # Before it reaches the weights, and with them the state that a run goes on from.
            _refuse_no_number(float(norm), "gradient", step, progress, where)
            for group in optimiser.param_groups:
                group["lr"] = rate_at(step, task.last_step, task.optimiser)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            bar.update()
    return progress.log


def rate_at(step: int, last: int, settings: Optimiser) -> float:
    """Learning rate of a step: linear up over the warm-up, then a cosine down to `final`."""
    if step < settings.warmup:
        return settings.learning_rate * (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(1, last - settings.warmup)
    part = settings.final + (1 - settings.final) * 0.5 * (1 + math.cos(math.pi * done))
    return settings.learning_rate * part


def _held_out(model: Any, task: Task, device: str) -> tuple[float, float]:
    """Nats a token, and bits a byte (NaN of a masked model), on text that was not trained on."""
    import torch

    was = model.training
    model.eval()
    total, asked, size = 0.0, 0, 0
    with torch.inference_mode():
        for start in range(0, len(task.held_out.ids), task.batch):
            ids = task.held_out.ids[start : start + task.batch]
            value, count = _summed(model, task, ids, (_HELD_OUT, start), device)
            total += float(value)
            asked += count
            size += int(task.held_out.bytes[start : start + task.batch].sum())
    model.train(was)
    bits = math.nan if task.masked else total / math.log(2) / size
    return total / max(asked, 1), bits


def _row(
    model: Any, task: Task, step: int, loss: float, device: str
) -> dict[str, float | int | None]:
    held_out, bits = _held_out(model, task, device)
    return {
        "step": step,
        "tokens": step * task.batch * task.rows.context,
        "loss": _known(loss),
        "held_out_loss": held_out,
        "bits_per_byte": _known(bits),
    }


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _loss(
    model: Any, task: Task, ids: NDArray[np.int64], seed: tuple[int, int], device: str
) -> torch.Tensor:
    value, count = _summed(model, task, ids, seed, device)
    return value / max(count, 1)


def _summed(
    model: Any, task: Task, ids: NDArray[np.int64], seed: tuple[int, int], device: str
) -> tuple[torch.Tensor, int]:
    """Sum of the losses of the tokens that are asked for, and their number."""
    import torch
    from torch.nn import functional

    if task.masked is None:
        seen, asked = ids, np.zeros(ids.shape, dtype=bool)
        asked[:, :-1] = True
        targets = ids[:, 1:].reshape(-1)
    else:
        seen, asked = hide(ids, task.masked, *seed)
        targets = ids[asked]
    wanted = torch.from_numpy(targets).to(device)
    table = token_table(model)
    with torch.autocast(device, dtype=torch.bfloat16, enabled=device != "cpu"):
        states = model(**token_inputs(model, seen)).last_hidden_state
        chosen = states[torch.from_numpy(asked).to(device)]
        logits = functional.linear(chosen, table)
    return functional.cross_entropy(logits.float(), wanted, reduction="sum"), len(targets)


def _optimiser(model: Any, settings: Optimiser) -> Any:
    """Decay pulls at matrices only, not at gains and biases."""
    import torch

    groups = [
        {"params": [p for p in model.parameters() if p.dim() >= 2]},
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups,
        lr=settings.learning_rate,
        betas=(settings.betas[0], settings.betas[1]),
        weight_decay=settings.weight_decay,
    )


def _refuse_diverged(loss: float, step: int, progress: _Progress, task: Task, where: str) -> None:
    """Note the loss of a step; refuse a mean of some that is above that of fresh weights."""
    progress.recent, progress.noted = [*progress.recent, loss][-_RECENT:], step
    mean = sum(progress.recent) / len(progress.recent)
    first = float(progress.log[0]["held_out_loss"] or 0) if progress.log else math.inf
    if step > task.optimiser.warmup + _RECENT and mean > _MARGIN * first:
        raise PipelineError(
            f"the loss around step {step}, {mean:.3f}, is above that of fresh weights, {first:.3f}",
            where,
            _todo(progress),
        )


def _refuse_no_number(value: float, what: str, step: int, progress: _Progress, where: str) -> None:
    if math.isfinite(value):
        return
    known = "no loss before"
    if progress.recent:
        known = f"the last loss, of step {progress.noted}, was {progress.recent[-1]:.3f}"
    raise PipelineError(f"the {what} of step {step} is not finite; {known}", where, _todo(progress))


def _todo(progress: _Progress) -> str:
    kept = progress.log[-1]["step"] if progress.log else "none"
    advice = "lower optimiser.learning_rate or lengthen its warm-up"
    return f"{advice}; the weights of step {kept} are kept"


def _save(model: Any, optimiser: Any, state: Path, progress: _Progress) -> None:
    tensors = {f"model.{key}": value for key, value in model.state_dict().items()}
    for number, values in optimiser.state_dict()["state"].items():
        for key, value in values.items():
            tensors[f"optimiser.{number}.{key}"] = value
    notes = {"step": progress.step, "recent": progress.recent, "log": progress.log}
    write_state(state, tensors, notes)


def _load(model: Any, optimiser: Any, state: Path) -> _Progress:
    found = read_state(state)
    if found is None:
        return _Progress()
    tensors, notes = found
    weights = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
    model.load_state_dict(weights)
    moments: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        if key.startswith("optimiser."):
            _, number, name = key.split(".", 2)
            moments.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
    # A state is saved before the loss of its own step.
    return _Progress(notes["step"], notes["recent"], notes["step"] - 1, notes["log"])
