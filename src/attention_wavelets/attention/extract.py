"""From token ids to signals: batches of equal length through a model, no padding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from attention_wavelets.attention.capture import Observer, capturing
from attention_wavelets.attention.probes import ProbeSpec, Reducer, Shape
from attention_wavelets.errors import PipelineError

__all__ = ["Batch", "attention_layers", "check_capture", "run_batch", "split"]


@dataclass(frozen=True)
class Batch:
    """Signals of some sequences under one condition.

    signals
        Probe -> float32 (sequence, layer, head, axis), non-negative, rows sum to 1.
    mass
        Probe -> float32 (sequence, layer, head), the sum before normalisation.
    """

    signals: dict[str, np.ndarray]
    mass: dict[str, np.ndarray]


def split(count: int, positions: int, batch_tokens: int) -> Iterator[tuple[int, int]]:
    """Ranges of sequences whose tokens fit in one forward pass; at least one sequence each."""
    step = max(1, batch_tokens // positions)
    return ((start, min(start + step, count)) for start in range(0, count, step))


def attention_layers(model: nn.Module, ids: np.ndarray) -> list[str]:
    """Names of the modules whose attention passes through the capture, in order of call."""
    seen: list[nn.Module] = []

    def note(module: nn.Module, _probabilities: Tensor, start: int) -> None:
        if start == 0:
            seen.append(module)

    _forward(model, ids[:1], note)
    names = {module: name for name, module in model.named_modules()}
    return [names[module] for module in seen]


def check_capture(model: nn.Module, ids: np.ndarray, causal: bool, layers: int) -> str:
    """Refuse a model whose attention would be measured wrongly.

    One short sequence is run with and without the capture. Checked: every layer was seen once,
    rows are finite and sum to 1 (at most 1 where a sink is learned), a causal model's upper
    triangle is exactly 0, and the hidden states are those of the untouched model.

    Parameters
    ----------
    model
        A base model in evaluation mode.
    ids
        Token ids (sequence, position); the first sequence, up to 32 tokens, is used.
    causal, layers
        As the manifest says.

    Returns
    -------
    str
        The path taken, "interface" or "hook".
    """
    ids = ids[:1, :32]
    seen: list[str] = []
    names = {module: name for name, module in model.named_modules()}

    def inspect(module: nn.Module, probabilities: Tensor, start: int) -> None:
        where = f"layer {names[module]}"
        if start == 0:
            seen.append(names[module])
        if not torch.isfinite(probabilities).all():
            raise PipelineError("attention is not finite", where, "check the weights")
        if (probabilities.sum(-1) > 1 + 1e-4).any():
            raise PipelineError("attention rows sum to more than 1", where, "report it")
        above = torch.triu(probabilities, diagonal=1 + start)
        if causal and above.any():
            raise PipelineError("attends to later tokens in a causal model", where, "report it")

    with torch.inference_mode():
        plain = _hidden(model, ids)
    captured, path = _forward(model, ids, inspect)
    if len(seen) != layers or len(set(seen)) != layers:
        raise PipelineError(
            f"{len(set(seen))} of {layers} layers passed through the capture "
            f"({', '.join(seen) or 'none'})",
            type(model).__name__,
            "this architecture is not supported",
        )
    scale = plain.abs().max().clamp(min=1e-30)
    if float((captured - plain).abs().max() / scale) > 1e-2:
        raise PipelineError(
            "hidden states change when attention is captured", type(model).__name__, "report it"
        )
    return path


def run_batch(
    model: nn.Module, ids: np.ndarray, probes: Mapping[str, ProbeSpec], causal: bool
) -> Batch:
    """Run sequences of equal length and reduce every layer's attention on the way.

    Parameters
    ----------
    model
        A base model in evaluation mode.
    ids
        Token ids, (sequence, position).
    probes
        Name -> probe.
    causal
        Whether keys end at the query.
    """
    shape = Shape(ids.shape[1], causal)
    reducers: dict[nn.Module, dict[str, Reducer]] = {}

    def reduce(module: nn.Module, probabilities: Tensor, start: int) -> None:
        if module not in reducers:
            reducers[module] = {name: probe.make(shape) for name, probe in probes.items()}
        for reducer in reducers[module].values():
            reducer.update(probabilities, start)

    _forward(model, ids, reduce)
    signals: dict[str, np.ndarray] = {}
    mass: dict[str, np.ndarray] = {}
    names = {module: name for name, module in model.named_modules()}
    for name in probes:
        layers = []
        for module, reducer in reducers.items():
            total = reducer[name].finalize().cpu().numpy()
            _refuse_not_finite(total, names[module])
            layers.append(total)
        raw = np.stack(layers, axis=1)
        weight = raw.sum(axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            # A head without any mass here (all of it on a learned sink) has no signal: NaN.
            signals[name] = (raw / weight[..., None]).astype(np.float32)
        mass[name] = weight.astype(np.float32)
    return Batch(signals, mass)


def _refuse_not_finite(total: np.ndarray, layer: str) -> None:
    if not np.isfinite(total).all():
        sequence, head = np.argwhere(~np.isfinite(total).all(axis=-1))[0]
        raise PipelineError(
            f"attention is not finite (head {head}, sequence {sequence} of the batch)",
            f"layer {layer}",
            "check the weights, or load them as float32",
        )


def _hidden(model: nn.Module, ids: np.ndarray) -> Tensor:
    device = next(model.parameters()).device
    tokens = torch.as_tensor(np.ascontiguousarray(ids), dtype=torch.long, device=device)
    options = {"use_cache": False} if hasattr(model.config, "use_cache") else {}
    return model(input_ids=tokens, **options).last_hidden_state.float()


def _forward(model: nn.Module, ids: np.ndarray, observer: Observer) -> tuple[Tensor, str]:
    with torch.inference_mode(), capturing(model, observer) as path:
        return _hidden(model, ids), path
